"""Stage `extract`: records -> descriptors of a backbone's hidden blocks."""

import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import fashionprobe.inputs.arguments as shared
from fashionprobe import progress
from fashionprobe.artifacts import Artifact, Recipe, Result, build, child
from fashionprobe.backbones.pooling import FOREGROUND, Pooling, poolings
from fashionprobe.errors import UserError
from fashionprobe.inputs.network import NetworkSpec
from fashionprobe.records.record_set import RecordSet

if TYPE_CHECKING:
    import pandas as pd

    from fashionprobe.backbones import Backbone

log = logging.getLogger(__name__)

COMMIT_EVERY = 512
"""Rows between two commits: what a killed run has to compute again."""


@dataclass(frozen=True)
class Descriptors(Result):
    """Descriptors on disk.

    Attributes:
        images: Number of rows.
        blocks: The blocks.
        images_per_second: Images described in a second, start included; 0 when reused.
    """

    images: int
    blocks: tuple[int, ...]
    images_per_second: float


@shared.stage
def extract(
    *,
    dataset: shared.Place,
    run: str | None = None,
    backbone: str = "resnet50",
    weights: str = "pretrained",
    block: int | list[int] | None = None,
    taps: list[str] | str | None = None,
    preprocessing: Literal["auto", "none", "tf", "caffe", "torch"] = "auto",
    size: int | list[int] | None = None,
    fit: Literal["pad", "stretch"] = "pad",
    split: list[str] | str | None = None,
    pool: list[str] | str = "mean",
    region: list[str] | str = "whole",
    batch_size: int = 32,
    precision: Literal["float32", "bfloat16", "float16"] = "float32",
    xla: bool = False,
    seed: int = 0,
    trust: bool = False,
    overwrite: bool = False,
    tfrecords_root: str = "tfrecords",
    runs_root: str = "runs",
) -> Descriptors:
    """Describe every image by the hidden blocks of a backbone.

    One forward pass describes an image by all blocks. A block's descriptor is the global average pooling of the feature
    map that ends it, or another summary of it, or several. The pass stops at the deepest block that is asked for. An
    interrupted run resumes where it stopped.

    Args:
        pool: How a feature map is summarised, one way or several as mean,mean_std: mean, mean_std (with the standard
            deviation of each channel), max or gem (the generalised mean). Commands read the first; choose compares
            all, and index takes any.
        region: What of the image counts, one or several: whole, foreground (what differs from a plain ground, as on
            photographs of products; the whole image where the ground is not plain) or centre (the middle half).

    Returns:
        The descriptors: path and counts.

    Raises:
        UserError: If an argument does not fit, or the records are missing or damaged.
        OSError: If the disk is full or the folder may not be written.

    Example:
        fashionprobe extract --dataset colour --backbone mobilenet
    """
    records_path = shared.records_path(dataset, tfrecords_root)
    folder = child(runs_root, records_path.name if run is None else run, argument="run") / "extract"
    spec = NetworkSpec.of(None, backbone, weights, taps, preprocessing, size, seed, trust)
    spec.check(shared.numbers(block) or [])
    records = shared.open_records(dataset, tfrecords_root)
    items, splits = _items(records, shared.listed("split", split))

    from fashionprobe.backbones import devices

    ways = poolings(shared.listed("pool", pool) or [], shared.listed("region", region) or [])
    loaded = spec.load()
    blocks = loaded.choose_blocks(shared.numbers(block))
    layers = [loaded.taps[block - 1] for block in blocks]
    recipe = Recipe(
        "extract",
        {
            "backbone": loaded.name, "taps": loaded.places(layers), "block": blocks, "size": loaded.size, "fit": fit,
            "preprocessing": asdict(loaded.preprocessing), "split": splits, "precision": precision, "xla": xla,
            # Poolings came later: without them an extraction is the same as ever.
            **({} if ways == (Pooling(),) else {"poolings": list(map(str, ways))}),
        },
        {"records": records.fingerprint},
        loaded.weights_sha256,
    )  # fmt: skip
    # With the network, so that other stages can describe new images by the same one.
    settings = {"batch_size": batch_size, "device": devices.name(), "network": spec.noted()}
    artifact = build(
        folder,
        recipe,
        lambda draft: _write(draft, records, items, splits, loaded, blocks, ways, fit, precision, xla, settings),
        overwrite=overwrite,
        settings=settings,
        changed={"records": lambda there: shared.other_records(there, records)},
    )
    return _result(artifact)


def _write(
    draft: Path,
    records: RecordSet,
    items: "pd.DataFrame",
    splits: list[str],
    backbone: "Backbone",
    blocks: list[int],
    ways: tuple[Pooling, ...],
    fit: Literal["pad", "stretch"],
    precision: Literal["float32", "bfloat16", "float16"],
    xla: bool,
    settings: dict[str, Any],
) -> dict[str, Any]:
    """Fill the files of one extraction, from the last commit on; `settings` learns how many rows were there."""
    import numpy as np
    import tensorflow as tf

    from fashionprobe.backbones.descriptors import channels, extractor, same_shape
    from fashionprobe.npy import RowWriter
    from fashionprobe.records.pack import resizing
    from fashionprobe.records.read import read, readable

    widths = channels(backbone, blocks)
    forward = extractor(backbone, blocks, poolings=ways, precision=precision, xla=xla)
    files = {
        way.file(block, first=not place): way.width(width)
        for block, width in zip(blocks, widths, strict=True)
        for place, way in enumerate(ways)
    }
    if any(way.region == "foreground" for way in ways):
        files[FOREGROUND] = 1
    batch_size = settings["batch_size"]
    together = min(batch_size, len(items))
    with RowWriter(draft, files, len(items), step=batch_size) as writer, readable(records):
        images = read(records, splits=splits, size=backbone.size, fit=fit, batch_size=batch_size, skip=writer.done)
        with progress.bar(total=len(items), done=writer.done, unit="image", description="extract") as bar:
            committed = settings["rows_resumed"] = writer.done
            for batch, names in images:
                _check_order(names.numpy(), items, writer.done, records)
                if len(names) < together:
                    batch = tf.constant(same_shape(batch.numpy(), together))
                found = _run(forward, batch)
                writer.append([tensor.numpy()[: len(names)] for tensor in found])
                bar.update(len(names))
                if writer.done - committed >= COMMIT_EVERY:
                    writer.commit()
                    committed = writer.done
        if writer.done != len(items):
            raise tf.errors.DataLossError(None, None, "fewer records than listed")
    items.to_csv(draft / "items.csv", index=False)
    facts = {}
    if FOREGROUND in files:
        # Read from the file: a part of it may be from a run that was interrupted.
        facts["whole_images"] = int((np.load(draft / FOREGROUND) == 1).sum())
    if ways != (Pooling(),):
        facts["poolings"] = list(map(str, ways))
    stored = resizing(records)
    return {
        # So that new images can be stored, for a moment, as these were.
        **({"resizing": asdict(stored)} if stored else {}),
        "rows": len(items),
        "dataset": records.path.name,
        "backbone": backbone.name,
        "weights": backbone.weights,
        "size": backbone.size,
        "blocks": {
            str(block): {"tap": backbone.taps[block - 1], "channels": width}
            for block, width in zip(blocks, widths, strict=True)
        },
        **facts,
    }


def _run(forward: Any, batch: Any) -> list[Any]:
    import tensorflow as tf

    try:
        return forward(batch)
    except tf.errors.ResourceExhaustedError as error:
        raise UserError(
            "batch_size", expected="small enough for the memory of this device", received=len(batch),
            remedy="Lower --batch-size or --size, or use --precision bfloat16.",
        ) from error  # fmt: skip


def _items(records: RecordSet, wanted: list[str] | None) -> "tuple[pd.DataFrame, list[str]]":
    """Return the items to describe and the splits that they are in, in the order of the records."""
    items, splits = records.in_splits(wanted)
    items = items.drop(columns=["row", "shard"])
    items.insert(0, "row", range(len(items)))
    return items, splits


def _check_order(names: Any, items: "pd.DataFrame", start: int, records: RecordSet) -> None:
    """Make sure that row i of the descriptors is row i of items.csv."""
    expected = items["id"].iloc[start : start + len(names)].tolist()
    if [name.decode() for name in names] != expected:
        raise UserError(
            str(records.path), expected="records in the order of its items.csv", received="records of another set",
            remedy=f"Make it again: fashionprobe ingest --dataset {records.path.name} --overwrite ...",
        )  # fmt: skip


def _result(artifact: Artifact) -> Descriptors:
    facts, made = artifact.facts, artifact.manifest["run"]
    computed = facts["rows"] - made["settings"].get("rows_resumed", 0)
    rate = 0.0 if artifact.reused else computed / max(made["seconds"], 1e-9)
    blocks = tuple(int(block) for block in facts["blocks"])
    if whole := facts.get("whole_images"):
        log.info(
            "%d of %d images have no plain ground, or nothing before it: their foreground is the whole image.", whole,
            facts["rows"],
        )  # fmt: skip
    log.info(
        "%s: %d images%s, block%s %s. Next: fashionprobe classify --run %s --label COLUMN",
        artifact.outcome,
        facts["rows"],
        "" if artifact.reused else f" ({rate:.0f} a second)",
        "" if len(blocks) == 1 else "s",
        ", ".join(map(str, blocks)),
        artifact.path.parent.name,
    )
    return Descriptors(artifact.path, facts["rows"], blocks, rate, reused=artifact.reused)
