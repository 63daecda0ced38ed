"""Stage `index`: descriptors -> an index to search in and to tag with, built once and then only added to."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fashionprobe.inputs.arguments as shared
from fashionprobe.artifacts import MANIFEST, Recipe, Result, build, load
from fashionprobe.backbones.pooling import Block
from fashionprobe.errors import UserError, unknown_name
from fashionprobe.inputs.descriptors import RunDescriptors, read_descriptors, records_of
from fashionprobe.inputs.index import open_index

if TYPE_CHECKING:
    from fashionprobe.attributes.index import Group

log = logging.getLogger(__name__)

FITTED_ON = 20_000
"""Images that a normalization is fitted on at most: more change nothing, and the fit holds them in memory."""

READING = "whiten"
"""Normalization of descriptors that are compared with the means of classes: the best of all in our measurements."""


@dataclass(frozen=True)
class IndexSummary(Result):
    """An index on disk.

    Attributes:
        images: Number of images in it.
        groups: Block of each group.
    """

    images: int
    groups: dict[str, Block]


@shared.stage
def index(
    *,
    run: shared.Place,
    groups: list[str] | str | None = None,
    labels: list[str] | str | None = None,
    coverage: float = 0.8,
    thumbnails: bool = True,
    approximate: bool = False,
    seed: int = 0,
    overwrite: bool = False,
    tfrecords_root: str = "tfrecords",
    runs_root: str = "runs",
) -> IndexSummary:
    """Make an index of descriptors for search, tag and attribute.

    `fashionprobe index add` and `index remove` change it later. An index has groups of attributes, such as colour and
    pattern, each with the block that knows it. A group with a label column starts with the classes of that column;
    `fashionprobe attribute add` gives it more.

    Args:
        groups: Groups as colour=1:whiten pattern=3+4: a name, the block that it reads or several that are joined, and
            what is done to the descriptors that are searched: none, l2 (unit length; the default), standard, whiten,
            sqrt or sqrt_whiten. A pooling of the run other than its first is named behind the block, as
            4/mean_std@foreground. `fashionprobe choose` and `fashionprobe retrieve` say which. Default: colour at the
            first block, whitened, and pattern at block 4 or the last.
        labels: Label columns as colour=baseColour pattern=pattern. Default: the column with the name of the group, if
            there is one.
        coverage: Share of a class's own images that its reach should hold: beyond it an image is not of the class.
        thumbnails: Keep a small picture of each image, for contact sheets.
        approximate: Also build graphs for approximate search by one group, for sets too large for the exact
            search. Needs faiss: pip install 'fashionprobe[faiss]'.

    Returns:
        The index: path and counts.

    Raises:
        UserError: If an argument does not fit, or descriptors are not finite.
        OSError: If the disk is full or the folder may not be written.

    Example:
        fashionprobe index --run colour --groups colour=1:whiten pattern=4
    """
    folder = shared.run_path(run, runs_root)
    described = read_descriptors(folder)
    wanted = _groups(described, shared.listed("groups", groups))
    columns = _labels(described, wanted, shared.listed("labels", labels))
    records = records_of(described.artifact, tfrecords_root) if thumbnails else None
    recipe = Recipe(
        "index",
        {
            "groups": {name: list(use) for name, use in wanted.items()}, "labels": columns, "seed": seed,
            "coverage": coverage, "thumbnails": records is not None, "approximate": approximate,
        },
        {"extract": described.artifact.fingerprint},
    )  # fmt: skip
    _keep_additions(folder, recipe)
    root = tfrecords_root if records else None
    artifact = build(
        folder / "index",
        recipe,
        lambda draft: _write(draft, described, wanted, columns, coverage, approximate, root, seed),
        overwrite=overwrite,
    )
    if thumbnails and records is None:
        log.info("the record set is gone or was recreated, so there are no thumbnails")
    return _result(folder, artifact.reused)


def _pairs(argument: str, words: list[str], expected: str) -> dict[str, str]:
    """Read name=value words."""
    found = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not (name and equals and value):
            raise UserError(argument, expected=expected, received=word)
        found[name.strip()] = value.strip()
    return found


def _groups(described: RunDescriptors, words: list[str] | None) -> dict[str, tuple[Block, str]]:
    """Return block and normalization of each group."""
    from fashionprobe.attributes.index import BOTH
    from fashionprobe.attributes.normalization import NORMALIZATIONS

    expected = "name=block, such as colour=1:whiten pattern=4"
    if words is None:
        deep = 4 if 4 in described.blocks else described.blocks[-1]
        return {"colour": (described.blocks[0], "whiten"), "pattern": (deep, "l2")}
    found = {}
    for name, use in _pairs("groups", words, expected).items():
        block, _, normalization = use.partition(":")
        if normalization and normalization not in NORMALIZATIONS:
            raise unknown_name("groups", normalization, NORMALIZATIONS, what="of a normalization")
        if not block[:1].isdigit():
            raise UserError("groups", expected=expected, received=f"{name}={use}")
        if name != shared.file_name(name) or name == BOTH:
            received = f"'{name}'"
            raise UserError(
                "groups", expected=f"names of letters, digits, '_' and '-', none of them '{BOTH}'", received=received
            )
        found[name] = (described.choose_source(block, "groups"), normalization or "l2")
    return found


def _labels(described: RunDescriptors, groups: Iterable[str], words: list[str] | None) -> dict[str, str]:
    given = _pairs("labels", words or [], "group=column, such as colour=baseColour")
    for name, column in given.items():
        if name not in groups:
            raise unknown_name("labels", name, groups, what="of one of the groups")
        if column not in described.labels:
            raise unknown_name("labels", column, described.labels, what="a label column")
    return {name: given.get(name, name if name in described.labels else "") for name in groups}


def _keep_additions(folder: Path, recipe: Recipe) -> None:
    """Refuse to replace an index that images were added to: nobody else has them."""
    if not (folder / "index" / MANIFEST).is_file():
        return
    there = load(folder / "index", stage="index", remedy="Delete the folder.")
    changes = len(open_index(folder).changes) - 1
    if changes and there.fingerprint != recipe.fingerprint:
        raise UserError(
            str(folder / "index"), expected="one that was not changed since, to be replaced",
            received=f"an index with {changes} {'change' if changes == 1 else 'changes'}",
            remedy="Pass the arguments it was made with, or delete the folder yourself.",
        )  # fmt: skip


def _write(
    draft: Path,
    described: RunDescriptors,
    wanted: dict[str, tuple[Block, str]],
    columns: dict[str, str],
    coverage: float,
    approximate: bool,
    tfrecords_root: str | None,
    seed: int,
) -> dict[str, Any]:
    from fashionprobe.attributes.index import Group
    from fashionprobe.attributes.index_parts import create, write_part

    matrices = {block: described.source(block) for block, _ in wanted.values()}
    uses = {*wanted.values(), *((block, READING) for block in matrices)}
    fitted = {use: _fit(use[1], matrices[use[0]], seed) for use in uses}
    groups = [Group(name, use[0], columns[name], fitted[use], fitted[use[0], READING]) for name, use in wanted.items()]
    create(draft, described.artifact.manifest, groups, coverage=coverage)
    count = len(described.items)
    pictures = described.thumbnails(range(count), tfrecords_root) if tfrecords_root else [b""] * count
    write_part(draft, 0, groups, matrices, described.items.drop(columns=["row", "split"]), pictures, graphs=approximate)
    known = {group.name: _learn(draft, described, group, matrices[group.block], coverage) for group in groups}
    return {"rows": count, "classes": known}


def _fit(name: str, matrix: Any, seed: int) -> Any:
    import numpy as np

    from fashionprobe.attributes.joined import widths_of
    from fashionprobe.attributes.normalization import fit

    if len(matrix) <= FITTED_ON:
        return fit(name, matrix[:], widths=widths_of(matrix))
    rows = np.random.default_rng(seed).choice(len(matrix), FITTED_ON, replace=False)
    return fit(name, matrix[np.sort(rows)], widths=widths_of(matrix))


def _learn(draft: Path, described: RunDescriptors, group: "Group", matrix: Any, coverage: float) -> dict[str, Any]:
    """Learn the classes of a group's label column, and return their number and how many were too small."""
    import numpy as np
    import pandas as pd

    from fashionprobe.attributes.classes import calibrate, learn

    column = described.items[group.label] if group.label else pd.Series([""] * len(described.items))
    counts = column[column != ""].value_counts()
    names = sorted(counts.index[counts >= 2])
    numbers = column.map({name: number for number, name in enumerate(names)}).fillna(-1).to_numpy(np.intp)
    classes = learn(matrix, numbers, names, group.reading, coverage=coverage)
    if names:
        classes = calibrate(classes, matrix, numbers, group.reading.name, coverage=coverage)
    np.savez(
        draft / f"classes-{group.name}.npz", allow_pickle=False, names=np.array(names, str), images=classes.images,
        means=classes.means, reach=classes.reach, temperature=classes.temperature,
    )  # fmt: skip
    return {"classes": len(names), "too_small": int((counts < 2).sum())}


def _result(folder: Path, reused: bool) -> IndexSummary:
    made = open_index(folder)
    groups = {name: group.block for name, group in made.groups.items()}
    count = len(made)
    result = IndexSummary(folder / "index", count, groups, reused=reused)
    log.info(
        "%s: %d images, %s. Next: fashionprobe search --run %s --image IMAGE --by %s",
        result.outcome,
        count,
        ", ".join(f"{name} at block {block}" for name, block in groups.items()),
        folder.name,
        next(iter(groups)),
    )
    return result
