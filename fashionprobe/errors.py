"""The one exception of fashionprobe, and how it suggests a name for a typo."""

import difflib
from collections.abc import Iterable


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
        text = f"`{argument}` must be {expected}. Received: {received}."
        super().__init__(f"{text} {remedy}".strip())


def unknown_name(
    argument: str, received: str, valid: Iterable[str], what: str = "one of", remedy: str = ""
) -> UserError:
    """Make the error for a name that is not among the valid ones, with the nearest name as a suggestion.

    Args:
        argument: Name of the argument.
        received: The name that is not known.
        valid: The known names; all are listed.
        what: What the names are, such as "a label column".
        remedy: What to do when no name is near.

    Returns:
        The error, ready to be raised.

    Example:
        >>> str(unknown_name("fit", "pda", ["pad", "stretch"]))
        "`fit` must be one of: pad, stretch. Received: pda. Did you mean 'pad'?"
    """
    names = [str(name) for name in valid]
    near = nearest(received, names)
    hint = f"Did you mean {near!r}?" if near else remedy
    return UserError(argument, expected=f"{what}: {', '.join(names)}", received=received, remedy=hint)


def nearest(name: str, valid: Iterable[str]) -> str | None:
    """Return the valid name most like `name`, ignoring case, or None when none is near."""
    lower = {str(candidate).lower(): str(candidate) for candidate in valid}
    found = difflib.get_close_matches(str(name).lower(), lower, n=1, cutoff=0.6)
    return lower[found[0]] if found else None
