"""Classes of an attribute: a mean and a reach each, learned from a handful of images and from nothing else.

A class knows only its own images, so a new one changes no other; an answer changes only where the new one is nearer.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.spatial.distance import cdist
from scipy.special import log_softmax, softmax

from fashionprobe.attributes.joined import Joined, widths_of
from fashionprobe.attributes.normalization import Normalization, fit
from fashionprobe.errors import UserError

COVERAGE = 0.8
"""Share of a class's own images that its reach should hold, unless told otherwise. Images at the edge of a class often
are nearer to another, so far fewer than one in five of a known kind are refused, and more of an unknown kind are found.
"""

CHUNK = 4096
"""Images at a time."""

FITTED_ON = 20_000
"""Images at most that say how far a class reaches and how much a distance tells."""

FOLDS = 5
"""Parts of which one after the other is held out for that."""


@dataclass(frozen=True)
class Classes:
    """The classes of one group.

    Attributes:
        names: Their names.
        images: Images that each was learned from, int (classes,).
        means: float32 (classes, directions).
        reach: Distance from the mean beyond which an image is not of the class, float32 (classes,).
        temperature: How much a distance says, for `confidence`; NaN where a single class was learned.
    """

    names: tuple[str, ...]
    images: np.ndarray
    means: np.ndarray
    reach: np.ndarray
    temperature: float = float("nan")

    def __add__(self, other: "Classes") -> "Classes":
        """Put the classes of both into one, with the temperature of these."""
        return Classes(
            self.names + other.names, np.concatenate([self.images, other.images]),
            np.concatenate([self.means, other.means]), np.concatenate([self.reach, other.reach]), self.temperature,
        )  # fmt: skip

    def without(self, names: Sequence[str]) -> "Classes":
        """Return the classes less those of these names."""
        kept = np.array([name not in names for name in self.names], bool)
        left = tuple(name for name in self.names if name not in names)
        return Classes(left, self.images[kept], self.means[kept], self.reach[kept], self.temperature)


@dataclass(frozen=True)
class Tag:
    """The answer of one group for one image.

    Attributes:
        group: Name of the group.
        name: The nearest class.
        distance: Distance to its mean.
        reach: How far the class reaches.
        probability: That of the class among the classes of the group, of which a new one takes its share; None where
            they have no temperature.
    """

    group: str
    name: str
    distance: float
    reach: float
    probability: float | None = None

    @property
    def known(self) -> bool:
        """Whether the image is within reach; otherwise the honest answer is: none of these."""
        return self.distance <= self.reach


def learn(
    descriptors: np.ndarray,
    numbers: np.ndarray,
    names: Sequence[str],
    normalization: Normalization,
    *,
    coverage: float = COVERAGE,
) -> Classes:
    """Learn classes from their images.

    The reach of a class is calibrated by leaving one image out: the distances of its images to the mean of the others,
    and of these the one that holds the share `coverage` (the conformal quantile, number `ceil((n + 1) coverage)`, or
    the largest where there are too few).

    Args:
        descriptors: float32 (images, channels), not normalized; may be a memory map, which is read twice in chunks.
        numbers: Number of the class of each image, int (images,); -1 for none.
        names: Names of the classes.
        normalization: What is done to them. Where it gives them length 1, means get that, too, so that distances stand
            for angles.
        coverage: Share of a class's own images that its reach should hold, in (0, 1].

    Returns:
        The classes, in the order of the names.

    Raises:
        UserError: If a class has fewer than two images.

    Reference:
        Barber, Candès, Ramdas and Tibshirani, Predictive inference with the jackknife+, Annals of Statistics 2021.
        https://doi.org/10.1214/20-AOS1965
    """
    images = np.bincount(numbers[numbers >= 0], minlength=len(names))
    for name, count in zip(names, images, strict=True):
        if count < 2:
            raise UserError(
                "images", expected="two or more for a class, to know how far it reaches",
                received=f"{count} for '{name}'",
            )  # fmt: skip
    sums, apart = left_out(descriptors, numbers, len(names), normalization)
    reach = [_reach(apart[numbers == number], coverage) for number in range(len(names))]
    return Classes(
        tuple(names), images, _mean(sums, images, normalization.unit).astype(np.float32), np.array(reach, np.float32)
    )


def calibrate(
    learned: Classes,
    descriptors: np.ndarray | Joined,
    numbers: np.ndarray,
    kind: str,
    *,
    coverage: float = COVERAGE,
    folds: int = FOLDS,
    seed: int = 0,
) -> Classes:
    """Measure reach and temperature on held-out images: neither means nor normalization have seen them.

    With one left out, as in `learn`, whitening has still seen it: where there are about as many images as channels, it
    moves each image it has seen away from all means, so that nothing would be beyond reach.

    Args:
        learned: Classes from `learn`.
        descriptors: What they were learned from, not normalized; at most `FITTED_ON` rows are used.
        numbers: As for `learn`.
        kind: Name of the normalization.
        coverage: As for `learn`.
        folds: Parts of which one after the other is held out. Each class is dealt out to them.
        seed: Seed of the parts.

    Returns:
        The same classes and means with other reaches, and the temperature where there are two classes or more.
    """
    random = np.random.default_rng(seed)
    rows = random.permutation(len(numbers))[:FITTED_ON]
    given = numbers[rows]
    order = np.argsort(given, kind="stable")
    place = np.arange(len(rows)) - np.searchsorted(given[order], given[order])
    fold = np.empty(len(rows), int)
    fold[order] = place % folds
    far = np.full((len(rows), len(learned.names)), np.nan)
    for number in range(folds):
        test = np.flatnonzero((fold == number) & (given >= 0))
        if not len(test):
            continue
        training = np.sort(rows[fold != number])
        known, own = descriptors[training], numbers[training]
        normalization = fit(kind, known, widths=widths_of(descriptors))
        images = np.bincount(own[own >= 0], minlength=len(learned.names))
        sums = np.zeros((len(learned.names), normalization(known[:1]).shape[1]))
        for chunk, points in _chunks(known, own, normalization):
            np.add.at(sums, own[chunk], points)
        with np.errstate(invalid="ignore"):  # of a class of which too few were drawn there is no mean
            means = np.where(images[:, None] > 0, _mean(sums, np.maximum(images, 1), normalization.unit), np.inf)
        asked = descriptors[rows[test]]
        far[test] = cdist(normalization(asked).astype(np.float64), means)
    return _calibrated(learned, far, given, coverage)


def _calibrated(learned: Classes, far: np.ndarray, numbers: np.ndarray, coverage: float) -> Classes:
    there = np.flatnonzero(numbers >= 0)
    apart = far[there, numbers[there]]
    there, apart = there[np.isfinite(apart)], apart[np.isfinite(apart)]
    reach = learned.reach.copy()
    for number in range(len(learned.names)):
        own = apart[numbers[there] == number]
        if len(own):
            reach[number] = _reach(own, coverage)
    heat = temperature(far[there], numbers[there]) if len(learned.names) > 1 and len(there) else float("nan")
    return replace(learned, reach=reach, temperature=heat)


def left_out(
    descriptors: np.ndarray, numbers: np.ndarray, classes: int, normalization: Normalization
) -> tuple[np.ndarray, np.ndarray]:
    """Measure how far each image is from the mean of the other images of its class.

    Args:
        descriptors: float32 (images, channels), not normalized.
        numbers: Number of the class of each image, int (images,); -1 for none. Each class has two images or more.
        classes: Number of classes.
        normalization: What is done to them.

    Returns:
        The sum of each class, float64 (classes, directions), and the distances, float64 (images,), NaN without a class.
    """
    images = np.bincount(numbers[numbers >= 0], minlength=classes)
    sums = np.zeros((classes, normalization(descriptors[:1]).shape[1]))
    for rows, points in _chunks(descriptors, numbers, normalization):
        np.add.at(sums, numbers[rows], points)
    apart = np.full(len(numbers), np.nan)
    for rows, points in _chunks(descriptors, numbers, normalization):
        others = _mean(sums[numbers[rows]] - points, images[numbers[rows]] - 1, normalization.unit)
        apart[rows] = np.linalg.norm(points - others, axis=1)
    return sums, apart


def tag(group: str, points: np.ndarray, classes: Classes) -> list[Tag]:
    """Name the nearest class of each image.

    Args:
        group: Name of the group.
        points: Normalized descriptors, float32 (images, directions).
        classes: Its classes, one or more.

    Returns:
        One answer an image.

    Raises:
        UserError: If the group has no class.
    """
    if not classes.names:
        raise UserError(
            "group", expected="one with a class or more", received=f"'{group}', which has none",
            remedy=f"Add one: fashionprobe attribute add NAME --group {group} --images ...",
        )  # fmt: skip
    distances = cdist(points.astype(np.float64), classes.means.astype(np.float64))
    nearest = distances.argmin(axis=1)
    sure: list[float | None] = [None] * len(points)
    if len(points) and np.isfinite(classes.temperature):
        sure = confidence(distances, classes.temperature).max(axis=1).tolist()
    return [
        Tag(
            group, classes.names[number], float(distances[image, number]), float(classes.reach[number]),
            sure[image],
        )
        for image, number in enumerate(nearest)
    ]  # fmt: skip


def _chunks(
    descriptors: np.ndarray, numbers: np.ndarray, normalization: Normalization
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield rows that are of a class, and their normalized descriptors, float64."""
    for start in range(0, len(numbers), CHUNK):
        rows = start + np.flatnonzero(numbers[start : start + CHUNK] >= 0)
        yield rows, normalization(descriptors[rows]).astype(np.float64)


def _mean(sums: np.ndarray, counts: np.ndarray, unit: bool) -> np.ndarray:
    means = sums / counts[:, None]
    if unit:
        length = np.linalg.norm(means, axis=1, keepdims=True)
        means /= np.where(length > 0, length, 1)
    return means


def _reach(apart: np.ndarray, coverage: float) -> float:
    place = min(int(np.ceil((len(apart) + 1) * coverage)), len(apart))
    return float(np.sort(apart)[place - 1])


RANGE = (-7.0, 3.0)
"""Where a temperature is looked for: natural logarithms of its ratio to the median distance."""


def temperature(distances: np.ndarray, numbers: np.ndarray) -> float:
    """Fit the temperature with which `confidence` explains known classes best.

    Args:
        distances: Distance of each image to the mean of each class, float (images, classes).
        numbers: Number of the class of each image, int (images,).

    Returns:
        The temperature with the least mean negative log-likelihood, above 0, in the unit of the distances.

    Raises:
        UserError: If there is no image, or all distances are 0.

    Reference:
        Guo, Pleiss, Sun and Weinberger, On calibration of modern neural networks, ICML 2017 (temperature scaling).
        https://proceedings.mlr.press/v70/guo17a.html
    """
    far = np.asarray(distances, np.float64)
    scale = float(np.median(far)) if far.size else 0.0
    if scale <= 0:
        raise UserError("distances", expected="those of one image or more, not all 0", received=f"{far.shape}")
    rows = np.arange(len(far))

    def loss(power: float) -> float:
        return -float(log_softmax(-far / (scale * np.exp(power)), axis=1)[rows, numbers].mean())

    found: float = minimize_scalar(loss, bounds=RANGE, method="bounded").x  # pyright: ignore[reportAttributeAccessIssue]
    return scale * float(np.exp(found))


def confidence(distances: np.ndarray, temperature: float) -> np.ndarray:
    """Return the probability of each class, `softmax(-distance / temperature)`: the nearest is the likeliest.

    Args:
        distances: float (images, classes).
        temperature: From `temperature`.

    Returns:
        float64 (images, classes); each row sums to 1.
    """
    return softmax(-np.asarray(distances, np.float64) / temperature, axis=1)
