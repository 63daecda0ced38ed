"""The errors of fashionprobe: a bad value, a missing one, a conflict, a package that is not installed, a busy path."""

import difflib
import errno
import importlib
import os
from collections.abc import Iterable
from typing import Any

FULL = "Free some space; the same command resumes after what this one finished."
FORBIDDEN = "Check the permissions, or name another folder with --tfrecords-root or --runs-root."
IN_THE_WAY = "A file stands where a folder is needed: move it away, or name another folder."
REMEDIES = {
    errno.ENOSPC: FULL, errno.EDQUOT: FULL, errno.EFBIG: FULL,
    errno.EACCES: FORBIDDEN, errno.EPERM: FORBIDDEN, errno.EROFS: FORBIDDEN,
    errno.EEXIST: IN_THE_WAY, errno.ENOTDIR: IN_THE_WAY,
}  # fmt: skip
"""What to do about an error of the operating system."""

MAX_NAMES = 10
"""Valid names that a message lists; of more it names the nearest."""

MAX_LETTERS = 400
"""Characters of a part of a message that are shown; files and arguments of a user can hold millions."""


class UserError(ValueError):
    """An input that the user can correct: the command line shows it as one line and exits with code 2.

    The message has the same parts everywhere: which argument, what is expected, what was received, what to do next.
    This is a bad value; `missing`, `conflict`, `check_one`, `require` and `busy` make the other situations.

    Args:
        argument: Name of the argument, or of the file, that is wrong.
        expected: What it must be, as the end of the sentence "`argument` must be ...".
        received: What it was instead.
        remedy: One sentence that says what to do next.
    """

    def __init__(self, argument: str, *, expected: str, received: object, remedy: str = "") -> None:
        self._say(argument, f"must be {on_a_line(expected, 1000)}. Received: {on_a_line(received)}.", remedy)

    def _say(self, argument: str, problem: str, remedy: str) -> None:
        self.argument = argument
        super().__init__(f"`{on_a_line(argument)}` {problem} {remedy}".strip())


class Situation(UserError):
    """A `UserError` with a sentence of its own: "`argument` ..."."""

    def __init__(self, argument: str, problem: str, remedy: str = "") -> None:
        self._say(argument, on_a_line(problem, 1000), remedy)


class NotInstalled(Situation, ImportError):
    """An optional package that is not installed; an `ImportError`, too."""


class Busy(Situation):
    """Something that is in use, and will be free later."""


def missing(argument: str, needed: str, remedy: str = "") -> UserError:
    """Make the error for an argument that is needed and was not given.

    Example:
        >>> str(missing("label", "`classes` are classes of a label", "Pass --label COLUMN."))
        '`label` is missing: `classes` are classes of a label. Pass --label COLUMN.'
    """
    return Situation(argument, f"is missing: {needed}.", remedy)


def conflict(argument: str, other: str, received: object, remedy: str = "") -> UserError:
    """Make the error for an argument that another one, or its value, rules out.

    Example:
        >>> str(conflict("block", "--layer", 5))
        '`block` cannot be combined with --layer. Received: 5. Leave `block` out.'
    """
    problem = f"cannot be combined with {other}. Received: {on_a_line(received)}."
    return Situation(argument, problem, remedy or f"Leave `{argument}` out.")


def check_one(remedy: str = "", **given: object) -> None:
    """Check that exactly one of several arguments is given, not None.

    Raises:
        UserError: If none or more of them are given.

    Example:
        >>> check_one(image="shirt.jpg", id=None)
    """
    received = [name for name, value in given.items() if value is not None]
    if len(received) != 1:
        first, *rest = given
        problem = f"or {' or '.join(f'`{name}`' for name in rest)} must be given, and only one of them."
        raise Situation(first, f"{problem} Received: {' and '.join(received) or 'none of them'}.", remedy)


def require(module: str, *, extra: str, purpose: str, remedy: str = "") -> Any:
    """Import an optional package.

    Args:
        module: Its name in Python.
        extra: The extra of fashionprobe that installs it.
        purpose: What needs it.
        remedy: What does without it.

    Raises:
        NotInstalled: If it cannot be imported.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise not_installed(module.split(".", maxsplit=1)[0], extra=extra, purpose=purpose, remedy=remedy) from error


def not_installed(package: str, *, extra: str, purpose: str, remedy: str = "") -> NotInstalled:
    """Make the error for an optional package that is not installed; see `require`."""
    install = f"Install it: pip install 'fashionprobe[{extra}]'. {remedy}"
    return NotInstalled(package, f"is needed for {purpose}, and is not installed.", install.strip())


def busy(argument: str, use: str = "is being written by another process", remedy: str = "") -> Busy:
    """Make the error for what somebody else is using now.

    Example:
        >>> str(busy("runs/x/see"))
        '`runs/x/see` is being written by another process. Wait until it is done.'
    """
    return Busy(argument, f"{use}.", remedy or "Wait until it is done.")


def unknown_name(
    argument: str, received: str, valid: Iterable[str], what: str = "one of", remedy: str = "", listing: str = ""
) -> UserError:
    """Make the error for a name that is not among the valid ones, with the nearest names as a suggestion.

    Args:
        argument: Name of the argument.
        received: The name that is not known.
        valid: The known names; up to `MAX_NAMES` are listed, of more the three nearest are named.
        what: What the names are, such as "a label column".
        remedy: What to do when no name is near.
        listing: A sentence that says what lists all names, where they can be many.

    Returns:
        The error, ready to be raised.

    Example:
        >>> str(unknown_name("fit", "pda", ["pad", "stretch"]))
        "`fit` must be one of: pad, stretch. Received: pda. Did you mean 'pad'?"
    """
    names = [str(name) for name in valid]
    if not names:
        return UserError(argument, expected=f"{what}, and there is none", received=received, remedy=remedy)
    if len(names) <= MAX_NAMES:
        near = nearest(received, names)
        hint = f"Did you mean {near!r}?" if near else remedy
        return UserError(argument, expected=f"{what}: {', '.join(names)}", received=received, remedy=hint)
    close = nearest_names(received, names)
    there = f"{what} {len(names)} names" if what == "one of" else f"{what}, of which there are {len(names)}"
    if close:
        hint = f"Did you mean {' or '.join(filter(None, (', '.join(map(repr, close[:-1])), repr(close[-1]))))}?"
    else:
        there, hint = f"{there}, such as {', '.join(names[:3])}", remedy
    return UserError(argument, expected=there, received=received, remedy=f"{hint} {listing}".strip())


def system_error(error: OSError) -> UserError:
    """Word an error of the operating system, such as a full disk, like all others: the file first, the remedy last."""
    received = error.strerror or str(error)
    # TensorFlow's file system passes on the text of an error, but not its number.
    remedies = (remedy for code, remedy in REMEDIES.items() if code == error.errno or os.strerror(code) in received)
    return UserError(
        str(error.filename or "file"),
        expected="readable and writable",
        received=received,
        remedy=next(remedies, ""),
    )


def on_a_line(part: object, most: int = MAX_LETTERS) -> str:
    """Return a part of a message as it can stand on one line of a terminal: not too long, no control characters."""
    text = str(part)
    if len(text) > most:
        text = f"{text[:most]}… ({len(text)} characters)"
    return "".join(
        letter if letter.isprintable() else " " if letter.isspace() else ascii(letter)[1:-1] for letter in text
    )


def nearest(name: str, valid: Iterable[str]) -> str | None:
    """Return the valid name most like `name`, ignoring case, or None when none is near."""
    return next(iter(nearest_names(name, valid, 1)), None)


def nearest_names(name: str, valid: Iterable[str], most: int = 3) -> list[str]:
    """Return the valid names most like `name`, ignoring case, the nearest first; none where none is near."""
    lower = {str(candidate).lower(): str(candidate) for candidate in valid}
    return [lower[each] for each in difflib.get_close_matches(str(name).lower(), lower, n=most, cutoff=0.6)]
