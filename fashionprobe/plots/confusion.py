"""The confusion matrix: which class was taken for which."""

from typing import TYPE_CHECKING

import numpy as np

from fashionprobe.errors import UserError
from fashionprobe.plots import style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_NUMBERED = 20
_LABELLED = 48


@style.house_style()
def confusion(matrix: "pd.DataFrame", *, title: str = "", ax: "Axes | None" = None) -> "Figure":
    """Draw a confusion matrix: the colour is the share of the true class, the number the count of images.

    Numbers are written up to 20 classes. Past 48 classes only every second (third, …) name is written.

    Args:
        matrix: Counts, int (classes, classes): rows are the true classes, columns the predicted ones.
        title: Heading.
        ax: Axes to draw on; new ones by default.

    Returns:
        The figure.

    Raises:
        UserError: The matrix is empty.
    """
    if matrix.empty:
        raise UserError("matrix", expected="a table of one class or more", received=f"shape {matrix.shape}")
    classes = max(matrix.shape)
    side = max(0.42 * classes, 2.0) if classes <= _NUMBERED else 8.0
    longest = max(len(style.short(name)) for name in [*matrix.index, *matrix.columns])
    # Room for the names: a letter is about a twelfth of an inch wide, and leaning names need less height.
    figure, ax = style.axes_of(ax, width=side + 2.0 + longest / 12, height=side + 1.0 + longest / 17)
    counts = matrix.to_numpy(float)
    total = counts.sum(axis=1, keepdims=True)
    # A class without images has no share: its row stays empty.
    share = np.divide(counts, total, out=np.zeros_like(counts), where=total > 0)
    # Untouched cells, enlarged by the viewer without smoothing, stay sharp at any size of the figure.
    image = ax.imshow(share, cmap="Blues", vmin=0, vmax=1, interpolation="none")
    bar = figure.colorbar(image, ax=ax, fraction=0.046, pad=0.03)
    bar.set_label("Share of the true class")
    bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue]
    _names(ax, matrix)
    if classes <= _NUMBERED:
        _numbers(ax, counts, share)
    ax.set_title(style.short(title, 60), parse_math=False)
    return figure


def _names(ax: "Axes", matrix: "pd.DataFrame") -> None:
    """Write the class names, as many as can be read."""
    rows, columns = matrix.shape
    step = -(-max(rows, columns) // _LABELLED)
    size = 11 if max(rows, columns) <= _NUMBERED else 9
    longest = max(len(style.short(name)) for name in matrix.columns)
    # Few short names stand upright; the others lean, or lie along their column when there are many.
    tilt = 0 if longest <= 5 and columns <= _NUMBERED else 45 if columns <= _NUMBERED else 90
    ax.set_xticks(
        range(0, columns, step),
        [style.short(name) for name in matrix.columns[::step]],
        rotation=tilt,
        fontsize=size,
        parse_math=False,
        ha="right" if tilt == 45 else "center",
        rotation_mode="anchor" if tilt == 45 else "default",
    )
    ax.set_yticks(
        range(0, rows, step),
        [style.short(name) for name in matrix.index[::step]],
        fontsize=size,
        parse_math=False,
    )
    note = f" (every {_nth(step)} name is written)" if step > 1 else ""
    ax.set_xlabel(f"Predicted class{note}")
    ax.set_ylabel("True class")
    ax.tick_params(length=0 if step == 1 else 3)
    for spine in ax.spines.values():
        spine.set_visible(True)
        spine.set_color("#BDC1C6")


def _numbers(ax: "Axes", counts: np.ndarray, share: np.ndarray) -> None:
    """Write the count of images into every cell."""
    digits = len(f"{counts.max():.0f}")
    size = 11 if digits <= 3 else 9 if digits <= 4 else 7
    for (row, column), count in np.ndenumerate(counts):
        # White on dark cells, black on pale ones; zeros step back.
        color = "white" if share[row, column] > 0.55 else "#9AA0A6" if count == 0 else "black"
        ax.text(column, row, f"{count:.0f}", ha="center", va="center", color=color, fontsize=size)


def _nth(step: int) -> str:
    """Write a small ordinal as a word."""
    return {2: "second", 3: "third", 4: "fourth"}.get(step, f"{step}th")
