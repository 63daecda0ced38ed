"""The bench: every method from the same trained network, on the same data, with the same budget."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from fashionprobe.errors import UserError
from fashionprobe.feedback.correctable import Correctable
from fashionprobe.feedback.last_layer import refit_last_layer
from fashionprobe.feedback.masks.regions import at_tap
from fashionprobe.feedback.methods import Method
from fashionprobe.feedback.refit import Batches, MaskedImages, Plan, Refit, Stepper, refit
from fashionprobe.feedback.replace import Paint, crops, noise, painted, swapped

COPIES = 5
"""Copies of a masked image whose region is swapped with those of others."""

Labelled = tuple[np.ndarray, np.ndarray]
"""Images, uint8 or float32 (n, height, width, 3), and their class numbers, int (n,)."""


@dataclass(frozen=True)
class RefitData:
    """What the methods may use; none of it is of the test split.

    Attributes:
        batches: Makes the random images of the iterations, given a pool ("train", "wrong" or "train+val") and a seed.
        masked: Masked images to train with.
        held_out: Masked images whose masks are not trained with, and that choose the iteration; None where there are
            too few.
        validation: Images that choose the iteration.
        donors: Images whose pixels fill masked regions.
        paints: What else fills them, by name; given the number of the filling, from 0.
        fresh: Sets new weights, given a seed; raises a UserError where that cannot be.
        augment: Makes what changes float32 images at random, given a seed.
    """

    batches: Callable[[str, int], Batches]
    masked: MaskedImages
    held_out: MaskedImages | None
    validation: Labelled
    donors: Labelled
    paints: Mapping[str, Callable[[int], Paint]]
    fresh: Callable[[int], None]
    augment: Callable[[int], Callable[[np.ndarray], np.ndarray]]


@dataclass(frozen=True)
class Bench:
    """A network on the bench.

    Attributes:
        network: The network; holds the trained weights now, and what the last run left afterwards.
        data: What the methods may use.
        plan: How they are run.
        fresh_plan: How those that start from new weights are run.
        fillings: How often each masked region is filled by methods that can fill it in several ways.
    """

    network: Correctable
    data: RefitData
    plan: Plan
    fresh_plan: Plan
    fillings: int = 1
    _base: list[np.ndarray] = field(default_factory=list)
    _steppers: dict[tuple[str, str], Stepper] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self._base:
            self._base.extend(self.network.model.get_weights())

    def run(
        self, method: Method, seed: int, *, report: Callable[[int], object] = lambda iterations: None,
        watch: Callable[[int], object] = lambda iteration: None,
    ) -> Refit:  # fmt: skip
        """Run one method from the trained weights, and leave the network as it made it.

        Args:
            method: The method.
            seed: Seed of all that is random in it.
            report: Called with 1 after each iteration.
            watch: Called with the iteration before the first one and wherever the network is measured.

        Raises:
            UserError: If the network, the masks or the data do not allow it.
        """
        self.network.model.set_weights(self._base)
        if method.head:
            self.network.need_head("head")
        measure = self._check(seed)
        if method.iterate:
            found = self._iterate(method, seed, measure, report, watch)
        else:
            history = pd.DataFrame([{"iteration": 0, "loss": np.nan, **measure()}])
            found = Refit(history, pd.DataFrame({"iteration": [], "id": [], "probability": []}), 0, 0.0)
        if method.head:
            self._refit_head(seed)
        return found

    def at(self, data: RefitData, plan: Plan) -> "Bench":
        """Return a bench with other data and another plan, on which nothing has to be compiled again."""
        return replace(self, data=data, plan=plan)

    def iterations(self, method: Method) -> int:
        """Return how many iterations a method takes."""
        return 0 if not method.iterate else (self.fresh_plan if method.fresh else self.plan).iterations

    def score(self, seed: int) -> dict[str, float]:
        """Measure the network as it is: `val`, `swapped`, and their mean, `score`."""
        return self._check(seed)()

    def _iterate(self, method: Method, seed: int, measure: Any, report: Any, watch: Any) -> Refit:
        plan = replace(self.fresh_plan if method.fresh else self.plan, loss=method.loss)
        if method.pool == "train+val":
            # Its validation images are no longer unseen, so they choose nothing.
            plan = replace(plan, keep_best=False)
        batches = self.data.batches(method.pool, seed)
        if method.fresh:
            self.data.fresh(seed)
        if method.augment:
            change = self.data.augment(seed)
            batches = ((change(images), labels) for images, labels in batches)
        compiled = (method.loss, plan.optimizer)
        if compiled not in self._steppers:
            self._steppers[compiled] = Stepper(self.network, *compiled)
        masked = self.edited(method, seed) if method.masked else None
        stepper = self._steppers[compiled]
        return refit(self.network, stepper, batches, masked, plan, check=measure, seed=seed, report=report, watch=watch)

    def edited(self, method: Method, seed: int) -> MaskedImages:
        """Return the masked images as a method wants them: as they are, or filled and without a mask.

        With several fillings all first ones come first, then all second ones.
        """
        given = self.data.masked
        if not method.replace:
            return given
        rng = np.random.default_rng([seed, 1])
        images = given.images.astype(np.float32)

        def filled(number: int) -> np.ndarray:
            if method.replace == "crops":
                return crops(images, given.masks, given.labels, *self.data.donors, rng, place="anywhere")
            if method.replace == "noise":
                return noise(images, given.masks, rng)
            return painted(images, given.masks, self.data.paints[method.replace](number))

        # What fills a region in one way only does so once.
        times = 1 if method.replace in ("telea", "navier_stokes", "function") else self.fillings
        together = given.take(np.tile(np.arange(len(given)), times))
        return MaskedImages(
            together.ids, np.concatenate([filled(number) for number in range(times)]), together.labels,
            np.zeros_like(together.masks), np.zeros_like(together.at_tap),
        )  # fmt: skip

    def _check(self, seed: int) -> Callable[[], dict[str, float]]:
        """Make the measurement that chooses the iteration."""
        images, labels = self.data.validation
        held_out, others = None, np.zeros(0)
        if self.data.held_out is not None:
            given = self.data.held_out
            rng = np.random.default_rng([seed, 2])
            held_out, others, _ = swapped(
                given.images.astype(np.float32), given.masks, given.labels, rng, copies=COPIES
            )

        def measure() -> dict[str, float]:
            val = float((self.network.probabilities(images).argmax(axis=1) == labels).mean())
            if held_out is None:
                return {"val": val, "swapped": np.nan, "score": val}
            found = float((self.network.probabilities(held_out).argmax(axis=1) == others).mean())
            return {"val": val, "swapped": found, "score": (val + found) / 2}

        return measure

    def _refit_head(self, seed: int) -> None:
        """Fit the last layer to copies of the masked images whose regions are swapped; all else stays."""
        given, rng = self.data.masked, np.random.default_rng([seed, 3])
        images, labels, owners = swapped(given.images.astype(np.float32), given.masks, given.labels, rng, copies=COPIES)
        # Classes with fewer than two owners of copies keep some images as they are.
        counts = np.bincount(given.labels[np.unique(owners)], minlength=self.network.classes)
        plain, of_plain = self.data.donors
        rows = np.flatnonzero(counts[of_plain] < 2)
        images = np.concatenate([images, plain[rows].astype(np.float32)])
        labels = np.concatenate([labels, of_plain[rows]])
        owners = np.concatenate([owners, len(given) + np.arange(len(rows))])
        held_out = None
        if self.data.held_out is not None:
            other = self.data.held_out
            edited, truth, _ = swapped(other.images.astype(np.float32), other.masks, other.labels, rng, copies=COPIES)
            held_out = self.network.infer(edited)[1], truth
        dense = self.network.dense
        kernel, bias = refit_last_layer(
            self.network.infer(images)[1], labels, self.network.classes,
            bias=dense.bias is not None, seed=seed, validation=held_out, groups=owners,
        )  # fmt: skip
        dense.set_weights([kernel] if bias is None else [kernel, bias])


def mask_at_tap(
    network: Correctable, ids: np.ndarray, images: np.ndarray, labels: np.ndarray, masks: np.ndarray
) -> MaskedImages:
    """Put masked images together with their masks at the network's feature map."""
    if masks.shape[:3] != images.shape[:3]:
        raise UserError("masks", expected=f"of the images' shape {images.shape[:3]}", received=masks.shape)
    return MaskedImages(ids, images, labels, masks, at_tap(masks, network.shape[:2]))
