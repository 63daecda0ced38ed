"""Stage `export`: what a run found, in the formats of other tools."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import fashionprobe.inputs.arguments as shared
from fashionprobe.artifacts import Artifact, Recipe, Result, build
from fashionprobe.stages.export import networks

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Export(Result):
    """What was written for another tool.

    Attributes:
        file: The file, or the folder of a SavedModel.
        difference: Greatest absolute difference between what the written network and the network itself return.
        agreement: Share of the images whose likeliest classes, five at most, are the same; None where the network is
            not a classifier.
    """

    file: Path
    difference: float
    agreement: float | None


@shared.stage
def export(
    *,
    run: shared.Place,
    format: Literal["onnx", "savedmodel", "tflite"],
    what: Literal["classifier", "embedding", "descriptors"] | None = None,
    backbone: str | None = None,
    trust: bool = False,
    overwrite: bool = False,
    tfrecords_root: str = "tfrecords",
    runs_root: str = "runs",
) -> Export:
    """Write a network of a run for another tool.

    The file takes RGB pixels in [0, 255]: the preprocessing is in it. Class names, blocks, poolings and the size of the
    input are in network.json beside it, and in the metadata of ONNX. Then the written network is run by the library
    that its format is for, on 32 images of the record set (on random pixels where it is gone), and compared with the
    network itself: comparison.csv. It becomes the folder runs/NAME/export/WHAT-FORMAT.

    Args:
        format: onnx for ONNX Runtime, savedmodel for TensorFlow, tflite for phones (LiteRT).
        what: Which network: classifier (of train), embedding (of embed), or descriptors (the backbone and the poolings
            of extract, in float32). Default: the first of them that the run has.
        backbone: Name or path of the backbone that described the run; needed when it was moved.

    Returns:
        The export: paths and the difference.

    Raises:
        UserError: If the run has no such network, the format cannot hold it, or a package is not installed.
        OSError: If the disk is full or the folder may not be written.

    Example:
        fashionprobe export --run kaggle --format onnx
    """
    folder = shared.run_path(run, runs_root)
    chosen, source = networks.find(folder, what, backbone, trust=trust)
    networks.check_format(format, source)
    artifact = build(
        folder / "export" / f"{chosen}-{format}",
        Recipe("export", {"format": format, "what": chosen}, {source.path.name: source.fingerprint}),
        lambda draft: networks.write(draft, chosen, source, format, backbone, trust, tfrecords_root),
        overwrite=overwrite,
    )
    return _result(artifact)


def _result(artifact: Artifact) -> Export:
    facts = artifact.facts
    same = f", the same {facts['top']} likeliest classes for {facts['same']} of them" if facts["top"] else ""
    file = artifact.path / facts["file"]
    log.info(
        "%s: %s takes RGB pixels in [0, 255]. On %d images (%s) it differs from the network itself by %.2g at most, of "
        "values up to %.3g%s.",
        artifact.outcome, facts["file"], facts["images"], facts["source"], facts["difference"], facts["greatest"], same,
    )  # fmt: skip
    agreement = facts["same"] / facts["images"] if facts["top"] else None
    return Export(artifact.path, file, facts["difference"], agreement, reused=artifact.reused)
