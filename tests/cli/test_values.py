from collections.abc import Sequence
from typing import Literal

import pytest

from fashionprobe.cli import values
from fashionprobe.errors import UserError


@pytest.mark.parametrize(
    ("word", "kind", "expected"),
    [
        ("5", str, "5"), ("null", str, "null"), ("null", str | None, None), ("none", str | None, "none"),
        ("#x", str | None, "#x"), ("", str | None, ""), ("none", int | None, None), ("010", int, 10),
        ("1_000", int, 1000), ("0x10", int, 16), ("1e3", float, 1000.0), ("1e-3", float, 0.001), ("7", float, 7.0),
        ("pad", Literal["pad", "stretch"], "pad"), ("no", bool, False), ("[a,b]", list[str] | str, ["a", "b"]),
        ("[a", list[str] | str, "[a"), ("[1].jpg", list[str] | str, "[1].jpg"), ("a,b", list[str] | str, "a,b"),
        ("a", str | Sequence[str], "a"),
    ],
)  # fmt: skip
def test_a_word_becomes_a_value(word, kind, expected):
    value = values.from_words("x", [word], kind)
    assert (value, type(value)) == (expected, type(expected))


@pytest.mark.parametrize(("word", "kind"), [
    ("1.0", int), ("1e3", int), ("true", int), ("nan", float), ("", int), ("null", int), ("[1", int | list[int]),
    ("[1,[2]]", list[int]), ("[null]", list[int]), ("[true]", list[float]), ("yess", bool),
    ("5", Literal["pad", "stretch"]),
])  # fmt: skip
def test_a_word_that_does_not_fit(word, kind):
    with pytest.raises(UserError, match="`x` must be"):
        values.from_words("x", [word], kind)


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        (5, int, 5), (5, float, 5.0), ("5", int, 5), ("1,4", int | list[int], [1, 4]), (None, int | None, None),
        (["1", "2"], list[int], [1, 2]), ([1, 2.5], float | list[float], [1.0, 2.5]), ("yes", str, "yes"),
        (["a", "b"], str | Sequence[str], ["a", "b"]), (["3"], list[str] | list[int], ["3"]),
    ],
)  # fmt: skip
def test_yaml_becomes_a_value(value, kind, expected):
    assert values.from_yaml("x", value, kind) == expected


@pytest.mark.parametrize(("value", "kind"), [
    (True, int), (1.0, int), (5, str), (True, str | None), ({"a": 1}, int | list[int]), (None, int), (None, bool),
    ([3, "a"], list[str] | list[int]), ([[1]], list[int]),
])  # fmt: skip
def test_yaml_that_does_not_fit(value, kind):
    with pytest.raises(UserError, match="`x` must be"):
        values.from_yaml("x", value, kind)
