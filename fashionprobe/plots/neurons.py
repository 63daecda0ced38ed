"""Accuracy by number of channels, for each block, and the smallest set that is enough."""

from typing import TYPE_CHECKING

import numpy as np

from fashionprobe.errors import UserError
from fashionprobe.plots import style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLUMNS = 3


@style.house_style()
def accuracy_by_channels(
    curve: "pd.DataFrame", answers: "pd.DataFrame", *, share: float, chance: float | None = None, title: str = ""
) -> "Figure":
    """Draw the accuracy over the number of channels, one panel a block, with the chosen size.

    Args:
        curve: Columns block, channels, accuracy_mean, accuracy_std, folds.
        answers: One row a block: block, channels (the chosen size), total, accuracy, full.
        share: Share of the accuracy of the whole block that the chosen size keeps.
        chance: Accuracy of a blind guess.
        title: Heading.

    Returns:
        The figure.

    Raises:
        UserError: If there is no block.
    """
    if answers.empty:
        raise UserError("answers", expected="a table with one block or more", received="no rows")
    from matplotlib.figure import Figure

    columns = min(_COLUMNS, len(answers))
    rows = -(-len(answers) // columns)
    figure = Figure(figsize=(max(3.4 * columns, 5.2), 3.0 * rows + 1.0), layout="constrained")
    axes = figure.subplots(rows, columns, sharey=True, squeeze=False)
    for ax, (_, answer) in zip(axes.flat, answers.iterrows(), strict=False):
        _panel(ax, curve[curve["block"] == answer["block"]], answer, share, chance)
    for ax in axes.flat[len(answers) :]:
        ax.set_visible(False)
    top = float((curve["accuracy_mean"] + curve["accuracy_std"]).max())
    axes.flat[0].set_ylim(0, min(1.0, np.ceil(top * 10 + 0.5) / 10))
    folds = int(curve["folds"].iloc[0])
    figure.supylabel(f"Accuracy of k-NN (mean, band: ± std over {folds} folds)", fontsize=12)
    figure.supxlabel("Channels, the most telling first (logarithmic)", fontsize=12)
    figure.suptitle(style.short(title, 70), x=0.02, ha="left", fontsize=14, fontweight="bold").set_parse_math(False)
    return figure


def _panel(ax: "Axes", curve: "pd.DataFrame", answer: "pd.Series", share: float, chance: float | None) -> None:
    """Draw one block."""
    sizes, mean, std = (curve[name].to_numpy(float) for name in ("channels", "accuracy_mean", "accuracy_std"))
    ax.fill_between(sizes, mean - std, mean + std, color=style.SKY, alpha=0.35, linewidth=0)
    ax.plot(sizes, mean, color=style.BLUE, linewidth=2)
    ax.axhline(share * answer["full"], color=style.GREY, linestyle="--", linewidth=1.4)
    if chance is not None:
        ax.axhline(chance, color=style.GREY, linestyle=":", linewidth=1.8)
    ax.plot(answer["channels"], answer["accuracy"], "o", color=style.VERMILLION, markersize=10, zorder=5)
    # What the lines are is said where there is room for it, above the axis.
    levels = f"--- {share:.4g} x {answer['full']:.2f}" + (f"   ··· chance {chance:.2g}" if chance is not None else "")
    ax.text(0.98, 0.03, levels, transform=ax.transAxes, ha="right", va="bottom", fontsize=10, color=style.GREY)
    ax.set_title(
        f"block {answer['block']:.0f}: {answer['channels']:.0f} of {answer['total']:.0f}", fontsize=12, color="#202124"
    )
    ax.set_xscale("log", base=2)
    ticks = _ticks(int(answer["total"]))
    ax.set_xticks(ticks, [str(tick) for tick in ticks])
    ax.minorticks_off()
    ax.set_xlim(0.9, max(answer["total"], 2) * 1.1)
    ax.grid(axis="y")


def _ticks(total: int) -> list[int]:
    """Return powers of four below the number of channels."""
    return [4**power for power in range(int(np.log2(max(total, 1)) / 2) + 1)]
