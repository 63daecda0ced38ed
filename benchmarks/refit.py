"""What one iteration of each loss of correcting costs, against one of cross-entropy: same net, same batch.

The losses take turns in this process, to and fro, so that a load that comes and goes meets all alike; the table shows
medians over the rounds, and the ratio is the median of the ratios within a round. An iteration is all that changes the
weights once: forward pass, loss, gradients and Adam. A batch holds random images and, last, a few with masks; images
and weights are random, which does not change the cost. `processor` is the same ratio in seconds of all threads.

Run it with `python benchmarks/refit.py`; it takes about eight minutes on two cores. What counts are the ratios.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf

from fashionprobe import backbones
from fashionprobe.feedback.correctable import Correctable
from fashionprobe.feedback.masks.regions import at_tap
from fashionprobe.feedback.refit import LOSSES, Plan, Stepper
from fashionprobe.training.classifier import classifier

TARGETS = {"pasa": 1.15}
"""Upper bounds of the ratio to cross-entropy."""

CLASSES = 3
NETS = {"symbol": (55, 21), "residual": (4, 7), "resnet50": (8, 7)}
"""Images in a batch, and rounds: the batch of a refit, fewer where two cores would take minutes a round."""

MASKED = 0.1
"""Share of the batch that has masks."""


def iterations(network: Correctable, images: int) -> dict[str, Callable[[], object]]:
    """Return one iteration of each loss, as functions without arguments."""
    random = np.random.default_rng(0)
    height, width = network.model.input_shape[1:3]
    masks = np.zeros((images, height, width), bool)
    masks[-max(1, round(MASKED * images)) :, height // 2 :, : width // 2] = True
    batch = (
        tf.constant(random.uniform(0, 255, (images, height, width, 3)), tf.float32),
        tf.constant(np.arange(images) % network.classes, tf.int32),
        tf.constant(at_tap(masks, network.shape[:2])),
        tf.constant(masks, tf.float32),
    )
    found = {}
    for loss in LOSSES:
        stepper = Stepper(network, loss)
        stepper.start(Plan(loss=loss, learning_rate=1e-5, lam=1e-3))
        # Reading the result waits for the end of the iteration.
        found[loss] = lambda step=stepper.step: [float(term) for term in step(*batch)]
    return found


def measure(calls: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[tuple[float, float]]]:
    """Return the seconds, on the clock and of all threads, of each call in each round; a first round warms up."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in calls}
    for number in range(rounds + 1):
        for name, call in list(calls.items())[:: 1 if number % 2 else -1]:
            clock, processor = time.perf_counter(), time.process_time()
            call()
            if number:
                found[name].append((time.perf_counter() - clock, time.process_time() - processor))
    return found


def compare(name: str, images: int, rounds: int) -> None:
    """Measure one net, and print its part of the table."""
    backbone = backbones.load(name, weights="random")
    network = Correctable(classifier(backbone, CLASSES, blocks=[len(backbone.taps)]))
    found = {loss: np.array(values) for loss, values in measure(iterations(network, images), rounds).items()}
    height, width = network.model.input_shape[1:3]
    print(f"{name}, {height} x {width}, map {' x '.join(map(str, network.shape))}, batch {images}, {rounds} rounds")
    print(f"  {'loss':10} {'ms':>8} {'ratio':>7} {'processor':>10} {'target':>7}")
    for loss, values in found.items():
        clock, processor = np.median(values / found["ce"], axis=0)
        target = f"{TARGETS[loss]:7.2f}" if loss in TARGETS else ""
        milliseconds = 1000 * statistics.median(values[:, 0])
        print(f"  {loss:10} {milliseconds:8.0f} {clock:7.2f} {processor:10.2f} {target}".rstrip(), flush=True)


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--net", nargs="+", default=["symbol", "residual"], help="backbones (default: symbol residual)")
    parser.add_argument("--images", type=int, help="images a batch (default: 55; 4 and 8 for the larger nets)")
    parser.add_argument("--rounds", type=int, help="rounds (default: 21; 7 for the larger nets)")
    options = parser.parse_args()
    for name in options.net:
        images, rounds = NETS.get(name, (8, 7))
        compare(name, options.images or images, options.rounds or rounds)
    print("ce: cross-entropy. The target is an upper bound.")


if __name__ == "__main__":
    main()
