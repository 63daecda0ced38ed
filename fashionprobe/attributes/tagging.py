"""How far tags can be trusted: measured on images that their classes were not learned from."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from fashionprobe.attributes import classes
from fashionprobe.attributes.folds import assign_folds, check_classes, identical
from fashionprobe.attributes.joined import Joined, widths_of
from fashionprobe.attributes.normalization import fit


@dataclass(frozen=True)
class HeldOut:
    """What tags say of images that were held out.

    Attributes:
        numbers: Number of the class that is named, int (images,).
        probability: Its probability, float (images,).
        known: Whether the image is within reach of that class, bool (images,).
    """

    numbers: np.ndarray
    probability: np.ndarray
    known: np.ndarray


def cross_validate(
    descriptors: np.ndarray | Joined,
    numbers: np.ndarray,
    names: Sequence[str],
    normalization: str,
    *,
    coverage: float = classes.COVERAGE,
    folds: int = 5,
    seed: int = 0,
) -> HeldOut:
    """Tag each image with classes that were learned from the other folds: means, reach, temperature, normalization.

    Args:
        descriptors: float32 (images, channels), not normalized; may be a memory map.
        numbers: Number of the class of each image, int (images,).
        names: Names of the classes.
        normalization: One of `normalization.NORMALIZATIONS`.
        coverage: Share of a class's own images that its reach should hold, in (0, 1].
        folds: Number of stratified folds; copies of a picture stay together.
        seed: Seed of the folds.

    Returns:
        One answer an image.

    Raises:
        UserError: If a class has fewer images than there are folds, or there is one class only.
    """
    check_classes("label", np.array(names), numbers, folds, optional=False)
    found = HeldOut(np.zeros(len(numbers), int), np.zeros(len(numbers)), np.zeros(len(numbers), bool))
    for training, test in _splits(descriptors, numbers, folds, seed):
        tags = _tags(descriptors, numbers, names, normalization, coverage, training, test)
        found.numbers[test] = [names.index(tag.name) for tag in tags]
        found.probability[test] = [tag.probability for tag in tags]
        found.known[test] = [tag.known for tag in tags]
    return found


def leave_class_out(
    descriptors: np.ndarray | Joined,
    numbers: np.ndarray,
    names: Sequence[str],
    left_out: int,
    normalization: str,
    *,
    coverage: float = classes.COVERAGE,
    folds: int = 5,
    seed: int = 0,
) -> tuple[float, float]:
    """Measure how often "none of these" is said of a class that was never learned, and of images of the others.

    All other classes are learned but for one fold, and asked about its images and about that fold.

    Args:
        descriptors: As for `cross_validate`.
        numbers: As for `cross_validate`.
        names: Names of the classes, three or more: two are left to be learned.
        left_out: Number of the class that is not learned.
        normalization: As for `cross_validate`.
        coverage: As for `cross_validate`.
        folds: As for `cross_validate`.
        seed: As for `cross_validate`.

    Returns:
        Shares of its images, and of the held-out images of the others, that are beyond reach; in [0, 1].
    """
    others = [name for number, name in enumerate(names) if number != left_out]
    mapped = np.where(numbers > left_out, numbers - 1, numbers)
    training, test = next(_splits(descriptors, numbers, folds, seed))
    training, test = training[numbers[training] != left_out], test[numbers[test] != left_out]
    own = np.flatnonzero(numbers == left_out)
    tags = _tags(descriptors, mapped, others, normalization, coverage, training, np.concatenate([own, test]))
    beyond = np.array([not tag.known for tag in tags])
    return float(beyond[: len(own)].mean()), float(beyond[len(own) :].mean())


def _splits(
    descriptors: np.ndarray | Joined, numbers: np.ndarray, folds: int, seed: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    assigned = assign_folds(numbers, folds=folds, seed=seed, same=identical(descriptors[:]))
    for fold in range(folds):
        yield np.flatnonzero(assigned != fold), np.flatnonzero(assigned == fold)


def _tags(
    descriptors: np.ndarray | Joined, numbers: np.ndarray, names: Sequence[str], normalization: str, coverage: float,
    training: np.ndarray, test: np.ndarray,
) -> list[classes.Tag]:  # fmt: skip
    """Learn classes from some images and ask them about others."""
    known, widths = descriptors[training], widths_of(descriptors)
    fitted = fit(normalization, known, widths=widths)
    learned = classes.learn(known, numbers[training], names, fitted, coverage=coverage)
    # Of joined blocks each is normalized alone.
    parts = known if widths is None else Joined(np.split(known, np.cumsum(widths)[:-1], axis=1))
    learned = classes.calibrate(learned, parts, numbers[training], normalization, coverage=coverage)
    return classes.tag("label", fitted(descriptors[test]), learned)
