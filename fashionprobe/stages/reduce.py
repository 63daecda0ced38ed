"""Stage `reduce`: descriptors -> each block as a map of the images, and whether its clusters are the classes."""

import base64
import json
import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import fashionprobe.inputs.arguments as shared
from fashionprobe import progress, text_tables
from fashionprobe.artifacts import Artifact, Recipe, Result, build
from fashionprobe.errors import UserError, unknown_name
from fashionprobe.inputs.descriptors import RunDescriptors, read_descriptors, records_of
from fashionprobe.plots.save import Figures

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

log = logging.getLogger(__name__)

PLANE = 2
"""Dimensions of the maps; always among those that are computed."""

THUMBNAIL = 84
"""Height of the thumbnails in pixels."""

AGREE = (
    "HDBSCAN looked for clusters in each block's map, without knowing the classes; the bars say how far they agree. "
    "ARI (adjusted Rand index) and AMI (adjusted mutual information) are 0 for clusters that have nothing to do with "
    "the classes, and 1 for clusters that are the classes. The images in no cluster (noise) count as one more "
    "cluster. {seed}"
)
MAP = (
    "Each point is an image, each class a colour and a marker: UMAP put images with similar descriptors of block "
    "{block} side by side. Only nearness has a meaning: axes have none, and wide gaps were cut. {which} {seed}"
)
CLUSTERS = (
    "Each point is an image, each cluster a colour and a marker: UMAP put images with similar descriptors of block "
    "{block} side by side, and HDBSCAN found the clusters in that map. Only nearness has a meaning: axes have none, "
    "and wide gaps were cut. {which} {seed}"
)
NOISE = "in no cluster"
UNSEEDED = "Computed without a seed: another run gives another map, and other figures."
"""What the report says below the figures."""


@dataclass(frozen=True)
class ClusterAgreement:
    """The block whose clusters agree best with a label.

    Attributes:
        label: The label column.
        block: The block with the highest adjusted mutual information.
        dimensions: Dimensions of the space in which the clusters were found.
        ari: Adjusted Rand index, noise as a cluster.
        ami: Adjusted mutual information, noise as a cluster.
        clusters: Number of clusters.
        noise: Share of the images in none, in [0, 1].
    """

    label: str
    block: int
    dimensions: int
    ari: float
    ami: float
    clusters: int
    noise: float


@dataclass(frozen=True)
class Reductions(Result):
    """Reduced descriptors and their clusters on disk.

    Attributes:
        table: One row per label, block and number of dimensions, `clusters.csv`.
        answers: The block that agrees best with each label.
    """

    table: Path
    answers: tuple[ClusterAgreement, ...]


@dataclass(frozen=True)
class _Job:
    """The resolved arguments."""

    labels: list[str]
    blocks: tuple[int, ...]
    dimensions: list[int]
    neighbours: int
    min_cluster_size: int
    normalization: str
    seed: int | None


@shared.stage(neighbours="[2, inf)")
def reduce(
    *,
    run: shared.Place,
    label: list[str] | str | None = None,
    block: int | list[int] | None = None,
    dimensions: int | list[int] | None = None,
    neighbours: int = 15,
    min_cluster_size: int | None = None,
    normalization: Literal["none", "l2", "standard", "whiten", "sqrt", "sqrt_whiten"] = "none",
    seed: int | None = 0,
    overwrite: bool = False,
    tfrecords_root: str = "tfrecords",
    runs_root: str = "runs",
) -> Reductions:
    """Draw each block as a map of the images, with clusters.

    The clusters are compared with the classes of a label. UMAP reduces the descriptors of a block to two dimensions or
    more, HDBSCAN clusters the points, and the adjusted Rand index (ARI) and adjusted mutual information (AMI) say how
    far clusters and classes agree. Neither step knows the classes. In the report each point of a map shows its image.
    Without a label the maps show the clusters.

    Args:
        dimensions: Dimensions to reduce to, or several as 2,8,32. The maps have 2, which is always among them.
        neighbours: Neighbours of each image that should stay near it: few show detail, many the overall shape.
        min_cluster_size: Images of the smallest cluster. Default: 0.5 % of the images, at least 5.
        seed: Seed of UMAP. With null it is faster on many cores, and each run gives another result.

    Returns:
        The reduction: paths, and the block whose clusters agree best with each label.

    Raises:
        UserError: If there is no such label, run or block, a label has one class only, or the set is too small.

    Example:
        fashionprobe reduce --run colour --label baseColour
    """
    spaces = _spaces(dimensions)
    folder = shared.run_path(run, runs_root)
    described = read_descriptors(folder, evaluating=bool(label))
    labels = shared.listed("label", label) or []
    for name in labels:
        _check_label(described, name)
    from fashionprobe.attributes.reduce import least_size

    _check_sizes(len(described.items), spaces, min_cluster_size, normalization)
    job = _Job(
        labels,
        described.choose_blocks(shared.numbers(block)),
        spaces,
        neighbours,
        min_cluster_size or least_size(len(described.items)),
        normalization,
        seed,
    )
    seen = records_of(described.artifact, tfrecords_root) is not None
    artifact = build(
        folder / "reduce",
        Recipe("reduce", {**asdict(job), "thumbnails": seen}, {"extract": described.artifact.fingerprint}),
        lambda draft: _write(draft, described, job, tfrecords_root if seen else None),
        overwrite=overwrite,
    )
    return _result(artifact)


def _spaces(dimensions: int | list[int] | None) -> list[int]:
    """Return the numbers of dimensions, the plane among them."""
    asked = shared.numbers(dimensions)
    if asked == []:
        raise UserError("dimensions", expected="a number, or several as 2,8", received=asked)
    return sorted({PLANE, *(asked or [])})


def _check_sizes(images: int, spaces: list[int], min_cluster_size: int | None, normalization: str) -> None:
    """Check what depends on the number of images, before minutes of work."""
    from fashionprobe.attributes.normalization import NORMALIZATIONS

    if spaces[-1] >= images:
        raise UserError("dimensions", expected=f"in 1 to {images - 1}, fewer than images", received=spaces[-1])
    if min_cluster_size is not None and min_cluster_size > images:
        raise UserError("min_cluster_size", expected=f"an int in the range [2, {images}]", received=min_cluster_size)
    if normalization not in NORMALIZATIONS:
        raise unknown_name("normalization", normalization, NORMALIZATIONS)


def _check_label(described: RunDescriptors, label: str) -> None:
    classes = sorted(set(described.choose(label, None).classes.tolist()))
    if len(classes) < 2:
        raise UserError(
            label, expected="a column with two classes or more", received=f"one class: {classes}",
            remedy="Choose another column.",
        )  # fmt: skip


def _write(draft: Path, described: RunDescriptors, job: _Job, tfrecords_root: str | None) -> dict[str, Any]:
    """Compute, and fill the files of the artifact."""
    import numpy as np
    import pandas as pd

    from fashionprobe.attributes.reduce import versions

    shown = _shown(len(described.items), job.seed)
    _write_thumbnails(draft, described, shown, tfrecords_root)
    rows, maps = [], {}
    total = len(job.blocks) * len(job.dimensions)
    with progress.bar(total=total, unit="reduction", description="reduce") as bar:
        for block in job.blocks:
            for dimensions, points, clusters in _reductions(described, block, job):
                np.save(draft / f"umap{dimensions}_block{block}.npy", points)
                rows += _agreements(described, job, block, dimensions, clusters)
                if dimensions == PLANE:
                    maps[block] = (points, clusters)
                bar.update()
    columns = ["label", "block", "dimensions", "ari", "ami", "clusters", "noise", "images"]
    table = pd.DataFrame(rows, columns=None if rows else columns)
    table.to_csv(draft / "clusters.csv", index=False, float_format="%.6f")
    figures = Figures(draft)
    _draw(figures, described, job, table, maps, shown, pictures=tfrecords_root is not None)
    best = {str(label): _best(found) for label, found in table.groupby("label", sort=False)}
    return {"best": best, "reproducible": job.seed is not None, "versions": versions(), "figures": figures.notes}


def _reductions(described: RunDescriptors, block: int, job: _Job) -> Any:
    """Yield each number of dimensions with the points and their clusters."""
    import numpy as np

    from fashionprobe.attributes import normalization
    from fashionprobe.attributes import reduce as reduction
    from fashionprobe.attributes.reduce import cluster

    matrix = np.asarray(described.matrix(block))
    # Nothing is evaluated on held-out images here, so all of them may shape the space.
    known = reduction.nearest(normalization.fit(job.normalization, matrix)(matrix), job.neighbours)
    for dimensions in job.dimensions:
        points = reduction.reduce(known, dimensions, seed=job.seed).points
        yield dimensions, points, cluster(points, min_cluster_size=job.min_cluster_size)


def _agreements(
    described: RunDescriptors, job: _Job, block: int, dimensions: int, clusters: "np.ndarray"
) -> list[dict[str, Any]]:
    """Compare the clusters with each label, over the images that have it."""
    from fashionprobe.attributes.reduce import agreement

    rows = []
    for label in job.labels:
        choice = described.choose(label, None)
        found = agreement(choice.classes, clusters[choice.rows])
        rows.append({"label": label, "block": block, "dimensions": dimensions, **asdict(found)})
    return rows


def _best(table: "pd.DataFrame") -> dict[str, Any]:
    """Return the row with the highest AMI; the shallowest block and the fewest dimensions among equals."""
    row = table.iloc[int(table["ami"].to_numpy().argmax())]
    whole = {name: int(row[name]) for name in ("block", "dimensions", "clusters", "images")}
    return whole | {name: round(float(row[name]), 6) for name in ("ari", "ami", "noise")}


def _shown(items: int, seed: int | None) -> "np.ndarray":
    """Draw the images that the maps of the report show, the same in all of them."""
    import numpy as np

    from fashionprobe.report.points import MOST

    return np.sort(np.random.default_rng(seed or 0).permutation(items)[:MOST])


def _write_thumbnails(draft: Path, described: RunDescriptors, rows: "np.ndarray", tfrecords_root: str | None) -> None:
    if tfrecords_root is None:
        return
    from fashionprobe.report.points import THUMBNAILS

    pictures = described.thumbnails(rows, tfrecords_root, height=THUMBNAIL)
    stored = {int(row): base64.b64encode(jpeg).decode("ascii") for row, jpeg in zip(rows, pictures, strict=True)}
    (draft / THUMBNAILS).write_text(json.dumps(stored), encoding="utf-8")


def _draw(
    figures: Figures, described: RunDescriptors, job: _Job, table: "pd.DataFrame", maps: "dict[int, Any]",
    shown: "np.ndarray", *, pictures: bool,
) -> None:  # fmt: skip
    """Draw everything; the pages show the bars of each label, then the maps, the best block first."""
    from fashionprobe.plots.maps import agreement_by_block

    seed = UNSEEDED if job.seed is None else ""
    ranked = []
    for block, (points, clusters) in maps.items():
        _points_table(described, job, points, clusters).to_csv(
            figures.folder / f"points_block{block}.csv", index=False, float_format="%.5f"
        )
    plane = table[table["dimensions"] == PLANE]
    for label in job.labels:
        rows, name = plane[plane["label"] == label], shared.file_name(label)
        bars = agreement_by_block(rows, title=name)
        figures.add(f"clusters_{name}", bars, f"Clusters and classes: {label}", AGREE.format(seed=seed).strip())
        order = rows.sort_values("ami", ascending=False, kind="stable")["block"]
        for rank, block in enumerate(order):
            points, clusters = maps[int(block)]
            file = _write_map(figures, described, label, int(block), points, clusters, shown)
            caption = MAP.format(block=block, which=_which(len(points), len(shown), pictures), seed=seed).strip()
            ranked.append((rank, file, f"Block {block} by {label}", caption))
    for block, (points, clusters) in maps.items() if not job.labels else ():
        file = _write_map(figures, described, None, block, points, clusters, shown)
        caption = CLUSTERS.format(block=block, which=_which(len(points), len(shown), pictures), seed=seed).strip()
        ranked.append((0, file, f"Block {block} by cluster", caption))
    for _, file, title, caption in sorted(ranked, key=lambda each: each[0]):
        figures.describe(file, title, caption, points=f"{file}.json")


def _which(items: int, shown: int, pictures: bool) -> str:
    """Say which images a map shows, and how."""
    said = "Point at one, or tap it, to see " + ("the image." if pictures else "its class, cluster and id.")
    if shown < items:
        said += f" Here are {shown:,} of the {items:,} images, drawn at random; the files have all."
    return said if pictures else f"{said} The record set is gone or was made anew since, so there are no thumbnails."


def _write_map(
    figures: Figures, described: RunDescriptors, label: str | None, block: int, points: "np.ndarray",
    clusters: "np.ndarray", shown: "np.ndarray",
) -> str:  # fmt: skip
    """Draw one map, by a label or by cluster, as a figure and as points for the report; return the name of both."""
    import numpy as np

    from fashionprobe.plots.maps import MISSING, looks, scatter, without_gaps
    from fashionprobe.plots.style import short
    from fashionprobe.report.points import points_table

    by = label or "cluster"
    name = f"map_{shared.file_name(by)}_block{block}"
    points, ids = without_gaps(points), described.items["id"].to_numpy(str)
    if label is not None:
        classes = described.items[label].to_numpy(str)
    else:
        classes = np.array([f"cluster {number}" if number >= 0 else "" for number in clusters])
    missing = MISSING if label is not None else NOISE
    figures.write(name, scatter(points, classes, title=f"Block {block} by {by}", missing=missing))
    found, look_of = looks(classes, missing=missing)
    words = [
        (short(classes[row] or missing), NOISE if clusters[row] < 0 else f"cluster {clusters[row]}",
         short(ids[row], 40))
        for row in shown
    ]  # fmt: skip
    table = points_table(points[shown], [asdict(look) for look in found], look_of[shown], words, shown)
    (figures.folder / f"{name}.json").write_text(json.dumps(table, ensure_ascii=False), encoding="utf-8")
    return name


def _points_table(described: RunDescriptors, job: _Job, points: "np.ndarray", clusters: "np.ndarray") -> "pd.DataFrame":
    """Return one row per image: row, id, x, y, cluster, and the labels, renamed where a name is taken."""
    table = described.items[["row", "id"]].assign(x=points[:, 0], y=points[:, 1], cluster=clusters)
    for label in job.labels:
        table[label if label not in table else f"{label}_label"] = described.items[label]
    return table


def _result(artifact: Artifact) -> Reductions:
    answers = []
    if artifact.facts["best"]:
        log.info("AMI of clusters and classes by block: the best number of dimensions of each")
        for line in text_tables.by_block(artifact.path / "clusters.csv", "ami"):
            log.info("%s", line)
    for label, best in artifact.facts["best"].items():
        answer = ClusterAgreement(
            label, **{name: best[name] for name in ClusterAgreement.__dataclass_fields__ if name != "label"}
        )
        answers.append(answer)
        log.info(
            "clusters agree best with %s at block %d in %d dimensions: ARI %.3f, AMI %.3f (%d clusters, %.0f %% noise)",
            label, answer.block, answer.dimensions, answer.ari, answer.ami, answer.clusters, 100 * answer.noise,
        )  # fmt: skip
    if not artifact.facts["reproducible"]:
        log.info("Computed without a seed: another run gives other results.")
    log.info("%s. Next: fashionprobe report --run %s", artifact.outcome, artifact.path.parent.name)
    return Reductions(artifact.path, artifact.path / "clusters.csv", tuple(answers), reused=artifact.reused)
