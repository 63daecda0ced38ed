"""A record set as everything else reads it: the table of its images, their labels and splits, and their pictures."""

import functools
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from fashionprobe.artifacts import Artifact, load
from fashionprobe.errors import UserError, unknown_name

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class RecordSet(Artifact):
    """Images with labels and splits, as `ingest` packed them."""

    @functools.cached_property
    def items(self) -> "pd.DataFrame":
        """The table `items.csv`: row, id, label columns, split, shard; all text, missing labels empty. Read only."""
        import pandas as pd

        return pd.read_csv(self.path / "items.csv", dtype=str, keep_default_na=False)

    @property
    def labels(self) -> list[str]:
        """Names of the label columns."""
        return list(self.facts["columns"])

    def label(self, given: str | None) -> str:
        """Return the name of a label column of classes: the one given, else the one that the splits keep balanced.

        Raises:
            UserError: If there is no such column, or it has too many values to be one of classes.
        """
        column = given or self.facts.get("stratify")
        if column is None:
            raise unknown_name("label", "nothing", self.labels, what="a label column")
        self.classes(column)
        return column

    def classes(self, label: str) -> list[str]:
        """Return the classes of a label column, sorted; the number of a class is its place in this list.

        Raises:
            UserError: If there is no such column, or it has too many values to be one of classes.
        """
        columns = self.facts["columns"]
        if label not in columns:
            raise unknown_name("label", label, columns, what=f"a label column of {self.path.name}")
        if "classes" not in columns[label]:
            received = f"{label}, with {columns[label]['distinct']} values"
            raise UserError("label", expected="a column with classes", received=received)
        return sorted(columns[label]["classes"])

    def in_splits(self, wanted: list[str] | None, *, least: int = 1) -> "tuple[pd.DataFrame, list[str]]":
        """Return the items of some splits in stored order, and the splits that they are in.

        Args:
            wanted: Names of splits; None for all.
            least: Images that there must be.

        Raises:
            UserError: If a split is not there, or they hold too few images.
        """
        check_splits(wanted or [])
        splits = [split for split in SPLITS if wanted is None or split in wanted]
        items = self.items[self.items["split"].isin(splits)].reset_index(drop=True)
        if len(items) < least:
            counts = ", ".join(f"{count} {split}" for split, count in self.facts["splits"].items())
            expected = f"a split with {'images' if least == 1 else f'{least} images or more'} ({counts})"
            raise UserError("split", expected=expected, received=", ".join(splits))
        return items, [split for split in splits if (items["split"] == split).any()]

    def of_classes(self, label: str, numbers: Mapping[str, int]) -> "pd.DataFrame":
        """Return the items that have one of some classes, in stored order, with the number of the class in `number`."""
        items = self.items[self.items[label].isin(list(numbers))].reset_index(drop=True)
        return items.assign(number=items[label].map(dict(numbers)).astype("int64"))

    def pictures(self, ids: Collection[str]) -> "Iterator[tuple[str, np.ndarray]]":
        """Yield some images in stored order, each once.

        Yields:
            The id and the upright picture in its own size, uint8 (height, width, 3), RGB.

        Raises:
            UserError: If the records are damaged.
        """
        from fashionprobe.records.read import pictures, readable

        shards = self.items.loc[self.items["id"].isin(list(ids)), "shard"].drop_duplicates()
        with readable(self):
            yield from pictures(self, ids, [self.path / shard for shard in shards])

    def fitted(
        self, ids: Collection[str], size: tuple[int, int], fit: Literal["pad", "stretch"]
    ) -> "Iterator[tuple[str, np.ndarray]]":
        """Yield some images in stored order, each once, brought to one size.

        Yields:
            The id and the picture, float32 (*size, 3), RGB in [0, 255].

        Raises:
            UserError: If the records are damaged.
        """
        import tensorflow as tf

        from fashionprobe.records import decode

        for name, picture in self.pictures(ids):
            yield name, decode.fit(tf.constant(picture), size, fit).numpy()


def check_splits(names: Sequence[str]) -> None:
    """Refuse a split that no record set has."""
    for name in names:
        if name not in SPLITS:
            raise unknown_name("split", name, SPLITS)


def open_record_set(path: Path) -> RecordSet:
    """Open a record set; make it first when its source draws its images; else say which command makes it.

    Args:
        path: Its folder.

    Raises:
        UserError: If there is none, or it is damaged.
    """
    from fashionprobe.records.sources import PROCEDURAL, SOURCES

    if path.name in PROCEDURAL and not path.exists():
        from fashionprobe.records.pack import Request, pack

        return pack(Request(source=path.name), path)
    source = "" if path.name in SOURCES else " --source SOURCE"
    remedy = f"Make it first: fashionprobe ingest --dataset {path.name}{source} --path PATH"
    made = load(path, stage="ingest", remedy=remedy)
    return RecordSet(made.path, made.manifest)
