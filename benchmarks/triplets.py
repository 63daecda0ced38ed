"""What mining a batch costs, against the obvious loop over it, and against TensorFlow code that makes a cube.

The contestants take turns in this process on the same embeddings: P classes with 8 images each. "ours" is the compiled
loss with its gradient; "loop" goes over anchors, positives and negatives in Python and computes each distance when it
needs it, without a gradient, on a few anchors, multiplied; "cube" builds all batch^3 triplets at once, in a compiled
graph with its gradient, as most code for `batch_all` does (left out where it would need more than 2 GB). The table
shows medians over the rounds and the median of the ratios within a round.

Run it with `python benchmarks/triplets.py`; it takes a minute or two on two cores.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf

from fashionprobe.siamese.losses import Mining, TripletLoss
from fashionprobe.siamese.triplets import distances

PER_CLASS = 8
TARGET = 100
"""Times faster than the loop at a batch of 1,024."""

MAX_CUBE = 512
MININGS: tuple[Mining, ...] = ("batch_hard", "semi_hard", "batch_all", "batch_weighted")


def loop(points: np.ndarray, labels: np.ndarray, anchors: range, mining: Mining) -> float:
    """Return the loss of some anchors as one would write it down."""
    losses = []
    for anchor in anchors:
        near = [_apart(points, anchor, other) for other in _others(labels, anchor, same=True)]
        if mining == "batch_hard":
            far = [_apart(points, anchor, other) for other in _others(labels, anchor, same=False)]
            losses.append(max(max(near) - min(far) + 1, 0))
            continue
        if mining == "batch_weighted":
            far = [_apart(points, anchor, other) for other in _others(labels, anchor, same=False)]
            up, down = np.exp(np.array(near) - max(near)), np.exp(min(far) - np.array(far))
            losses.append(max(float(np.average(near, weights=up) - np.average(far, weights=down)) + 1, 0))
            continue
        for distance in near:
            far = [_apart(points, anchor, other) for other in _others(labels, anchor, same=False)]
            if mining == "semi_hard":
                farther = [each for each in far if each > distance]
                losses.append(max(distance - (min(farther) if farther else max(far)) + 1, 0))
            else:
                losses += [distance - each + 1 for each in far if distance - each + 1 > 0]
    return sum(losses) / max(len(losses), 1)


def _others(labels: np.ndarray, anchor: int, *, same: bool) -> Iterator[int]:
    return (at for at in range(len(labels)) if at != anchor and (labels[at] == labels[anchor]) == same)


def _apart(points: np.ndarray, one: int, other: int) -> float:
    return float(np.sum((points[one] - points[other]) ** 2))


def cube(points: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Return the loss of `batch_all` from all batch^3 triplets."""
    found = distances(points)
    same = labels[:, None] == labels[None, :]
    positive = tf.linalg.set_diag(same, tf.zeros_like(labels, tf.bool))
    wanted = positive[:, :, None] & tf.logical_not(same)[:, None, :]
    losses = tf.where(wanted, tf.nn.relu(found[:, :, None] - found[:, None, :] + 1.0), 0.0)
    return tf.reduce_sum(losses) / tf.cast(tf.math.count_nonzero(losses), tf.float32)


def compiled(loss: Callable[[tf.Tensor, tf.Tensor], Any], points: tf.Tensor, labels: tf.Tensor) -> Any:
    """Return a function that computes loss and gradient."""

    @tf.function
    def step() -> Any:
        with tf.GradientTape() as tape:
            tape.watch(points)
            value = loss(points, labels)
        return value, tape.gradient(value, points)

    step()
    return step


def measure(size: int, dimension: int, rounds: int, anchors: int) -> None:
    """Print one line a mining."""
    rng = np.random.default_rng(0)
    points = rng.normal(size=(size, dimension)).astype(np.float32)
    labels = np.repeat(np.arange(size // PER_CLASS), PER_CLASS)
    given = tf.constant(points), tf.constant(labels)
    for mining in MININGS:
        loss = TripletLoss(mining)
        calls: dict[str, tuple[Callable[[], Any], float]] = {
            "ours": (compiled(lambda x, y, loss=loss: loss(y, x), *given), 1.0),
            "loop": (lambda mining=mining: loop(points, labels, range(anchors), mining), size / anchors),
        }
        if mining == "batch_all" and size <= MAX_CUBE:
            calls["cube"] = (compiled(cube, *given), 1.0)
        times: dict[str, list[float]] = {name: [] for name in calls}
        for _ in range(rounds):
            for name, (call, factor) in calls.items():
                start = time.perf_counter()
                call()
                times[name].append(factor * (time.perf_counter() - start))
        ours = statistics.median(times["ours"])
        words = [f"{size:5d}  {mining:15s} ours {1e3 * ours:8.1f} ms"]
        for name in [name for name in times if name != "ours"]:
            ratio = statistics.median(a / b for a, b in zip(times[name], times["ours"], strict=True))
            words.append(f"{name} {1e3 * statistics.median(times[name]):10.0f} ms = {ratio:7.1f} x")
        print("   ".join(words), flush=True)


def main() -> None:
    """Measure three sizes of batches."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--dimension", type=int, default=16)
    given = parser.parse_args()
    print(f"load {os.getloadavg()[0]:.1f}; target at 1,024: {TARGET} x the loop")
    for size in (128, 512, 1024):
        measure(size, given.dimension, given.rounds, anchors=4)


if __name__ == "__main__":
    main()
