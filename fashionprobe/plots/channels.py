"""Channels: their activations, what they do for each class, how selective they are, and how many hold a label."""

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from fashionprobe.errors import UserError
from fashionprobe.plots import style
from fashionprobe.plots.overlays import colour_map
from fashionprobe.plots.sheets import mosaic

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_CLASSES = 12
_MOST_BARS = 30
_NAMED = 3


@style.house_style()
def class_profiles(
    means: np.ndarray, peaks: np.ndarray, classes: Sequence[str], *, most: int = 40, title: str = ""
) -> "Figure":
    """Draw the mean activation of the strongest channels, a line per class, and below how classes differ in them.

    Peaks that all classes share are marked by triangles above, other peaks by rings. Of many classes only those are
    drawn that differ most from the mean of all.

    Args:
        means: float (classes, channels).
        peaks: bool (classes, channels), the peaks of each class.
        classes: Names of the classes.
        most: Channels drawn at most: those with the highest mean over the classes.
        title: Heading.

    Returns:
        The figure.

    Raises:
        UserError: If there is no class or channel, or the shapes differ.
    """
    means, peaks = np.asarray(means, float), np.asarray(peaks, bool)
    if means.ndim != 2 or not means.size or peaks.shape != means.shape or len(classes) != len(means):
        raise UserError("means", expected="(classes, channels), as peaks", received=f"{means.shape}, {peaks.shape}")
    from matplotlib.figure import Figure

    order = np.argsort(-means.mean(axis=0), kind="stable")[:most]
    apart = means[:, order] - means[:, order].mean(axis=0)
    rows = np.sort(np.argsort(-np.linalg.norm(apart, axis=1), kind="stable")[:_MOST_CLASSES])
    height = 5.0 + 0.27 * len(rows)
    figure = Figure(figsize=(10.4, height), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3.4, 1.0 + 0.27 * len(rows)])
    names = [style.short(classes[row], 18) for row in rows]
    _lines(upper, means[np.ix_(rows, order)], peaks[np.ix_(rows, order)], names)
    _mark_common(upper, np.flatnonzero(peaks[:, order].all(axis=0)))
    _differences(figure, lower, apart[rows], names)
    lower.set_xticks(range(len(order)), [str(channel) for channel in order], rotation=90, fontsize=10)
    count = means.shape[1]
    which = f"the {len(order)} strongest of {count}" if len(order) < count else "all"
    lower.set_xlabel(f"Channel ({which}, sorted by mean activation)")
    few = f" ({len(rows)} of {len(classes)} classes: those that differ most)" if len(rows) < len(classes) else ""
    upper.set_title(style.short(title, 60) + few, parse_math=False, pad=36)
    return figure


@style.house_style()
def all_channels(means: np.ndarray, classes: Sequence[str], *, title: str = "") -> "Figure":
    """Draw the mean activation of every channel, a panel per class, with the numbers of the strongest three.

    Of many classes only those are drawn that differ most from the mean of all.

    Args:
        means: float (classes, channels).
        classes: Names of the classes.
        title: Heading.

    Returns:
        The figure.
    """
    from matplotlib.figure import Figure

    apart = np.linalg.norm(means - means.mean(axis=0), axis=1)
    rows = np.sort(np.argsort(-apart, kind="stable")[:_MOST_CLASSES])
    across = 2 if len(rows) > 1 else 1
    down = -(-len(rows) // across)
    figure = Figure(figsize=(10.4, 0.9 + 1.75 * down), layout="constrained")
    axes = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False)
    highest = float(means[rows].max())
    for ax in axes.flat[len(rows) :]:
        ax.set_axis_off()
    for ax, row in zip(axes.flat, rows, strict=False):
        ax.fill_between(np.arange(means.shape[1]), means[row], step="mid", color=style.BLUE, linewidth=0.4)
        for channel in np.argsort(-means[row], kind="stable")[:_NAMED]:
            ax.annotate(
                str(channel), (channel, means[row, channel]), (0, 2), textcoords="offset points", ha="center",
                fontsize=9, color=style.VERMILLION,
            )  # fmt: skip
        ax.set_title(style.short(classes[row], 30), fontsize=11, fontweight="normal", parse_math=False)
        ax.set_xlim(-0.5, means.shape[1] - 0.5)
        ax.set_ylim(min(0.0, float(means[rows].min())), 1.18 * highest if highest > 0 else None)
    figure.supxlabel("Channel", fontsize=12)
    figure.supylabel("Mean activation", fontsize=12)
    heading = figure.suptitle(style.short(title, 90), fontsize=14, fontweight="bold", x=0.02, ha="left")
    heading.set_parse_math(False)
    return figure


def _lines(ax: "Axes", means: np.ndarray, peaks: np.ndarray, names: Sequence[str]) -> None:
    """Draw a line per class, with rings at the peaks that not all classes have."""
    places = np.arange(means.shape[1])
    own = peaks & ~peaks.all(axis=0)
    handles = []
    for row, line in enumerate(means):
        color = style.CYCLE[row % len(style.CYCLE)]
        # Past seven classes the colours come round again, dashed.
        dashes = "-" if row < len(style.CYCLE) else "--"
        handles += ax.plot(places, line, dashes, color=color, linewidth=1.7, marker=".", markersize=4)
        ax.plot(places[own[row]], line[own[row]], "o", color=color, markersize=10, fillstyle="none")
    style.legend(ax, handles, names)
    ax.tick_params(axis="x", length=0)
    ax.set_ylabel("Mean activation")
    ax.grid(axis="y")
    ax.set_xlim(-0.6, means.shape[1] - 0.4)


def _mark_common(ax: "Axes", common: np.ndarray) -> None:
    """Mark the channels that are a peak of every class, and say how the marks read."""
    line = ax.get_xaxis_transform()
    marks = ax.plot(
        common, np.full(len(common), 1.02), "v", color="#202124", markersize=7, transform=line, clip_on=False
    )
    words = "▼ peak of every class" if len(common) else "no channel is a peak of every class"
    text = ax.text(0, 1.06, f"{words}     ○ peak of some", transform=ax.transAxes, fontsize=11, color=style.GREY)
    # The title keeps this room free; counted in as well, it would grow with each drawing.
    for artist in (*marks, text):
        artist.set_in_layout(False)


def _differences(figure: "Figure", ax: "Axes", apart: np.ndarray, names: Sequence[str]) -> None:
    """Draw how far each class is above or below the mean of all classes."""
    limit = max(float(np.abs(apart).max()), 1e-12)
    picture = ax.imshow(apart, cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto", interpolation="nearest")
    ax.set_yticks(range(len(names)), names, parse_math=False, fontsize=11)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    bar = figure.colorbar(picture, ax=ax, pad=0.01, aspect=12)
    bar.set_label("Above or below\nthe mean of classes", fontsize=10)
    bar.ax.tick_params(labelsize=10)


@style.house_style()
def separating_channels(table: "pd.DataFrame", *, title: str = "", ax: "Axes | None" = None) -> "Figure":
    """Draw how well each channel alone separates a class from the rest, a row per class, and name the best channels.

    Each dot is a channel; the tick is what the best of all channels and classes reaches by luck.

    Args:
        table: Columns class, channel, rank, separation, direction, luck; one row per class and channel.
        title: Heading.
        ax: Axes to draw on; new ones by default.

    Returns:
        The figure. Of many classes only those are drawn whose best channel separates most.

    Raises:
        UserError: If the table has no rows.
    """
    if table.empty:
        raise UserError("table", expected="a table with one class or more", received="no rows")
    best = table[table["rank"] == 1].sort_values("separation", ascending=False, kind="stable")
    shown = best["class"].tolist()[:_MOST_BARS]
    figure, ax = style.axes_of(ax, width=8.0, height=1.9 + 0.36 * len(shown))
    right = ax.get_yaxis_transform()
    for place, name in enumerate(shown):
        rows = table[table["class"] == name].sort_values("rank")
        # Thousands of dots: as pixels also in the SVG.
        dots = rows["separation"], np.full(len(rows), place), "o"
        ax.plot(*dots, color=style.SKY, markersize=4, alpha=0.35, mew=0, rasterized=True)
        first = rows.head(_NAMED)
        ax.plot(first["separation"], np.full(len(first), place), "o", color=style.BLUE, markersize=7)
        ax.plot(rows["luck"].iloc[0], place, "|", color=style.VERMILLION, markersize=17, markeredgewidth=2.6)
        named = [f"{channel}{'' if direction == 'active' else '↓'}" for channel, direction in zip(
            first["channel"], first["direction"], strict=True)]  # fmt: skip
        ax.text(1.03, place, ", ".join(named), transform=right, va="center", fontsize=11)
    ax.text(1.03, -0.8, "best channels", transform=right, va="center", fontsize=11, color=style.GREY)
    _finish_rows(ax, shown, len(best))
    ax.set_title(style.short(title, 60), parse_math=False, pad=30)
    return figure


def _finish_rows(ax: "Axes", shown: Sequence[str], total: int) -> None:
    """Label the axes and say what the marks mean."""
    from matplotlib.lines import Line2D

    ax.set_yticks(range(len(shown)), [style.short(name, 20) for name in shown], parse_math=False)
    ax.set_ylim(len(shown) - 0.4, -0.6)
    ax.set_xlim(0.49, 1.005)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x")
    few = f"; {len(shown)} of {total} classes" if len(shown) < total else ""
    ax.set_xlabel(f"Separation by one channel{few}: AUC, or 1 - AUC if silent\n(0.5: tells nothing, 1: separates)")
    handles = [
        Line2D([], [], marker="o", color=style.BLUE, linestyle="", markersize=7, label="best channels (↓: silent)"),
        Line2D([], [], marker="o", color=style.SKY, linestyle="", markersize=5, label="others"),
        Line2D([], [], marker="|", color=style.VERMILLION, linestyle="", markersize=14, mew=2.6, label="luck (95 %)"),
    ]
    ax.legend(
        handles=handles, loc="lower left", bbox_to_anchor=(0, 1), ncols=3, columnspacing=1.2, handletextpad=0.3,
        borderaxespad=0.2,
    )  # fmt: skip


def channel_grid(maps: np.ndarray, *, title: str, most: int = 64, channels: Sequence[int] | None = None) -> "Figure":
    """Draw the channels of one feature map as a grid of pictures.

    Each channel is scaled by its own range. A silent one (nowhere above 0) is left grey.

    Args:
        maps: float (rows, columns, channels).
        title: Heading.
        most: Channels to show; of more, those with the highest mean are taken, in their own order.
        channels: Numbers of the channels to show, in place of the strongest.

    Returns:
        The figure.
    """
    count = maps.shape[-1]
    strongest = np.sort(np.argsort(-maps.mean(axis=(0, 1)), kind="stable")[:most])
    chosen = strongest if channels is None else np.asarray(channels)
    low, high = maps.min(axis=(0, 1)), maps.max(axis=(0, 1))
    scaled = (maps - low) / np.where(high > low, high - low, 1)
    pictures = [colour_map(scaled[..., channel]) if high[channel] > 0 else _silent(maps) for channel in chosen]
    some = f"the {len(chosen)} strongest of {count} channels" if count > len(chosen) else f"{count} channels"
    return mosaic(
        np.stack(pictures),
        [str(channel) for channel in chosen],
        columns=8,
        title=f"{title}: {some}" if channels is None else title,
    )


def kernel_grid(kernels: np.ndarray, *, title: str = "Kernels of the first layer") -> "Figure":
    """Draw first-layer kernels as pictures; mid-grey is 0.

    Args:
        kernels: float (kernels, height, width, 3) in [0, 1], RGB, or (..., 1), grey.
        title: Heading.

    Returns:
        The figure.
    """
    pictures = np.broadcast_to(np.rint(kernels * 255), (*kernels.shape[:3], 3)).astype(np.uint8)
    return mosaic(pictures, [str(number) for number in range(len(kernels))], columns=8, title=title)


def _silent(maps: np.ndarray) -> np.ndarray:
    return np.full((*maps.shape[:2], 3), 200, np.uint8)


@style.house_style()
def dead_by_depth(
    names: Sequence[str], shares: np.ndarray, everywhere: np.ndarray, *, ax: "Axes | None" = None
) -> "Figure":
    """Draw the share of silent channels by depth.

    Args:
        names: Names of the layers, from the image to the output.
        shares: float (layers, images) in [0, 1], the share of channels silent for each image.
        everywhere: float (layers,) in [0, 1], the share of channels silent for all images.
        ax: Axes to draw on; None makes a figure.

    Returns:
        The figure: the mean over the images with its standard deviation, and the share silent for all of them.
    """
    figure, ax = style.axes_of(ax, width=8.4, height=3.9)
    place = np.arange(len(names))
    one = ax.errorbar(
        place, shares.mean(axis=1), yerr=shares.std(axis=1), color=style.BLUE, marker=style.MARKERS[0], capsize=4
    )
    all_ = ax.plot(place, everywhere, color=style.VERMILLION, marker=style.MARKERS[1], linestyle="--")[0]
    images = shares.shape[1]
    style.legend(
        ax, [one.lines[0], all_], ["for one image (mean, deviation)", f"for all {images} images"], title="silent"
    )
    ax.set_xticks(place, [style.short(name, 18) for name in names], rotation=20, ha="right", parse_math=False)
    ax.set_ylim(-0.03, 1.03)
    ax.set_ylabel("Share of channels")
    ax.set_xlabel("Layer, from the image to the output")
    ax.set_title("Channels that stay silent")
    ax.grid(axis="y")
    return figure


# Steps of the colour map cividis, which looks the same to people with and without colour blindness.
_SHADES = ("#00224E", "#434E6C", "#7D7C78", "#BCAF6F", "#FEE838")
_EDGES = np.linspace(0, 1, len(_SHADES) + 1)
_LETTERS = ("white", "white", "white", "#202124", "#202124")
INDICES = {"class_index": "Class selectivity index", "colour_index": "Colour selectivity index"}


@style.house_style()
def selectivity_by_block(
    table: "pd.DataFrame", index: str, *, title: str = "", remark: str = "", ax: "Axes | None" = None
) -> "Figure":
    """Draw how many of each block's channels have a low, a middle, a high index: a bar a block, cut in five shares.

    Channels without an index (silent, or unlabelled) are left out of the shares and named beside the bar. An index
    below 0 counts as 0.

    Args:
        table: Columns block and the index; one row per channel.
        index: Name of the column, "class_index" or "colour_index".
        title: Heading.
        remark: What the reader has to know, below the axes.
        ax: Axes to draw on; new ones by default.

    Returns:
        The figure.

    Raises:
        UserError: If the table has no rows.

    Reference:
        The shares of neurons by layer of Rafegas et al., Understanding trained CNNs by indexing neuron selectivity,
        Pattern Recognition Letters 2020, https://arxiv.org/abs/1702.00382.
    """
    if table.empty:
        raise UserError("table", expected="a table with one channel or more", received="no rows")
    blocks = sorted(table["block"].unique())
    notes = textwrap.wrap(remark, 82)
    figure, ax = style.axes_of(ax, width=7.4, height=2.0 + 0.66 * len(blocks) + 0.2 * len(notes))
    for place, block in enumerate(blocks):
        values = table.loc[table["block"] == block, index].to_numpy(float)
        known = np.clip(values[np.isfinite(values)], 0, 1)
        shares = np.histogram(known, _EDGES)[0] / max(len(known), 1)
        _bar(ax, place, shares)
        silent = len(values) - len(known)
        count = f"{len(known)} channels" + (f"\n+ {silent} without" if silent else "")
        count += f"\nmedian {np.median(known):.2f}" if len(known) else ""
        ax.text(1.02, place, count, transform=ax.get_yaxis_transform(), va="center", fontsize=10, color=style.GREY)
    _write(ax, [f"block {block}" for block in blocks], index)
    if notes:
        ax.annotate(
            "\n".join(notes), (0, 0), xycoords="axes fraction", xytext=(0, -46), textcoords="offset points", va="top",
            fontsize=10, color=style.GREY,
        )  # fmt: skip
    ax.set_title(style.short(title, 60), parse_math=False, pad=48)
    return figure


def _bar(ax: "Axes", place: int, shares: np.ndarray) -> None:
    """Draw one bar of shares, each with its percentage where there is room."""
    start = 0.0
    for share, shade, letters in zip(shares, _SHADES, _LETTERS, strict=True):
        ax.barh(place, share, left=start, height=0.72, color=shade, edgecolor="white", linewidth=0.8)
        if share >= 0.06:
            ax.text(start + share / 2, place, f"{share:.0%}", ha="center", va="center", fontsize=10, color=letters)
        start += share


def _write(ax: "Axes", names: list[str], index: str) -> None:
    """Label the axes and put the legend above them, in the order of the shares."""
    from matplotlib.patches import Patch

    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.set_xlim(0, 1)
    ax.set_xticks(np.linspace(0, 1, 6), [f"{share:.0%}" for share in np.linspace(0, 1, 6)])
    ax.tick_params(axis="y", length=0)
    ax.set_xlabel("Share of the block's channels")
    handles = [
        Patch(color=shade, label=f"{low:.1f} to {high:.1f}")
        for shade, low, high in zip(_SHADES, _EDGES, _EDGES[1:], strict=False)
    ]
    ax.legend(
        handles=handles, title=INDICES.get(index, index), loc="lower left", bbox_to_anchor=(0, 1), ncols=len(handles),
        borderaxespad=0.2, borderpad=0.1, columnspacing=1.1, handletextpad=0.4, handlelength=1.2, alignment="left",
        fontsize=10, title_fontsize=10,
    )  # fmt: skip


_COLUMNS = 3


@style.house_style()
def accuracy_by_channels(
    curve: "pd.DataFrame", answers: "pd.DataFrame", *, share: float, chance: float | None = None, title: str = ""
) -> "Figure":
    """Draw the accuracy over the number of channels, one panel per block, with the chosen size.

    Args:
        curve: Columns block, channels, accuracy_mean, accuracy_std, folds.
        answers: One row per block: block, channels (the chosen size), total, accuracy, full.
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
