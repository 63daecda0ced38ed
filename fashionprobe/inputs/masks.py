"""Masks on disk, as stages share them: one set written, and opened again checked and brought to a network's input."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import fashionprobe.inputs.arguments as shared
from fashionprobe.artifacts import Artifact, child, load
from fashionprobe.errors import UserError
from fashionprobe.records.record_set import RecordSet

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

TABLE = "masks.csv"
COLUMNS = ("id", "class", "file", "author", "time", "note", "share")


@dataclass(frozen=True)
class Mask:
    """One mask to be written.

    Attributes:
        id: Id of its record.
        label: Class of the record; "" when it has none.
        mask: bool (height, width) in the size of the upright picture, True where the picture is irrelevant.
        author: Who drew it, or what.
        note: Why.
        time: When, ISO 8601; "" for now.
    """

    id: str
    label: str
    mask: "np.ndarray"
    author: str = ""
    note: str = ""
    time: str = ""


@dataclass(frozen=True)
class Masks:
    """A set of masks, in the order of its table.

    Attributes:
        artifact: What the stage `masks` wrote.
        ids: Ids of the masked images, each once.
        splits: The split of each.
        classes: The class of each; "" where it has none.
        drawn: The mask of each, bool (height, width) in the size of the upright picture, True where irrelevant.
    """

    artifact: Artifact
    ids: tuple[str, ...]
    splits: tuple[str, ...]
    classes: tuple[str, ...]
    drawn: "tuple[np.ndarray, ...]"

    def fitted(self, size: tuple[int, int], fit: Literal["pad", "stretch"]) -> "np.ndarray":
        """Return the masks as the network sees the images: bool (masks, *size).

        Args:
            size: (height, width) of the network's input in pixels.
            fit: How the images are brought to it. Padding is not masked.
        """
        import numpy as np

        return np.stack([fitted(mask, size, fit) for mask in self.drawn])


def fitted(mask: "np.ndarray", size: tuple[int, int], fit: Literal["pad", "stretch"]) -> "np.ndarray":
    """Bring a mask to one size as `records.decode.fit` brings its picture.

    Args:
        mask: bool (height, width).
        size: (height, width) of the result.
        fit: "stretch" ignores the aspect ratio; "pad" keeps it and centres the mask.

    Returns:
        bool (*size): True where a masked pixel overlaps at all; padding is False.
    """
    import numpy as np

    from fashionprobe.feedback.masks.regions import at_tap
    from fashionprobe.records.image_files.inspect import window

    top, left, rows, columns = window(mask.shape, size, fit)
    result = np.zeros(size, bool)
    result[top : top + rows, left : left + columns] = at_tap(mask[None], (rows, columns))[0] > 0
    return result


def write_masks(folder: Path, masks: Iterable[Mask]) -> "pd.DataFrame":
    """Write a set of masks: one 8-bit PNG file each, 255 where masked and 0 elsewhere, and the table `masks.csv`.

    Args:
        folder: Where to; it is there.
        masks: The masks; each is written before the next is asked for.

    Returns:
        The table: id, class, file, author, time (UTC), note and share, the masked part of the picture in [0, 1].
    """
    import numpy as np
    import pandas as pd
    from PIL import Image

    time, rows = datetime.now(UTC).isoformat(timespec="seconds"), []
    for number, each in enumerate(masks, start=1):
        file = f"mask-{number:05d}.png"
        Image.fromarray(np.where(each.mask, 255, 0).astype(np.uint8)).save(folder / file)
        rows.append((each.id, each.label, file, each.author, each.time or time, each.note, float(each.mask.mean())))
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    table.to_csv(folder / TABLE, index=False, float_format="%.6f")
    return table


def open_masks(masks: shared.Place, records: RecordSet, *, runs_root: str = "runs") -> Masks:
    """Open a set of masks and check it against the records that it is about.

    Args:
        masks: Name of the run that holds it, its folder, or what the stage `masks` returned.
        records: The record set.
        runs_root: Folder that holds the runs.

    Raises:
        UserError: If there is none, it is about another record set, or a mask is not as it was written.
    """
    import pandas as pd

    if isinstance(masks, str) and not Path(masks).is_dir():
        path = child(runs_root, masks, argument="masks") / "masks"
    else:
        path = Path(masks)
    again = f"fashionprobe masks --dataset {records.path.name} --run {path.parent.name} --source ..."
    artifact = load(path, stage="masks", remedy=f"Make it first: {again}")
    if artifact.manifest["inputs"].get("records") != records.fingerprint:
        raise UserError(
            "masks", expected=f"masks of the record set {records.path.name} as it is now",
            received=f"{path}, made for {artifact.facts['dataset']}, another set or one that was recreated since",
            remedy=f"Make them again: {again} --overwrite",
        )  # fmt: skip
    try:
        table = pd.read_csv(path / TABLE, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise _bad(path / TABLE, "the table that the stage wrote", f"unreadable ({error})", again) from error
    if missing := [column for column in COLUMNS if column not in table]:
        raise _bad(path / TABLE, f"a table with the columns {', '.join(COLUMNS)}", f"no {missing[0]}", again)
    splits = _splits(records, table["id"], path, again)
    shapes = {name: picture.shape[:2] for name, picture in records.pictures(tuple(table["id"]))}
    drawn = tuple(
        _read(path / Path(file).name, name, shapes[name], again)
        for name, file in zip(table["id"], table["file"], strict=True)
    )
    return Masks(artifact, tuple(table["id"]), splits, tuple(table["class"]), drawn)


def _splits(records: RecordSet, ids: "pd.Series", path: Path, again: str) -> tuple[str, ...]:
    """Return the split of each masked image; refuse what no masked image may be."""
    items = records.items.set_index("id")["split"]
    unknown = [name for name in ids if name not in items.index]
    twice = ids[ids.duplicated()].tolist()
    if ids.empty or unknown or twice:
        received = "none" if ids.empty else f"{unknown[0]}, unknown" if unknown else f"{twice[0]} twice"
        raise _bad(path / TABLE, f"a table of ids of {records.path.name}, each once", received, again)
    splits = tuple(items[name] for name in ids)
    if "test" in splits:
        raise _bad(path / TABLE, "without images of test, which measures", ids[splits.index("test")], again)
    return splits


def _read(path: Path, name: str, shape: tuple[int, ...], again: str) -> "np.ndarray":
    """Read one mask and check it against its picture."""
    from fashionprobe.feedback.masks.files import read_png

    try:
        mask = read_png(path)
    except UserError as error:
        received = str(error).split("Received: ")[-1].split(". ")[0]
        raise _bad(path, "a mask of 0 and 255, as the stage wrote it", received, again) from error
    if mask.shape != shape:
        received = f"{mask.shape[0]} x {mask.shape[1]}"
        raise _bad(path, f"{shape[0]} x {shape[1]} (height x width) as image {name} is", received, again)
    if mask.all() or not mask.any():
        raise _bad(path, "a mask of a part of the image", "a full one" if mask.all() else "an empty one", again)
    return mask


def _bad(path: Path, expected: str, received: object, again: str) -> UserError:
    return UserError(str(path), expected=expected, received=received, remedy=f"Make it again: {again} --overwrite")
