"""The pairs of classes that were confused most."""

import textwrap
from typing import TYPE_CHECKING

import numpy as np

from fashionprobe.errors import UserError
from fashionprobe.plots import style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@style.house_style()
def confused_pairs(pairs: "pd.DataFrame", *, most: int = 15, title: str = "") -> "Figure":
    """Draw the pairs of true and predicted class with the most images, each share with its 95 % interval.

    Args:
        pairs: Columns true, predicted, images, of, share, low, high: how many images of the class `true` were
            taken for `predicted`, of how many; `low` and `high` end the Wilson interval of the share.
        most: Number of pairs drawn. Those without images are never drawn.
        title: Heading.

    Returns:
        The figure; when no image was taken for another class, one that says so.

    Raises:
        UserError: `most` is not positive.
    """
    if most < 1:
        raise UserError("most", expected="a positive number of pairs", received=most)
    ranked = _ranked(pairs)
    if ranked.empty:
        return _nothing(title)
    rows, rest = ranked.iloc[:most], ranked.iloc[most:]
    names = [f"{style.short(row.true, 22)} → {style.short(row.predicted, 22)}" for row in rows.itertuples()]
    places = len(rows) + bool(len(rest))
    # Room for the names: a letter is about an eleventh of an inch wide.
    width = 5.2 + max(_letters(name) for name in names) / 11
    heading = _heading(title)
    figure, ax = style.axes_of(None, width=width, height=1.4 + 0.24 * len(heading) + 0.31 * places)
    share = rows["share"].to_numpy(float)
    reach = np.stack([share - rows["low"].to_numpy(float), rows["high"].to_numpy(float) - share])
    ax.barh(
        np.arange(len(rows)),
        share,
        # Rounding may leave an end of the interval a hair on the wrong side of the bar.
        xerr=np.clip(reach, 0, None),
        height=0.72,
        color=style.SKY,
        error_kw={"elinewidth": 1.6, "capsize": 3, "ecolor": "#202124"},
    )
    ax.set_yticks(np.arange(len(rows)), names, parse_math=False)
    ax.set_ylim(places - 0.3, -0.7)
    # Shares are small as a rule: the axis ends soon after the longest line.
    ax.set_xlim(0, min(1.0, 1.05 * float(rows["high"].max())))
    _write(ax, rows, rest)
    ax.set_title("\n".join(heading), parse_math=False, pad=24, va="bottom")
    return figure


def _ranked(pairs: "pd.DataFrame") -> "pd.DataFrame":
    """Sort the pairs that have images: most images first, then the greatest share, then by name."""
    named = pairs.assign(true=pairs["true"].astype(str), predicted=pairs["predicted"].astype(str))
    order = ["images", "share", "true", "predicted"]
    return named[named["images"] > 0].sort_values(order, ascending=[False, False, True, True])


def _letters(name: str) -> float:
    """Return the length of a name in small letters: capitals and East Asian letters are wider."""
    return sum(1.7 if letter.isupper() or letter >= "\N{CJK RADICAL REPEAT}" else 1.0 for letter in name)


def _heading(title: str) -> list[str]:
    """Break a title into lines that fit between the names and the edge of the figure."""
    return textwrap.wrap(style.short(title, 60), 40)


def _write(ax: "Axes", rows: "pd.DataFrame", rest: "pd.DataFrame") -> None:
    """Label the axes, write the counts in a column at the right, and say what is not drawn."""
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x")
    ax.set_xlabel("Share of the true class (line: 95 % Wilson interval)")
    small = {"fontsize": 10, "color": style.GREY}
    right = ax.get_yaxis_transform()
    for place, (images, of) in enumerate(zip(rows["images"], rows["of"], strict=True)):
        ax.text(1.02, place, f"{int(images)} of {int(of)}", transform=right, va="center", **small)
    ax.text(1.02, -0.75, "images", transform=right, va="bottom", **small)
    ax.text(-0.02, -0.75, "true → predicted", transform=right, ha="right", va="bottom", **small)
    if len(rest):
        fewer = int(rest["images"].iloc[0])
        noun, images = "pair" if len(rest) == 1 else "pairs", "image" if fewer == 1 else "images"
        text = f"… {len(rest)} more {noun} of {fewer} {images}{' or fewer' if fewer > 1 else ''}"
        ax.text(0.02, len(rows), text, transform=right, va="center", fontsize=11, style="italic", color=style.GREY)


def _nothing(title: str) -> "Figure":
    """Make the figure of a classifier that confused no classes."""
    heading = _heading(title)
    figure, ax = style.axes_of(None, width=6.6, height=1.0 + 0.24 * len(heading))
    ax.set_axis_off()
    ax.text(0.0, 0.5, "No image was taken for another class.", transform=ax.transAxes, va="center")
    ax.set_title("\n".join(heading), parse_math=False, va="bottom")
    return figure
