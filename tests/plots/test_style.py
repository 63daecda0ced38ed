import pytest

from fashionprobe.plots.style import short


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("red", "red"),
        ("two\n  lines", "two lines"),
        ("bell\x07", "bell\N{REPLACEMENT CHARACTER}"),
        ("a" * 10, "a" * 10),
        ("abcdefghijk", "abcde…hijk"),
        (3, "3"),
    ],
)
def test_short_names_are_one_line_and_end_as_before(name, expected):
    assert short(name, 10) == expected
