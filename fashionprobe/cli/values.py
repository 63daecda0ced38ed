"""Turns what a user wrote, as words or in YAML, into the values that a stage takes."""

import re
from collections.abc import Sequence
from types import NoneType
from typing import Any, Literal, get_args, get_origin

import yaml

from fashionprobe import config
from fashionprobe.errors import UserError, on_a_line, unknown_name

IN_WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
NO_VALUE = object()
"""What a kind returns for something that is not of it."""


def kinds(annotation: Any) -> tuple[Any, ...]:
    """Return the types that an annotation allows."""
    return (
        (annotation,) if get_origin(annotation) in (list, Literal, Sequence) else get_args(annotation) or (annotation,)
    )


def is_list(annotation: Any) -> bool:
    """Return whether a parameter takes several values."""
    return any(get_origin(kind) in (list, Sequence) for kind in kinds(annotation))


def from_words(name: str, words: Sequence[str], annotation: Any) -> Any:
    """Return the value that one word or several stand for.

    Args:
        name: The parameter.
        words: What follows its option; a list may be several words, or one such as `1,4` or `[1,4]`.
        annotation: Its type.

    Raises:
        UserError: If they do not fit.

    Example:
        >>> from_words("block", ["1,4"], int | list[int])
        [1, 4]
    """
    takes, word = kinds(annotation), words[0]
    numbers = {list[int], list[float]} & {*takes}
    if len(words) > 1:
        all_numbers = numbers and all(re.fullmatch(r"-?\d+(\.\d+)?", each) for each in words)
        value = [config.load(each) for each in words] if all_numbers else list(words)
        return _fitting(name, value, annotation, " ".join(words))
    if str not in takes and NoneType in takes and word.lower() == "none":
        return None
    if is_list(annotation) and (word.startswith("[") or (numbers and "," in word)):
        parts = _loaded(name, word if word.startswith("[") else f"[{word}]", annotation)
        if any(_as(kind, parts) is not NO_VALUE for kind in takes):
            return _fitting(name, parts, annotation, word)
    return _fitting(name, word, annotation, word)


def from_yaml(name: str, value: Any, annotation: Any) -> Any:
    """Return the value for a parameter that a configuration file holds.

    Raises:
        UserError: If it does not fit.
    """
    if isinstance(value, str) and str not in kinds(annotation):
        return from_words(name, [value], annotation)
    return _fitting(name, value, annotation, value)


def in_words(annotation: Any) -> str:
    """Describe a type to someone who does not know Python."""
    described = []
    for kind in kinds(annotation):
        if get_origin(kind) in (list, Sequence):
            described.append("a list such as [1,4]" if {int, float} & {*get_args(kind)} else "a list such as [a,b]")
        elif kind in IN_WORDS:
            described.append(IN_WORDS[kind])
    return " or ".join(dict.fromkeys(described))


def _loaded(name: str, word: str, annotation: Any) -> Any:
    """Read a list in brackets; text that is none stays text where that is allowed."""
    try:
        return config.load(word)
    except config.TooMuch as error:
        received = f"{word[:60]} ({error.problem})"
        raise UserError(name, expected=in_words(annotation), received=received) from error
    except yaml.YAMLError:
        return word


def _fitting(name: str, value: Any, annotation: Any, received: Any) -> Any:
    takes = kinds(annotation)
    # None before text, which anything could be; the rest as declared.
    for kind in sorted(takes, key=lambda kind: kind is not NoneType):
        fitting = _as(kind, value)
        if fitting is not NO_VALUE:
            return fitting
    if get_origin(takes[0]) is Literal:
        raise unknown_name(name, str(value), get_args(takes[0]))
    raise UserError(name, expected=in_words(annotation), received=on_a_line(received, 60), remedy=_quotes(takes, value))


def _as(kind: Any, value: Any) -> Any:
    """Return a value as one kind, or NO_VALUE."""
    if get_origin(kind) is Literal:
        return value if isinstance(value, str) and value in get_args(kind) else NO_VALUE
    if get_origin(kind) in (list, Sequence):
        return _as_list(get_args(kind)[0], value)
    if kind in (int, float, bool, NoneType):
        return _as_scalar(kind, value)
    return value if isinstance(value, str) else NO_VALUE


def _as_list(kind: Any, value: Any) -> Any:
    if not isinstance(value, list):
        return NO_VALUE
    # Several paths are text, on a command line.
    parts = [_as(str if get_args(kind) else kind, each) for each in value]
    return NO_VALUE if NO_VALUE in parts else parts


def _as_scalar(kind: Any, value: Any) -> Any:
    if kind is NoneType and isinstance(value, str):
        return None if value.lower() in ("null", "~") else NO_VALUE
    if isinstance(value, str):
        try:
            # Leading zeros would make it octal.
            value = config.load(re.sub(r"^([-+]?)0+(?=\d)", r"\1", value))
        except yaml.YAMLError:
            return NO_VALUE
    if kind is float and type(value) is int:
        return float(value)
    return value if type(value) is kind else NO_VALUE


def _quotes(takes: Sequence[Any], value: Any) -> str:
    """Say that YAML took a text for something else."""
    if str not in takes:
        return ""
    if isinstance(value, bool):
        return "In YAML the texts yes, no, on, off, true and false stand in quotes."
    if not isinstance(value, int | float):
        return ""
    return f'In YAML a text that looks like a number stands in quotes: "{value}".'
