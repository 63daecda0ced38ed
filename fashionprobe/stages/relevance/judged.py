"""The expert's verdicts in `relevance`, what a refit did to each kind of filter, and the errors image by image."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from fashionprobe.errors import Situation
from fashionprobe.plots.save import Figures
from fashionprobe.stages.relevance.activity import Activity, RelevanceStudy, learned_from, measured_on
from fashionprobe.stages.relevance.ranking import Ranking

if TYPE_CHECKING:
    import pandas as pd

    from fashionprobe.feedback.verdicts import Verdict


def open_verdicts(path: Path | None, run: Path, weights_sha256: str, filters: int) -> "dict[int, Verdict] | None":
    """Return the verdicts that count, by filter: those of a file, else those that the run has of this network.

    Raises:
        UserError: If the file is not there, or holds none.
    """
    from fashionprobe.feedback import verdicts

    own = verdicts.file_of(run, weights_sha256)
    if path is None and not own.is_file():
        return None
    found = verdicts.latest(verdicts.read(path or own, filters))
    if path is not None and not found:
        raise Situation("verdicts", f"holds no verdict: {path}.")
    return found or None


def write_verdicts(figures: Figures, ranking: Ranking, said: "dict[int, Verdict]") -> dict[str, Any]:
    """Compare the verdicts with the ranking: tables, a figure, and what the manifest notes."""
    import numpy as np
    import pandas as pd

    from fashionprobe.feedback.verdicts import scores
    from fashionprobe.plots.verdicts import verdict_scores

    numbers = np.array(list(said))
    rank = ranking.found.ranks.set_index("filter")["rank"]
    ranked, expert = ranking.relevant[numbers], np.array([each.relevant for each in said.values()])
    names = np.array(["irrelevant", "relevant"])
    pd.DataFrame({
        "filter": numbers, "rank": rank[numbers].to_numpy(), "ranking": names[ranked.astype(int)],
        "expert": names[expert.astype(int)], "author": [each.author for each in said.values()],
        "note": [each.note for each in said.values()],
    }).to_csv(figures.folder / "verdicts.csv", index=False, float_format="%.6g")  # fmt: skip
    table = scores(expert, ranked)
    table.to_csv(figures.folder / "verdict_scores.csv", index=False, float_format="%.6f")
    title = "The expert's verdict on the filters, and the ranking"
    rest = len(rank) - len(said)
    caption = (
        f"Relevant by the ranking: {ranking.cut}. Precision: of the filters that the expert calls so, the share that "
        "the ranking does too; recall the other way round. Lines: 95 % Wilson over the filters; the mean is weighted "
        f"by the number of filters.{f' {rest} filters have no verdict and are left out.' if rest else ''}"
    )
    figures.add("verdict_scores", verdict_scores(table, title=title), title, caption)
    return {
        "said": len(said), "relevant": int(expert.sum()), "relevant_by_ranking": int(ranked.sum()),
        **{name: round(float(table[name].iloc[-1]), 4) for name in ("precision", "recall", "f1")},
    }  # fmt: skip


def write_kinds(
    figures: Figures,
    changed: "pd.DataFrame",
    ranking: Ranking,
    said: "dict[int, Verdict] | None",
    expert: "pd.DataFrame | None",
) -> None:
    """Summarize what the refit did to relevant and irrelevant filters, and to those active inside the masks."""
    import numpy as np

    from fashionprobe.channels.filters import SHARE, kinds
    from fashionprobe.plots.verdicts import changes_by_kind

    numbers = np.arange(len(changed))
    groups = {"relevant by the ranking": ranking.relevant, "irrelevant by the ranking": ~ranking.relevant}
    if said:
        for name, wanted in (("relevant to the expert", True), ("irrelevant to the expert", False)):
            groups[name] = np.isin(numbers, [number for number, each in said.items() if each.relevant == wanted])
    if expert is not None:
        most = (expert["ratio"] > 1) & (expert["mask_rank"] <= max(1.0, SHARE * len(expert)))
        groups["active inside the masks"] = np.isin(numbers, expert.loc[most, "filter"])
    table = kinds(changed, groups)
    table.to_csv(figures.folder / "kinds.csv", index=False, float_format="%.6g")
    change = changed.sort_values("filter")["change"].to_numpy(float)
    title = "Which kinds of filter rose and fell"
    caption = (
        "Change of the mean activation over all images, filter by filter, and its mean for each kind with 1.96 "
        f"standard errors over the filters. Relevant by the ranking: {ranking.cut}. Active inside the masks: the "
        "quarter of the filters most active there, where they are more active than elsewhere. At the right, the "
        "filters whose own change differs from 0; kinds overlap."
    )
    drawn = changes_by_kind(table, {name: change[groups[name]] for name in table["kind"]}, title=title)
    figures.add("kinds", drawn, title, caption)


def write_errors(
    figures: Figures,
    job: RelevanceStudy,
    activity: Activity,
    said: "dict[int, Verdict] | None",
    suspicious: list[int],
) -> dict[str, Any] | None:
    """Tie the doubted filters to the network's errors: per image that is measured, their activation and the guess.

    Doubted are the filters that the expert calls irrelevant, else the suspicious ones. The masks themselves cannot be
    asked: no image of test ever has one.

    Returns:
        What the manifest notes; None where no filter is doubted, or the network does not know the classes.
    """
    import numpy as np
    import pandas as pd

    from fashionprobe.channels.doubts import doubts, separation
    from fashionprobe.plots.verdicts import doubts_and_errors

    called = [number for number, each in (said or {}).items() if not each.relevant]
    doubted = np.isin(np.arange(job.found.count), called if said else suspicious)
    if activity.guesses is None or not doubted.any():
        return None
    measured = measured_on(job.images)
    values = doubts(activity.features, learned_from(job.images), doubted)[measured]
    labels, guesses = job.images.column(job.label)[measured], activity.guesses[measured]
    is_right = guesses == labels
    table = pd.DataFrame({
        "id": job.images.column("id")[measured], "split": job.images.column("split")[measured], "class": labels,
        "guess": guesses, "right": is_right, "doubts": values,
    })  # fmt: skip
    if activity.guesses_after is not None:
        table["guess_after"] = activity.guesses_after[measured]
    table.to_csv(figures.folder / "errors.csv", index=False, float_format="%.6g")
    facts: dict[str, Any] = {"doubted": np.flatnonzero(doubted).tolist(), "wrong": int((~is_right).sum())}
    if is_right.all() or not is_right.any():
        return facts
    auc, p = separation(values, is_right)
    title = "Where the network is wrong, and the doubted filters"
    by = "that the expert calls irrelevant" if said else "that are relevant and most active inside the masks"
    caption = (
        f"Each image by the mean activation of the {doubted.sum()} filters {by}, in deviations from the images learned "
        "from. AUC: the probability that of a wrong and a right image the wrong one has the higher activation (0.5 by "
        "chance); p by Mann-Whitney."
    )
    words = f"AUC {auc:.2f}, p = {p:.2g}, {doubted.sum()} doubted filter{'' if doubted.sum() == 1 else 's'}"
    figures.add("errors", doubts_and_errors(values, is_right, remark=words, title=title), title, caption)
    return {**facts, "auc": round(auc, 4), "p": float(f"{p:.3g}")}
