"""Stage `demo`: the whole chain on drawn garments, offline."""

from typing import Any

import fashionprobe.inputs.arguments as shared
from fashionprobe.stages.classify import classify
from fashionprobe.stages.extract import extract
from fashionprobe.stages.index import index
from fashionprobe.stages.ingest import ingest
from fashionprobe.stages.report import Report, report
from fashionprobe.stages.retrieve import retrieve
from fashionprobe.stages.see import see
from fashionprobe.stages.wall import wall

TITLE = "What efficientnet_lite0, trained on ImageNet, knows of garments that it never saw"

NETWORK = "efficientnet_lite0"
"""A network trained on ImageNet."""

LABELS = ["pattern", "colour"]


# Ten classes per label, each with one image per fold.
@shared.stage(count="[50, inf)", size="[32, inf)")
def demo(
    *,
    count: int = 400,
    size: int = 224,
    overwrite: bool = False,
    tfrecords_root: str = "tfrecords",
    runs_root: str = "runs",
) -> Report:
    """Run the whole chain on drawn garments, offline.

    Draw garments, describe them by the hidden blocks of a network, ask each block for colour and pattern, show what the
    network sees in six of them, search, lay the garments out on a wall, make an index, write the report. Then
    `fashionprobe app --run demo` shows them. The network is efficientnet_lite0, which was trained on ImageNet and never
    saw a drawn garment; it is compared with itself at random weights, and with mini, which was trained on product
    photographs and on other drawn garments. Nothing is trained here but linear probes.

    Args:
        count: Number of garments to draw.
        size: Height and width of the pictures in pixels.

    Returns:
        The report: path of the folder and of the page.

    Raises:
        UserError: If there are too few or too small pictures.
        OSError: If the disk is full or the folder may not be written.

    Example:
        fashionprobe demo
    """
    roots: dict[str, Any] = {"tfrecords_root": tfrecords_root, "runs_root": runs_root}
    records = ingest(
        dataset="demo", source="garments", count=count, size=size, overwrite=overwrite, tfrecords_root=tfrecords_root
    )
    common: dict[str, Any] = {"dataset": records, "overwrite": overwrite, **roots}
    untrained = extract(run="demo-random", backbone=NETWORK, weights="random", size=size, **common)
    described = extract(run="demo", backbone=NETWORK, size=size, **common)
    small = extract(run="demo-mini", backbone="mini", **common)
    asked: dict[str, Any] = {"label": LABELS, "normalization": "whiten", "overwrite": overwrite, "runs_root": runs_root}
    answers = classify(run=described, linear=True, control=untrained, **asked)
    others = [classify(run=other, **asked) for other in (small, untrained)]
    retrieve(run=described, label=LABELS, overwrite=overwrite, **roots)
    see(run="demo", backbone=NETWORK, size=size, samples=6, method="grad_cam", **common)
    # So that `app` and `serve` have something to search in and to show.
    index(run=described, overwrite=overwrite, **roots)
    wall(run=described, block=1, cell=48, overwrite=overwrite, **roots)
    return report(run=[answers, *others], title=TITLE, about="demo", overwrite=overwrite, **roots)
