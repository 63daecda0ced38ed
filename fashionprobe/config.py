"""Reads YAML written by a user, within bounds that are checked before anything is built from it.

A few hundred bytes of YAML can stand for gigabytes (aliases of aliases), overflow the stack (nested lists) or raise
errors that no YAML error covers (numbers of thousands of digits). The events of the text are counted first: they cost
no more than its length.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from fashionprobe.errors import UserError

MAX_BYTES = 4 * 2**20
MAX_NODES = 1_000
"""Lists, dictionaries and values of a text."""
DEEPEST = 8
INT_BITS = 64

TOO_LONG = f"more than {MAX_BYTES // 2**20} MiB"
QUOTES = "; a text of digits stands in quotes"
EXPECTED = "a YAML file with one `argument: value` per line"


class TooMuch(yaml.MarkedYAMLError):
    """YAML that would build more than any argument needs."""


_PARSER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_PARSER):
    """Reads 1e-3 as a number, like YAML 1.2, and leaves dates as text."""

    yaml_implicit_resolvers = {  # noqa: RUF012, declared so by PyYAML
        first: [(tag, pattern) for tag, pattern in known if tag != "tag:yaml.org,2002:timestamp"]
        for first, known in _PARSER.yaml_implicit_resolvers.items()
    }


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d[\d_]*\.?[\d_]*|\.\d[\d_]*)[eE][-+]?\d+$"), list("-+.0123456789")
)


def load(text: str) -> Any:
    """Build the content of a text in YAML, if it stays within the bounds.

    Args:
        text: One YAML document; JSON is YAML, too. 1e-3 is a number, and a date is text.

    Returns:
        Lists, dictionaries, text, numbers, truth values and None.

    Raises:
        TooMuch: If it refers to its own parts by aliases, is too long or too deep, or has too many values.
        yaml.YAMLError: If it is not YAML, names the type of a value by a tag, or holds a number beyond 64 bits.

    Example:
        >>> load("size: [32, 48]")
        {'size': [32, 48]}
    """
    _check_events(text)
    try:
        content = yaml.load(text, Loader=_Loader)
    except (ValueError, ArithmeticError) as error:  # an integer of 5,000 digits, `0b_`, a sexagesimal overflow
        raise yaml.YAMLError(f"a number that cannot be read{QUOTES}") from error
    for value in leaves(content):
        if isinstance(value, int) and value.bit_length() > INT_BITS:
            raise yaml.YAMLError(f"a whole number of more than {INT_BITS} bits{QUOTES}")
    return content


def leaves(content: Any) -> Iterator[Any]:
    """Yield the values and the keys of nested lists and dictionaries."""
    if isinstance(content, dict):
        content = [*content, *content.values()]
    if not isinstance(content, list):
        yield content
        return
    for part in content:
        yield from leaves(part)


def read(path: str) -> dict[str, Any]:
    """Read a configuration file, once.

    Args:
        path: The file: UTF-8, one `argument: value` per line.

    Returns:
        What it holds, by argument.

    Raises:
        UserError: If it cannot be read, or holds something else.
    """
    try:
        with Path(path).open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
        if len(raw) > MAX_BYTES:
            raise TooMuch(problem=TOO_LONG)
        text = raw.decode("utf-8-sig")
        content = load(text)
    except OSError as error:
        raise _refused(path, f" ({error.strerror})") from error
    except (UnicodeDecodeError, yaml.reader.ReaderError) as error:
        raise _refused(path, ", which is not text in UTF-8") from error
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise _refused(path, f" ({line}{error.problem})") from error
    except (yaml.YAMLError, ValueError) as error:  # beyond the bounds; a path with a NUL
        raise _refused(path, f" ({error})") from error
    if not isinstance(content, dict):
        raise _refused(path, f", which holds {'nothing' if content is None else repr(content)[:60]}")
    return content


def _refused(path: str, why: str) -> UserError:
    return UserError("config", expected=EXPECTED, received=f"{path!r}{why}")


def _check_events(text: str) -> None:
    """Count what a text would build, without building it."""
    if len(text) > MAX_BYTES:
        raise TooMuch(problem=TOO_LONG)
    nodes = depth = 0
    anchors = set()
    for event in yaml.parse(text, Loader=_PARSER):
        if isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        elif isinstance(event, yaml.NodeEvent):
            nodes += 1
            depth += isinstance(event, yaml.CollectionStartEvent)
            if isinstance(event, yaml.AliasEvent) and event.anchor in anchors:
                raise _at(event, f"*{event.anchor} stands for an earlier value; write the value out")
            anchors.add(event.anchor)
            if nodes > MAX_NODES:
                raise _at(event, f"more than {MAX_NODES} values")
            if depth > DEEPEST:
                raise _at(event, f"lists nested more than {DEEPEST} deep")
            if (tag := getattr(event, "tag", None)) not in (None, "!"):
                raise yaml.MarkedYAMLError(
                    problem=f"the tag {tag}; write the value alone", problem_mark=event.start_mark
                )


def _at(event: yaml.Event, problem: str) -> TooMuch:
    return TooMuch(problem=problem, problem_mark=event.start_mark)
