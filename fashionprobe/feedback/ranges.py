"""Which numbers the losses take; apart from them, because they import Keras."""

from fashionprobe.errors import UserError


def check(**values: float) -> None:
    """Check numbers of the losses: `b` and `th` above 0, `lam` 0 or more.

    Raises:
        UserError: If one is out of its range, or not finite.
    """
    for name, value in values.items():
        low_enough = value >= 0 if name == "lam" else value > 0
        if not (low_enough and value < float("inf")):
            expected = "a number of 0 or more" if name == "lam" else "a number above 0"
            raise UserError(name, expected=expected, received=value)
