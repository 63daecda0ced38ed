"""The figures of `relevance`, and what the report says about them."""

import math
from typing import TYPE_CHECKING

from fashionprobe.plots.save import Figures
from fashionprobe.stages.relevance.activity import Activity, Inside, RelevanceStudy, measured_on

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from fashionprobe.channels.filters import Agreement
    from fashionprobe.channels.relevance import Relevance

VIEW = "filter_view.csv"
"""Table of the global view: which images show each filter."""

TOP = 20
"""Filters in the figure of the rankings."""


def draw_curve(figures: Figures, job: RelevanceStudy, found: "Relevance", network: float | None) -> None:
    """Draw accuracy over the number of filters, and the rankings of the best."""
    import numpy as np

    from fashionprobe.channels.relevance import enough, reaching
    from fashionprobe.plots.relevance import relevance_curve, top_filters

    measured = measured_words(job, found)
    labels = job.images.column(job.label)[measured_on(job.images)]
    chance = float(np.unique(labels, return_counts=True)[1].max() / len(labels))
    needed = enough(found.curve)
    figure = relevance_curve(
        found.curve, found.l1, chance=chance, enough=needed, network=network,
        reaching=None if network is None else reaching(found.curve, network), measured=measured,
        title=f"How many filters it takes to tell {job.label}",
    )  # fmt: skip
    curve = (
        f"Accuracy of linear classifiers of {job.label} with the best filters of the last feature map, measured on "
        f"images that had no part in the ranking. {needed} of {job.found.count} filters reach 95 % of the accuracy of "
        f"all by discriminant analysis. {network_words(job, found.curve, network)}"
    ).strip()
    ranks = "Rank of each filter by three criteria: near each other where the criteria agree."
    figures.add("curve", figure, "How many filters are needed", curve)
    title = f"The filters that tell most about {job.label}"
    figures.add("ranks", top_filters(found.ranks, count=TOP, title=title), title, ranks)


def measured_words(job: RelevanceStudy, found: "Relevance") -> str:
    """Say which images the accuracies are measured on."""
    splits = " and ".join(sorted(set(job.images.column("split")[measured_on(job.images)]), reverse=True))
    return f"{found.images} images, {found.folds} folds" if found.folds else f"{found.images} images of {splits}"


def network_words(job: RelevanceStudy, curve: "pd.DataFrame", network: float | None) -> str:
    """Say how the filters do beside the whole network."""
    from fashionprobe.channels.relevance import reaching

    if network is None:
        return ""
    needed = reaching(curve, network)
    words = f"The network itself reaches {network:.3f} on the same images; a softmax layer fitted again "
    words += f"reaches that with the best {needed}." if needed else "does not reach that with any number of filters."
    seen = "train" in job.images.column("split")[measured_on(job.images)]
    return words + (" The network was trained on some of these images, the layer was not." if seen else "")


def draw_view(figures: Figures, job: RelevanceStudy, ranks: "pd.DataFrame", activity: Activity) -> None:
    """Draw the global view of some filters: an image from each ninth of the range, where the filter is active."""
    import numpy as np

    from fashionprobe.channels.filters import view
    from fashionprobe.channels.rankings import order
    from fashionprobe.plots.sheets import Row, contact_sheet

    table, ids = view(activity.features, seed=job.seed), job.images.column("id")
    chosen = list(job.chosen) or order(ranks)[: job.filters].tolist()
    shown = {number: table[table["filter"] == number] for number in chosen}
    wanted: dict[int, list[int]] = {}
    for number, cut in shown.items():
        for row in cut.loc[cut["row"] >= 0, "row"]:
            wanted.setdefault(int(row), []).append(number)
    pictures = _lit(job, wanted)
    rank = ranks.set_index("filter")["rank"]
    sheet = []
    blank = np.full((*job.opened.backbone.size, 3), 245, np.uint8)
    for number, cut in shown.items():
        images = [pictures[row, number] if row >= 0 else blank for row in cut["row"]]
        captions = [f"{_ends(each.low, each.high)}\n{_images(each.images)}" for each in cut.itertuples()]
        sheet.append(Row(f"filter {number}\nrank {rank[number]:g}", images, captions))
    table["id"] = np.where(table["row"] >= 0, ids[table["row"]], "")
    # All filters: the page shows them one by one.
    table.drop(columns="row").to_csv(figures.folder / VIEW, index=False, float_format="%.6g")
    rest = "black" if job.outside == "black" else "darker"
    remark = (
        "Left to right: a random image from each ninth of the range of the filter's mean activation. The image is "
        f"{rest} where its map is below its Otsu threshold. Empty: no image in that ninth."
    )
    title = "What filters look at" if job.chosen else "What the most relevant filters look at"
    figures.add("filter_view", contact_sheet(sheet, title=title, remark=remark), title, remark, zoom=True)


def _ends(low: float, high: float) -> str:
    """Write an interval, with as many decimals as tell its ends apart."""
    decimals = max(0, 1 - math.floor(math.log10(high - low))) if high > low else 2
    return f"{low:.{decimals}f} to {high:.{decimals}f}"


def _images(count: int) -> str:
    return f"{count} image{'' if count == 1 else 's'}"


def _lit(job: RelevanceStudy, wanted: dict[int, list[int]]) -> "dict[tuple[int, int], np.ndarray]":
    """Return the pictures by row and filter, each lit where the filter is active."""
    from fashionprobe.channels.filters import lit

    rows = sorted(wanted)
    found = {}
    for start, pixels in job.images.some(rows).batches("relevance, pictures"):
        maps = job.found.maps(pixels)
        for row, image, feature_map in zip(rows[start:], pixels, maps, strict=False):
            found |= {(row, number): lit(image, feature_map[..., number], job.outside) for number in wanted[row]}
    return found


def draw_expert(
    figures: Figures,
    job: RelevanceStudy,
    table: "pd.DataFrame",
    agreement: "Agreement",
    inside: Inside,
    ranks: "pd.DataFrame",
) -> None:
    """Draw the expert against the ranking, and the filters most active in a few masks."""
    import numpy as np

    from fashionprobe.plots.relevance import expert_against_ranking, masked_filters

    words = f"Spearman {agreement.correlation:+.2f} (95 %: {agreement.low:+.2f} to {agreement.high:+.2f}), "
    words += f"over {_images(len(inside.inside))} with masks"
    if inside.covered:
        words += f"; {inside.covered} cover the whole map"
    # Where masks cover the whole map, nothing is to be seen.
    if np.isfinite(agreement.correlation):
        title = "What the expert calls irrelevant, and the ranking relevant"
        caption = (
            "Each filter by how active it is inside the masks and by its relevance. In the upper right corner are "
            "filters that carry the classes though they look where the expert sees nothing of use."
        )
        figures.add("expert", expert_against_ranking(table, agreement=words, title=title), title, caption)
    rank = ranks.sort_values("filter")["rank"].to_numpy(float)
    labels, names = inside.images.column(job.label), inside.images.column("id")
    for number, (row, image) in enumerate(inside.shown.items(), start=1):
        name, file = names[row], f"masked_{number}"
        title = f"Most active inside the mask: {name}" + (f", {labels[row]}" if labels[row] else "")
        drawn = masked_filters(image, inside.masks[row], inside.inside[row], inside.whole[row], rank, title=title)
        caption = "The ten filters most active inside the mask. Dark bars are relevant filters."
        figures.add(file, drawn, title, caption)


def draw_changes(figures: Figures, job: RelevanceStudy, table: "pd.DataFrame", bars: "pd.DataFrame") -> None:
    """Draw what the refit did to the filters."""
    from fashionprobe.plots.relevance import filter_histograms, mean_changes

    by = "inside_change" if "inside_change" in table else "change"
    most = table.iloc[(-table[by].abs()).argsort(kind="stable")].head(max(job.filters, 4))["filter"].tolist()
    title = "The filters that changed most"
    caption = (
        "Change of the mean activation of every filter, sorted. Below 0 the filter is less active after the refit."
    )
    spread = "How the mean activation of a filter is spread over the images, before and after the refit."
    changes = mean_changes(table, title="What the refit did to the filters")
    figures.add("changes", changes, "Change of every filter", caption)
    spreads = filter_histograms(bars, most, names=("before", "after the refit"), title=title)
    figures.add("histograms", spreads, title, spread)
