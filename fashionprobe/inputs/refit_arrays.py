"""A Keras model corrected from arrays, in memory: images, classes and masks in, a corrected model and a table out."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import keras
import numpy as np
import pandas as pd

from fashionprobe.errors import UserError
from fashionprobe.explain.explainers import GradCAM
from fashionprobe.feedback import methods
from fashionprobe.feedback.comparison import Bench, RefitData, mask_at_tap
from fashionprobe.feedback.correctable import Correctable
from fashionprobe.feedback.methods import Loss
from fashionprobe.feedback.refit import Batches, MaskedImages, Plan, Scale
from fashionprobe.feedback.significance import heat_inside

TOLD = (
    "augmentation", "all_data", "telea", "navier_stokes", "generative", "function", "misclassified", "with_validation",
    "noise", "crops",
)  # fmt: skip
"""Rivals that need more than arrays, or RGB in [0, 255]: the command `fashionprobe refit` has them."""

HELD_BACK = 8
"""Masks from which on every fourth is held back to choose the iteration."""


@dataclass(frozen=True)
class Corrected:
    """What a refit from arrays made. Jupyter shows it as its table.

    Attributes:
        model: The corrected model, of the layers of the one given, flat; that one is as it was.
        table: A row a method: method, validation (accuracy on validation images), swapped (the same on masked images
            that were held back and whose masked regions show those of other classes; NaN where none were), heat_inside
            (share of the Grad-CAM heat inside the masks, the mean over the masked images), iteration (the one kept).
        history: The iterations of the chosen method, as `Refit.history`.
    """

    model: keras.Model
    table: pd.DataFrame
    history: pd.DataFrame

    def _repr_html_(self) -> str:
        return self.table.to_html(index=False, float_format=lambda value: f"{value:.3f}")


def refit(
    model: keras.Model,
    data: tuple[Any, Any],
    masks: Any,
    *,
    loss: Loss = "pasa",
    head: bool = False,
    validation: tuple[Any, Any] | float = 0.2,
    rivals: Sequence[str] = ("continued",),
    iterations: int = 100,
    batch_size: int = 50,
    masked: int = 5,
    learning_rate: float = 1e-3,
    lam: float = 1.0,
    scale: Scale = "formula",
    b: float = 0.4,
    th: float = 0.7,
    dropped: int = 20,
    check_every: int = 5,
    optimizer: Literal["adam", "sgd"] = "adam",
    seed: int = 0,
    callbacks: Sequence[Callable[[int], object]] = (),
) -> Corrected:
    """Correct a classifier with masks of irrelevant regions, as `fashionprobe refit` does, without a folder.

    Args:
        model: A Keras classifier with a softmax, or logits, over two classes or more. It stays as it is.
        data: Images, uint8 or float (n, height, width, channels) in the range that the model takes, and their class
            numbers, int (n,).
        masks: True where an image is irrelevant: bool (n, height, width), of which those without a True are not masked;
            or a dict from the number of an image to its mask, bool (height, width). Of 8 or more every fourth is held
            back: it chooses the iteration, too.
        loss: What is minimised: pas, pasa, rrr, rrr_g, dropout or ce.
        head: Whether the last layer is fitted again on images whose masked regions are swapped.
        validation: Images and classes that choose the iteration; or which share of the images without a mask to take.
        rivals: What it is compared with: continued, masked_images, dropout, rrr, rrr_g, head, pas, pasa, pasa_head; an
            empty list for the model as it was alone.
        iterations: Batches.
        batch_size: Random images in each.
        masked: Masked images beside them.
        learning_rate: Rate of the optimizer.
        lam: Weight of the penalty.
        scale: What `lam` is multiplied with: formula, as in the visual-feedback thesis; relative, as large as the
            cross-entropy; or absolute.
        b: Base of PASA.
        th: Threshold of PASA.
        dropped: Channels that selective dropout sets to 0.
        check_every: Iterations between two measurements.
        optimizer: adam or sgd.
        seed: Seed of all that is random.
        callbacks: Each is called with the iteration at the start and wherever the network is measured.

    Returns:
        The corrected model, the comparison, and the history.

    Raises:
        UserError: If the model is no such classifier, shapes do not fit, there is no mask, or a name is not known.

    Reference:
        PAS and PASA: see `fashionprobe.feedback.losses`.

    Example:
        corrected = fashionprobe.refit(model, (x, y), masks, loss="pasa", b=0.8, th=2)
    """
    for name in rivals:
        if name in TOLD:
            raise UserError(
                "rivals",
                expected="methods that need arrays alone",
                received=name,
                remedy="`fashionprobe refit` has it.",
            )
    chosen = methods.choose(list(rivals) or ["none"], methods.method(loss, head=head))
    images, labels = _checked(model, *data)
    regions = _regions(masks, images)
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    network = Correctable(copy)
    if labels.max() >= network.classes:
        raise UserError("data", expected=f"class numbers below {network.classes}", received=int(labels.max()))
    rows = np.flatnonzero(regions.any(axis=(1, 2)))
    others, held_out = _split(len(images), rows, validation, images, labels, seed)
    given = mask_at_tap(network, rows.astype(str), images[rows], labels[rows], regions[rows])
    back = np.arange(len(rows)) % 4 == 3
    # Regions are swapped between classes.
    if len(rows) >= HELD_BACK and len(np.unique(labels[rows[back]])) > 1:
        trained, kept_back = given.take(np.flatnonzero(~back)), given.take(np.flatnonzero(back))
    else:
        trained, kept_back = given, None
    plan = Plan(
        loss=loss, iterations=iterations, masked=masked, optimizer=optimizer, learning_rate=learning_rate, lam=lam,
        scale=scale, b=b, th=th, dropped=dropped, check_every=check_every,
    )  # fmt: skip

    def batches(_: str, seed: int) -> Batches:
        random = np.random.default_rng([seed, 4])
        while True:
            drawn = others[random.permutation(len(others))[:batch_size]]
            yield images[drawn].astype(np.float32), labels[drawn]

    def nothing(*_: Any) -> Any:
        raise UserError("rivals", expected="methods that need arrays alone", received="another")

    donors = images[others], labels[others]
    bench = Bench(network, RefitData(batches, trained, kept_back, held_out, donors, {}, nothing, nothing), plan, plan)
    found, kept, history = [], network.model.get_weights(), pd.DataFrame()
    for each in chosen:
        main = each is chosen[1]
        done = bench.run(each, seed, watch=lambda iteration, main=main: [call(iteration) for call in callbacks if main])
        scores = bench.score(seed)
        found.append({
            "method": each.title, "validation": scores["val"], "swapped": scores["swapped"],
            "heat_inside": _heat(network, given), "iteration": done.iteration,
        })  # fmt: skip
        if main:
            kept, history = network.model.get_weights(), done.history
    network.model.set_weights(kept)
    return Corrected(network.model, pd.DataFrame(found), history)


def _checked(model: keras.Model, images: Any, labels: Any) -> tuple[np.ndarray, np.ndarray]:
    images, labels = np.asarray(images), np.asarray(labels)
    shape = tuple(model.input_shape[1:])
    if images.ndim != 4 or images.shape[1:] != shape:
        expected = f"images (n, {', '.join(map(str, shape))}), as the model takes them"
        raise UserError("data", expected=expected, received=list(images.shape))
    if labels.shape != (len(images),) or labels.dtype.kind not in "iu":
        received = f"{list(labels.shape)} of {labels.dtype}"
        remedy = "Of one-hot rows take labels.argmax(axis=1)." if labels.ndim == 2 else ""
        raise UserError("data", expected=f"class numbers, int ({len(images)},)", received=received, remedy=remedy)
    return images, labels.astype(np.int32)


def _regions(masks: Any, images: np.ndarray) -> np.ndarray:
    """Return a mask for each image, bool (n, height, width), False everywhere where none was given."""
    shape = images.shape[:3]
    if isinstance(masks, Mapping):
        found = np.zeros(shape, bool)
        for row, mask in masks.items():
            if not 0 <= int(row) < len(images) or np.shape(mask) != shape[1:]:
                expected = f"masks {list(shape[1:])} of images 0 to {len(images) - 1}"
                raise UserError("masks", expected=expected, received=f"{list(np.shape(mask))} of image {row}")
            found[int(row)] = np.asarray(mask, bool)
    else:
        found = np.asarray(masks)
        if found.shape != shape:
            raise UserError(
                "masks", expected=f"one per image, {list(shape)}", received=list(found.shape),
                remedy="For some images alone pass a dict from their numbers to their masks.",
            )  # fmt: skip
        found = found.astype(bool)
    if not found.any():
        raise UserError("masks", expected="one mask or more with an irrelevant region", received="none")
    return found


def _split(
    count: int, rows: np.ndarray, validation: Any, images: np.ndarray, labels: np.ndarray, seed: int
) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """Return the images that batches are drawn from, and those that choose the iteration."""
    if isinstance(validation, tuple):
        held_out, truth = (np.asarray(each) for each in validation)
        return np.arange(count), (held_out, truth.astype(np.int32))
    free = np.setdiff1d(np.arange(count), rows)
    taken = round(validation * count) if 0 < validation < 1 else 0
    if not 0 < taken < len(free):
        expected = "a pair of images and classes, or a share that leaves images without a mask to train on"
        raise UserError("validation", expected=expected, received=validation)
    drawn = np.random.default_rng([seed, 5]).permutation(free)[:taken]
    return np.setdiff1d(np.arange(count), drawn), (images[drawn], labels[drawn])


def _heat(network: Correctable, given: MaskedImages) -> float:
    """Return the mean share of Grad-CAM's heat inside the masks, for the class of each image."""
    explainer = GradCAM(network.model, layer=network.tap)
    maps = explainer.heatmap(given.images.astype(np.float32), classes=given.labels)
    return float(np.nanmean(heat_inside(maps, given.masks)))
