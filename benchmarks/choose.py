"""How often the interval that `choose` gives holds the truth, by simulation.

A trial draws descriptors of a few images and of many others of the same classes; `choose` reads the few, and the truth
is how well its choice, fitted on all of the few, classifies the many. The blocks differ in how much they know, so that
there is something to choose and to be flattered by. A 95 % interval should hold the truth in 95 of 100 trials.

Run it with `python benchmarks/choose.py`; it takes some minutes on two cores.
"""

import argparse
from typing import Any

import numpy as np

from fashionprobe.attributes.choose import Choice, choose
from fashionprobe.attributes.normalization import fit
from fashionprobe.intervals import wilson

CLASSES, CHANNELS, MANY = 4, 24, 4000
SPREADS = (2.6, 2.2, 2.0, 2.1)
"""Standard deviation within the classes, in units of that between them, in each block."""


def main() -> None:
    """Run the trials and print how often each interval held the truth."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--images", type=int, nargs="+", default=[160, 250])
    options = parser.parse_args()
    for images in options.images:
        held, plain, bias, width = 0, 0, [], []
        for trial in range(options.trials):
            found, truth = simulate(images, trial)
            low, high = wilson(np.array(round(found.accuracy * images)), np.array(images))
            held += found.low <= truth <= found.high
            plain += bool(low <= truth <= high)
            bias.append(found.accuracy - truth)
            width.append(found.high - found.low)
        print(
            f"{images} images, {options.trials} trials: the interval holds the truth in {held / options.trials:.0%} "
            f"(mean width {np.mean(width):.3f}); Wilson's alone in {plain / options.trials:.0%}; "
            f"accuracy less truth {np.mean(bias):+.3f} +- {np.std(bias):.3f}"
        )


def simulate(images: int, seed: int) -> tuple[Choice, float]:
    """Return what `choose` finds on a few images, and how well its choice does on many others."""
    rng = np.random.default_rng(seed)
    means = rng.normal(size=(len(SPREADS), CLASSES, CHANNELS))
    labels = np.arange(images) % CLASSES
    others = np.arange(MANY) % CLASSES
    few: dict[Any, np.ndarray]
    few, many = (
        {
            block: (means[block - 1][given] + spread * rng.normal(size=(len(given), CHANNELS))).astype(np.float32)
            for block, spread in enumerate(SPREADS, start=1)
        }
        for given in (labels, others)
    )
    found = choose(few, labels.astype(str), seed=seed)
    block = int(str(found.best["block"]))
    answers = classify(found.best, few[block], labels, many[block])
    return found, float((answers == others).mean())


def classify(best: dict[str, object], few: np.ndarray, labels: np.ndarray, many: np.ndarray) -> np.ndarray:
    """Classify images as the choice says, by scikit-learn."""
    from sklearn.neighbors import KNeighborsClassifier

    normalize = fit(str(best["normalization"]), few)
    known, asked, metric = normalize(few), normalize(many), str(best["metric"])
    if best["classifier"] == "nearest_mean":
        known = np.stack([known[labels == number].mean(axis=0) for number in range(CLASSES)])
        return KNeighborsClassifier(1, metric=metric).fit(known, np.arange(CLASSES)).predict(asked)
    return KNeighborsClassifier(int(str(best["parameter"])), metric=metric).fit(known, labels).predict(asked)


if __name__ == "__main__":
    main()
