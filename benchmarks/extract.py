"""What describing images costs, against the bare forward pass and against what people write instead.

Everything is measured side by side in this process, on drawn photographs and a backbone of random weights: processor
seconds of all threads per image, medians over interleaved rounds, everything compiled and warmed up before. A ratio is
the median of the ratios of the rounds. The end
to end run is the stage `extract` itself, less what it spends once on building the backbone and compiling graphs.

Run it with `python benchmarks/extract.py`; it takes four minutes on two cores. What counts are the ratios.
"""

import argparse
import functools
import itertools
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import tensorflow as tf

from fashionprobe import backbones
from fashionprobe.backbones import architectures, descriptors, pooling
from fashionprobe.backbones.backbone import _preprocess_input
from fashionprobe.records import read as reader
from fashionprobe.records.record_set import RecordSet, open_record_set
from fashionprobe.records.sources import garments
from fashionprobe.stages.extract import extract
from fashionprobe.stages.ingest import ingest

_read = reader.read

SIDE = 2048
"""Rows and columns of the matrices of the NumPy product."""

PRODUCTS = 4


def main() -> None:
    """Measure and print the table."""
    options = _options()
    with tempfile.TemporaryDirectory() as folder:
        backbone = _trained_alike(backbones.load(options.backbone, weights="random"))
        bench = Bench(Path(folder), backbone, options.images, options.batch_size)
        contestants = bench.contestants()
        seconds = {name: [] for name in contestants}
        for number in range(options.rounds + 1):
            # To and fro, so that a load that grows or falls meets both sides of a ratio alike.
            for name, (run, count) in list(contestants.items())[:: 1 if number % 2 else -1]:
                start = time.process_time()
                run()
                # The first round warms up.
                if number:
                    seconds[name].append((time.process_time() - start) / count)
        cost = {name: np.array(values) for name, values in seconds.items()}
        _print(cost, backbone, bench.error(), options)


class Bench:
    """The contestants, each a function without arguments, with the images, files and graphs that they need.

    Args:
        folder: Where records, files and descriptors go.
        backbone: The backbone.
        images: Number of images; a multiple of the batch size.
        batch_size: Images a batch.
    """

    def __init__(self, folder: Path, backbone: backbones.Backbone, images: int, batch_size: int) -> None:
        self._folder, self._backbone, self._images, self._batch_size = folder, backbone, images, batch_size
        self._readers: dict[str, tf.data.Dataset] = {}
        self._blocks = list(range(1, len(backbone.taps) + 1))
        self._extractor = functools.cache(lambda *blocks: descriptors.extractor(backbone, blocks))
        ingest(dataset="garments", count=images, tfrecords_root=str(folder))
        self._records = open_record_set(folder / "garments")
        self._batches = list(self._dataset())
        catalogue = garments.catalogue(count=images, size=backbone.size)
        self._files = [folder / f"{name}.jpg" for name in catalogue.items["id"][: max(4, images // 8)]]
        for file in self._files:
            file.write_bytes(catalogue.read(file.stem))

    def contestants(self) -> dict[str, tuple[Callable[[], object], int]]:
        """Return the functions to measure, with the number of images (or products) of one call."""
        matrix = np.random.default_rng(0).random((SIDE, SIDE), np.float32)
        deepest = self._blocks[-1]
        found: dict[str, tuple[Callable[[], object], int]] = {
            "product": (lambda: [matrix @ matrix for _ in range(PRODUCTS)], PRODUCTS),
            "loop over files": (self._loop(), len(self._files)),
            "predict(dataset)": (self._predict(), self._images),
            "end to end": (self._end_to_end, self._images),
            "forward": (self._forward(self._blocks), self._images),
            "deepest alone": (self._forward([deepest]), self._images),
            "mean_std, foreground": (self._pooled(["mean_std"], ["foreground"]), self._images),
            "all poolings": (self._pooled(pooling.POOLS, pooling.REGIONS), self._images),
        }
        for block in self._blocks[-2::-1]:
            found[f"up to {block}"] = (self._forward(range(1, block + 1)), self._images)
        return found

    def error(self) -> float:
        """Return the largest relative error of bfloat16 descriptors over the blocks."""
        coarse = descriptors.extractor(self._backbone, self._blocks, precision="bfloat16")
        few = self._batches[0][:8]
        pairs = zip(coarse(few), self._extractor(*self._blocks)(few), strict=True)
        return max(float(tf.norm(rough - exact) / tf.norm(exact)) for rough, exact in pairs)

    def _dataset(self) -> tf.data.Dataset:
        return reader.read(self._records, outputs=("image",), size=self._backbone.size, batch_size=self._batch_size)

    def _reader(self, records: RecordSet, **options: Any) -> tf.data.Dataset:
        key = repr(sorted(options.items()))
        if key not in self._readers:
            self._readers[key] = _read(records, **options)
        return self._readers[key]

    def _end_to_end(self) -> None:
        # What a run builds and compiles once is made once here for all rounds.
        with (
            mock.patch.object(backbones, "load", return_value=self._backbone),
            mock.patch.object(descriptors, "extractor", lambda backbone, blocks, **_: self._extractor(*blocks)),
            mock.patch.object(reader, "read", self._reader),
        ):
            extract(
                dataset=self._records.path,
                batch_size=self._batch_size,
                overwrite=True,
                # Descriptors of the same arguments are reused, not made again.
                run=f"run{time.time_ns()}",
                runs_root=str(self._folder),
            )

    def _forward(self, blocks: "list[int] | range") -> Callable[[], object]:
        forward = self._extractor(*blocks)
        return lambda: [forward(batch) for batch in self._batches]

    def _pooled(self, pools: Sequence[str], regions: Sequence[str]) -> Callable[[], object]:
        ways = pooling.poolings(pools, regions)
        forward = descriptors.extractor(self._backbone, self._blocks, poolings=ways)
        return lambda: [forward(batch) for batch in self._batches]

    def _predict(self) -> Callable[[], object]:
        """Make the careful script: one model of all outputs, one `predict` over the data set."""
        model = self._backbone.model
        maps = [model.get_layer(tap).output for tap in self._backbone.taps]
        pooled = keras.Model(model.input, [keras.layers.GlobalAveragePooling2D()(feature_map) for feature_map in maps])
        dataset = self._dataset().map(_preprocess(self._backbone), num_parallel_calls=tf.data.AUTOTUNE)
        # Keras warns about a data set that ends without having said when.
        dataset = dataset.prefetch(tf.data.AUTOTUNE).apply(tf.data.experimental.assert_cardinality(len(self._batches)))
        return lambda: pooled.predict(dataset, verbose=0)  # pyright: ignore[reportArgumentType]

    def _loop(self) -> Callable[[], object]:
        """Make the script most people write: a model a block, a file at a time."""
        model, preprocess = self._backbone.model, _preprocess(self._backbone)
        models = [keras.Model(model.input, model.get_layer(tap).output) for tap in self._backbone.taps]

        def run() -> None:
            for block, file in itertools.product(models, self._files):
                image = keras.utils.img_to_array(keras.utils.load_img(file, target_size=self._backbone.size))
                block.predict(preprocess(image[None]), verbose=0).mean(axis=(1, 2))  # pyright: ignore[reportArgumentType]

        return run


def _preprocess(backbone: backbones.Backbone) -> Callable:
    return _preprocess_input(architectures.spelled(backbone.name))


def _trained_alike(backbone: backbones.Backbone) -> backbones.Backbone:
    """Move biases and batch normalisation statistics off 0 and 1: TensorFlow's optimiser drops what does nothing."""
    rng = np.random.default_rng(0)
    for variable in backbone.model.variables:
        if len(variable.shape) == 1:
            variable.assign(np.asarray(variable) + rng.uniform(-0.2, 0.2, variable.shape))
    return backbone


def _flops(backbone: backbones.Backbone) -> int:
    """Count the floating point operations of one image: two for each multiplication of a convolution or dense layer."""
    cut = keras.Model(backbone.model.input, backbone.model.get_layer(backbone.taps[-1]).output)
    sized = keras.models.clone_model(cut, input_tensors=keras.Input((*backbone.size, 3)))
    total = 0
    for layer in sized.layers:
        places = int(np.prod(layer.output.shape[1:-1]))  # pyright: ignore[reportAttributeAccessIssue]
        if isinstance(layer, keras.layers.SeparableConv2D):
            kernels = [layer.depthwise_kernel, layer.pointwise_kernel]
        else:
            kernels = [layer.kernel] if hasattr(layer, "kernel") else []
        total += 2 * places * sum(int(np.prod(kernel.shape)) for kernel in kernels)
    return total


def _print(
    cost: dict[str, np.ndarray], backbone: backbones.Backbone, error: float, options: argparse.Namespace
) -> None:
    speed = _flops(backbone) / cost["forward"] / 1e9
    product = 2 * SIDE**3 / cost["product"] / 1e9

    def ratio(one: str, other: str) -> np.ndarray:
        return cost[one] / cost[other]

    rows = [
        ("end to end / forward pass", ratio("end to end", "forward"), "<=", 1.10),
        ("loop over files / end to end", ratio("loop over files", "end to end"), ">=", 6.0),
        ("predict(dataset) / end to end", ratio("predict(dataset)", "end to end"), ">=", 1.0),
        ("mean_std, foreground / forward pass", ratio("mean_std, foreground", "forward"), "<=", 1.03),
        ("all poolings / forward pass", ratio("all poolings", "forward"), "<=", 1.10),
        ("all blocks / the deepest alone", ratio("forward", "deepest alone"), "<=", 1.05),
        *(
            (f"all blocks / up to block {block}", ratio("forward", f"up to {block}"), ">=", target)
            for block, target in ((4, 1.1), (3, 1.7), (2, 3.0), (1, 12.0))
            if f"up to {block}" in cost
        ),
        ("forward GFLOP/s / NumPy product", speed / product, ">=", 0.85),
        ("bfloat16 error", error, "<=", 0.01),
    ]
    print(f"{backbone.name}, {options.images} images of {backbone.size}, {options.rounds} rounds, CPU s per image:")
    for name, value in cost.items():
        if name != "product":
            print(f"  {name:<32}{1000 * np.median(value):9.1f} ms")
    medians = f"{np.median(speed):.1f} GFLOP/s, NumPy's float32 product {np.median(product):.1f} GFLOP/s"
    print(f"  forward pass {medians}, per CPU second")
    print(f"\n{'ratio':<38}{'measured':>10}{'target':>12}  verdict")
    for name, values, sign, target in rows:
        value = float(np.median(values))
        reached = value <= target if sign == "<=" else value >= target
        print(f"{name:<38}{value:>10.3f}{f'{sign} {target:.2f}':>12}  {'reached' if reached else 'MISSED'}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=64, help="images a round")
    parser.add_argument("--rounds", type=int, default=5, help="rounds after the one that warms up")
    parser.add_argument("--backbone", default="resnet50", help="a name of keras.applications")
    parser.add_argument("--batch-size", type=int, default=32, help="images a forward pass")
    return parser.parse_args()


if __name__ == "__main__":
    main()
