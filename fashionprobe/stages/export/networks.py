"""The networks of a run, written for other tools and compared there with the networks themselves."""

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fashionprobe import __version__
from fashionprobe.artifacts import MANIFEST, Artifact, load
from fashionprobe.errors import UserError, not_installed
from fashionprobe.inputs.descriptors import poolings_of, records_of
from fashionprobe.inputs.images import open_images
from fashionprobe.inputs.new_images import check_describer, load_describer

if TYPE_CHECKING:
    import keras
    import numpy as np

    from fashionprobe.backbones import Backbone
    from fashionprobe.backbones.exchange import Network, Run

STAGES = {"classifier": "train", "embedding": "embed", "descriptors": "extract"}
"""The networks of a run, each with the stage that wrote it."""

COMPARED = 32
"""Images that the written network is run on."""

TOP = 5
"""Likeliest classes that should be the same."""

SAME = 1e-2
"""Differences of more than this share of the greatest value are refused; rounding in float32 is far below."""


@dataclass(frozen=True)
class Opened:
    """A network of a run, ready to be written.

    Attributes:
        network: Takes images, returns its outputs by name, in TensorFlow's graph.
        run: The same, for NumPy arrays: the network as the other stages run it.
        size: (height, width) of the images in pixels.
        notes: What a reader of the file should know.
        model: The Keras model with the weights; None where they are constants.
    """

    network: "Network"
    run: "Run"
    size: tuple[int, int]
    notes: dict[str, Any]
    model: "keras.Model | None"


@dataclass(frozen=True)
class Comparison:
    """How far the written network is from the network itself.

    Attributes:
        images: Number of images.
        source: Name of the record set that they are of, or "random pixels".
        difference: Greatest absolute difference of a value.
        greatest: Greatest absolute value.
        top: Number of likeliest classes that were compared; 0 where the network is not a classifier.
        same: Number of images for which they are the same, in the same order.
    """

    images: int
    source: str
    difference: float
    greatest: float
    top: int
    same: int


def find(run: Path, what: str | None, backbone: str | None, *, trust: bool) -> tuple[str, Artifact]:
    """Find the network of a run that is wanted, and judge its file, without Keras.

    Args:
        run: Folder of the run.
        what: One of `STAGES`; None for the first that the run has.
        backbone: Name or path of the network that described the run, where it was moved.
        trust: Whether its file may hold more than layers of Keras.

    Raises:
        UserError: If there is none, or its file is refused.
    """
    there = [name for name, stage in STAGES.items() if (run / stage / MANIFEST).is_file()]
    what = what or next(iter(there), None)
    if what is None:
        raise UserError(
            "run", expected="one with a network", received=f"{run.name}, which has none",
            remedy=f"Make one first: fashionprobe train --dataset DATASET --run {run.name}",
        )  # fmt: skip
    stage = STAGES[what]
    remedy = f"Make it first: fashionprobe {stage} --dataset DATASET --run {run.name}"
    artifact = load(run / stage, stage=stage, remedy=remedy)
    if what == "descriptors":
        check_describer(artifact.manifest, backbone, trust=trust)
    else:
        from fashionprobe.backbones import architectures

        architectures.check(str(artifact.path / "model.keras"), trust=trust)
    return what, artifact


def check_format(format: str, artifact: Artifact) -> None:
    """Check that a format can hold a network and that its packages are there, before anything is loaded.

    Raises:
        UserError: If not.
    """
    if format == "onnx":
        # Found, not imported: tf2onnx imports TensorFlow.
        for package in ("onnx", "tf2onnx", "onnxruntime"):
            if importlib.util.find_spec(package) is None:
                remedy = "Or pass --format savedmodel."
                raise not_installed(package, extra="onnx", purpose="--format onnx", remedy=remedy)
    region = next((way.region for way in poolings_of(artifact.manifest) if way.region != "whole"), None)
    if format != "savedmodel" and region:
        # TFLite has no resizing by area. tf2onnx takes another one for it: on photographs descriptors of `mini` were
        # wrong by a third of the greatest value, while on random pixels, alike everywhere, they were right.
        raise UserError(
            "format", expected=f"savedmodel for descriptors of region {region}",
            received=f"{format}, which cannot compute the region",
        )  # fmt: skip


def write(
    draft: Path, what: str, artifact: Artifact, format: str, backbone: str | None, trust: bool, tfrecords_root: str
) -> dict[str, Any]:
    """Write the network and what it is, run it, and compare; return the facts for the manifest."""
    import json
    from dataclasses import asdict

    from fashionprobe.backbones import exchange

    opened = _described(artifact, backbone, trust) if what == "descriptors" else _trained(what, artifact, trust)
    path = exchange.write(format, opened.network, opened.size, draft, opened.notes, model=opened.model)
    text = json.dumps(opened.notes, indent=2, ensure_ascii=False)
    (draft / "network.json").write_text(f"{text}\n", encoding="utf-8")
    found = _compared(draft, opened, exchange.reader(format, path), what, artifact, tfrecords_root)
    if not found.difference <= SAME * found.greatest:
        raise UserError(
            "format", expected="one that computes what the network computes",
            received=f"{format}, which differs by {found.difference:.2g}, of values up to {found.greatest:.3g}",
            remedy="Try another format.",
        )  # fmt: skip
    return {"file": path.name, "network": artifact.path.name, **asdict(found)}


def _trained(what: str, artifact: Artifact, trust: bool) -> Opened:
    """Open a classifier or an embedding."""
    from fashionprobe import backbones

    backbone = backbones.load(str(artifact.path / "model.keras"), trust=trust)
    model: Any = backbones.on_pixels(backbone)
    name = "probabilities" if what == "classifier" else "embedding"
    facts = artifact.facts
    notes = _notes(what, artifact, backbone, facts["backbone"]) | {
        "outputs": {name: model.output_shape[-1]}, "label": facts["label"], "classes": facts["classes"],
    }  # fmt: skip
    if what == "embedding":
        notes["metric"] = artifact.manifest["arguments"]["metric"]
    return Opened(
        lambda images: {name: model(images, training=False)},
        lambda images: {name: model.predict_on_batch(images)},
        backbone.size, notes, model,
    )  # fmt: skip


def _described(artifact: Artifact, backbone: str | None, trust: bool) -> Opened:
    """Open the network that described a run, up to the deepest block."""
    import itertools

    import tensorflow as tf

    from fashionprobe.backbones.descriptors import extractor

    loaded = load_describer(artifact.manifest, backbone=backbone, trust=trust)
    blocks, ways = [int(block) for block in artifact.facts["blocks"]], poolings_of(artifact.manifest)
    forward = extractor(loaded, blocks, poolings=ways)
    # They bear the names of the files of `extract`.
    pairs = [(block, way, first == 0) for block in blocks for first, way in enumerate(ways)]
    names = [Path(way.file(block, first=first)).stem for block, way, first in pairs]

    def network(images: Any) -> dict[str, Any]:
        return dict(zip(names, itertools.islice(forward(images), len(names)), strict=True))

    known = artifact.facts["blocks"]
    notes = _notes("descriptors", artifact, loaded, loaded.name) | {
        "outputs": {
            name: way.width(known[str(block)]["channels"])
            for name, (block, way, _) in zip(names, pairs, strict=True)
        },
        "blocks": {str(block): known[str(block)]["tap"] for block in blocks},
        "poolings": {name: str(way) for name, (_, way, _) in zip(names, pairs, strict=True)},
    }  # fmt: skip
    return Opened(
        network,
        lambda images: {name: each.numpy() for name, each in network(tf.constant(images)).items()},
        loaded.size, notes, None,
    )  # fmt: skip


def _notes(what: str, artifact: Artifact, backbone: "Backbone", name: str) -> dict[str, Any]:
    return {
        "what": what,
        "made_by": f"fashionprobe {__version__}",
        "run": artifact.path.parent.name,
        "backbone": name,
        "weights_sha256": backbone.weights_sha256,
        "input": "images: float32 (batch, height, width, 3), RGB in [0, 255]; the preprocessing is in the network",
        "size": list(backbone.size),
        "fit": artifact.manifest["arguments"]["fit"],
    }


def _compared(
    draft: Path, opened: Opened, run: "Run", what: str, artifact: Artifact, tfrecords_root: str
) -> Comparison:
    """Run both networks on the same images, and list the greatest difference of each output."""
    import numpy as np
    import pandas as pd

    images, source = _images(opened.size, artifact, tfrecords_root)
    ours, theirs = opened.run(images), run(images)
    rows = [
        {
            "output": name, "images": len(images), "source": source,
            "greatest_difference": float(np.abs(theirs[name] - value).max()),
            "greatest_value": float(np.abs(value).max()),
        }
        for name, value in ours.items()
    ]  # fmt: skip
    top = same = 0
    if what == "classifier":
        top = min(TOP, len(opened.notes["classes"]))
        same = agreeing(ours["probabilities"], theirs["probabilities"], top)
        rows[0] |= {"top": top, "images_of_same_top": same}
    table = pd.DataFrame(rows)
    table.to_csv(draft / "comparison.csv", index=False, float_format="%.6g")
    largest = table["greatest_difference"].max(), table["greatest_value"].max()
    return Comparison(len(images), source, float(largest[0]), float(largest[1]), top, same)


def agreeing(ours: "np.ndarray", theirs: "np.ndarray", top: int) -> int:
    """Count the images whose likeliest classes are the same, in the same order.

    Args:
        ours: Probabilities, float32 (images, classes).
        theirs: The same of the other network.
        top: How many of the likeliest classes.
    """
    first, second = ((-each).argsort(axis=1, kind="stable")[:, :top] for each in (ours, theirs))
    return int((first == second).all(axis=1).sum())


def _images(size: tuple[int, int], artifact: Artifact, tfrecords_root: str) -> "tuple[np.ndarray, str]":
    """Return images of the record set that the network has seen, or random ones where it is gone."""
    import numpy as np

    records = records_of(artifact, tfrecords_root)
    if records is None:
        pixels = np.random.default_rng(0).uniform(0, 255, (COMPARED, *size, 3))
        return pixels.astype(np.float32), "random pixels"
    chosen = open_images(
        images=None, dataset=records.path, split=None, samples=COMPARED, fit=artifact.manifest["arguments"]["fit"],
        seed=0, tfrecords_root=tfrecords_root,
    )  # fmt: skip
    return chosen.first(size, COMPARED), records.path.name
