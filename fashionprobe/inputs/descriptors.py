"""The descriptors of a run, as the stages of attributes read them: checked, with labels, pictures and the network."""

import functools
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fashionprobe.inputs.arguments as shared
from fashionprobe import progress
from fashionprobe.artifacts import MANIFEST, Artifact, child, read_manifest
from fashionprobe.backbones.pooling import Block, Pooling, Source
from fashionprobe.errors import UserError, unknown_name
from fashionprobe.records.record_set import RecordSet, open_record_set

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from fashionprobe.attributes.joined import Joined

log = logging.getLogger(__name__)

CHUNK = 4096
"""Rows that are checked at a time."""


def folds_of(chosen: "Mapping[str, Choice]", given: int | None, default: int, *, nested: bool = False) -> int:
    """Return the number of folds for all labels: the one given, or a default that small sets lower, which is said."""
    import numpy as np

    from fashionprobe.attributes.folds import fitting_folds

    sizes = [np.unique(choice.classes, return_counts=True)[1].tolist() for choice in chosen.values()]
    found = min((fitting_folds(given, default, counts, nested=nested) for counts in sizes), default=given or default)
    if given is None and found < default:
        log.info("%d folds in place of %d: no class has images enough for more.", found, default)
    return found


@dataclass(frozen=True)
class Choice:
    """The images of one label.

    Attributes:
        rows: Their rows in the descriptors, int (images,).
        classes: The class of each, str (images,).
        missing: Number of images without this label.
        left_out: Number of images of each class that was left out for being rare.
    """

    rows: "np.ndarray"
    classes: "np.ndarray"
    missing: int
    left_out: dict[str, int]


@dataclass(frozen=True)
class RunDescriptors:
    """The descriptors of a run.

    Attributes:
        artifact: What `extract` wrote.
        blocks: Its blocks, ascending.
    """

    artifact: Artifact
    blocks: tuple[int, ...]

    @functools.cached_property
    def items(self) -> "pd.DataFrame":
        """The table `items.csv`: row, id, label columns, split; all text, missing labels empty."""
        import pandas as pd

        return pd.read_csv(self.artifact.path / "items.csv", dtype=str, keep_default_na=False)

    @property
    def labels(self) -> list[str]:
        """Names of the label columns."""
        return [column for column in self.items.columns if column not in ("row", "id", "split")]

    @functools.cached_property
    def learned(self) -> int:
        """Number of the images that the described blocks of the network were trained on, as far as a run tells."""
        network = self.artifact.manifest["run"]["settings"].get("network", {})
        model = Path(str(network.get("backbone", "")))
        if not model.is_file() or not (model.parent / MANIFEST).is_file():
            return 0
        trained = read_manifest(model.parent, remedy="Delete the folder, and train again.")
        same = trained["inputs"].get("records") == self.artifact.manifest["inputs"]["records"]
        if not same or max(self.blocks) <= int(trained["arguments"].get("freeze", 0)):
            return 0
        return int((self.items["split"] == "train").sum())

    @property
    def poolings(self) -> tuple[Pooling, ...]:
        """The ways in which feature maps were summarised."""
        return poolings_of(self.artifact.manifest)

    def choose_blocks(self, blocks: list[int] | None) -> tuple[int, ...]:
        """Return these blocks, all for None.

        Raises:
            UserError: If the run has not got one.
        """
        for block in blocks or []:
            if block not in self.blocks:
                listed = ", ".join(map(str, self.blocks))
                raise UserError(
                    "block", expected=f"among those that were extracted: {listed}", received=block,
                    remedy="Leave --block out for all of them, or run fashionprobe extract for more.",
                )  # fmt: skip
        return self.blocks if blocks is None else tuple(blocks)

    def choose_source(self, text: Block, argument: str = "block") -> Block:
        """Return where a descriptor comes from, as the keys of tables have it: a number, or text such as 3+4/mean_std.

        Raises:
            UserError: If it is something else, or the run has not got such a block or pooling.
        """
        source = Source.of(text, argument)
        self.choose_blocks(list(source.blocks))
        if source.pooling is not None and source.pooling not in self.poolings:
            listed = ", ".join(map(str, self.poolings))
            raise UserError(
                argument, expected=f"with a pooling that was extracted: {listed}", received=str(source.pooling),
                remedy="Run fashionprobe extract with --pool and --region for more.",
            )  # fmt: skip
        return (replace(source, pooling=None) if source.pooling == self.poolings[0] else source).key

    def matrix(self, block: int) -> "np.ndarray":
        """Return the descriptors of a block by the first pooling, a float32 memory map (images, channels).

        Raises:
            UserError: If they do not fit the table, or hold a value that is not finite.
        """
        return self._matrix(self.poolings[0].file(block, first=True))

    def source(self, block: Block) -> "np.ndarray | Joined":
        """Return descriptors as `matrix` does, by any pooling, or of several blocks side by side.

        Args:
            block: What `choose_source` returned.

        Raises:
            UserError: As `matrix`.
        """
        from fashionprobe.attributes.joined import Joined

        source = Source.of(block)
        pooling = source.pooling or self.poolings[0]
        found = [self._matrix(pooling.file(each, first=pooling == self.poolings[0])) for each in source.blocks]
        return found[0] if len(found) == 1 else Joined(found)

    def _matrix(self, file: str) -> "np.ndarray":
        import numpy as np

        path = self.artifact.path / file
        found = np.load(path, mmap_mode="r")
        # With the same arguments and sizes, `extract` would find it finished.
        remedy = f"Delete {self.artifact.path} and run fashionprobe extract again, in float32."
        if found.ndim != 2 or len(found) != len(self.items):
            expected = f"({len(self.items)}, channels), a row per image of items.csv"
            raise UserError(str(path), expected=expected, received=found.shape, remedy=remedy)
        for start in range(0, len(found), CHUNK):
            broken = ~np.isfinite(found[start : start + CHUNK]).all(axis=1)
            if broken.any():
                name = self.items["id"].iloc[start + int(broken.argmax())]
                received = f"NaN or infinity for image {name}"
                raise UserError(str(path), expected="descriptors of finite values", received=received, remedy=remedy)
        return found

    def of_ids(self, ids: Sequence[str], blocks: Sequence[Block]) -> "dict[Block, np.ndarray]":
        """Return the descriptors of some images by block, float32 (images, channels).

        Raises:
            UserError: If an image was not extracted.
        """
        import numpy as np

        place = {name: row for row, name in enumerate(self.items["id"])}
        for name in ids:
            if name not in place:
                table = self.artifact.path / "items.csv"
                what = "the id of an image that was extracted"
                raise unknown_name("id", name, place, what=what, listing=f"{table} lists them all.")
        rows = [place[name] for name in ids]
        return {block: np.array(self.source(block)[rows]) for block in blocks}

    def choose(self, label: str, min_images: int | None = None) -> Choice:
        """Find the images that have a class in a label column, and leave rare classes out.

        Raises:
            UserError: If there is no such column, or no class of enough images.
        """
        if label not in self.labels:
            raise unknown_name("label", label, self.labels, what="a label column")
        column = self.items[label]
        there = column != ""
        counts = column[there].value_counts()
        rare = counts[counts < (min_images or 1)]
        rows = (there & ~column.isin(rare.index)).to_numpy().nonzero()[0]
        if not len(rows):
            raise UserError(
                "label", expected=f"a column with a class of {min_images or 1} images or more",
                received=f"{label}, whose largest class has {counts.max() if len(counts) else 0}",
                remedy="Lower --min-images, or choose another column.",
            )  # fmt: skip
        left_out = {str(name): int(count) for name, count in rare.items()}
        return Choice(rows, column.to_numpy(str)[rows], int((~there).sum()), left_out)

    def records(self, tfrecords_root: str) -> RecordSet:
        """Return the record set that was described.

        Args:
            tfrecords_root: Folder that holds the record sets.

        Raises:
            UserError: If it is gone or was recreated since.
        """
        records = records_of(self.artifact, tfrecords_root)
        if records is None:
            name = self.artifact.facts["dataset"]
            raise UserError(
                "dataset", expected=f"the record set '{name}' that was described", received="none, or a recreated one",
                remedy=f"Make it again: fashionprobe ingest --dataset {name}, with the same arguments.",
            )  # fmt: skip
        return records

    def thumbnails(self, rows: "Sequence[int] | np.ndarray", tfrecords_root: str, *, height: int = 72) -> list[bytes]:
        """Return small pictures of some images, each a JPEG file, in the order of `rows`.

        Args:
            rows: Rows of the descriptors.
            tfrecords_root: Folder that holds the record sets.
            height: Height in pixels; a lower picture keeps its own.

        Raises:
            UserError: If the record set is gone, was recreated, or is damaged.
        """
        from fashionprobe.records.thumbnails import thumbnail

        records = self.records(tfrecords_root)
        ids = self.items["id"].to_numpy(str)[list(rows)]
        found: dict[str, bytes] = {}
        with progress.bar(total=len(set(ids)), unit="image", description="thumbnails") as bar:
            for name, picture in records.pictures(set(ids)):
                found[name] = thumbnail(picture, height=height)
                bar.update()
        return [found[name] for name in ids]


def poolings_of(manifest: Mapping[str, Any]) -> tuple[Pooling, ...]:
    """Return the ways in which `extract` summarised feature maps."""
    return tuple(Pooling.of(text) for text in manifest["facts"].get("poolings", ["mean"]))


def read_descriptors(run: Path, *, evaluating: bool = False) -> RunDescriptors:
    """Open the descriptors of a run, or say which command makes them.

    Args:
        run: Folder of the run.
        evaluating: Whether the descriptors are about to be evaluated; if so, warn when they include the network's
            training images.
    """
    artifact = shared.open_descriptors(run)
    described = RunDescriptors(artifact, tuple(sorted(int(block) for block in artifact.facts["blocks"])))
    if evaluating and described.learned:
        log.warning(
            "The network was trained on %d of these %d images and knows them better than others: figures on them are "
            "too good. To measure on the others alone: fashionprobe extract --split val,test",
            described.learned, len(described.items),
        )  # fmt: skip
    return described


def records_of(extracted: Artifact, tfrecords_root: str) -> RecordSet | None:
    """Return the record set that was described; None when it is gone or was recreated since."""
    path = child(tfrecords_root, extracted.facts["dataset"], argument="dataset")
    records = open_record_set(path) if (path / MANIFEST).is_file() else None
    return records if records and records.fingerprint == extracted.manifest["inputs"]["records"] else None
