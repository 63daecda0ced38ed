"""Stage `retrieve`: descriptors -> how many of the nearest images share a label with the query, block by block."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import fashionprobe.inputs.arguments as shared
from fashionprobe import progress
from fashionprobe import text_tables as tables
from fashionprobe.artifacts import Artifact, Recipe, Result, build
from fashionprobe.errors import Situation, unknown_name
from fashionprobe.inputs.descriptors import Choice, RunDescriptors, read_descriptors, records_of
from fashionprobe.plots.save import Figures

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from fashionprobe.attributes.retrieve import QueryResults, Setting

log = logging.getLogger(__name__)

TOP = 10
"""Results of a query, where the user gives no number and there are so many."""

SHOWN = 5
"""Best and worst queries on a contact sheet."""

ACROSS = 10
"""Results of a query on a contact sheet, at most."""

HEIGHT = 160
"""Height of a picture on a contact sheet in pixels."""


@dataclass(frozen=True)
class Answer:
    """By which block a label is found best.

    Attributes:
        label: The label column.
        block: The block with the highest precision.
        normalization: What was done to its descriptors.
        precision: Mean precision of the first results there, in [0, 1].
        low: Lower end of its 95 % interval.
        high: Upper end.
        chance: Precision of blind draws.
        last_block: The deepest block.
        last_precision: Precision there, with the normalization that is best there.
    """

    label: str
    block: int
    normalization: str
    precision: float
    low: float
    high: float
    chance: float
    last_block: int
    last_precision: float


@dataclass(frozen=True)
class Retrieval(Result):
    """Precisions on disk.

    Attributes:
        answers: The best block of each label.
        both: Of two labels, the precision of results that have both in common with the query, when found by the best
            blocks of both at once; None for one label, or more than two.
    """

    answers: tuple[Answer, ...]
    both: float | None


@shared.stage
def retrieve(
    *,
    run: shared.Place,
    label: list[str] | str,
    block: int | list[int] | None = None,
    queries: int = 500,
    top: int | None = None,
    normalization: list[str] | str = "none,whiten",
    metric: Literal["euclidean", "cosine"] = "euclidean",
    min_images: int | None = None,
    seed: int = 0,
    overwrite: bool = False,
    tfrecords_root: str = "tfrecords",
    runs_root: str = "runs",
) -> Retrieval:
    """Find the block that retrieves images of a class best.

    Nothing is trained. Each query is an image with the label; it finds the nearest other images with the label, and the
    precision is the share of them that has its class. Copies of the query's picture are left out. Of two labels, images
    are also found by the best blocks of both at once: by the sum of their distances, each as z-scores over all images.

    Args:
        queries: Number of queries, drawn with the seed; all images where there are fewer.
        top: Number of results over which precision is taken. Default: 10, or half of the
            other images where there are fewer.
        normalization: What is done to descriptors before: none, l2, standard or whiten, or several as none,whiten.

    Returns:
        The retrieval: path, and the best block of each label.

    Raises:
        UserError: If there is no such label, block or run, or there are fewer images than results wanted.

    Example:
        fashionprobe retrieve --run colour --label baseColour
    """
    from fashionprobe.attributes.folds import check_two
    from fashionprobe.attributes.normalization import NORMALIZATIONS
    from fashionprobe.attributes.retrieve import Setting

    labels = shared.listed("label", label) or []
    normalizations = shared.listed("normalization", normalization) or []
    for name in normalizations:
        if name not in NORMALIZATIONS:
            raise unknown_name("normalization", name, NORMALIZATIONS)
    if metric not in ("euclidean", "cosine"):
        raise unknown_name("metric", metric, ("euclidean", "cosine"))
    folder = shared.run_path(run, runs_root)
    described = read_descriptors(folder, evaluating=True)
    blocks = described.choose_blocks(shared.numbers(block))
    chosen = {name: described.choose(name, min_images) for name in labels}
    for name, choice in chosen.items():
        check_two(name, choice.classes)
    if top is None:
        most = min(_most(described, choice.rows) for choice in _all(chosen))
        # Where a query finds all others, its precision is the share of its class.
        top = TOP if most >= TOP else max(most // 2, 1)
    if len(chosen) == 2 and len(_rows_of_both(list(chosen.values()))) <= top:
        both = len(_rows_of_both(list(chosen.values())))
        raise Situation(
            "label", f"{' and '.join(labels)}: only {both} images have both, and --top {top} needs at least {top + 1}.",
            "Give one of them, or lower --top.",
        )  # fmt: skip
    recipe = Recipe(
        "retrieve",
        {
            "label": labels, "block": list(blocks), "queries": queries, "top": top, "normalization": normalizations,
            "metric": metric, "min_images": min_images, "seed": seed,
        },
        {"extract": described.artifact.fingerprint},
    )  # fmt: skip
    setting = Setting(queries, top, metric, seed)
    artifact = build(
        folder / "retrieve",
        recipe,
        lambda draft: _write(draft, described, chosen, blocks, normalizations, setting, tfrecords_root),
        overwrite=overwrite,
    )
    return _result(artifact)


def _write(
    draft: Path,
    described: RunDescriptors,
    chosen: dict[str, Choice],
    blocks: tuple[int, ...],
    normalizations: list[str],
    setting: "Setting",
    tfrecords_root: str,
) -> dict[str, Any]:
    import pandas as pd

    from fashionprobe.attributes.retrieve import by_block

    tables, best, figures = [], {}, Figures(draft)
    matrices = {block: described.matrix(block) for block in blocks}
    pictures = records_of(described.artifact, tfrecords_root) is not None
    steps = len(chosen) * len(blocks) * len(normalizations)
    with progress.bar(total=steps, unit="search", description="retrieve") as bar:
        for label, choice in chosen.items():
            table, classes, found = by_block(
                matrices, choice.classes, choice.rows, same=_same(described, choice.rows),
                normalizations=normalizations, setting=setting, report=bar.update,
            )  # fmt: skip
            table.insert(0, "label", label)
            tables.append(table)
            row = int(table["precision_mean"].to_numpy().argmax())
            best[label] = _answer(table, row) | {"missing": choice.missing, "left_out": choice.left_out}
            name, block = shared.file_name(label), best[label]["block"]
            classes.to_csv(draft / f"per_class_{name}.csv", index=False, float_format="%.6f")
            _write_results(draft, name, described, choice, found[row])
            _draw(figures, name, label, table, setting.top, best[label])
            if pictures:
                _draw_queries(figures, name, label, block, described, choice, found[row], tfrecords_root)
    pd.concat(tables, ignore_index=True).to_csv(draft / "retrieval.csv", index=False, float_format="%.6f")
    both = None
    if len(chosen) == 2:
        both = _of_both(figures, described, chosen, best, setting)
    return {"best": best, "both": both, "top": setting.top, "pictures": pictures, "figures": figures.notes}


def _all(chosen: dict[str, Choice]) -> list[Choice]:
    """Return the images of each label, and those of both where there are two."""
    choices = list(chosen.values())
    if len(choices) == 2 and len(rows := _rows_of_both(choices)) > 1:
        choices.append(replace(choices[0], rows=rows))
    return choices


def _most(described: RunDescriptors, rows: "np.ndarray") -> int:
    """Return how many other images every query can find."""
    import numpy as np

    copies = int(np.bincount(_same(described, rows)).max())
    return max(len(rows) - copies, 1)


def _same(described: RunDescriptors, rows: "np.ndarray") -> "np.ndarray":
    """Return for each image the first with the same picture."""
    import numpy as np

    from fashionprobe.attributes.folds import identical

    return identical(np.asarray(described.matrix(described.blocks[0])[rows]))


def _answer(table: "pd.DataFrame", row: int) -> dict[str, Any]:
    """Return the fields of `Answer` for the best row of a label's table."""
    best = table.iloc[row]
    deepest = table[table["block"] == table["block"].max()]
    return {
        "block": int(best["block"]), "normalization": str(best["normalization"]),
        "precision": float(best["precision_mean"]), "low": float(best["low"]), "high": float(best["high"]),
        "chance": float(best["chance"]), "last_block": int(deepest["block"].iloc[0]),
        "last_precision": float(deepest["precision_mean"].max()),
    }  # fmt: skip


def _write_results(draft: Path, name: str, described: RunDescriptors, choice: Choice, found: "QueryResults") -> None:
    """Write the precision of each query, and what it found, by the best block."""
    import numpy as np
    import pandas as pd

    ids = described.items["id"].to_numpy(str)[choice.rows]
    queries = {"id": ids[found.queries], "class": choice.classes[found.queries]}
    precision = found.shares(choice.classes)
    table = pd.DataFrame({**queries, "precision": precision}).sort_values("precision", ascending=False, kind="stable")
    table.to_csv(draft / f"queries_{name}.csv", index=False, float_format="%.6f")
    count, top = found.rows.shape
    results = pd.DataFrame(
        {
            "query": np.repeat(queries["id"], top), "rank": np.tile(np.arange(1, top + 1), count),
            "id": ids[found.rows.ravel()], "class": choice.classes[found.rows.ravel()],
            "distance": found.distances.ravel(),
        }
    )  # fmt: skip
    results.to_csv(draft / f"results_{name}.csv", index=False, float_format="%.6g")


def _draw(figures: Figures, name: str, label: str, table: "pd.DataFrame", top: int, best: Mapping[str, Any]) -> None:
    from fashionprobe.plots.retrieval import precision_by_block

    caption = (
        f"How many of the {top} nearest images have the query's {label}, over {table['queries'].iloc[0]} queries. Bars "
        f"are 95 % intervals (1.96 standard errors over queries). Best is block {best['block']}: "
        f"{best['precision']:.2f}, where blind draws would give {best['chance']:.2f}."
    )
    figures.add(f"retrieval_{name}", precision_by_block(table, top=top, title=label), f"Retrieval by {label}", caption)


def _draw_queries(
    figures: Figures,
    name: str,
    label: str,
    block: int,
    described: RunDescriptors,
    choice: Choice,
    found: "QueryResults",
    tfrecords_root: str,
) -> None:
    """Draw the best and the worst queries with what they found."""
    import numpy as np

    from fashionprobe.attributes.retrieve import best_and_worst
    from fashionprobe.plots.retrieval import Result, result_sheet

    sheets = dict(zip(("best", "worst"), best_and_worst(found, choice.classes, SHOWN), strict=True))
    right = (found.shares(choice.classes) * found.rows.shape[1]).round().astype(int)
    rows = np.unique(
        [(found.queries[place], *found.rows[place, :ACROSS]) for each in sheets.values() for place in each]
    )
    pictures = dict(zip(rows, _pictures(described, choice.rows[rows], tfrecords_root), strict=True))
    for kind, places in sheets.items():
        results = []
        for place in places:
            query, others = found.queries[place], found.rows[place, :ACROSS]
            results.append(
                Result(
                    pictures[query], str(choice.classes[query]), [pictures[row] for row in others],
                    choice.classes[others].tolist(), f"{right[place]} of {found.rows.shape[1]}\nright",
                )
            )  # fmt: skip
        sheet = result_sheet(results, title=f"{label}: {kind} queries at block {block}")
        caption = (
            f"{kind.capitalize()} queries by {label} at block {block}, at most one a class while there are classes "
            "enough: the query on the left, then its nearest images. A cross and a frame mark those of another class."
        )
        figures.add(f"{kind}_{name}", sheet, f"{kind.capitalize()} queries by {label}", caption, zoom=True)


def _pictures(described: RunDescriptors, rows: "np.ndarray", tfrecords_root: str) -> "list[np.ndarray]":
    """Return small pictures, uint8 (height, width, 3) each."""
    import io

    import numpy as np
    from PIL import Image

    files = described.thumbnails(rows, tfrecords_root, height=HEIGHT)
    return [np.asarray(Image.open(io.BytesIO(each)).convert("RGB")) for each in files]


def _of_both(
    figures: Figures,
    described: RunDescriptors,
    chosen: dict[str, Choice],
    best: Mapping[str, Mapping[str, Any]],
    setting: "Setting",
) -> float:
    """Search by the best block of each label and by both at once, among the images that have both."""
    import numpy as np

    from fashionprobe.attributes.retrieve import by_descriptor
    from fashionprobe.plots.retrieval import precision_by_descriptor

    rows = _rows_of_both(list(chosen.values()))
    table = by_descriptor(
        {f"{label}, block {own['block']}": described.matrix(own["block"])[rows] for label, own in best.items()},
        {label: choice.classes[np.isin(choice.rows, rows)] for label, choice in chosen.items()},
        same=_same(described, rows),
        normalizations=[own["normalization"] for own in best.values()],
        setting=setting,
    )
    table.to_csv(figures.folder / "both.csv", index=False, float_format="%.6f")
    labels = " and ".join(chosen)
    caption = (
        f"Retrieval by the best block of {labels}, each alone and both at once (the sum of the distances as z-scores), "
        f"over {table['queries'].iloc[0]} queries among the {len(rows)} images that have both labels; 95 % intervals."
    )
    drawn = precision_by_descriptor(table, top=setting.top, title=labels)
    figures.add("both", drawn, f"Retrieval by {labels}", caption)
    return float(table["precision_mean"].iloc[-1])


def _rows_of_both(choices: list[Choice]) -> "np.ndarray":
    """Return the rows of the images that have both labels."""
    import numpy as np

    return np.intersect1d(choices[0].rows, choices[1].rows, assume_unique=True)


def _result(artifact: Artifact) -> Retrieval:
    facts, answers, said = artifact.facts, [], []
    log.info("precision@%d by block: the best normalization of each", facts["top"])
    for line in tables.by_block(artifact.path / "retrieval.csv", "precision_mean"):
        log.info("%s", line)
    for label, best in facts["best"].items():
        if best["missing"]:
            log.info("%s: %d images without this label left out", label, best["missing"])
        if best["left_out"]:
            rare, images = len(best["left_out"]), sum(best["left_out"].values())
            log.info("%s: %d rare classes left out (%d images)", label, rare, images)
        answer = Answer(label, **{name: best[name] for name in Answer.__dataclass_fields__ if name != "label"})
        answers.append(answer)
        last = f", {answer.last_precision:.2f} at block {answer.last_block}"
        said.append(
            f"{label}: precision@{facts['top']} {answer.precision:.2f} at block {answer.block}"
            + (last if answer.last_block != answer.block else "")
        )
    if facts["both"] is not None:
        said.append(f"both at once: {facts['both']:.2f}")
    if not facts["pictures"]:
        log.info("No contact sheets: the record set that was described is gone or was recreated.")
    path = artifact.path
    log.info("%s: %s. Next: fashionprobe report --run %s", artifact.outcome, "; ".join(said), path.parent.name)
    return Retrieval(path, tuple(answers), facts["both"], reused=artifact.reused)
