"""What packing and reading records cost, beside the plainest code that does the same.

    python benchmarks/records.py                  # pictures that it makes itself
    python benchmarks/records.py --path CATALOGUE # Fashion Product Images of Kaggle, a folder or a zip file

Each line compares two things in one process: they take turns, and the table gives the median CPU seconds of all
threads for one image. A ratio above 1 means that fashionprobe is the cheaper one.
"""

import argparse
import contextlib
import gc
import importlib
import importlib.util
import os
import shutil
import statistics
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from PIL import Image

from fashionprobe.backbones.preprocessing import PREPROCESSING
from fashionprobe.records import write
from fashionprobe.records.pack import Request, pack
from fashionprobe.records.read import read
from fashionprobe.records.record_set import RecordSet
from fashionprobe.records.sources import Catalogue, kaggle

# No dependency: compared with when it is there.
tfds: Any = importlib.import_module("tensorflow_datasets") if importlib.util.find_spec("tensorflow_datasets") else None

HEADER = "id,gender,masterCategory,subCategory,articleType,baseColour,season,year,usage,productDisplayName"
Job = Callable[[], object]


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--path", help="folder or zip file with styles.csv and images")
    parser.add_argument("--rounds", type=int, default=7, help="rounds of each comparison (default: 7)")
    parser.add_argument("--scale", type=float, default=1.0, help="factor for the number of images (default: 1)")
    options = parser.parse_args()
    print(f"{'':64}{'other':>9}{'ours':>9}{'ratio':>7}{'target':>9}   (CPU microseconds an image, medians)")
    with tempfile.TemporaryDirectory() as scratch:
        if options.path:
            packing("catalogue", options.path, Path(scratch), options.rounds)
        else:
            for height, width, count in ((80, 60, 2000), (300, 300, 2000), (1000, 1000, 2000)):
                folder = Path(scratch) / f"{height}x{width}"
                draw(folder, (height, width), round(count * options.scale))
                packing(f"{height} x {width}", str(folder), Path(scratch), options.rounds)
            for height, width, count in ((80, 60, 800), (512, 512, 200)):
                folder = Path(scratch) / f"read-{height}x{width}"
                draw(folder, (height, width), round(count * options.scale))
                reading(f"{height} x {width}", folder, options.rounds)
    if tfds is None:
        print("To compare with tensorflow_datasets: pip install tensorflow-datasets")


def draw(folder: Path, shape: tuple[int, int], count: int) -> None:
    """Make a catalogue of smooth pictures: about as many bytes as photographs of garments have."""
    rng = np.random.default_rng(0)
    (folder / "images").mkdir(parents=True)
    lines = [HEADER]
    for number in range(count):
        # Copies save minutes of drawing; no step of packing or reading remembers a picture.
        if number < 100:
            coarse = Image.fromarray(rng.integers(0, 256, (6, 5, 3), np.uint8))
            picture = coarse.resize((shape[1], shape[0]), Image.Resampling.BICUBIC)
            picture.save(folder / "images" / f"{10_000 + number}.jpg", quality=85)
        else:
            shutil.copy(
                folder / "images" / f"{10_000 + number % 100}.jpg", folder / "images" / f"{10_000 + number}.jpg"
            )
        kind, colour = rng.integers(0, 40), rng.integers(0, 12)
        lines.append(
            f"{10_000 + number},Women,Apparel,Topwear,Type {kind},Colour {colour},Summer,{2010 + kind % 8},Casual,"
            f"Brand {rng.integers(0, 300)} Women Printed Colour {colour} Type {kind}"
        )
    (folder / "styles.csv").write_text("\n".join(lines), encoding="utf-8")


def packing(what: str, path: str, scratch: Path, rounds: int) -> None:
    """Compare our writer, and the whole of `pack`, with a bare loop and with a tfds builder."""
    catalogue = kaggle.catalogue(path)
    items = catalogue.items.assign(split="train")
    shards = write.plan(items, shard_size=512, seed=0)
    rows = [{str(column): str(value) for column, value in row.items()} for row in items.to_dict("records")]
    threads = os.cpu_count() or 1

    def ours() -> None:
        with tempfile.TemporaryDirectory(dir=scratch) as folder:
            write.write_shards(Path(folder), shards, catalogue.read, write.Packing(), threads=threads)

    def whole() -> None:
        with tempfile.TemporaryDirectory(dir=scratch) as folder:
            pack(Request("kaggle", path), Path(folder) / "records")

    jobs: dict[str, Job] = {"bare": lambda: bare_loop(path, rows, scratch), "ours": ours, "whole": whole}
    if tfds is not None:
        jobs["tfds"] = tfds_job(catalogue, rows, scratch)
    cost = measure(jobs, len(items), rounds)
    line(f"packing {what}: bare TFRecordWriter loop, write_shards", cost["bare"], cost["ours"], ">= 0.80")
    line(f"packing {what}: bare loop, whole pack with SHA-256", cost["bare"], cost["whole"], "")
    if tfds is not None:
        line(f"packing {what}: tfds builder, whole pack", cost["tfds"], cost["whole"], ">= 1.50")


def bare_loop(path: str, rows: list[dict[str, str]], scratch: Path) -> None:
    """Write the same records as every tutorial does."""
    archive = None if os.path.isdir(path) else zipfile.ZipFile(path)
    with tf.io.TFRecordWriter(str(scratch / "bare.tfrecord")) as writer:
        for row in rows:
            name = f"images/{row['id']}.jpg"
            if archive is None:
                with open(os.path.join(path, name), "rb") as file:
                    image = file.read()
            else:
                image = archive.read(name)
            feature = {
                "image": text_feature(image),
                "id": text_feature(row["id"].encode()),
                "orientation": tf.train.Feature(int64_list=tf.train.Int64List(value=[1])),
            }
            feature |= {f"label/{column}": text_feature(row[column].encode()) for column in row if column != "id"}
            writer.write(tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString())


def text_feature(value: bytes) -> tf.train.Feature:
    """Make a feature of one text."""
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))


def tfds_job(catalogue: Catalogue, rows: list[dict[str, str]], scratch: Path) -> Job:
    """Return a job that writes the same images and labels as a data set of tensorflow_datasets."""

    class Products(tfds.core.GeneratorBasedBuilder, skip_registration=True):  # pyright: ignore[reportCallIssue, reportGeneralTypeIssues]
        """The catalogue as a builder."""

        VERSION = tfds.core.Version("1.0.0")
        pkg_dir_path = scratch

        def _info(self) -> object:
            features = {"image": tfds.features.Image(encoding_format="jpeg"), **dict.fromkeys(rows[0], tf.string)}
            return self.dataset_info_from_configs(features=tfds.features.FeaturesDict(features))

        def _split_generators(self, dl_manager: object) -> dict:
            return {"train": self._generate_examples()}

        def _generate_examples(self) -> Iterator[tuple[str, dict]]:
            for row in rows:
                yield row["id"], {"image": catalogue.read(row["id"]), **row}

    def build() -> None:
        with tempfile.TemporaryDirectory(dir=scratch) as folder, contextlib.redirect_stdout(None):
            Products(data_dir=folder).download_and_prepare()

    tfds.disable_progress_bar()
    return build


def reading(what: str, folder: Path, rounds: int) -> None:
    """Compare our reader with `image_dataset_from_directory`, and with itself and preprocessing behind it."""
    count = len(list((folder / "images").iterdir()))
    records = pack(Request("folder", str(folder)), folder.with_name(f"{folder.name}-records"))
    # Keras annotates its argument `labels` as a text, and takes None.
    from_directory: Any = keras.utils.image_dataset_from_directory
    for fit in ("stretch", "pad"):
        theirs = from_directory(
            str(folder),
            labels=None,
            image_size=(224, 224),
            shuffle=False,
            pad_to_aspect_ratio=fit == "pad",
            verbose=False,
        )
        ours = read(records, outputs=("image",), size=(224, 224), fit=fit)
        cost = measure({"theirs": lambda t=theirs: drain(t), "ours": lambda o=ours: drain(o)}, count, rounds)
        line(f"reading {what} -> 224, {fit}: Keras, ours", cost["theirs"], cost["ours"], ">= 0.75")
    preprocessing(what, records, count, rounds)


def preprocessing(what: str, records: RecordSet, count: int, rounds: int) -> None:
    """Compare reading alone with reading and what `descriptors` leaves of the preprocessing: subtracting the mean."""
    images = read(records, outputs=("image",), size=(224, 224))
    # Whole rows, as in `descriptors`: TensorFlow broadcasts along the last axis alone four times slower.
    mean = np.broadcast_to(np.asarray(PREPROCESSING["caffe"].mean, np.float32), (224, 3))
    steps = {"plain": tf.function(tf.identity), "prepared": tf.function(lambda batch: batch - mean)}
    cost = measure({name: lambda then=then: drain(images, then) for name, then in steps.items()}, count, rounds)
    line(f"reading {what} -> 224: without, with preprocessing", cost["plain"], cost["prepared"], ">= 0.91")


def drain(images: tf.data.Dataset, then: Callable = lambda batch: batch) -> None:
    """Read a data set to its end."""
    for batch in images:
        then(batch)


def measure(jobs: dict[str, Job], images: int, rounds: int) -> dict[str, float]:
    """Return the median CPU time of each job in seconds an image; the jobs take turns, after one unmeasured turn."""
    seconds: dict[str, list[float]] = {name: [] for name in jobs}
    for number in range(rounds + 1):
        for name, job in jobs.items():
            gc.collect()
            start = time.process_time()
            job()
            if number:
                seconds[name].append((time.process_time() - start) / images)
    return {name: statistics.median(values) for name, values in seconds.items()}


def line(what: str, other: float, ours: float, target: str) -> None:
    """Print a line of the table."""
    print(f"{what:<64}{1e6 * other:>9.0f}{1e6 * ours:>9.0f}{other / ours:>7.2f}{target:>9}", flush=True)


if __name__ == "__main__":
    main()
