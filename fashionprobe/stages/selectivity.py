"""Stage `selectivity`: records -> neuron features and selectivity indices of every channel of a backbone's blocks."""

import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import fashionprobe.inputs.arguments as shared
from fashionprobe.artifacts import Artifact, Recipe, Result, build, child
from fashionprobe.errors import UserError, unknown_name
from fashionprobe.inputs.network import LoadedNetwork, NetworkSpec
from fashionprobe.plots.save import Figures

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from fashionprobe.backbones import Backbone
    from fashionprobe.channels.selectivity import Selectivity
    from fashionprobe.records.stream import Stream

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ChannelSelectivity(Result):
    """Selectivity of channels on disk.

    Attributes:
        table: One row per channel, `selectivity.csv`.
        blocks: The blocks.
        channels: Number of channels.
        silent: Number of them that no image activates.
    """

    table: Path
    blocks: tuple[int, ...]
    channels: int
    silent: int


@shared.stage(images="[2, inf)", images_per_channel="[1, inf)")
def selectivity(
    *,
    dataset: shared.Place,
    run: str | None = None,
    backbone: str | None = None,
    weights: str = "pretrained",
    block: int | list[int] | None = None,
    taps: list[str] | str | None = None,
    preprocessing: Literal["auto", "none", "tf", "caffe", "torch"] = "auto",
    size: int | list[int] | None = None,
    fit: Literal["pad", "stretch"] = "pad",
    split: list[str] | str | None = None,
    label: str | None = None,
    images: int = 100,
    features: int = 16,
    channel: list[int] | int | None = None,
    images_per_channel: int = 8,
    ids: list[str] | str | None = None,
    threshold: float | None = None,
    mask: Literal["receptive_field", "bilinear"] = "receptive_field",
    batch_size: int = 32,
    seed: int = 0,
    trust: bool = False,
    overwrite: bool = False,
    tfrecords_root: str = "tfrecords",
    runs_root: str = "runs",
) -> ChannelSelectivity:
    """Find what the channels of some blocks select.

    For each channel: its neuron feature, and how selective it is for class and colour. The records are read three
    times: for the images that activate each channel most, for their grey versions and the crops, and for the pictures
    that are drawn.

    Args:
        label: Label column of the classes. Default: the one by which the record set was split.
        images: Images per channel: those that activate it most.
        features: Neuron features drawn per block, half of them with the highest class index, half with the highest
            colour index; the files hold all.
        channel: Numbers of channels whose masks are drawn besides: a row of images for each, black but for what the
            channel sees. They must be there in each block.
        images_per_channel: With --channel: images in a row, those that activate the channel most.
        ids: With --channel: ids of the images in a row, in place of those.
        threshold: With --channel: the activation from which a place counts. Default: half of the channel's strongest.
        mask: With --channel: uncover the receptive field of each active place, as in the attribute thesis; or bilinear:
            enlarge the map to the image, and keep the pixels where it is above the threshold.

    Returns:
        The selectivity: paths and counts.

    Raises:
        UserError: If an argument does not fit, or the records are missing or damaged.
        OSError: If the disk is full or the folder may not be written.

    Example:
        fashionprobe selectivity --run kaggle --dataset kaggle --label baseColour
    """
    records_path = shared.records_path(dataset, tfrecords_root)
    folder = child(runs_root, records_path.name if run is None else run, argument="run")
    spec = NetworkSpec.of(folder, backbone, weights, taps, preprocessing, size, seed, trust)
    spec.check(shared.numbers(block) or [])
    records = shared.open_records(dataset, tfrecords_root)
    column = records.label(label and shared.spelled(label))

    items, splits = records.in_splits(shared.listed("split", split), least=2)

    from fashionprobe.backbones import devices
    from fashionprobe.records.stream import Stream

    opened = spec.open(classifier=False)
    loaded = opened.backbone
    blocks = loaded.choose_blocks(shared.numbers(block))
    masks = _masks(opened, blocks, items, shared.numbers(channel), images_per_channel, shared.listed("ids", ids),
                   threshold, mask)  # fmt: skip
    names = [layer.name for layer in loaded.model.layers]
    recipe = Recipe(
        "selectivity",
        {
            "backbone": loaded.name, "taps": [names.index(loaded.taps[block - 1]) for block in blocks],
            "block": blocks, "size": loaded.size, "fit": fit, "preprocessing": asdict(loaded.preprocessing),
            "split": splits, "label": column, "images": images, "features": features,
            # These came later: without channels a recipe is the same as ever.
            **({} if masks is None else {"masks": asdict(masks)}),
        },
        {"records": records.fingerprint},
        loaded.weights_sha256,
    )  # fmt: skip
    source = Stream(records, items, splits, loaded.size, fit, batch_size)
    artifact = build(
        folder / "selectivity",
        recipe,
        lambda draft: _write(draft, source, opened, blocks, column, images, features, masks),
        overwrite=overwrite,
        settings={"batch_size": batch_size, "device": devices.name()},
    )
    return _result(artifact)


@dataclass(frozen=True)
class _Masks:
    """The channel masks that are asked for, as `selectivity` takes them."""

    channels: list[int]
    images: int
    ids: list[str] | None
    threshold: float | None
    how: Literal["receptive_field", "bilinear"]


def _masks(
    opened: LoadedNetwork, blocks: list[int], items: "pd.DataFrame", channels: list[int] | None, images: int,
    ids: list[str] | None, threshold: float | None, how: Literal["receptive_field", "bilinear"],
) -> _Masks | None:  # fmt: skip
    """Check what is asked for of channel masks."""
    if channels is None:
        return None
    for block in blocks:
        layer = opened.backbone.taps[block - 1]
        most = opened.model.get_layer(layer).output.shape[-1]
        for channel in channels:
            if not 0 <= channel < most:
                raise UserError("channel", expected=f"in the range [0, {most}) for block {block}", received=channel)
    known = set(items["id"])
    for name in ids or []:
        if name not in known:
            raise unknown_name("ids", name, sorted(known), listing="The record set's items.csv lists them all.")
    return _Masks(channels, images, ids, threshold, how)


def _write(
    draft: Path,
    source: "Stream",
    opened: LoadedNetwork,
    blocks: list[int],
    label: str,
    images: int,
    features: int,
    masks: "_Masks | None",
) -> dict[str, Any]:
    """Compute, and fill the files of the artifact."""
    import numpy as np

    from fashionprobe.channels.selectivity import selectivity as compute
    from fashionprobe.channels.selectivity import table

    model, backbone = opened.model, opened.backbone
    passes = iter(("top images", "crops and grey versions"))
    layers = [backbone.taps[block - 1] for block in blocks]
    labels = source.items[label].to_numpy(str)
    results = compute(model, layers, lambda: source.batches(next(passes)), labels, images=images)
    rows = table(results)
    number = dict(zip(layers, blocks, strict=True))
    rows.insert(0, "block", rows["layer"].map(number))
    rows.to_csv(draft / "selectivity.csv", index=False, float_format="%.6g")
    _top_table(results, blocks, source.items["id"].to_numpy(str)).to_csv(
        draft / "top_images.csv", index=False, float_format="%.6g"
    )
    for block, found in zip(blocks, results, strict=True):
        np.save(draft / f"neuron_features_block{block}.npy", pixels(found.features))
    lowest = _lowest(labels, images)
    figures = Figures(draft)
    _draw_indices(figures, rows, source, label, lowest)
    draw(figures, model, source, backbone.name, dict(zip(blocks, results, strict=True)), features)
    if masks is not None:
        _draw_masks(figures, model, source, backbone.name, dict(zip(blocks, results, strict=True)), masks)
    return _facts(source, backbone, rows, results, label, images, lowest) | {"figures": figures.notes}


def _lowest(labels: "np.ndarray", images: int) -> float:
    """Return the least class index that is possible with so many classes and images."""
    classes = len(set(labels) - {""})
    counted = min(images, len(labels))
    return max(0.0, (counted - classes) / (counted - 1))


def _top_table(results: "list[Selectivity]", blocks: list[int], ids: "np.ndarray") -> "pd.DataFrame":
    """Return the images that activate each channel, one row per channel and rank."""
    import numpy as np
    import pandas as pd

    tables = []
    for block, found in zip(blocks, results, strict=True):
        channels, ranks = np.indices(found.top.values.shape).reshape(2, -1)
        tables.append(pd.DataFrame({
            "block": block, "channel": channels, "rank": ranks + 1, "id": ids[found.top.images.ravel()],
            "value": found.top.values.ravel(), "row": found.top.rows.ravel(), "column": found.top.columns.ravel(),
        }))  # fmt: skip
    table = pd.concat(tables, ignore_index=True)
    # Images that leave a channel silent say nothing about it.
    return table[table["value"] > 0]


def _draw_indices(figures: Figures, rows: "pd.DataFrame", source: "Stream", label: str, lowest: float) -> None:
    from fashionprobe.plots.channels import selectivity_by_block

    name = source.records.path.name
    remark = f"1: all images that activate the channel most are of one {label}."
    if lowest > 0:
        remark += f" With as few classes as here no channel can be below {lowest:.2f}."
    title = f"Channels selective for {label}"
    figures.add(
        "class_selectivity", selectivity_by_block(rows, "class_index", title=f"{title} ({name})", remark=remark), title,
        f"How many channels of each block select one {label}: the images that activate such a channel most are all of "
        "one class (index 1).",
    )  # fmt: skip
    remark = "1: grey versions of the images leave the channel silent. 0: it does not see the difference."
    title = "Channels selective for colour"
    figures.add(
        "colour_selectivity", selectivity_by_block(rows, "colour_index", title=f"{title} ({name})", remark=remark),
        title,
        "How many channels of each block need colour: grey versions of the images leave them silent (index 1).",
    )  # fmt: skip


def _facts(
    source: "Stream", backbone: "Backbone", rows: "pd.DataFrame", results: "list[Selectivity]", label: str, images: int,
    lowest: float,
) -> dict[str, Any]:  # fmt: skip
    """Gather what the manifest and later stages need to know."""
    blocks = {}
    for (block, table), found in zip(rows.groupby("block"), results, strict=True):
        means = {name: table[name].mean() for name in ("class_index", "colour_index")}
        blocks[str(block)] = {
            "tap": found.layer, "channels": len(table), "silent": int((~table["alive"]).sum()),
            "receptive_field": list(found.field.size),
            # JSON has no NaN.
            **{f"mean_{name}": None if value != value else round(float(value), 4) for name, value in means.items()},
        }  # fmt: skip
    return {
        "dataset": source.records.path.name,
        "rows": len(source.items),
        "label": label,
        "images": images,
        "lowest_class_index": round(lowest, 4),
        "backbone": backbone.name,
        "weights": backbone.weights,
        "size": backbone.size,
        "blocks": blocks,
    }


def _result(artifact: Artifact) -> ChannelSelectivity:
    blocks = artifact.facts["blocks"]
    channels = sum(found["channels"] for found in blocks.values())
    silent = sum(found["silent"] for found in blocks.values())
    log.info(
        "%s: %d channels of block%s %s over %d images, %d silent. Next: fashionprobe report --run %s",
        artifact.outcome, channels, "" if len(blocks) == 1 else "s",
        ", ".join(blocks), artifact.facts["rows"], silent, artifact.path.parent.name,
    )  # fmt: skip
    table = artifact.path / "selectivity.csv"
    return ChannelSelectivity(artifact.path, table, tuple(map(int, blocks)), channels, silent, reused=artifact.reused)


SHEET = 8
"""Pictures in a row of a sheet."""

MASKED = 4
"""Channels of each block whose top images are drawn with their masks."""

TOP_CLASSES = 3
"""Classes that a caption names at most."""


def draw(
    figures: Figures, model: Any, source: "Stream", network: str, results: "dict[int, Selectivity]", features: int
) -> None:
    """Draw the neuron features of chosen channels, and the top images of some, masked.

    Args:
        figures: The figures that the sheets join, the deepest block first.
        model: The network with its preprocessing in front.
        source: The images that the results are about.
        network: Its name, for the titles.
        results: What was found, by block.
        features: Neuron features drawn a block.
    """
    from fashionprobe.plots.sheets import Row, contact_sheet

    chosen = {block: _chosen(found, features) for block, found in results.items()}
    wanted = {
        int(row)
        for block, found in results.items()
        for channel in _some(chosen[block])
        for row in found.top.images[channel, :SHEET]
    }
    pictures = source.pictures(wanted)
    for block, found in reversed(results.items()):
        if not chosen[block]:
            continue
        height, width = found.field.size
        remark = "Each is the mean of the crops that activate the channel most, weighted by activation; receptive field"
        remark += f" {height} x {width} pixels, at most the image. The number is the index."
        rows = []
        for name, channels in chosen[block].items():
            for start in range(0, len(channels), SHEET):
                some = channels[start : start + SHEET]
                images = [pixels(found.features[channel]) for channel in some]
                rows.append(Row(name.replace(" ", "\n"), images, [_caption(found, name, channel) for channel in some]))
        title = f"Neuron features of {network}, block {block}"
        figures.add(
            f"neuron_features_block{block}", contact_sheet(rows, title=title, remark=remark),
            f"Neuron features of block {block}",
            "What activates a channel most, on average: the mean of its strongest crops.",
        )  # fmt: skip
        rows = [row for channel in _some(chosen[block]) for row in _masked(model, found, channel, pictures)]
        remark = "Second rows: only the pixels stay where the channel is at least half as active as its strongest peak"
        remark += " in the data set. Captions: the peak of the activation."
        title = f"Images that activate channels of {network}, block {block}, most"
        figures.add(
            f"top_images_block{block}", contact_sheet(rows, title=title, remark=remark),
            f"Top images of block {block}",
            "The images that activate a channel most, and below each the places where the channel is active.",
        )  # fmt: skip


def _chosen(found: "Selectivity", features: int) -> dict[str, list[int]]:
    """Return the channels to draw: half by class index, half by colour index, no channel twice."""
    import numpy as np

    orders = {"highest class index": found.class_index, "highest colour index": found.colour_index}
    taken: list[int] = []
    chosen: dict[str, list[int]] = {}
    for (name, index), count in zip(orders.items(), (-(-features // 2), features // 2), strict=True):
        # Of channels with the same index the most active come first.
        order = np.lexsort((-found.top.values[:, 0], -np.nan_to_num(index, nan=-np.inf)))
        fitting = [int(channel) for channel in order if np.isfinite(index[channel]) and channel not in taken][:count]
        taken += fitting
        if fitting:
            chosen[name] = fitting
    return chosen


def _some(chosen: dict[str, list[int]]) -> list[int]:
    """Return the channels whose top images are drawn: the first of each kind in turn."""
    most = max((len(channels) for channels in chosen.values()), default=0)
    mixed = [channels[place] for place in range(most) for channels in chosen.values() if place < len(channels)]
    return mixed[:MASKED]


def _caption(found: "Selectivity", kind: str, channel: int) -> str:
    if kind == "highest class index":
        return f"channel {channel}\n{found.classes[channel][0][0]}\n{found.class_index[channel]:.2f}"
    return f"channel {channel}\ncolour {found.colour_index[channel]:.2f}"


def _draw_masks(
    figures: Figures, model: Any, source: "Stream", network: str, results: "dict[int, Selectivity]", masks: _Masks
) -> None:
    """Draw the images of chosen channels, and below each what the channel sees of it: figure 5.4 of the thesis."""
    import numpy as np

    from fashionprobe.channels.top_images import channel_mask
    from fashionprobe.plots.sheets import Row, contact_sheet

    ids = source.items["id"].to_numpy(str)
    numbers = None if masks.ids is None else [int(np.flatnonzero(ids == name)[0]) for name in masks.ids]
    chosen = {
        (block, channel): numbers or [int(row) for row in found.top.images[channel, : masks.images]]
        for block, found in results.items() for channel in masks.channels
    }  # fmt: skip
    pictures = source.pictures({row for rows in chosen.values() for row in rows})
    for block, found in results.items():
        rows = []
        for channel in masks.channels:
            images = np.stack([pictures[row] for row in chosen[block, channel]])
            limit = masks.threshold
            if limit is None:
                # Of a channel that is silent everywhere nothing is active.
                limit = float(found.top.values[channel, 0]) / 2 or np.inf
            masked = channel_mask(model, found.layer, channel, images, threshold=limit, how=masks.how)
            names = [str(ids[row]) for row in chosen[block, channel]]
            rows.append(Row(f"channel {channel}\nfrom {limit:.3g}", list(pixels(images)), names))
            rows.append(Row("masked", list(pixels(masked)), [""] * len(images)))
        height, width = found.field.size
        remark = {
            "receptive_field": "Second rows: black, but for the receptive field of each place where the channel is at "
            f"least that active: {height} x {width} pixels, at most the image.",
            "bilinear": "Second rows: only the pixels stay where the enlarged map is at least that active.",
        }[masks.how]
        title = f"Channel masks of {network}, block {block}"
        figures.add(f"channel_masks_block{block}", contact_sheet(rows, title=title, remark=remark),
                    f"Channel masks of block {block}", "Many images, and what a channel sees of each.")  # fmt: skip


def _masked(model: Any, found: "Selectivity", channel: int, pictures: "dict[int, np.ndarray]") -> list[Any]:
    """Return two rows of a sheet: the images that activate a channel most, and what the channel sees of them."""
    import numpy as np

    from fashionprobe.channels.top_images import channel_mask
    from fashionprobe.plots.sheets import Row

    values = found.top.values[channel, :SHEET]
    values = values[values > 0]
    images = np.stack([pictures[int(row)] for row in found.top.images[channel, : len(values)]])
    masked = channel_mask(model, found.layer, channel, images, threshold=float(values[0]) / 2)
    name = "\n".join(
        [f"channel {channel}", *(f"{share:.0%} {name}" for name, share in found.classes[channel][:TOP_CLASSES])]
    )
    return [
        Row(name, list(pixels(images)), [f"{value:.3g}" for value in values]),
        Row("masked", list(pixels(masked)), [""] * len(values)),
    ]


def pixels(images: "np.ndarray") -> "np.ndarray":
    """Return images as whole numbers, uint8."""
    import numpy as np

    return np.clip(np.rint(images), 0, 255).astype(np.uint8)
