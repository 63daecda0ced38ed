"""Where the masks of the stage `masks` come from: files, or a rule that finds them in a picture."""

import hashlib
import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from fashionprobe.errors import Situation, UserError, unknown_name

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from fashionprobe.inputs.network import LoadedNetwork

Find = Callable[[list[str], "list[np.ndarray]"], "list[np.ndarray]"]
"""Takes ids and upright pictures, uint8 (height, width, 3), and returns the mask of each, bool (height, width)."""

IMPORTED = ("png", "coco", "pickle")
"""Sources that are files."""

APP = "app"
"""The source of masks that were drawn in the browser."""

DRAWN = (APP, *IMPORTED)
"""Sources of masks that a person drew: one that is empty or full is a mistake."""

SPLITS = ("train", "val")
"""Splits whose images may be masked."""

SAMPLES = 50
"""Images that are masked by a rule where the user gives no number."""

BATCH = 16
"""Pictures in memory at a time."""

_LISTED = 5


@dataclass(frozen=True)
class MaskNote:
    """What is known of one mask.

    Attributes:
        author: Who drew it.
        note: Why.
        time: When, ISO 8601; "" for now.
    """

    author: str
    note: str
    time: str = ""


@dataclass(frozen=True)
class MaskSource:
    """One way to masks.

    Attributes:
        find: Gives the masks.
        arguments: What a recipe has to hold of it.
        inputs: Fingerprints of what it reads.
        weights_sha256: SHA-256 of the weights of the network that it uses.
        notes: What is known of each mask, by id, where that differs from mask to mask.
        strength: Mean activation of the filter in each image, by id, where the masks are of the strongest.
    """

    find: Find
    arguments: dict[str, Any] = field(default_factory=dict)
    inputs: dict[str, str] = field(default_factory=dict)
    weights_sha256: str | None = None
    notes: Mapping[str, MaskNote] = field(default_factory=dict)
    strength: Mapping[str, float] = field(default_factory=dict)


def read_masks(
    source: str, path: Path, categories: Sequence[str] | None, ids: Sequence[str]
) -> "dict[str, np.ndarray]":
    """Read the masks of files: bool (height, width) by the id of the image.

    Raises:
        UserError: If a file holds no masks, or masks of other images.
    """
    from fashionprobe.feedback.masks.coco import read_coco
    from fashionprobe.feedback.masks.files import by_id, read_folder
    from fashionprobe.feedback.masks.pickled import read_pickle

    if source == "coco":
        return by_id(read_coco(path, categories), ids)
    return by_id(read_folder(path) if source == "png" else read_pickle(path), ids)


def from_files(found: "Mapping[str, np.ndarray]") -> MaskSource:
    """Return the way to masks that were read."""
    import numpy as np

    digest = hashlib.sha256()
    for name in sorted(found):
        digest.update(f"{name}\0{found[name].shape}\0".encode())
        digest.update(np.packbits(found[name]).tobytes())
    return MaskSource(lambda names, pictures: [found[name] for name in names], inputs={"masks": digest.hexdigest()})


def from_app(run: Path, items: "pd.DataFrame") -> "tuple[pd.DataFrame, MaskSource]":
    """Return the rows of the images that were marked in the browser, and the way to their masks.

    Raises:
        UserError: If there is none, one is damaged, or one is of an image that the record set has not got.
    """
    from fashionprobe.feedback.masks import drawings

    folder = run / drawings.FOLDER
    found, notes = {}, {}
    for mark in drawings.load_all(folder):
        mask = drawings.mask_of(folder, mark.now)
        if mask is not None:
            found[mark.id], notes[mark.id] = mask, MaskNote(mark.now.author, mark.now.note, mark.now.time)
    if not found:
        raise Situation(
            "source", f"{APP} has no masks: none have been drawn in this run.",
            f"Draw some: fashionprobe app --run {run.name}",
        )  # fmt: skip
    unknown = sorted(set(found) - set(items["id"]))
    if unknown:
        listed = ", ".join(unknown[:_LISTED]) + (" ..." if len(unknown) > _LISTED else "")
        raise UserError(
            str(folder), expected="masks of images of the record set", received=f"{len(unknown)} unknown: {listed}",
            remedy="They were drawn on another record set: pass its --dataset, or move that folder away.",
        )  # fmt: skip
    way = from_files(found)
    told = sorted((name, each.author, each.note) for name, each in notes.items())
    digest = hashlib.sha256(json.dumps(told).encode()).hexdigest()
    return items[items["id"].isin(list(found))], replace(way, inputs={**way.inputs, "notes": digest}, notes=notes)


def by_background() -> MaskSource:
    """Return the way to masks of the background, by Otsu's threshold."""
    from fashionprobe.feedback.masks.regions import background

    return MaskSource(lambda names, pictures: [background(picture[None])[0] for picture in pictures])


def by_box(box: Sequence[float], *, inside: bool) -> MaskSource:
    """Return the way to masks of a box, or of all but a box.

    Raises:
        UserError: If it is not a box.
    """
    from fashionprobe.feedback.masks.regions import inside_box, outside_box

    mask = inside_box if inside else outside_box
    mask((1, 1, 1), box)  # refused here, before anything is written
    return MaskSource(
        lambda names, pictures: [mask((1, *picture.shape[:2]), box)[0] for picture in pictures],
        {"box": [float(side) for side in box]},
    )


def by_filter(
    opened: "LoadedNetwork", block: int | None, layer: str | None, channel: int, percentile: float,
    fit: Literal["pad", "stretch"], over: "Iterator[tuple[str, np.ndarray]] | None" = None,
) -> MaskSource:  # fmt: skip
    """Return the way to masks of the region where a filter is strong, in the picture without its padding.

    Args:
        opened: The network.
        block: Number of the block of the filter, and `layer` its layer; see `masks`.
        layer: Name of the layer.
        channel: Number of the filter.
        percentile: What is above this percentile is masked.
        fit: How pictures are brought to the network.
        over: Ids and pictures whose maps the percentile is of, all together; None for that of each picture's own map.

    Raises:
        UserError: If there is no such filter, or the percentile is out of range.
    """
    from fashionprobe.feedback.masks.regions import above, filter_maps

    size = opened.backbone.size
    name = opened.layer(len(opened.backbone.taps) if block is None and layer is None else block, layer)
    maps_of = filter_maps(opened.model, str(name), channel)
    if not 0 <= percentile < 100:
        raise UserError("percentile", expected="in the range [0, 100)", received=percentile)

    strength, limit = _measured(opened, str(name), channel, percentile, fit, over) if over is not None else ({}, None)

    def find(names: list[str], pictures: "list[np.ndarray]") -> "list[np.ndarray]":  # noqa: ARG001
        import numpy as np
        import tensorflow as tf

        from fashionprobe.explain.heatmaps import resize
        from fashionprobe.records.decode import fit as fitted
        from fashionprobe.records.image_files.inspect import window

        maps = maps_of(np.stack([fitted(tf.constant(picture), size, fit).numpy() for picture in pictures]))
        masks = []
        for found, picture in zip(maps, pictures, strict=True):
            top, left, rows, columns = window(picture.shape, size, fit)
            inner = found[None, top : top + rows, left : left + columns]
            wide = resize(inner, picture.shape[:2])
            masks.append(above(wide, percentile)[0] if limit is None else wide[0] > limit)
        return masks

    used = {
        **opened.arguments(), "fit": fit, "layer": opened.places([str(name)]), "channel": channel,
        "percentile": float(percentile),
        # This came later: without it masks are the same as ever.
        **({} if limit is None else {"percentile_of": "dataset"}),
    }  # fmt: skip
    return MaskSource(find, used, weights_sha256=opened.backbone.weights_sha256, strength=strength)


def _measured(
    opened: "LoadedNetwork", layer: str, channel: int, percentile: float, fit: Literal["pad", "stretch"],
    pictures: "Iterator[tuple[str, np.ndarray]]",
) -> tuple[dict[str, float], float]:  # fmt: skip
    """Return a filter's mean activation of each picture by id, and the percentile of all cells of its maps.

    Cells that see padding alone are left out.
    """
    import numpy as np
    import tensorflow as tf

    from fashionprobe.explain.activations import activations
    from fashionprobe.feedback.masks.regions import at_tap
    from fashionprobe.records.decode import fit as fitted
    from fashionprobe.records.image_files.inspect import window

    forward, size = activations(opened.model, [layer]), opened.backbone.size
    strength: dict[str, float] = {}
    values = []
    while batch := list(itertools.islice(pictures, BATCH)):
        images = np.stack([fitted(tf.constant(picture), size, fit).numpy() for _, picture in batch])
        maps = forward(images)[0].numpy()[..., channel]
        for found, (name, picture) in zip(maps, batch, strict=True):
            top, left, rows, columns = window(picture.shape, size, fit)
            inner = np.zeros((1, *size), bool)
            inner[0, top : top + rows, left : left + columns] = True
            cells = found[at_tap(inner, found.shape)[0] > 0]
            strength[name] = float(cells.mean())
            values.append(cells)
    return strength, float(np.percentile(np.concatenate(values), percentile))


def strongest(items: "pd.DataFrame", strength: Mapping[str, float], samples: int | None) -> "pd.DataFrame":
    """Return the rows of the images in which a filter is strongest, in stored order."""
    import numpy as np

    values = np.array([strength[name] for name in items["id"]])
    return items.iloc[np.sort(np.argsort(-values, kind="stable")[: samples or SAMPLES])]


def choose(
    items: "pd.DataFrame",
    *,
    splits: Sequence[str] | None,
    where: str | None,
    label: str | None,
    classes: Sequence[str] | None,
    samples: int | None,
    ids: Sequence[str] | None,
    seed: int,
) -> "pd.DataFrame":
    """Return the rows of the images to mask: those named, or a random sample of a choice.

    Raises:
        UserError: If there is no such image, class or split, the query is not valid, or the split is test.
    """
    import numpy as np

    from fashionprobe.records.select import select

    if ids is not None:
        unknown = [name for name in ids if name not in set(items["id"])]
        if unknown:
            listed = ", ".join(unknown[:_LISTED]) + (" ..." if len(unknown) > _LISTED else "")
            received = f"{len(unknown)} unknown: {listed}"
            raise UserError("id", expected="ids of the record set", received=received, remedy="See its items.csv.")
        chosen = items[items["id"].isin(list(ids))]
        refuse_test(chosen, "id")
        return chosen
    for split in splits or ():
        if split not in SPLITS:
            raise unknown_name("split", split, SPLITS, remedy="Images of test are never masked: they evaluate.")
    chosen = items[items["split"].isin(list(splits or ("train",)))]
    if chosen.empty:
        raise Situation("split", f"{', '.join(splits or ('train',))} has no images.")
    chosen = select(chosen, where=where, label=label if classes is not None else None, classes=classes)
    rows = np.random.default_rng(seed).choice(len(chosen), min(samples or SAMPLES, len(chosen)), replace=False)
    return chosen.iloc[np.sort(rows)]


def refuse_test(chosen: "pd.DataFrame", argument: str) -> None:
    """Refuse masks of images of the test split."""
    names = chosen.loc[chosen["split"] == "test", "id"].tolist()
    if names:
        listed = ", ".join(names[:_LISTED]) + (" ..." if len(names) > _LISTED else "")
        raise UserError(
            argument, expected="of train and val images: test images evaluate, so they are never masked",
            received=f"{len(names)} of test: {listed}", remedy="Take them out.",
        )  # fmt: skip
