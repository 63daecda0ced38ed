"""Stage `pairs`: descriptors -> how far distances within the classes and across them overlap, block by block."""

import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import fashionprobe.inputs.arguments as shared
from fashionprobe import progress
from fashionprobe import text_tables as tables
from fashionprobe.artifacts import Artifact, Recipe, Result, build
from fashionprobe.inputs.descriptors import Choice, RunDescriptors, read_descriptors
from fashionprobe.plots.save import Figures

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    import pandas as pd


log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PairSeparation:
    """The block and space in which pairs of one class and of two are apart most.

    Attributes:
        label: The label column.
        block: The block with the least overlap, all classes together.
        space: "original", or "umap2" for a reduction to two dimensions.
        overlap: Overlap coefficient of the distances, in [0, 1]: 0 apart, 1 the same.
        auc: Probability that a pair of two classes is farther apart than a pair of one.
    """

    label: str
    block: int
    space: str
    overlap: float
    auc: float


@dataclass(frozen=True)
class PairDistances(Result):
    """Overlaps of distances on disk.

    Attributes:
        table: One row per label, block, class and space, `overlap.csv`.
        answers: The least overlap of each label.
    """

    table: Path
    answers: tuple[PairSeparation, ...]


@dataclass(frozen=True)
class _Job:
    """The resolved arguments."""

    label: list[str]
    block: list[int]
    pairs: int
    metric: str
    normalization: str
    dimensions: int | list[int] | None
    bins: int
    min_images: int | None
    seed: int


@shared.stage
def pairs(
    *,
    run: shared.Place,
    label: list[str] | str,
    block: int | list[int] | None = None,
    pairs: int = 3000,
    metric: Literal["euclidean", "cosine"] = "euclidean",
    normalization: Literal["none", "l2", "standard", "whiten", "sqrt", "sqrt_whiten"] = "none",
    dimensions: int | list[int] | None = None,
    bins: int = 50,
    min_images: int | None = None,
    seed: int = 0,
    overwrite: bool = False,
    runs_root: str = "runs",
) -> PairDistances:
    """Compare distances within classes and between them.

    They are compared block by block. The less their histograms overlap, the better the block separates the classes,
    whatever the classifier. Pairs are drawn without replacement; two copies of one picture are not a pair.

    Args:
        pairs: Number of pairs within each class, and of pairs of it with another class; all pairs if there are fewer.
        dimensions: Also measure, by euclidean distance, in UMAP reductions to this many dimensions, or to several as
            2,8,32. Default: no reduction.
        bins: Number of bins of the histograms, equal ones over all distances of a block.

    Returns:
        The overlaps: paths, and where each label overlaps least.

    Raises:
        UserError: If there is no such label, block or run, or a class has no two different images.

    Example:
        fashionprobe pairs --run colour --label baseColour
    """
    labels = shared.listed("label", label) or []
    folder = shared.run_path(run, runs_root)
    described = read_descriptors(folder, evaluating=True)
    blocks = sorted(described.choose_blocks(shared.numbers(block)))
    chosen = {name: described.choose(name, min_images) for name in labels}
    spaces = list(dict.fromkeys(shared.numbers(dimensions) or []))
    # One number stands alone, as when there could be but one.
    reduced = spaces if len(spaces) > 1 else spaces[0] if spaces else None
    job = _Job(labels, blocks, pairs, metric, normalization, reduced, bins, min_images, seed)
    artifact = build(
        folder / "pairs",
        Recipe("pairs", asdict(job), {"extract": described.artifact.fingerprint}),
        lambda draft: _write(draft, described, chosen, job),
        overwrite=overwrite,
    )
    return _result(artifact)


def _write(draft: Path, described: RunDescriptors, chosen: dict[str, Choice], job: _Job) -> dict[str, Any]:
    import pandas as pd

    tables, histograms = [], []
    facts: dict[str, Any] = {"labels": {}}
    figures = Figures(draft)
    with progress.bar(total=len(chosen) * len(job.block), unit="block", description="pairs") as bar:
        for label, choice in chosen.items():
            drawn, copies = _drawn(described, choice, job)
            overlap, histogram = [], []
            for block in job.block:
                for space, found in _spaces(described.matrix(block)[choice.rows], drawn, job):
                    where = {"label": label, "block": block, "space": space}
                    overlap.append(_with(found.table, where))
                    histogram.append(_with(found.histogram, where))
                bar.update()
            tables.append(pd.concat(overlap, ignore_index=True))
            histograms.append(pd.concat(histogram, ignore_index=True))
            facts["labels"][label] = {
                **asdict(_answer(label, tables[-1])), "images": len(choice.rows), "missing": choice.missing,
                "left_out": choice.left_out, "copies": copies,
                "fewer": {each.name: len(each.positive) for each in drawn if len(each.positive) < job.pairs},
            }  # fmt: skip
            _draw(figures, label, tables[-1], histograms[-1], job)
    pd.concat(tables, ignore_index=True).to_csv(draft / "overlap.csv", index=False, float_format="%.6g")
    pd.concat(histograms, ignore_index=True).to_csv(draft / "histograms.csv", index=False, float_format="%.6g")
    return facts | {"figures": figures.notes}


def _drawn(described: RunDescriptors, choice: Choice, job: _Job) -> tuple[list[Any], int]:
    """Return the pairs, the same for all blocks, and how many copies of each other are none."""
    import numpy as np

    from fashionprobe.attributes.folds import identical
    from fashionprobe.attributes.pairs import draw_pairs

    same = identical(described.matrix(described.blocks[0])[choice.rows])
    groups = np.bincount(same)
    return draw_pairs(choice.classes, pairs=job.pairs, same=same, seed=job.seed), int(
        (groups * (groups - 1) // 2).sum()
    )


def _spaces(descriptors: "np.ndarray", drawn: list[Any], job: _Job) -> "Iterator[tuple[str, Any]]":
    """Yield the name of each space and the overlaps in it."""
    from fashionprobe.attributes.normalization import fit
    from fashionprobe.attributes.pairs import overlaps

    # Nothing is predicted here, so that nothing leaks when all images have their part in the normalization.
    points = fit(job.normalization, descriptors)(descriptors)
    yield "original", overlaps(points, drawn, metric=job.metric, bins=job.bins, seed=job.seed)
    for number in shared.numbers(job.dimensions) or []:
        from fashionprobe.attributes.reduce import reduce

        reduced = reduce(points, number, seed=job.seed).points
        yield f"umap{number}", overlaps(reduced, drawn, bins=job.bins, seed=job.seed)


def _with(table: "pd.DataFrame", where: dict[str, Any]) -> "pd.DataFrame":
    """Return the table with these columns in front."""
    return table.assign(**where)[[*where, *table.columns]]


def _answer(label: str, table: "pd.DataFrame") -> PairSeparation:
    from fashionprobe.attributes.pairs import ALL

    together = table[table["class"] == ALL]
    best = together.iloc[int(together["overlap"].to_numpy().argmin())]
    return PairSeparation(label, int(best["block"]), str(best["space"]), float(best["overlap"]), float(best["auc"]))


def _draw(figures: Figures, label: str, table: "pd.DataFrame", histogram: "pd.DataFrame", job: _Job) -> None:
    """Draw the figures of one label."""
    from fashionprobe.attributes.pairs import ALL
    from fashionprobe.plots.pair_distances import distance_histograms, overlap_by_block

    for space in table["space"].unique():
        rows, bars = (part[part["space"] == space] for part in (table, histogram))
        metric = job.metric if space == "original" else "euclidean"
        where = "the space of the block" if space == "original" else f"{space.removeprefix('umap')} dimensions (UMAP)"
        name, title = f"{shared.file_name(label)}_{space}", f"{label}: pairs in {where}"
        together = rows[rows["class"] == ALL]
        distance = f"Distance of the two images ({metric})"
        apart = (
            f"How far apart two images of one class of {label} are, and two images of different classes, all classes "
            f"together. The overlap is the area that both histograms share ({job.bins} bins): 0 is apart, 1 the same."
        )
        by_class = (
            f"The overlap for each class of {label} and block: up to {job.pairs} pairs of the class, and as many of it "
            "with other classes. The darker, the better the block keeps the class together. Pairs dealt at random "
            f"would overlap by {rows['overlap_by_luck'].min():.2f} or more, not quite by 1."
        )
        histograms = distance_histograms(bars[bars["class"] == ALL], together, distance=distance, title=title)
        figures.add(f"histograms_{name}", histograms, f"Distances of pairs by {label}, in {where}", apart)
        overlap = overlap_by_block(rows, title=title)
        figures.add(f"overlap_{name}", overlap, f"Overlap of distances by {label}, in {where}", by_class)


def _result(artifact: Artifact) -> PairDistances:
    answers, words = [], []
    log.info("overlap by block, of all classes together; 0 is apart, 1 the same")
    for line in tables.by_block(artifact.path / "overlap.csv", "overlap", lowest=True, only={"class": "(all)"}):
        log.info("%s", line)
    for label, facts in artifact.facts["labels"].items():
        answer = PairSeparation(**{name: facts[name] for name in PairSeparation.__dataclass_fields__})
        answers.append(answer)
        _log_counts(label, facts, artifact.manifest["arguments"]["pairs"])
        space = "" if answer.space == "original" else f" in {answer.space.removeprefix('umap')} dimensions"
        words.append(
            f"{label} overlaps least at block {answer.block}{space} ({answer.overlap:.2f}; 0 apart, 1 the same)"
        )
    run = artifact.path.parent.name
    log.info("%s: %s. Next: fashionprobe report --run %s", artifact.outcome, "; ".join(words), run)
    return PairDistances(artifact.path, artifact.path / "overlap.csv", tuple(answers), reused=artifact.reused)


def _log_counts(label: str, facts: dict[str, Any], pairs: int) -> None:
    """Say what was left out, and which classes have fewer pairs than asked for."""
    if facts["missing"]:
        log.info("%s: %d images without this label left out", label, facts["missing"])
    if facts["left_out"]:
        log.info(
            "%s: %d rare classes left out (%d images)", label, len(facts["left_out"]), sum(facts["left_out"].values())
        )
    if facts["copies"]:
        log.info("%s: %d pairs of copies of one picture left out", label, facts["copies"])
    if facts["fewer"]:
        listed = ", ".join(f"{name} ({count})" for name, count in list(facts["fewer"].items())[:10])
        more = f" and {len(facts['fewer']) - 10} more" if len(facts["fewer"]) > 10 else ""
        log.info("%s: all pairs of %s%s taken, fewer than %d", label, listed, more, pairs)
