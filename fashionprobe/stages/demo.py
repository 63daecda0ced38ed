"""Stage `demo`: the whole chain on drawn garments, offline."""

import fashionprobe.inputs.arguments as shared
from fashionprobe.stages.classify import classify
from fashionprobe.stages.extract import extract
from fashionprobe.stages.ingest import ingest
from fashionprobe.stages.report import Report, report


# Ten classes per label, each with one image per fold.
@shared.stage(count="[50, inf)", size="[32, inf)")
def demo(
    *,
    count: int = 1000,
    size: int = 112,
    overwrite: bool = False,
    tfrecords_root: str = "tfrecords",
    runs_root: str = "runs",
) -> Report:
    """Run the whole chain on drawn garments, offline.

    Draw garments, describe them by a small network, ask each block for colour and pattern, write the report. The
    network is `mini`, which comes with this package. It was trained to read product titles from photographs, and
    colours and fabrics from other drawn garments; nothing is trained here.

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
    records = ingest(
        dataset="demo",
        source="garments",
        count=count,
        size=size,
        overwrite=overwrite,
        tfrecords_root=tfrecords_root,
    )
    descriptors = extract(
        dataset=records,
        backbone="mini",
        size=size,
        overwrite=overwrite,
        runs_root=runs_root,
    )
    answers = classify(run=descriptors, label=["colour", "pattern"], overwrite=overwrite, runs_root=runs_root)
    return report(run=answers, overwrite=overwrite, tfrecords_root=tfrecords_root, runs_root=runs_root)
