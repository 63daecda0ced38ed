"""The one exception of fashionprobe, how it suggests a name for a typo, and how it words an error of the system."""

import difflib
import errno
import os
from collections.abc import Iterable

FULL = "Free some space; the same command goes on where this one stopped."
FORBIDDEN = "Check the permissions, or name another folder with --tfrecords-root or --runs-root."
IN_THE_WAY = "A file stands where a folder is needed: move it away, or name another folder."
REMEDIES = {
    errno.ENOSPC: FULL, errno.EDQUOT: FULL, errno.EFBIG: FULL,
    errno.EACCES: FORBIDDEN, errno.EPERM: FORBIDDEN, errno.EROFS: FORBIDDEN,
    errno.EEXIST: IN_THE_WAY, errno.ENOTDIR: IN_THE_WAY,
}  # fmt: skip
"""What to do about an error of the operating system."""

MOST_NAMES = 10
"""Valid names that a message lists; of more it names the nearest."""

MOST_LETTERS = 400
"""Characters of a part of a message that are shown; files and arguments of a user can hold millions."""


class UserError(ValueError):
    """An input that the user can mend: the command line shows it as one line and exits with code 2.

    The message has the same parts everywhere: which argument, what is expected, what was received, what to do next.

    Args:
        argument: Name of the argument, or of the file, that is wrong.
        expected: What it must be, as the end of the sentence "`argument` must be ...".
        received: What it was instead.
        remedy: One sentence that says what to do next.
    """

    def __init__(self, argument: str, *, expected: str, received: object, remedy: str = "") -> None:
        self.argument = argument
        text = f"`{on_a_line(argument)}` must be {on_a_line(expected, 1000)}. Received: {on_a_line(received)}."
        super().__init__(f"{text} {remedy}".strip())


def unknown_name(
    argument: str, received: str, valid: Iterable[str], what: str = "one of", remedy: str = "", listing: str = ""
) -> UserError:
    """Make the error for a name that is not among the valid ones, with the nearest names as a suggestion.

    Args:
        argument: Name of the argument.
        received: The name that is not known.
        valid: The known names; up to `MOST_NAMES` are listed, of more the three nearest are named.
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
    if len(names) <= MOST_NAMES:
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


def on_a_line(part: object, most: int = MOST_LETTERS) -> str:
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
