"""Which images go into a batch: P classes with K images each, any images, or triplets drawn beforehand."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from fashionprobe.errors import UserError

NO_PLACE = -1
"""Ends a batch that is smaller than the others."""


def balanced(
    numbers: np.ndarray, *, classes: int, per_class: int, steps: int, seed: int = 0, epoch: int = 0
) -> np.ndarray:
    """Draw the batches of one epoch, each of P classes with K different images.

    The images of a class are dealt like cards: none comes twice before all have come.

    Args:
        numbers: Class number of each image, int (images,).
        classes: P, the number of classes in a batch.
        per_class: K, the number of images of each.
        steps: Number of batches.
        seed: Seed of the draw.
        epoch: Number of the epoch, which has a draw of its own.

    Returns:
        Places in `numbers`, int64 (steps, P * K), the images of a class side by side.

    Raises:
        UserError: If there are fewer than P or 2 classes, or a class has fewer than K or 2 images.
    """
    places = _by_class(numbers, per_class)
    if not 2 <= classes <= len(places):
        raise UserError("classes_per_batch", expected=f"in 2 to {len(places)}, the classes there are", received=classes)
    rng = np.random.default_rng([seed, epoch])
    # The P classes of each step: the first of a random order.
    chosen = rng.random((steps, len(places))).argsort(axis=1)[:, :classes]
    batches = np.empty((steps, classes, per_class), np.int64)
    for number, mine in enumerate(places):
        rows, columns = np.nonzero(chosen == number)
        batches[rows, columns] = _dealt(mine, len(rows), per_class, rng)
    return batches.reshape(steps, -1)


def random_batches(numbers: np.ndarray, *, size: int, steps: int, seed: int = 0, epoch: int = 0) -> np.ndarray:
    """Draw the batches of one epoch with no regard to classes.

    All images come in a random order that is cut into batches, the last one smaller; when more are asked for, they come
    in another order.

    Args:
        numbers: Class number of each image, int (images,).
        size: Images a batch; all there are when they are fewer.
        steps: Number of batches.
        seed: Seed of the draw.
        epoch: Number of the epoch, which has a draw of its own.

    Returns:
        Places in `numbers`, int64 (steps, size), `NO_PLACE` behind the last one of a smaller batch.

    Raises:
        UserError: If there is only one class, or a class has one image.
    """
    _by_class(numbers, 2)
    rng = np.random.default_rng([seed, epoch])
    images = len(numbers)
    size = min(size, images)
    in_pass = -(-images // size)
    drawn = np.full((-(-steps // in_pass), in_pass * size), NO_PLACE, np.int64)
    drawn[:, :images] = rng.permuted(np.tile(np.arange(images), (len(drawn), 1)), axis=1)
    return drawn.reshape(-1, size)[:steps]


def random_triplets(numbers: np.ndarray, *, size: int, steps: int, seed: int = 0, epoch: int = 0) -> np.ndarray:
    """Draw triplets with no regard to what the network knows: the baseline without mining.

    Args:
        numbers: Class number of each image, int (images,).
        size: Triplets a batch.
        steps: Number of batches.
        seed: Seed of the draw.
        epoch: Number of the epoch, which has a draw of its own.

    Returns:
        Places in `numbers`, int64 (steps, 3 * size): the anchors, then their positives, then their negatives.

    Raises:
        UserError: If there is only one class, or a class has one image.
    """
    _by_class(numbers, 2)
    rng = np.random.default_rng([seed, epoch])
    # Sorted by class, those of one class are a range; another of it is a shift within the range.
    order = np.argsort(numbers, kind="stable")
    _, starts, place, sizes = np.unique(numbers[order], return_index=True, return_inverse=True, return_counts=True)
    first, count = starts[place], sizes[place]
    total = len(numbers)
    anchor = rng.integers(total, size=(steps, size))
    within = anchor - first[anchor]
    positive = first[anchor] + (within + rng.integers(1, count[anchor])) % count[anchor]
    # Negatives: every place after the range, wrapping around.
    negative = (first[anchor] + count[anchor] + rng.integers(total - count[anchor])) % total
    return order[np.concatenate([anchor, positive, negative], axis=1)].astype(np.int64)


def _by_class(numbers: np.ndarray, per_class: int) -> list[np.ndarray]:
    """Return the places of each class, and check that triplets can be made of them."""
    classes, counts = np.unique(numbers, return_counts=True)
    if len(classes) < 2:
        raise UserError("label", expected="a column with two classes or more", received=f"{len(classes)}")
    smallest = int(counts.min())
    if smallest < 2:
        raise UserError(
            "label", expected="a column whose classes have two images or more: a class of one has no positive",
            received="one with a class of one", remedy="Leave rare classes out: --min-images 2.",
        )  # fmt: skip
    if not 2 <= per_class <= smallest:
        rare = f" Or leave rare classes out: --min-images {per_class}." if per_class > smallest else ""
        raise UserError(
            "per_class", expected=f"in 2 to {smallest}, the images of the smallest class", received=per_class,
            remedy=f"Pass --per-class {min(max(per_class, 2), smallest)}.{rare}",
        )  # fmt: skip
    return [np.flatnonzero(numbers == number) for number in classes]


def _dealt(places: np.ndarray, hands: int, per_class: int, rng: np.random.Generator) -> np.ndarray:
    """Deal hands of K different images, the pack shuffled again when fewer than K are left."""
    in_pack = len(places) // per_class
    packs = -(-hands // in_pack)
    shuffled = rng.permuted(np.tile(places, (packs, 1)), axis=1)
    return shuffled[:, : in_pack * per_class].reshape(-1, per_class)[:hands]


def batches(
    pictures: np.ndarray, numbers: np.ndarray, draw: Callable[[int], np.ndarray], epochs: range
) -> tf.data.Dataset:
    """Return batches of images and their classes, in the order that a draw gives.

    Args:
        pictures: uint8 (all, height, width, 3); a memory map is read a batch at a time.
        numbers: Class number of each, int (all,).
        draw: Returns the batches of an epoch as places in `pictures`, int64 (steps, batch); `NO_PLACE` is left out.
        epochs: Numbers of the epochs.

    Returns:
        A data set of float32 (batch, height, width, 3) in [0, 255] and int32 (batch,).
    """
    shape = (None, *pictures.shape[1:])
    of_class = numbers.astype(np.int32)

    def order(epoch: tf.Tensor) -> tf.data.Dataset:
        drawn = tf.numpy_function(lambda number: draw(int(number)), [epoch], tf.int64)
        return tf.data.Dataset.from_tensor_slices(tf.ensure_shape(drawn, (None, None)))

    def taken(places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rows = places[places != NO_PLACE]
        return pictures[rows], of_class[rows]

    def gather(places: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        found, classes = tf.numpy_function(taken, [places], [tf.uint8, tf.int32], stateful=False)
        return tf.cast(tf.ensure_shape(found, shape), tf.float32), tf.ensure_shape(classes, (None,))

    chosen = tf.data.Dataset.range(epochs.start, epochs.stop, epochs.step).flat_map(order)
    return chosen.map(gather, num_parallel_calls=2, deterministic=True).prefetch(tf.data.AUTOTUNE)
