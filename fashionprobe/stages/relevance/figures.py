"""The figures of `relevance`, and what the report says about them."""

import math
from typing import TYPE_CHECKING

from fashionprobe.plots.save import Figures
from fashionprobe.stages.relevance.activity import Activity, Inside, RelevanceStudy, measured_on
from fashionprobe.stages.relevance.ranking import Ranking

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from fashionprobe.channels.filters import Agreement, Filters

VIEW = "filter_view.csv"
"""Table of the global view: which images show each filter."""

IMAGES = 5
"""Images that activate a filter most, before and after."""

TOP = 20
"""Filters in the figure of the rankings."""


def draw_curve(figures: Figures, job: RelevanceStudy, ranking: Ranking) -> None:
    """Draw accuracy over the number of filters, and the rankings of the best."""
    import numpy as np

    from fashionprobe.plots.relevance import relevance_curve, top_filters

    labels, found = job.images.column(job.label)[measured_on(job.images)], ranking.found
    chance = float(np.unique(labels, return_counts=True)[1].max() / len(labels))
    figure = relevance_curve(
        found.curve, found.l1, chance=chance, enough=ranking.enough, network=ranking.network,
        reaching=ranking.reaching, measured=_measured(job, ranking),
        title=f"How many filters it takes to tell {job.label}",
    )  # fmt: skip
    curve = (
        f"Accuracy of linear classifiers of {job.label} with the best filters of the last feature map, measured on "
        f"images that had no part in the ranking. {ranking.enough} of {job.found.count} filters reach 95 % of the "
        f"accuracy of all by discriminant analysis. {_against_network(job, ranking)}"
    ).strip()
    ranks = "Rank of each filter by three criteria: near each other where the criteria agree."
    figures.add("curve", figure, "How many filters are needed", curve)
    title = f"The filters that tell most about {job.label}"
    figures.add("ranks", top_filters(found.ranks, count=TOP, title=title), title, ranks)


def draw_curve_after(figures: Figures, job: RelevanceStudy, before: Ranking, after: Ranking) -> None:
    """Draw accuracy over the number of filters before and after the refit, each network ranked by itself."""
    from fashionprobe.plots.relevance import relevance_change

    both = {"before": before, "after the refit": after}
    title = "How many filters are needed before and after the refit"
    figure = relevance_change(
        {name: each.found.curve for name, each in both.items()},
        {name: each.network for name, each in both.items()},
        {name: each.reaching for name, each in both.items()},
        measured=_measured(job, before), title=title,
    )  # fmt: skip
    told = [f"{name.capitalize()}: {_against_network(job, each)}".rstrip(": ") for name, each in both.items()]
    caption = (
        "Accuracy of a softmax layer with the best filters; each network is ranked by itself. 95 % of the accuracy of "
        f"all by discriminant analysis takes {before.enough} filters before and {after.enough} after. "
    )
    figures.add("curve_after", figure, title, caption + (" ".join(told) if before.network is not None else ""))


def _measured(job: RelevanceStudy, ranking: Ranking) -> str:
    """Say which images the accuracies are measured on."""
    found, splits = ranking.found, sorted(set(job.images.column("split")[measured_on(job.images)]), reverse=True)
    return f"{found.images} images" + (f", {found.folds} folds" if found.folds else f" of {' and '.join(splits)}")


def _against_network(job: RelevanceStudy, ranking: Ranking) -> str:
    """Say how the filters do beside the whole network."""
    if ranking.network is None:
        return ""
    needed = ranking.reaching
    words = f"The network itself reaches {ranking.network:.3f} on the same images; a softmax layer fitted again "
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
    pictures = _lit(job, job.found, wanted)
    rank = ranks.set_index("filter")["rank"]
    sheet = []
    blank = np.full((*job.opened.backbone.size, 3), 245, np.uint8)
    for number, cut in shown.items():
        images = [pictures[row, number] if row >= 0 else blank for row in cut["row"]]
        ninths = zip(cut["low"], cut["high"], cut["images"], strict=True)
        captions = [f"{_ends(low, high)}\n{_images(count)}" for low, high, count in ninths]
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


def _lit(job: RelevanceStudy, filters: "Filters", wanted: dict[int, list[int]]) -> "dict[tuple[int, int], np.ndarray]":
    """Return the pictures by row and filter, each lit where the filter is active."""
    from fashionprobe.channels.filters import lit

    rows = sorted(wanted)
    found = {}
    for start, pixels in job.images.some(rows).batches("relevance, pictures"):
        maps = filters.maps(pixels)
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


def draw_changes(figures: Figures, job: RelevanceStudy, table: "pd.DataFrame", bars: "pd.DataFrame") -> list[int]:
    """Draw what the refit did to the filters; return those shown one by one: the named ones, or the most changed."""
    from fashionprobe.plots.relevance import filter_histograms, mean_changes

    by = "inside_change" if "inside_change" in table else "change"
    most = table.iloc[(-table[by].abs()).argsort(kind="stable")].head(max(job.filters, 4))["filter"].tolist()
    shown = list(job.chosen) or most
    title = "The filters that were named" if job.chosen else "The filters that changed most"
    caption = (
        "Change of the mean activation of every filter, sorted. Below 0 the filter is less active after the refit."
    )
    spread = "How the mean activation of a filter is spread over the images, before and after the refit."
    changes = mean_changes(table, title="What the refit did to the filters")
    figures.add("changes", changes, "Change of every filter", caption)
    spreads = filter_histograms(bars, shown, names=("before", "after the refit"), title=title)
    figures.add("histograms", spreads, title, spread)
    return shown


def draw_filters(
    figures: Figures, job: RelevanceStudy, activity: Activity, bars: "pd.DataFrame", shown: list[int]
) -> None:
    """Draw filters one by one: their activation by class, and the images that activate them most, before and after."""
    import numpy as np

    from fashionprobe.plots.filter_classes import filter_by_class

    if activity.after is None or job.after is None:
        return
    pictures = []
    for filters, features in ((job.found, activity.features), (job.after, activity.after)):
        best = {number: np.argsort(-features[:, number], kind="stable")[:IMAGES].tolist() for number in shown}
        wanted: dict[int, list[int]] = {}
        for number, rows in best.items():
            for row in rows:
                wanted.setdefault(row, []).append(number)
        found = _lit(job, filters, wanted)
        pictures.append({number: [found[row, number] for row in rows] for number, rows in best.items()})
    for number in shown:
        title = f"Filter {number} before and after the refit, by {job.label}"
        drawn = filter_by_class(
            bars[bars["filter"] == number], pictures[0][number], pictures[1][number],
            names=("before", "after the refit"), title=title,
        )  # fmt: skip
        caption = (
            f"Left: how the mean activation of filter {number} is spread over the images of each {job.label}, as "
            "shares of its images. Right: the images in which it is greatest, lit where its map is above the Otsu "
            "threshold."
        )
        figures.add(f"filter_{number}", drawn, title, caption)
