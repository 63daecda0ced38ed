"""Train `mini`, the small backbone that comes with the package, and measure what each of its blocks knows.

It learns to predict the frequent words of a product's title from its picture, many at once: colours, patterns, kinds of
article, gender, brands. In the last epochs drawn garments are mixed in, with the colour and the fabric that they were
drawn with, and every block learns to tell the descriptors of an ImageNet network from its own. 15 % of the products are
kept out and never trained on; every figure is of those, and of garments drawn with another seed.

    python pipelines/pretrain_mini.py --path fashion_products.zip
    python pipelines/pretrain_mini.py --path fashion_products.zip --mobilenet mobilenet.keras   # for comparison

Takes about 50 minutes on two cores. An interrupted run resumes after its last complete epoch. `runs/pretrain_mini` then
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
from typing import Any, Literal

import keras
import numpy as np
import pandas as pd
import tensorflow as tf
import yaml

from fashionprobe import progress
from fashionprobe.attributes.classify import cross_validate
from fashionprobe.attributes.normalization import fit as fit_normalization
from fashionprobe.backbones import mini
from fashionprobe.cli import script
from fashionprobe.inputs.descriptors import read_descriptors
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

LARGE = (96, 96)
"""Height and width of the pictures in the last epochs, where patterns of drawn garments are to be seen."""

DRAWN = (224, 224)
"""Height and width in which garments are drawn: the teacher sees them like this, `mini` scaled down."""

TAUGHT = ((4, 4), (5, 4), (5, 5))
"""Blocks of `mini`, and the blocks of the ImageNet network that their descriptors are to tell. Blocks 2 and 3 are left
out: what they are taught they pay for with colour."""

MOST = 256
"""Directions of a teacher's descriptor that are taught: those in which the images differ most."""

LESSON = 12.0
"""Factor of the loss of each taught block, beside the sum over all words."""

UNSEEN = 400
"""Garments drawn with another seed that `mini` is measured on."""

READ = (3, 5)
"""The words are read from the descriptors of these blocks, joined: what block 3 knows, block 5 need not carry on."""

PHOTOS, GARMENTS = 48, 32
"""Photographs and drawn garments in a batch, when both are in it."""

FREQUENT = 30
"""Training titles that a word must be in."""

FABRIC = re.compile("print|strip|check|solid|graphic")
COLOURS = {"black", "blue", "brown", "green", "grey", "navy", "orange", "pink", "purple", "red", "white", "yellow"}
EMPHASIS, DRAWN_EMPHASIS = 3.0, 6.0
"""Factors of the loss of words about fabric and colour, which are rare beside brands and kinds of article, and of the
fabrics of drawn garments."""

STOP = {"a", "and", "as", "by", "for", "in", "of", "s", "the", "to", "with"}


def main(
    *,
    path: str,
    epochs: int = 30,
    taught_epochs: int = 7,
    teacher: str = "efficientnet_lite0",
    preprocessing: Literal["auto", "none", "tf", "caffe", "torch"] = "auto",
    seed: int = 0,
    mobilenet: str | None = None,
    run: str = "pretrain_mini",
) -> None:
    """Train and measure.

    Args:
        path: Folder or zip file of the catalogue.
        epochs: Epochs on photographs.
        taught_epochs: Epochs on photographs and drawn garments, with the teacher's descriptors, that follow.
        teacher: The ImageNet network that teaches: a name, or a .keras file.
        preprocessing: What the teacher's weights expect of the pixels.
        seed: Seed of the split, of the first weights and of the order.
        mobilenet: A .keras file of an ImageNet MobileNet to compare with; "mobilenet" downloads one.
        run: Name of the run.
    """
    folder = Path("runs") / run
    folder.mkdir(parents=True, exist_ok=True)

    # 85 % of the products to train on; copies of a picture stay on one side.
    products = ingest(dataset="products", source="kaggle", path=path, split=[85, 15, 0], seed=seed)
    items = pd.read_csv(products.path / "items.csv", dtype=str, keep_default_na=False)
    # Another seed than that of `fashionprobe demo`, whose garments it must not have seen.
    count = GARMENTS * batches_of(items, PHOTOS)
    drawn = ingest(dataset="garments", source="garments", count=count, size=list(DRAWN), split=[1, 0, 0], seed=seed + 1)
    lessons = {
        each.path.name: taught(each, f"{run}-{each.path.name}", teacher, preprocessing) for each in (products, drawn)
    }
    model = pretrain(products, drawn, items, lessons, epochs, taught_epochs, seed, folder)
    digest = write_weights(model, folder / "weights.npz")
    print(f"{folder / 'weights.npz'}: SHA-256 {digest}")

    # What the blocks of the shipped weights know, against the same network untrained and against ImageNet.
    model.save(folder / "mini.keras")
    unseen = ingest(dataset="unseen", source="garments", count=UNSEEN, size=224, split=[0, 1, 0], seed=seed + 2)
    rivals = {"mini": (str(folder / "mini.keras"), "pretrained"), "mini, random weights": ("mini", "random")}
    rivals["EfficientNet-Lite0, ImageNet"] = ("efficientnet_lite0", "pretrained")
    if mobilenet:
        rivals["MobileNet, ImageNet"] = (mobilenet, "pretrained")
    tables = []
    for name, (backbone, weights) in rivals.items():
        kinds = items["articleType"].value_counts().index[:20].tolist()
        tables += [
            measure(describe(products, name, backbone, weights), name, kinds=kinds),
            measure_drawn(describe(unseen, name, backbone, weights), name),
        ]
    table = pd.concat(tables, ignore_index=True)
    table.to_csv(folder / "knows.csv", index=False, float_format="%.4f")
    print(table.pivot_table("accuracy", ["label", "images", "backbone"], "block", sort=False).round(3).to_string())


def taught(
    records: Records, run: str, teacher: str, preprocessing: Literal["auto", "none", "tf", "caffe", "torch"]
) -> pd.DataFrame:
    """Return what the teacher says of the foreground of each training image: whitened, joined descriptors by id."""
    described = read_descriptors(
        extract(
            dataset=records, run=run, backbone=teacher, preprocessing=preprocessing, split="train",
            region="foreground",
        ).path.parent
    )  # fmt: skip
    parts = []
    for _, block in TAUGHT:
        matrix = described.matrix(block)
        # The directions come in the order of their variance, the greatest last.
        directions = fit_normalization("whiten", matrix)(matrix)[:, -MOST:]
        parts.append(directions / np.linalg.norm(directions, axis=1, keepdims=True))
    return pd.DataFrame(
        np.concatenate(parts, axis=1), index=described.items["id"], columns=np.repeat(range(len(parts)), widths(parts))
    )


def widths(parts: list[np.ndarray]) -> list[int]:
    """Return the number of columns of each array."""
    return [part.shape[1] for part in parts]


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
    products: Records,
    drawn: Records,
    items: pd.DataFrame,
    lessons: dict[str, pd.DataFrame],
    epochs: int,
    taught_epochs: int,
    seed: int,
    folder: Path,
) -> keras.Model:
    """Train the backbone, or resume; return it without its head."""
    records, garments = open_record_set(products.path), open_record_set(drawn.path)
    words = frequent_words(items.loc[items["split"] == "train", "productDisplayName"])
    fabrics = garments.classes("pattern")
    photographed, unknown = word_targets(items, words), np.full((len(items), len(fabrics)), -1, np.float32)
    with_lessons = targets(items, [photographed, unknown], lessons[products.path.name])
    known = garment_targets(garments.items, words, fabrics)
    of_garments = targets(garments.items, [known], lessons[drawn.path.name])

    def alone(given: range) -> tf.data.Dataset:
        return batches(records, targets(items, [photographed]), 64, given, seed, SIZE)

    def together(given: range) -> tf.data.Dataset:
        both = tf.data.Dataset.zip(
            batches(records, with_lessons, PHOTOS, given, seed, LARGE),
            batches(garments, of_garments, GARMENTS, given, seed, LARGE),
        )
        return both.map(lambda one, other: tuple(tf.concat(pair, axis=0) for pair in zip(one, other, strict=True)))

    trunk = network(seed)
    long = Plan(epochs, "adam", 3e-3, 1.0, "cosine", 0.02)
    short = Plan(taught_epochs, "adam", 3e-3, 0.5, "cosine", 0.02)
    total = epochs * batches_of(items, 64) + taught_epochs * batches_of(items, PHOTOS)
    with progress.bar(total=total, unit="batch", description="pretrain") as bar:
        image, descriptors = pooled(trunk, SIZE, seed)
        words_head = head(len(words), -4.0, seed)
        model = keras.Model(image, words_head(read_from(descriptors, seed)))
        fit(model, alone, plan=long, steps=batches_of(items, 64), folder=folder, loss=Lessons(words, []),
            report=bar.update)  # fmt: skip

        image, descriptors = pooled(trunk, LARGE, seed)
        given, columns = read_from(descriptors, seed), lessons[products.path.name].columns
        sizes = [int((columns == place).sum()) for place in range(len(TAUGHT))]
        outputs = [words_head(given), head(len(fabrics), 0.0, seed)(given)]
        outputs += [
            keras.layers.Dense(size)(descriptors[block]) for (block, _), size in zip(TAUGHT, sizes, strict=True)
        ]
        model = keras.Model(image, keras.layers.Concatenate()(outputs))
        place = folder / "taught"
        place.mkdir(exist_ok=True)
        fit(model, together, plan=short, steps=batches_of(items, PHOTOS), folder=place,
            loss=Lessons(words, sizes, fabrics), report=bar.update)  # fmt: skip
    return trunk


def word_targets(items: pd.DataFrame, words: list[str]) -> np.ndarray:
    """Return which words are in the title of each product, float32 (products, words)."""
    return np.array(
        [[word in title for word in words] for title in map(words_of, items["productDisplayName"])], np.float32
    )


def garment_targets(items: pd.DataFrame, words: list[str], fabrics: list[str]) -> np.ndarray:
    """Return what is known of drawn garments: the words for colours and the fabric; -1 for all other words."""
    table = np.full((len(items), len(words)), -1, np.float32)
    for colour in sorted(set(items["colour"]) & set(words)):
        table[:, words.index(colour)] = items["colour"] == colour
    return np.concatenate([table, np.array([items["pattern"] == fabric for fabric in fabrics], np.float32).T], axis=1)


def targets(items: pd.DataFrame, known: list[np.ndarray], lessons: pd.DataFrame | None = None) -> pd.DataFrame:
    """Put what is known of each image side by side, by id; of images without lessons nothing is asked."""
    table = np.concatenate(known, axis=1)
    if lessons is not None:
        table = np.concatenate([table, lessons.reindex(items["id"]).fillna(0).to_numpy(np.float32)], axis=1)
    return pd.DataFrame(table, index=items["id"])


def batches(
    records: RecordSet, known: pd.DataFrame, batch_size: int, epochs: range, seed: int, size: tuple[int, int]
) -> tf.data.Dataset:
    """Return batches of training images with what is known of them."""
    table = tf.constant(known.to_numpy(np.float32))
    rows = tf.lookup.StaticHashTable(
        tf.lookup.KeyValueTensorInitializer(known.index.to_numpy(str), np.arange(len(known))), default_value=-1
    )
    given = read(
        records, outputs=("image", "id"), splits=("train",), size=size, batch_size=batch_size, passes=epochs, seed=seed
    )
    return given.map(lambda images, names: (images, tf.gather(table, rows.lookup(names))))


def pooled(trunk: keras.Model, size: tuple[int, int], seed: int) -> tuple[Any, dict[int, Any]]:
    """Return the input, and the descriptor of each block that is read or taught, of pictures changed at random."""
    image = keras.Input((*size, 3))
    pixels = keras.layers.RandomFlip("horizontal", seed=seed + 1)(image)
    # Whole pixels, so that fine patterns stay sharp.
    pixels = keras.layers.RandomTranslation(
        0.08, 0.1, fill_mode="constant", fill_value=255.0, interpolation="nearest", seed=seed + 2
    )(pixels)
    blocks = sorted({*READ, *(block for block, _ in TAUGHT)})
    taps = keras.Model(trunk.input, [trunk.get_layer(f"block{block}_out").output for block in blocks])
    maps = taps(pixels)
    return image, {block: keras.layers.GlobalAveragePooling2D()(each) for block, each in zip(blocks, maps, strict=True)}


def read_from(descriptors: dict[int, Any], seed: int) -> Any:
    """Return what the words are read from."""
    joined = keras.layers.Concatenate()([descriptors[block] for block in READ])
    return keras.layers.Dropout(0.2, seed=seed + 3)(joined)


def head(count: int, bias: float, seed: int) -> keras.layers.Dense:
    """Return a layer that guesses words; most are absent from most titles, and that is its first guess."""
    first: dict[str, Any] = {
        "kernel_initializer": keras.initializers.GlorotUniform(seed=seed + 4),
        "bias_initializer": keras.initializers.Constant(bias),
    }
    return keras.layers.Dense(count, **first)


def network(seed: int) -> keras.Model:
    """Return `mini` with kernels that suit rectified units (He et al. 2015), drawn with the seed."""
    model = mini.build()
    for place, layer in enumerate(model.layers):
        if isinstance(layer, keras.layers.Conv2D):
            draw = keras.initializers.HeNormal(seed=seed * 1000 + place)
            kernel: Any = layer.kernel
            kernel.assign(draw(kernel.shape))
    return model


def emphasis(word: str, *, taught: bool) -> float:
    """Return the factor of the loss of a word; colours need one beside a teacher, who looks past them."""
    return EMPHASIS if FABRIC.search(word) or (taught and word in COLOURS) else 1.0


class Lessons(keras.losses.Loss):
    """The loss of the words and of what the teacher says.

    Of every word that is known (target 0 or 1, not -1) binary cross-entropy, added up; fabric words count more. Of each
    of the teacher's descriptors, the columns that follow, one minus the cosine; none of an image without it (zeros).
    """

    def __init__(self, words: list[str], sizes: list[int], fabrics: list[str] | None = None) -> None:
        super().__init__(name="lessons")
        factors = [emphasis(word, taught=bool(sizes)) for word in words] + [DRAWN_EMPHASIS] * len(fabrics or [])
        self._factors = np.array(factors, np.float32)
        self._sizes = [len(factors), *sizes]

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        """Return the loss of each image, (batch,)."""
        known, *wanted = tf.split(tf.cast(y_true, y_pred.dtype), self._sizes, axis=-1)
        guessed, *told = tf.split(y_pred, self._sizes, axis=-1)
        each = tf.nn.sigmoid_cross_entropy_with_logits(labels=known, logits=guessed)
        loss = tf.reduce_sum(tf.where(known >= 0, each * self._factors, 0.0), axis=-1)
        for want, tell in zip(wanted, told, strict=True):
            there = tf.reduce_sum(want**2, axis=-1)
            loss += LESSON * (there - tf.reduce_sum(want * tf.math.l2_normalize(tell, axis=-1), axis=-1))
        return loss


def write_weights(model: keras.Model, path: Path) -> str:
    """Write the weights as float16, the same bytes for the same weights; put them, rounded, into the model."""
    rounded = {f"{place:03d}": weight.astype(np.float16) for place, weight in enumerate(model.get_weights())}
    buffer = io.BytesIO()
    np.savez(buffer, **rounded)
    path.write_bytes(buffer.getvalue())
    model.set_weights([weight.astype(np.float32) for weight in rounded.values()])
    return hashlib.sha256(buffer.getvalue()).hexdigest()


def describe(records: Records, name: str, backbone: str, weights: str) -> Descriptors:
    """Describe images that were kept out."""
    run = f"{records.path.name}-{re.sub(r'[^a-z0-9]+', '-', name.lower())}"
    # The ImageNet networks were trained on larger pictures, and see more in them.
    size = [224, 224] if "ImageNet" in name else [96, 96]
    return extract(dataset=records, run=run, backbone=backbone, weights=weights, split="val", size=size, overwrite=True)


def measure_drawn(described: Descriptors, name: str) -> pd.DataFrame:
    """Classify drawn garments by 4 nearest neighbours among each other, block by block."""
    items = pd.read_csv(described.path / "items.csv", dtype=str, keep_default_na=False)
    labels = {
        f"{label}, drawn": (items.index.to_numpy(), items[label].to_numpy(str)) for label in ("colour", "pattern")
    }
    return four_nearest(described, labels, name)


def measure(described: Descriptors, name: str, *, kinds: list[str]) -> pd.DataFrame:
    """Classify the products that were kept out by 4 nearest neighbours among each other, block by block."""
    items = pd.read_csv(described.path / "items.csv", dtype=str, keep_default_na=False)
    sets = {name: yaml.safe_load((CONFIGS / f"{name}.yaml").read_text()) for name in ("colour", "pattern")}
    labels = {}
    for label, choice in (*sets.items(), ("articleType", {"label": "articleType", "classes": kinds})):
        chosen = select(items, **choice)
        labels[label] = (chosen.index.to_numpy(), chosen[choice["label"]].to_numpy(str))
    return four_nearest(described, labels, name)


def four_nearest(described: Descriptors, labels: dict[str, tuple[np.ndarray, np.ndarray]], name: str) -> pd.DataFrame:
    """Return the accuracy of 4 nearest neighbours for rows and classes of each label, by block."""
    blocks = {block: np.load(described.path / f"block{block}.npy", mmap_mode="r") for block in described.blocks}
    tables = []
    for label, (rows, classes) in labels.items():
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
