"""Train `mini`, the small backbone that comes with the package, and measure what each of its blocks knows.

It learns to predict the frequent words of a product's title from its picture, many at once: colours, patterns, kinds of
article, gender, brands. In the last epochs drawn garments are mixed in, with the colour and the fabric that they were
drawn with. 15 % of the products are kept out and never trained on; every figure is of those.

    python pipelines/pretrain_mini.py --path fashion_products.zip
    python pipelines/pretrain_mini.py --path fashion_products.zip --mobilenet mobilenet.keras   # for comparison

Takes about 40 minutes on two cores. An interrupted run resumes after its last complete epoch. `runs/pretrain_mini` then
holds `weights.npz` and `knows.csv`; to ship new weights, copy them into
`fashionprobe/backbones/mini/` with their SHA-256.
"""

import collections
import hashlib
import io
import logging
import re
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import tensorflow as tf
import yaml

from fashionprobe import progress
from fashionprobe.attributes.classify import cross_validate
from fashionprobe.backbones import mini
from fashionprobe.cli import script
from fashionprobe.records.read import read
from fashionprobe.records.record_set import RecordSet, open_record_set
from fashionprobe.records.select import select
from fashionprobe.stages import extract, ingest
from fashionprobe.stages.extract import Descriptors
from fashionprobe.stages.ingest import Records
from fashionprobe.training.fit import Plan, fit

CONFIGS = Path(__file__).resolve().parent.parent / "configs"
SIZE = (80, 60)
"""Height and width of the catalogue's small pictures."""

READ = (3, 5)
"""The words are read from the descriptors of these blocks, joined: what block 3 knows, block 5 need not carry on."""

PHOTOS, GARMENTS = 48, 16
"""Photographs and drawn garments in a batch, when both are in it."""

FREQUENT = 30
"""Training titles that a word must be in."""

FABRIC = re.compile("print|strip|check|solid|graphic")
EMPHASIS = 3.0
"""Factor of the loss of words about the fabric, which are rare beside brands and kinds of article."""

STOP = {"a", "and", "as", "by", "for", "in", "of", "s", "the", "to", "with"}


def main(
    *,
    path: str,
    epochs: int = 30,
    mixed_epochs: int = 6,
    seed: int = 0,
    mobilenet: str | None = None,
    run: str = "pretrain_mini",
) -> None:
    """Train and measure.

    Args:
        path: Folder or zip file of the catalogue.
        epochs: Epochs on photographs.
        mixed_epochs: Epochs on photographs and drawn garments that follow.
        seed: Seed of the split, of the first weights and of the order.
        mobilenet: A .keras file of an ImageNet MobileNet to compare with; "mobilenet" downloads one.
        run: Name of the run.
    """
    folder = Path("runs") / run
    folder.mkdir(parents=True, exist_ok=True)

    # 85 % of the products to train on; copies of a picture stay on one side.
    products = ingest(dataset="products", source="kaggle", path=path, split=[85, 15, 0], seed=seed)
    records = open_record_set(products.path)
    items = pd.read_csv(products.path / "items.csv", dtype=str, keep_default_na=False)
    words = frequent_words(items.loc[items["split"] == "train", "productDisplayName"])
    # Another seed than that of `fashionprobe demo`, whose garments it must not have seen.
    count = GARMENTS * batches_of(items, PHOTOS)
    drawn = ingest(dataset="drawn", source="garments", count=count, size=list(SIZE), split=[1, 0, 0], seed=seed + 1)
    garments = open_record_set(drawn.path)
    model = pretrain(records, garments, items, words, epochs, mixed_epochs, seed, folder)
    digest = write_weights(model, folder / "weights.npz")
    print(f"{folder / 'weights.npz'}: SHA-256 {digest}")

    # What the blocks of the shipped weights know, against the same network untrained and against ImageNet.
    model.save(folder / "mini.keras")
    rivals = {"mini": (str(folder / "mini.keras"), "pretrained"), "mini, random weights": ("mini", "random")}
    if mobilenet:
        rivals["MobileNet, ImageNet"] = (mobilenet, "pretrained")
    tables = []
    for name, (backbone, weights) in rivals.items():
        described = describe(products, name, backbone, weights)
        tables.append(measure(described, name, kinds=items["articleType"].value_counts().index[:20].tolist()))
    table = pd.concat(tables, ignore_index=True)
    table.to_csv(folder / "knows.csv", index=False, float_format="%.4f")
    print(table.pivot_table("accuracy", ["label", "images", "backbone"], "block", sort=False).round(3).to_string())


def frequent_words(titles: pd.Series) -> list[str]:
    """Return the words that are in many titles, sorted."""
    counts = collections.Counter(word for title in titles for word in words_of(title))
    return sorted(word for word, count in counts.items() if count >= FREQUENT and word not in STOP)


def words_of(title: str) -> set[str]:
    """Return the words of a title, in small letters."""
    return set(re.findall("[a-z]+", title.lower()))


def batches_of(items: pd.DataFrame, batch_size: int) -> int:
    """Return the number of batches of an epoch on photographs."""
    return -(-int((items["split"] == "train").sum()) // batch_size)


def pretrain(
    records: RecordSet,
    garments: RecordSet,
    items: pd.DataFrame,
    words: list[str],
    epochs: int,
    mixed_epochs: int,
    seed: int,
    folder: Path,
) -> keras.Model:
    """Train the backbone, or resume; return it without its head."""
    fabrics = garments.classes("pattern")

    def photographs(batch_size: int, known: int, epochs: range) -> tf.data.Dataset:
        return photograph_batches(records, items, words, batch_size, known, epochs, seed)

    def mixed(epochs: range) -> tf.data.Dataset:
        both = tf.data.Dataset.zip(
            photographs(PHOTOS, len(fabrics), epochs), garment_batches(garments, words, fabrics, epochs, seed)
        )
        return both.map(lambda one, other: tuple(tf.concat(pair, axis=0) for pair in zip(one, other, strict=True)))

    trunk = network(seed)
    image, descriptor = pooled(trunk, seed)
    first: dict[str, Any] = {"kernel_initializer": keras.initializers.GlorotUniform(seed=seed + 4)}
    # Most words are absent from most titles: the first guess is "absent".
    absent: dict[str, Any] = {"bias_initializer": keras.initializers.Constant(-4.0)}
    of_words = keras.layers.Dense(len(words), **first, **absent)(descriptor)
    of_fabrics = keras.layers.Dense(len(fabrics), **first)(descriptor)
    both = keras.layers.Concatenate()([of_words, of_fabrics])
    long, short = Plan(epochs, "adam", 3e-3, 1.0, "cosine", 0.02), Plan(mixed_epochs, "adam", 1e-3, 0.5, "cosine", 0.02)
    phases = (
        (of_words, lambda given: photographs(64, 0, given), long, 64, folder),
        (both, mixed, short, PHOTOS, folder / "mixed"),
    )
    total = sum(plan.epochs * batches_of(items, size) for _, _, plan, size, _ in phases)
    with progress.bar(total=total, unit="batch", description="pretrain") as bar:
        for output, batches, plan, size, place in phases:
            place.mkdir(exist_ok=True)
            steps = batches_of(items, size)
            loss = KnownWords([*words, *fabrics][: output.shape[-1]])
            fit(keras.Model(image, output), batches, plan=plan, steps=steps, folder=place, loss=loss, report=bar.update)
    return trunk


def photograph_batches(
    records: RecordSet, items: pd.DataFrame, words: list[str], batch_size: int, unknown: int, epochs: range, seed: int
) -> tf.data.Dataset:
    """Return batches of photographs and which words are in their titles; that many more targets are unknown (-1)."""
    targets = np.array([[word in title for word in words] for title in map(words_of, items["productDisplayName"])])
    table = tf.constant(np.pad(targets.astype(np.float32), ((0, 0), (0, unknown)), constant_values=-1))
    rows = tf.lookup.StaticHashTable(
        tf.lookup.KeyValueTensorInitializer(items["id"].to_numpy(str), np.arange(len(items))), default_value=-1
    )
    given = read(
        records, outputs=("image", "id"), splits=("train",), size=SIZE, batch_size=batch_size, passes=epochs, seed=seed
    )
    return given.map(lambda images, names: (images, tf.gather(table, rows.lookup(names))))


def garment_batches(
    garments: RecordSet, words: list[str], fabrics: list[str], epochs: range, seed: int
) -> tf.data.Dataset:
    """Return batches of drawn garments; known of them are the words for colours, and the fabric."""
    colours = garments.classes("colour")
    table = np.full((len(colours), len(words)), -1, np.float32)
    for column in (words.index(colour) for colour in colours if colour in words):
        table[:, column] = [words[column] == colour for colour in colours]
    by_colour, kinds = tf.constant(table), len(fabrics)
    given = read(
        garments, outputs=("image", "colour", "pattern"), size=SIZE, batch_size=GARMENTS, passes=epochs, seed=seed
    )
    return given.map(
        lambda images, colour, fabric: (
            images, tf.concat([tf.gather(by_colour, colour), tf.one_hot(fabric, kinds)], axis=1),
        )
    )  # fmt: skip


def pooled(trunk: keras.Model, seed: int) -> tuple[Any, Any]:
    """Return the input, and the joined descriptors of the blocks that are read, changed at random in training."""
    image = keras.Input((*SIZE, 3))
    pixels = keras.layers.RandomFlip("horizontal", seed=seed + 1)(image)
    # Whole pixels, so that fine patterns stay sharp.
    pixels = keras.layers.RandomTranslation(
        0.08, 0.1, fill_mode="constant", fill_value=255.0, interpolation="nearest", seed=seed + 2
    )(pixels)
    taps = keras.Model(trunk.input, [trunk.get_layer(f"block{block}_out").output for block in READ])
    descriptors = [keras.layers.GlobalAveragePooling2D()(feature_map) for feature_map in taps(pixels)]
    return image, keras.layers.Dropout(0.2, seed=seed + 3)(keras.layers.Concatenate()(descriptors))


def network(seed: int) -> keras.Model:
    """Return `mini` with kernels that suit rectified units (He et al. 2015), drawn with the seed."""
    model = mini.build()
    for place, layer in enumerate(model.layers):
        if isinstance(layer, keras.layers.Conv2D):
            draw = keras.initializers.HeNormal(seed=seed * 1000 + place)
            kernel: Any = layer.kernel
            kernel.assign(draw(kernel.shape))
    return model


class KnownWords(keras.losses.Loss):
    """Binary cross-entropy of every word that is known (target 0 or 1, not -1), added up; fabric words count more."""

    def __init__(self, words: list[str]) -> None:
        super().__init__(name="words")
        self._factors = np.array([EMPHASIS if FABRIC.search(word) else 1.0 for word in words], np.float32)

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        """Return the loss of each image, (batch,)."""
        target = tf.cast(y_true, y_pred.dtype)
        each = tf.nn.sigmoid_cross_entropy_with_logits(labels=target, logits=y_pred)
        return tf.reduce_sum(tf.where(target >= 0, each * self._factors, 0.0), axis=-1)


def write_weights(model: keras.Model, path: Path) -> str:
    """Write the weights as float16, the same bytes for the same weights; put them, rounded, into the model."""
    rounded = {f"{place:03d}": weight.astype(np.float16) for place, weight in enumerate(model.get_weights())}
    buffer = io.BytesIO()
    np.savez(buffer, **rounded)
    path.write_bytes(buffer.getvalue())
    model.set_weights([weight.astype(np.float32) for weight in rounded.values()])
    return hashlib.sha256(buffer.getvalue()).hexdigest()


def describe(products: Records, name: str, backbone: str, weights: str) -> Descriptors:
    """Describe the products that were kept out."""
    run = "heldout-" + re.sub(r"\W+", "-", name)
    # The MobileNet was trained on larger pictures, and sees more in them.
    size = [224, 224] if "MobileNet" in name else [*map(int, SIZE)]
    return extract(
        dataset=products, run=run, backbone=backbone, weights=weights, split="val", size=size, overwrite=True
    )


def measure(described: Descriptors, name: str, *, kinds: list[str]) -> pd.DataFrame:
    """Classify the products that were kept out by 4 nearest neighbours among each other, block by block."""
    items = pd.read_csv(described.path / "items.csv", dtype=str, keep_default_na=False)
    blocks = {block: np.load(described.path / f"block{block}.npy", mmap_mode="r") for block in described.blocks}
    sets = {name: yaml.safe_load((CONFIGS / f"{name}.yaml").read_text()) for name in ("colour", "pattern")}
    tables = []
    for label, choice in (*sets.items(), ("articleType", {"label": "articleType", "classes": kinds})):
        chosen = select(items, **choice)
        rows, classes = chosen.index.to_numpy(), chosen[choice["label"]].to_numpy(str)
        accuracy = cross_validate(blocks, classes, rows=rows, neighbours=[4], seed=0).accuracy
        accuracy = accuracy[accuracy["classifier"] == "knn"]
        tables.append(pd.DataFrame({
            "label": label, "backbone": name, "block": accuracy["block"], "accuracy": accuracy["accuracy_mean"],
            "std": accuracy["accuracy_std"], "images": accuracy["images"],
        }))  # fmt: skip
    return pd.concat(tables, ignore_index=True)


if __name__ == "__main__":
    # TensorFlow warns, three lines each time, that a frozen graph holds no tables.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    sys.exit(script(main))
