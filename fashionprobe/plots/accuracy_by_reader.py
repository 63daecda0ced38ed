"""Accuracy by block of each reader: nearest class mean, k-NN and a linear probe, with the controls of the probe."""

from typing import TYPE_CHECKING

from fashionprobe.errors import UserError
from fashionprobe.plots import style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

READERS = {
    "linear": ("linear probe", style.GREEN, "^"),
    "knn": ("best k-NN", style.BLUE, "o"),
    "nearest_mean": ("nearest mean", style.VERMILLION, "s"),
}
"""The classifiers, each with the name, colour and marker of its curve."""

CAPTION = (
    "Each reader with its best setting at each block; the linear probe chose its own inside the training folds. "
    "The black curve is the linear probe on shuffled labels, the control task."
)
"""How to read the figure."""

UNTRAINED = "Dashed curves are the same network with random weights."
"""How to read the curves of the control network."""


def best_by_block(accuracy: "pd.DataFrame", classifier: str) -> "pd.DataFrame":
    """Return the rows of the best parameter of a classifier at each block, the blocks ascending.

    Args:
        accuracy: Columns block, classifier, parameter, accuracy_mean, accuracy_std; one label.
        classifier: Name of the classifier.
    """
    rows = accuracy[accuracy["classifier"] == classifier]
    # Stable, so that of equals the first stays, as in the answer.
    ranked = rows.sort_values(["block", "accuracy_mean"], ascending=[True, False], kind="stable")
    return ranked.drop_duplicates("block")


@style.house_style()
def accuracy_by_reader(
    accuracy: "pd.DataFrame",
    linear: "pd.DataFrame",
    *,
    control: "pd.DataFrame | None" = None,
    chance: float | None = None,
    title: str = "",
    ax: "Axes | None" = None,
) -> "Figure":
    """Draw the accuracy of each reader at every block, for one label, with the controls.

    Error bars are the standard deviation over the folds.

    Args:
        accuracy: Columns label, block, classifier, parameter, accuracy_mean, accuracy_std, folds.
        linear: Columns label, block, control_mean, control_std: the linear probe on shuffled labels.
        control: As `accuracy`, of the same network with random weights: dashed curves.
        chance: Accuracy of a blind guess, drawn as a dotted line.
        title: Heading.
        ax: Axes to draw on; new ones by default.

    Returns:
        The figure.

    Raises:
        UserError: If the tables hold no label or several.
    """
    for name, table in (("accuracy", accuracy), ("linear", linear), ("control", control)):
        labels = [] if table is None else sorted({str(label) for label in table["label"]})
        if table is not None and len(labels) != 1:
            expected = "a table with the rows of one label"
            raise UserError(name, expected=expected, received=", ".join(labels) or "no rows")
    lines = _lines(accuracy)
    rows = linear.sort_values("block")
    lines.append(_line(rows, "linear probe,\nshuffled labels", style.BLACK, "X", value="control"))
    if control is not None:
        lines += _lines(control, "random weights:\n", dashed=True)
    figure, ax = style.axes_of(ax, width=style.width_of(len(rows)) + 0.6, height=4.6)
    counts = {int(count) for count in accuracy["folds"]}
    over = f"{counts.pop()} folds" if len(counts) == 1 else "the folds"
    style.curves_by_block(ax, lines, chance=chance, ylabel=f"Accuracy\n(mean ± std over {over})", title=title)
    return figure


def _lines(accuracy: "pd.DataFrame", before: str = "", *, dashed: bool = False) -> list[style.Line]:
    """Make a line for each reader that the table has."""
    found = [(best_by_block(accuracy, classifier), *look) for classifier, look in READERS.items()]
    return [
        _line(rows, before + name, color, marker, strong=not dashed, dashed=dashed)
        for rows, name, color, marker in found
        if len(rows)
    ]


def _line(
    rows: "pd.DataFrame", name: str, color: str, marker: str, *, value: str = "accuracy", strong: bool = False,
    dashed: bool = False,
) -> style.Line:  # fmt: skip
    blocks, mean, std = (rows[column].to_numpy(float) for column in ("block", f"{value}_mean", f"{value}_std"))
    return style.Line(name, blocks, mean, std, color, marker, strong, dashed)
