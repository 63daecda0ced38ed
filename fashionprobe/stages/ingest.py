"""Stage `ingest`: images and labels of a source -> TFRecord files."""

import logging
from dataclasses import dataclass
from typing import Literal

import fashionprobe.inputs.arguments as shared
from fashionprobe.artifacts import Result
from fashionprobe.errors import missing, unknown_name
from fashionprobe.inputs.arguments import image_size, listed, records_path, spelled

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Records(Result):
    """A record set on disk.

    Attributes:
        images: Number of records.
        splits: Number of records by split.
        skipped: Number of images and rows that could not be used; `skipped.csv` lists them with the reason.
    """

    images: int
    splits: dict[str, int]
    skipped: int


@shared.stage
def ingest(
    *,
    dataset: str,
    source: str | None = None,
    path: str | None = None,
    where: str | None = None,
    test_where: str | None = None,
    label: str | None = None,
    classes: list[str] | str | None = None,
    per_class: int | None = None,
    split: list[float] | None = None,
    image_column: str | None = None,
    id_column: str | None = None,
    label_columns: list[str] | str | None = None,
    count: int = 1000,
    rate: float | None = None,
    marks: Literal["auto", "symbols", "patch", "dots", "none"] = "auto",
    size: int | list[int] | None = None,
    fit: Literal["pad", "stretch"] = "pad",
    strip_metadata: bool = False,
    near_copies: float | None = None,
    check: bool = False,
    strict: bool = False,
    shard_size: int = 512,
    threads: int | None = None,
    seed: int = 0,
    overwrite: bool = False,
    tfrecords_root: str = "tfrecords",
) -> Records:
    """Pack images and labels into TFRecord files.

    Args:
        dataset: Name of the record set; it becomes the folder tfrecords/NAME.
        source: Where the images come from: kaggle (Fashion Product Images), folder (one sub-folder per class, or photos
            alone), table (photos listed in a .csv, .tsv, .parquet or .feather file), garments
            (drawn, no download), symbols (drawn letters with a mark in a corner that gives the class away), quickdraw
            (.npy or .ndjson files of sketches), xray (GDXray in class folders, copies kept together), decoy (another
            record set, with such marks), fashion_mnist (its four IDX files) or sprites (one sheet of tiles and a table
            of their labels). Default: the name of the record set, when that is a source.
        path: Folder or zip file of the source (fashion_mnist: folder only); for table the file, with the photos beside
            or below it; for decoy the folder of the record set. Not needed for garments and symbols; without it kaggle
            is downloaded with kagglehub, fashion_mnist with Keras.
        where: Keep the images for which this pandas query over the label columns is true.
        test_where: Measure on the images for which this query is true, and train on the others: they become test,
            and so do copies of them; `split` then divides the rest into train and val, as 80,20,0. With `per_class`,
            at most so many of each class in either.
        label: The column that `classes`, `per_class`, the stratified split and the marks of decoy go by. Default for
            the split: articleType for kaggle; class for folder, symbols, quickdraw, xray and fashion_mnist; the
            column class or label, else the first, for sprites. Default for the marks: the column by which the record
            set was split.
        classes: Keep these classes of the label column.
        per_class: Keep at most this many images per class, drawn with the seed.
        split: Parts of train, val and test in any unit. Default: the source's own (folders, 36,000 to 8,000 for
            kaggle, 70, 10, 20 for symbols, or train and test of fashion_mnist, without val), else 80, 10, 10.
        label_columns: For table: columns of labels that come first; the first one stratifies the split. All other
            columns are carried along, and `where` may ask for them, as "price < 30".
        count: Number of images to draw (garments, symbols; each test symbol comes with and without a mark).
        rate: Share of the train and val images whose mark is that of their class, in [0, 1] (symbols, decoy). The
            others have one drawn at random, as test images do. Default: 0.9.
        marks: Kind of the marks: symbols, and for decoy also patch (a grey square) or dots; none leaves them out. auto
            is symbols for the sources that put marks into their images.
        size: Height and width in pixels to resize to before storing; one number for a square. Default: the original
            bytes are stored untouched (garments are drawn at 224, symbols at 72, drawings of quickdraw at 128).
        fit: How to resize: keep the aspect ratio and pad with white, or stretch.
        strip_metadata: Drop camera data and comments from the files; pixels, orientation and colour profile stay.
        near_copies: Also keep nearly equal pictures in one split (equal ones always are): those that, shrunk to 16
            x 16, differ by at most this many levels of 255 on average. 1 finds a JPEG saved again at another
            quality. Every image is decoded.
        check: Decode every image to find damage that its structure does not show. Slower.
        strict: Stop at the first bad image instead of skipping it.
        shard_size: Images per file.
        threads: Files written at a time. Default: one per processor core.

    Returns:
        The record set: path and counts.

    Raises:
        UserError: If an argument or the source is wrong, or no image is left.
        OSError: If the disk is full or the folder may not be written.

    Example:
        fashionprobe ingest --dataset colour --source kaggle --path fashion_products.zip
    """
    folder = records_path(dataset, tfrecords_root)

    from fashionprobe.records.pack import Request, pack

    request = Request(
        source=_source(source, dataset),
        path=path,
        where=where and spelled(where),
        test_where=test_where and spelled(test_where),
        label=label and spelled(label),
        classes=listed("classes", classes),
        per_class=per_class,
        split=split,
        image_column=image_column and spelled(image_column),
        id_column=id_column and spelled(id_column),
        label_columns=listed("label_columns", label_columns),
        count=count,
        rate=rate,
        marks=marks,
        size=image_size(size),
        fit=fit,
        strip_metadata=strip_metadata,
        near_copies=near_copies,
        check=check,
        strict=strict,
        shard_size=shard_size,
        seed=seed,
    )
    artifact = pack(request, folder, threads=threads, overwrite=overwrite)
    facts = artifact.facts
    result = Records(
        artifact.path, sum(facts["splits"].values()), facts["splits"], facts["skipped"], reused=artifact.reused
    )
    _report(result, facts["notes"], facts.get("copies", {}))
    return result


def _source(source: str | None, dataset: str) -> str:
    from fashionprobe.records.sources import SOURCES

    if source is None and dataset not in SOURCES:
        raise missing(
            "source", f"pass one of {', '.join(SOURCES)}",
            f"Only a record set named like a source needs none. Such as --source {SOURCES[0]}.",
        )  # fmt: skip
    if source is not None and source not in SOURCES:
        raise unknown_name("source", source, SOURCES)
    return source or dataset


def _report(records: Records, notes: list[str], copies: dict[str, int]) -> None:
    for note in notes:
        log.info("%s", note)
    for kind, one, many in (
        ("equal", "image has the pixels of another", "images have the pixels of others"),
        ("near", "image looks nearly like another", "images look nearly like others"),
    ):
        if count := copies.get(kind, 0):
            log.info("%d %s: copies are kept in one split", count, one if count == 1 else many)
    if records.skipped:
        log.info("%d images or rows could not be used: %s", records.skipped, records.path / "skipped.csv")
    splits = ", ".join(f"{count} {split}" for split, count in records.splits.items() if count)
    log.info(
        "%s: %d images (%s). Next: fashionprobe extract --dataset %s",
        records.outcome, records.images, splits, records.path.name,
    )  # fmt: skip
