"""Stage `relevance`: which filters of a network matter, which an expert would do without, and what a refit changed."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import fashionprobe.inputs.arguments as shared
from fashionprobe.artifacts import Artifact, Recipe, Result, build, load, read_manifest
from fashionprobe.errors import UserError, conflict, missing, unknown_name
from fashionprobe.inputs.network import LoadedNetwork, NetworkSpec
from fashionprobe.plots.save import Figures
from fashionprobe.records.record_set import RecordSet
from fashionprobe.stages.relevance.activity import (
    Activity,
    ImageSubset,
    Inside,
    RelevanceStudy,
    after_file,
    choose,
    look,
    look_inside,
    masked_images,
    of_classes,
    open_after,
)
from fashionprobe.stages.relevance.judged import open_verdicts, write_errors, write_kinds, write_verdicts
from fashionprobe.stages.relevance.ranking import FOLDS, Ranking, rank

if TYPE_CHECKING:
    import pandas as pd

    from fashionprobe.channels.filters import Filters
    from fashionprobe.feedback.verdicts import Verdict
    from fashionprobe.inputs.masks import Masks

log = logging.getLogger(__name__)

FILTERS = 4
"""Filters shown where the user names neither their number nor themselves."""


@dataclass(frozen=True)
class FilterRanking(Result):
    """Filters ranked on disk.

    Attributes:
        table: One row per filter, `relevance.csv`.
        filters: Number of filters.
        enough: How many of the best give 95 % of the accuracy of all.
        accuracy: Accuracy of a linear classifier with all filters.
        network: Accuracy of the network itself on the same images; None where it does not know their classes.
        reaching: How many of the best a softmax layer needs to reach that; None if it never does.
        suspicious: Filters that the expert's masks call irrelevant and the ranking relevant; None without masks.
    """

    table: Path
    filters: int
    enough: int
    accuracy: float
    suspicious: tuple[int, ...] | None
    network: float | None = None
    reaching: int | None = None


@shared.stage(samples="[2, inf)", min_images=f"[{FOLDS + 2}, inf)")
def relevance(
    *,
    run: shared.Place,
    dataset: shared.Place | None = None,
    label: str | None = None,
    masks: shared.Place | None = None,
    after: shared.Place | None = None,
    verdicts: shared.Place | None = None,
    backbone: str | None = None,
    weights: str = "pretrained",
    taps: list[str] | str | None = None,
    preprocessing: Literal["auto", "none", "tf", "caffe", "torch"] = "auto",
    size: int | list[int] | None = None,
    fit: Literal["pad", "stretch"] = "pad",
    split: list[str] | str | None = None,
    samples: int = 2000,
    min_images: int = 10,
    filters: int = FILTERS,
    filter: list[int] | int | None = None,
    outside: Literal["black", "dark"] = "black",
    batch_size: int = 32,
    seed: int = 0,
    trust: bool = False,
    overwrite: bool = False,
    tfrecords_root: str = "tfrecords",
    runs_root: str = "runs",
) -> FilterRanking:
    """Rank the filters of the last feature map by relevance.

    It also shows what the filters look at. Filters that are most active inside an expert's masks, and the expert's
    verdicts on the filters, are compared with that ranking. With a second network, such as a refit of the first, the
    change of every filter is measured, and the filters are ranked again.

    Args:
        dataset: Record set whose images are looked at. Default: the one of the training.
        label: Label column of the classes. Default: the one of the training.
        masks: Run or folder that holds masks. Default: those of this run, if there are any.
        after: The network after a refit, a .keras file, or what `refit` returned.
        verdicts: CSV file with the columns filter and relevant (yes or no), and perhaps note: what an expert says of
            each filter; the last line about it counts. Default: the verdicts that were given on this network in
            `fashionprobe app`, if there are any.
        backbone: mini, resnet50, any other name of keras.applications, or the path of a .keras file. Default: the
            network that `train` wrote into this run.
        split: Which of train, val and test. Default: all. Fitted on train and evaluated on the other splits;
            cross-validated if only one kind is present.
        samples: Images drawn at random from these splits.
        min_images: Classes with fewer images to learn from are left out.
        filters: Number of filters shown: the most relevant ones, and those that a refit changed most.
        filter: Or their numbers, from 0, as 22,26,29.
        outside: Where a filter is not active, its images are shown black, or dark so that the surroundings can be seen.

    Returns:
        The ranking: paths and headline numbers.

    Raises:
        UserError: If an argument does not fit, or the network, the records or the masks are missing or damaged.
        OSError: If the disk is full or the folder may not be written.

    Example:
        fashionprobe relevance --run symbols --after runs/symbols/refit/model.keras
    """
    folder = shared.run_path(run, runs_root)
    spec = NetworkSpec.of(folder, backbone, weights, taps, preprocessing, size, seed, trust)
    spec.check()
    chosen = tuple(shared.numbers(filter) or ())
    if chosen and filters != FILTERS:
        raise conflict("filters", "--filter", filters)
    if outside not in ("black", "dark"):
        raise unknown_name("outside", outside, ("black", "dark"))
    second_file = after_file(after)
    second = None
    if second_file is not None:
        second = NetworkSpec(str(second_file), preprocessing=preprocessing, seed=seed, trust=trust)
        second.check()
    if dataset is None:
        dataset = _trained_on(folder)
    opened = spec.open(classifier=False)
    records = shared.open_records(dataset, tfrecords_root)
    column = _label(shared.spelled(label or opened.label), records)
    drawn = choose(
        records, shared.listed("split", split), samples=samples, size=opened.backbone.size, fit=fit,
        batch_size=batch_size, seed=seed,
    )  # fmt: skip
    corrected = open_after(second, opened) if second else None
    found_masks = _open_masks(masks, folder, records, runs_root)

    from fashionprobe.backbones import devices
    from fashionprobe.channels.filters import open_filters
    from fashionprobe.feedback.verdicts import fingerprint

    job = RelevanceStudy(
        opened=opened,
        dataset=records.path.name,
        found=open_filters(opened.model),
        after=open_filters(corrected.model) if corrected else None,
        corrected=corrected,
        images=of_classes(drawn, column, min_images),
        label=column,
        filters=filters,
        chosen=chosen,
        outside=outside,
        seed=seed,
    )
    said = open_verdicts(
        Path(verdicts) if verdicts is not None else None, folder, opened.backbone.weights_sha256, job.found.count
    )
    masked = (found_masks, masked_images(found_masks, drawn.stream)) if found_masks else None
    _check_after(job)
    _check_chosen(job)
    inputs = {"records": records.fingerprint}
    inputs |= {"masks": found_masks.artifact.fingerprint} if found_masks else {}
    inputs |= {"after": corrected.backbone.weights_sha256} if corrected else {}
    inputs |= {"verdicts": fingerprint(said)} if said else {}
    arguments = {
        **opened.arguments(), "layer": _place(opened, job.found.layer), "fit": fit, "label": column,
        "split": drawn.stream.splits, "samples": samples, "min_images": min_images, "filters": filters,
        "seed": seed,
        # These came later: without them a ranking is the same as ever.
        **({"filter": list(chosen)} if chosen else {}), **({"outside": outside} if outside != "black" else {}),
    }  # fmt: skip
    artifact = build(
        folder / "relevance",
        Recipe("relevance", arguments, inputs, opened.backbone.weights_sha256),
        lambda draft: _write(draft, job, masked, said),
        overwrite=overwrite,
        settings={"batch_size": batch_size, "device": devices.name(), "network": spec.noted()},
    )
    return _result(artifact)


def _trained_on(folder: Path) -> str:
    """Return the name of the record set that the network of a run was trained on."""
    if not (folder / "train").is_dir():
        raise missing("dataset", "this run has no trained network that names one", "Pass --dataset.")
    return load(folder / "train", stage="train", remedy=f"fashionprobe train --run {folder.name} ...").facts["dataset"]


def _label(column: str, records: RecordSet) -> str:
    if not column:
        classes = [name for name, facts in records.facts["columns"].items() if "classes" in facts]
        listed = ", ".join(classes) or "none is here"
        raise missing("label", "this network does not know its classes", f"Pass --label with one of: {listed}.")
    records.classes(column)
    return column


def _check_after(job: RelevanceStudy) -> None:
    if job.after and job.after.count != job.found.count:
        raise UserError(
            "after", expected=f"a network with {job.found.count} filters in its last feature map, as before",
            received=f"one with {job.after.count}",
        )  # fmt: skip


def _check_chosen(job: RelevanceStudy) -> None:
    wrong = [number for number in job.chosen if not 0 <= number < job.found.count]
    if wrong:
        expected = f"in the range [0, {job.found.count}) for {job.found.layer}"
        raise UserError("filter", expected=expected, received=", ".join(map(str, wrong)))


def _open_masks(masks: shared.Place | None, folder: Path, records: RecordSet, runs_root: str) -> "Masks | None":
    """Open the masks that are named, else those of the run, if it has any."""
    from fashionprobe.inputs.masks import open_masks

    if masks is None:
        own = folder / "masks"
        if not own.is_dir():
            return None
        if read_manifest(own, remedy="Move that folder away.")["inputs"].get("records") != records.fingerprint:
            log.info("The masks of this run are about another record set: left out.")
            return None
        masks = own
    return open_masks(masks, records, runs_root=runs_root)


def _place(opened: LoadedNetwork, layer: str) -> int:
    """Return where the layer stands: names that Keras gave differ from process to process."""
    return [operation.name for operation in opened.model.operations].index(layer)


def _write(
    draft: Path,
    job: RelevanceStudy,
    masked: "tuple[Masks, ImageSubset] | None",
    said: "dict[int, Verdict] | None",
) -> dict[str, Any]:
    """Look at the images, rank, compare, and fill the files of the artifact."""
    from fashionprobe.stages.relevance.figures import draw_curve, draw_expert, draw_view

    activity = look(job)
    ranking = rank(job, activity.features, activity.guesses)
    _write_ranks(draft, job.found, ranking)
    figures = Figures(draft)
    draw_curve(figures, job, ranking)
    draw_view(figures, job, ranking.found.ranks, activity)
    facts = _facts(job, ranking)
    if said:
        facts["verdicts"] = write_verdicts(figures, ranking, said)
    inside = look_inside(job, *masked) if masked else None
    table = None
    if inside is not None:
        from fashionprobe.channels.filters import expert

        ranks = ranking.found.ranks
        table, agreement = expert(inside.inside, inside.whole, ranks["rank"].to_numpy(float), seed=job.seed)
        table.to_csv(draft / "expert.csv", index=False, float_format="%.6g")
        facts["expert"] = {
            "masked": len(inside.inside),
            "covered": inside.covered,
            "suspicious": table.loc[table["suspicious"], "filter"].tolist(),
            **{name: None if value != value else round(value, 4) for name, value in vars(agreement).items()},
        }  # fmt: skip
        draw_expert(figures, job, table, agreement, inside, ranks)
    suspicious = facts["expert"]["suspicious"] if inside is not None else []
    errors = write_errors(figures, job, activity, said, suspicious)
    if errors:
        facts["errors"] = errors
    if activity.after is not None:
        facts["after"] = _write_after(figures, job, activity, ranking, inside, said, table)
    return {**facts, "figures": figures.notes}


def _write_after(
    figures: Figures,
    job: RelevanceStudy,
    activity: Activity,
    ranking: Ranking,
    inside: "Inside | None",
    said: "dict[int, Verdict] | None",
    expert: "pd.DataFrame | None",
) -> dict[str, Any]:
    """Compare the network after the refit: its ranking, and the change of each filter and of each kind of them."""
    from fashionprobe.channels.filters import changes, histograms, histograms_by_class
    from fashionprobe.stages.relevance.figures import draw_changes, draw_curve_after, draw_filters

    if activity.after is None or job.after is None:
        return {}
    again = rank(job, activity.after, activity.guesses_after)
    _write_ranks(figures.folder, job.after, again, "_after")
    draw_curve_after(figures, job, ranking, again)
    pair = (inside.inside, inside.inside_after) if inside and inside.inside_after is not None else None
    table = changes(activity.features, activity.after, pair)
    table.to_csv(figures.folder / "changes.csv", index=False, float_format="%.6g")
    bars = histograms(activity.features, activity.after)
    bars.to_csv(figures.folder / "histograms.csv", index=False, float_format="%.6g")
    shown = draw_changes(figures, job, table, bars)
    write_kinds(figures, table, ranking, said, expert)
    by_class = histograms_by_class(
        activity.features[:, shown], activity.after[:, shown], job.images.column(job.label), numbers=shown
    )
    by_class.to_csv(figures.folder / "histograms_by_class.csv", index=False, float_format="%.6g")
    draw_filters(figures, job, activity, by_class, shown)
    return again.facts()


def _write_ranks(folder: Path, filters: "Filters", ranking: Ranking, ending: str = "") -> None:
    """Write the tables of a ranking."""
    table = ranking.found.ranks.copy()
    if filters.weights is not None:
        table["dense_norm"] = filters.weights
    table = table.set_index("filter").loc[ranking.order].reset_index()
    table.to_csv(folder / f"relevance{ending}.csv", index=False, float_format="%.6g")
    ranking.found.curve.to_csv(folder / f"curve{ending}.csv", index=False, float_format="%.6f")
    ranking.found.l1.to_csv(folder / f"l1{ending}.csv", index=False, float_format="%.6f")


def _facts(job: RelevanceStudy, ranking: Ranking) -> dict[str, Any]:
    """Gather what the manifest and later stages need to know."""
    return {
        "dataset": job.dataset,
        "label": job.label,
        "classes": len(set(job.images.column(job.label))),
        "images": len(job.images),
        "measured_on": ranking.found.images,
        "folds": ranking.found.folds,
        "backbone": job.opened.backbone.name,
        "layer": job.found.layer,
        "filters": job.found.count,
        "most_relevant": ranking.order[: job.filters].tolist(),
        **ranking.facts(),
    }


def _result(artifact: Artifact) -> FilterRanking:
    facts = artifact.facts
    expert = facts.get("expert")
    remark = ""
    if expert:
        count = len(expert["suspicious"])
        remark = f"; {count} relevant filter{'' if count == 1 else 's'} most active in {expert['masked']} masks"
        if expert["covered"]:
            remark += f", of which {expert['covered']} cover the whole map and so say nothing"
    log.info(
        "%s: %d of %d filters reach 95 %% of the accuracy of all, %.3f on %d images of %d classes%s%s. "
        "Next: fashionprobe report --run %s",
        artifact.outcome, facts["enough"], facts["filters"], facts["accuracy"],
        facts["measured_on"], facts["classes"], _against_network(facts), remark, artifact.path.parent.name,
    )  # fmt: skip
    suspicious = tuple(expert["suspicious"]) if expert else None
    table = artifact.path / "relevance.csv"
    return FilterRanking(
        artifact.path, table, facts["filters"], facts["enough"], facts["accuracy"], suspicious, facts.get("network"),
        facts.get("reaching"), reused=artifact.reused,
    )  # fmt: skip


def _against_network(facts: dict[str, Any]) -> str:
    """Say how many filters reach the network's own accuracy; older artifacts do not know it."""
    network, needed = facts.get("network"), facts.get("reaching")
    if network is None:
        return ""
    words = f"; the network's own {network:.3f} takes {needed or 'more than all'}"
    after = facts.get("after") or {}
    if after.get("network") is not None:
        words += f", after the refit {after['network']:.3f} takes {after['reaching'] or 'more than all'}"
    return words
