"""Confusion matrices before and after a correction."""

from typing import TYPE_CHECKING

from fashionprobe.errors import UserError
from fashionprobe.plots import style
from fashionprobe.plots.confusion import confusion

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

# Up to so many classes with names of so many letters two matrices beside each other can be read on a phone.
_BESIDE, _SHORT = 3, 6


@style.house_style()
def confusion_change(before: "pd.DataFrame", after: "pd.DataFrame", *, title: str = "") -> "Figure":
    """Draw two confusion matrices of the same classes, as `confusion` does: side by side, or stacked if large.

    Args:
        before: Counts, int (classes, classes): rows are the true classes, columns the predicted ones.
        after: The same, later.
        title: Heading.

    Returns:
        The figure: both matrices, then their colour bars.

    Raises:
        UserError: A matrix is empty, or the two do not have the same classes.
    """
    if not (before.index.equals(after.index) and before.columns.equals(after.columns)):
        expected = f"of the same classes as `before`: {', '.join(map(str, before.index))}"
        raise UserError("after", expected=expected, received=", ".join(map(str, after.index)))
    from matplotlib.figure import Figure

    classes = max(before.shape)
    longest = max((len(style.short(name)) for name in before.index), default=0)
    beside = classes <= _BESIDE and longest <= _SHORT
    side = max(0.5 * classes, 1.6 if beside else 3.0) if classes <= 20 else 7.5
    width = (2 if beside else 1) * (side + (1.5 if beside else 2.2) + longest / 12)
    height = (1 if beside else 2) * (side + 1.1 + longest / 17) + 0.4 * bool(title)
    figure = Figure(figsize=(width, height), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.09, h_pad=0.09)  # pyright: ignore
    axes = figure.subplots(1, 2) if beside else figure.subplots(2, 1)
    for ax, matrix, name in zip(axes, (before, after), ("Before", "After"), strict=True):
        confusion(matrix, title=name, ax=ax)
    if title:
        heading = figure.suptitle(style.short(title, int(width * 8)), x=0.01, ha="left", fontsize=14, fontweight="bold")
        heading.set_parse_math(False)
    return figure
