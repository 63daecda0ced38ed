"""Stage `wall`: descriptors -> the pictures on a grid, similar ones side by side, and how faithful it is."""

import io
import logging
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import fashionprobe.inputs.arguments as shared
from fashionprobe import progress
from fashionprobe.artifacts import Artifact, Recipe, Result, build
from fashionprobe.errors import UserError, unknown_name
from fashionprobe.inputs.descriptors import Choice, RunDescriptors, read_descriptors
from fashionprobe.plots.save import Figures

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

log = logging.getLogger(__name__)

LEAST = 4
"""Images of a wall; a layout of fewer has nothing to choose."""

SCORES = ("neighbours", "dpq", "same_class")


@dataclass(frozen=True)
class WallScores:
    """How well one wall keeps the likeness of its images.

    Attributes:
        block: The block.
        neighbours: Mean share of the images beside an image (up to eight) that are among its eight nearest by
            descriptor; None when there is nothing to score, as with identical descriptors.
        dpq: Distance preservation quality with p = 16; None when there is nothing to score.
        same_class: Mean share of the images beside an image that have its class; None without a label.
    """

    block: int
    neighbours: float | None
    dpq: float | None
    same_class: float | None


@dataclass(frozen=True)
class Walls(Result):
    """Walls on disk.

    Attributes:
        table: One row per block and layout, `scores.csv`.
        layout: The layout of the walls.
        images: Number of images of a wall.
        laid: The scores of each wall.
    """

    table: Path
    layout: str
    images: int
    laid: tuple[WallScores, ...]


@shared.stage(images=f"[{LEAST}, inf)")
def wall(
    *,
    run: shared.Place,
    block: int | list[int] | None = None,
    label: str | None = None,
    layout: Literal["las", "gridcut"] = "las",
    images: int = 1024,
    normalization: Literal["none", "l2", "standard", "whiten", "sqrt", "sqrt_whiten"] = "none",
    compare: bool = False,
    seed: int = 0,
    cell: int = 72,
    overwrite: bool = False,
    tfrecords_root: str = "tfrecords",
    runs_root: str = "runs",
) -> Walls:
    """Arrange the images on a grid, similar ones side by side.

    Nothing is trained. The descriptors are projected into the plane by t-SNE, and each image is given a cell of its
    own. Two layouts do that, and both are scored beside a random one: las, linear assignment sorting, and gridcut, an
    assignment improved by minimum cuts, reconstructed from the description of a method whose paper could not be found.
    The wall is written as PNG alone: as SVG, a thousand pictures would make a file that few programs open.

    Args:
        block: Block number, or several as [1,4], one wall for each. Default: the deepest.
        label: Label column whose classes colour the frames; images without it are left out. Default: no frames.
        layout: las or gridcut.
        images: Images of a wall; if there are more, a random sample.
        compare: Also draw las, gridcut and UMAP, which is on no grid, side by side, each with the share of neighbours
            that it keeps.
        cell: Height of a picture in pixels, and its largest width.

    Returns:
        The walls: path and scores.

    Raises:
        UserError: If there is no such block, label or run, there are fewer than four images, or the record set is gone.

    Example:
        fashionprobe wall --run colour --block 1 --label baseColour
    """
    folder = shared.run_path(run, runs_root)
    described = read_descriptors(folder)
    blocks = described.choose_blocks(shared.numbers(described.blocks[-1] if block is None else block) or None)

    from fashionprobe.attributes.normalization import NORMALIZATIONS

    for argument, value, valid in (
        ("layout", layout, ("las", "gridcut")),
        ("normalization", normalization, NORMALIZATIONS),
    ):
        if value not in valid:
            raise unknown_name(argument, value, valid)
    label = label and shared.spelled(label)
    chosen = _choose(described, label, images, seed)
    recipe = Recipe(
        "wall",
        {
            "block": blocks, "label": label, "layout": layout, "images": images, "normalization": normalization,
            "seed": seed, "cell": cell,
        }
        # This came later: without it a recipe is the same as ever.
        | ({"compare": True} if compare else {}),
        {"extract": described.artifact.fingerprint},
    )  # fmt: skip
    artifact = build(
        folder / "wall",
        recipe,
        lambda draft: _write(draft, described, chosen, blocks, recipe.arguments, tfrecords_root),
        overwrite=overwrite,
    )
    return _result(artifact)


def _choose(described: RunDescriptors, label: str | None, images: int, seed: int) -> Choice:
    """Draw the images of the wall, in the order of the rows."""
    import numpy as np

    there = len(described.items)
    every = Choice(np.arange(there), np.full(there, ""), 0, {})
    found = every if label is None else described.choose(label)
    if len(found.rows) < LEAST:
        expected = "a run" if label is None else "a column"
        raise UserError(
            "label" if label else "run", expected=f"{expected} with {LEAST} images or more", received=len(found.rows),
            remedy="" if label is None else "Leave --label out for a wall of all images.",
        )  # fmt: skip
    kept = np.sort(np.random.default_rng(seed).permutation(len(found.rows))[:images])
    return Choice(found.rows[kept], found.classes[kept], found.missing, {})


def _write(
    draft: Path,
    described: RunDescriptors,
    chosen: Choice,
    blocks: tuple[int, ...],
    arguments: Any,
    tfrecords_root: str,
) -> dict[str, Any]:
    import pandas as pd

    from fashionprobe.attributes.layouts.grid import shape
    from fashionprobe.plots.wall import layout_scores

    pictures = _pictures(described.thumbnails(chosen.rows, tfrecords_root, height=arguments["cell"]))
    rows, columns = shape(len(chosen.rows))
    tables, figures, label = [], Figures(draft), arguments["label"]
    with progress.bar(total=4 * len(blocks), unit="step", description="wall") as bar:
        for block in blocks:
            grids, scores = _lay(described, chosen, block, (rows, columns), arguments, bar.update)
            scores.insert(0, "block", block)
            tables.append(scores)
            cells = grids[arguments["layout"]]
            _write_cells(draft / f"wall_block{block}.csv", described, chosen, cells, columns)
            name = _write_wall(draft, block, pictures, chosen, cells, (rows, columns), arguments)
            figures.describe(name, f"Wall of block {block}{_by(label)}", _caption(label, chosen), zoom=True)
            if arguments.get("compare"):
                _compare(figures, described, chosen, block, pictures, grids, scores, (rows, columns), arguments)
            bar.update()
    table = pd.concat(tables, ignore_index=True)
    table = table.assign(images=len(chosen.rows), rows=rows, columns=columns)
    table.to_csv(draft / "scores.csv", index=False, float_format="%.6f")
    if table[list(SCORES)].notna().any(axis=None):
        caption = (
            "How much of the likeness of descriptors each layout keeps, the same images in each; random is a layout by "
            "chance. Larger is better. By chance the distance preservation quality is more than 0: among pictures as "
            "near on the grid, the likest counts first."
        )
        title = "What the layouts keep"
        figures.add("scores", layout_scores(table, title=title), title, caption)
    found = table[table["layout"] == arguments["layout"]]
    chance = table[table["layout"] == "random"]
    return {
        "layout": arguments["layout"],
        "images": len(chosen.rows),
        "missing": chosen.missing,
        "grid": [rows, columns],
        "laid": [_plain(row) for row in found.to_dict("records")],
        "random": [_plain(row) for row in chance.to_dict("records")],
        "figures": figures.notes,
    }


def _lay(
    described: RunDescriptors, chosen: Choice, block: int, grid: tuple[int, int], arguments: Any, report: Any
) -> "tuple[dict[str, np.ndarray], pd.DataFrame]":
    """Lay out one block; return the cell of each image by layout, and the table of scores."""
    import numpy as np

    from fashionprobe.attributes.layouts.grid import project, scores
    from fashionprobe.attributes.layouts.gridcut import gridcut
    from fashionprobe.attributes.layouts.las import las
    from fashionprobe.attributes.normalization import fit

    seed = arguments["seed"]
    descriptors = np.asarray(described.matrix(block)[chosen.rows], np.float32)
    descriptors = fit(arguments["normalization"], descriptors)(descriptors)
    positions = project(descriptors, seed)
    report()
    # The layout of the wall first, in the tables as on the figure.
    makers = dict(sorted({"las": las, "gridcut": gridcut}.items(), key=lambda item: item[0] != arguments["layout"]))
    grids = {name: make(descriptors, positions, *grid, seed=seed) for name, make in makers.items()}
    report()
    grids["random"] = np.random.default_rng(seed).permutation(grid[0] * grid[1])[: len(descriptors)]
    classes = None if arguments["label"] is None else chosen.classes
    table = scores(descriptors, grids, *grid, classes=classes)
    report()
    return grids, table


def _compare(
    figures: Figures, described: RunDescriptors, chosen: Choice, block: int, pictures: "list[np.ndarray]",
    grids: "dict[str, np.ndarray]", scores: "pd.DataFrame", grid: tuple[int, int], arguments: Any,
) -> None:  # fmt: skip
    """Draw the layouts of one block and a UMAP of it side by side."""
    import numpy as np

    from fashionprobe.attributes.layouts.grid import neighbours_in_plane
    from fashionprobe.attributes.normalization import fit
    from fashionprobe.attributes.reduce import reduce
    from fashionprobe.plots.wall import layouts

    rows, columns = grid
    kept = scores.set_index("layout")["neighbours"]
    panels = []
    for name, title in (("las", "LAS"), ("gridcut", "GridCut")):
        cells = grids[name]
        places = np.stack([cells // columns / max(rows - 1, 1), cells % columns / max(columns - 1, 1)], axis=1)
        panels.append((f"{title}: {kept[name]:.0%} of neighbours kept", places))
    descriptors = np.asarray(described.matrix(block)[chosen.rows], np.float32)
    descriptors = fit(arguments["normalization"], descriptors)(descriptors)
    points = reduce(descriptors, 2, seed=arguments["seed"]).points
    share, spread = neighbours_in_plane(descriptors, points), np.ptp(points, axis=0)
    places = (points - points.min(axis=0)) / np.where(spread > 0, spread, 1)
    panels.append((f"UMAP: {share:.0%} of neighbours kept", places[:, ::-1]))
    title = f"Layouts of block {block}"
    figures.add(
        f"layouts_block{block}", layouts(pictures, panels, cell=24, across=max(grid), title=title), title,
        "The same images on two grids and by UMAP, where they may overlap. Kept is the share of the pictures beside a "
        "picture (of UMAP the eight nearest) that are among its eight nearest by descriptor.",
    )  # fmt: skip


def _pictures(files: list[bytes]) -> "list[np.ndarray]":
    import numpy as np
    from PIL import Image

    return [np.asarray(Image.open(io.BytesIO(file)).convert("RGB")) for file in files]


def _write_cells(path: Path, described: RunDescriptors, chosen: Choice, cells: "np.ndarray", columns: int) -> None:
    import pandas as pd

    table = {
        "row": chosen.rows,
        "id": described.items["id"].to_numpy(str)[chosen.rows],
        "grid_row": cells // columns,
        "grid_column": cells % columns,
        "class": chosen.classes,
    }
    pd.DataFrame(table).to_csv(path, index=False)


def _write_wall(
    draft: Path,
    block: int,
    pictures: "list[np.ndarray]",
    chosen: Choice,
    cells: "np.ndarray",
    grid: tuple[int, int],
    arguments: Any,
) -> str:
    """Write the picture of one wall and return its name."""
    from fashionprobe.plots import wall as plots
    from fashionprobe.plots.save import png

    label = arguments["label"]
    figure = plots.wall(
        pictures,
        cells,
        *grid,
        cell=arguments["cell"],
        classes=None if label is None else chosen.classes,
        title=f"Block {block}{_by(label)}",
    )
    name = f"wall_block{block}"
    (draft / f"{name}.png").write_bytes(png(figure, dpi=plots.DPI))
    return name


def _by(label: str | None) -> str:
    return "" if label is None else f", framed by {label}"


def _caption(label: str | None, chosen: Choice) -> str:
    missing = f" {chosen.missing} images without a {label} are left out." if chosen.missing else ""
    knows = " The frame is the class: where frames of one colour stand together, the block knows it."
    frames = "" if label is None else knows
    return (
        f"{len(chosen.rows)} images, each beside those that the descriptor of this block finds like it. The directions "
        f"mean nothing by themselves.{frames}{missing} Zoom in to see the pictures."
    )


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row of scores as JSON has it: without NaN."""
    scores = {name: None if math.isnan(row[name]) else round(float(row[name]), 6) for name in SCORES}
    return {"block": int(row["block"]), **scores}


def _result(artifact: Artifact) -> Walls:
    facts = artifact.facts
    laid = tuple(WallScores(**row) for row in facts["laid"])
    best = max(range(len(laid)), key=lambda place: laid[place].dpq or 0)
    kept, chance = laid[best].neighbours, facts["random"][best]["neighbours"]
    if kept is None or chance is None:
        words = "all descriptors are the same, so there is nothing to keep"
    else:
        words = f"{kept:.0%} of the pictures beside a picture are among its 8 nearest (by chance {chance:.0%}), "
        words += f"DPQ16 {laid[best].dpq or 0:.3f}"
    rows, columns = facts["grid"]
    log.info(
        "%s: %d images on %d x %d cells by %s, block %d: %s. Next: fashionprobe report --run %s",
        artifact.outcome, facts["images"], rows, columns, facts["layout"],
        laid[best].block, words, artifact.path.parent.name,
    )  # fmt: skip
    return Walls(
        artifact.path, artifact.path / "scores.csv", facts["layout"], facts["images"], laid, reused=artifact.reused
    )
