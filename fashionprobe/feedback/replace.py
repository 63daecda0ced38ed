"""Replacement: the masked region is painted over, or filled with another image or noise, so that it says nothing."""

from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from fashionprobe import progress
from fashionprobe.errors import UserError, require, unknown_name

Paint = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Paints a hole: takes an image, uint8 (height, width, 3), and a mask, bool (height, width), that is True where pixels
are to be made up from those around, and returns an image like the one it got."""

PLACES = ("same", "anywhere")
Place = Literal["same", "anywhere"]

MEAN, DEVIATION = 0.5, 0.1
"""Of the noise, as shares of the image's range: those of occlusion."""


def replace_regions(
    images: np.ndarray, masks: np.ndarray, by: Literal["telea", "navier_stokes", "noise"] | Paint = "telea",
    *, seed: int = 0,
) -> np.ndarray:  # fmt: skip
    """Paint over the masked region of each image, or fill it with noise, so that it says nothing.

    Args:
        images: float32 (batch, height, width, 3), RGB in [0, 255].
        masks: bool (batch, height, width), True where to replace. Images with an empty mask stay as they are.
        by: "telea" or "navier_stokes" paint from the border inwards with OpenCV, "noise" is Gaussian; or a function of
            an image, uint8 (height, width, 3), and its mask that returns the painted image.
        seed: Seed of the noise.

    Returns:
        float32 (batch, height, width, 3).

    Raises:
        UserError: If there is no such way, shapes or values are wrong, or a mask covers a whole image.

    Example:
        >>> image, mask = np.full((1, 4, 4, 3), 9.0), np.zeros((1, 4, 4), bool)
        >>> mask[0, 0, 0] = True
        >>> replace_regions(image, mask, lambda image, mask: image * 2)[0, 0, :2, 0].tolist()
        [18.0, 9.0]
    """
    if by == "noise":
        return noise(images, masks, np.random.default_rng(seed))
    ways: dict[Any, Paint] = {"telea": telea, "navier_stokes": navier_stokes}
    if not callable(by) and by not in ways:
        raise unknown_name("by", by, [*ways, "noise"])
    return painted(images, masks, by if callable(by) else ways[by])


def telea(image: np.ndarray, mask: np.ndarray, *, radius: float = 3) -> np.ndarray:
    """Paint a hole by OpenCV's fast marching: from its border inwards, each pixel a mean of the known ones around.

    Args:
        image: uint8 (height, width, 3).
        mask: bool (height, width), True where to paint.
        radius: How far around a pixel the known ones count, in pixels.

    Returns:
        uint8 (height, width, 3).

    Raises:
        UserError: If OpenCV is not installed, the radius is not positive, or the mask has another shape or leaves
            nothing to paint from.

    Reference:
        Telea, An Image Inpainting Technique Based on the Fast Marching Method, Journal of Graphics Tools 2004.
        https://doi.org/10.1080/10867651.2004.10487596
    """
    return _opencv(image, mask, radius, "INPAINT_TELEA")


def navier_stokes(image: np.ndarray, mask: np.ndarray, *, radius: float = 3) -> np.ndarray:
    """Paint a hole by OpenCV's flow: lines of equal brightness continue into it, as in an incompressible fluid.

    Args:
        image: uint8 (height, width, 3).
        mask: bool (height, width), True where to paint.
        radius: How far around a pixel the known ones count, in pixels.

    Returns:
        uint8 (height, width, 3).

    Raises:
        UserError: As `telea`.

    Reference:
        Bertalmio, Bertozzi and Sapiro, Navier-Stokes, Fluid Dynamics, and Image and Video Inpainting, CVPR 2001.
        https://doi.org/10.1109/CVPR.2001.990497
    """
    return _opencv(image, mask, radius, "INPAINT_NS")


def painted(images: np.ndarray, masks: np.ndarray, paint: Paint) -> np.ndarray:
    """Paint the masked region of each image.

    Args:
        images: float32 (batch, height, width, 3), RGB in [0, 255]. `paint` gets them rounded.
        masks: bool (batch, height, width), True where to paint. Images with an empty mask are not painted.
        paint: `telea`, `navier_stokes`, what `inpainter.as_paint` returns, or any function like them.

    Returns:
        float32 (batch, height, width, 3); pixels outside the masks are those of `images`, whatever `paint` did there.

    Raises:
        UserError: If shapes or values are wrong, a mask covers a whole image, or `paint` returns no such image.
    """
    result, masks = _checked(images, masks)
    wanted = np.flatnonzero(masks.any(axis=(1, 2)))
    with progress.bar(total=len(wanted), unit="image", description="replace") as bar:
        for row in wanted:
            # It gets arrays of its own, so that it may write into them.
            pixels = np.rint(result[row]).clip(0, 255).astype(np.uint8)
            filled = paint(pixels, masks[row].copy())
            _check_painted(filled, pixels.shape)
            result[row][masks[row]] = filled[masks[row]]
            bar.update()
    return result


def crops(
    images: np.ndarray,
    masks: np.ndarray,
    labels: np.ndarray,
    donors: np.ndarray,
    donor_labels: np.ndarray,
    rng: np.random.Generator,
    *,
    place: Place = "same",
) -> np.ndarray:
    """Fill the masked region of each image with pixels of an image of another class.

    Each other class is as likely to give the pixels, however many donors it has.

    Args:
        images: float32 (batch, height, width, 3), RGB in [0, 255].
        masks: bool (batch, height, width), True where to fill. Images with an empty mask stay as they are.
        labels: Class of each image, (batch,).
        donors: float32 (donors, height, width, 3): the images that pixels are taken from.
        donor_labels: Class of each donor, (donors,).
        rng: Draws the donors and the places.
        place: "same": the pixels at the same place of the donor. "anywhere": those of a random window of the donor, as
            large as the box around the mask.

    Returns:
        float32 (batch, height, width, 3).

    Raises:
        UserError: If shapes or values are wrong, a mask covers a whole image, or an image has no donor of another
            class.
    """
    if place not in PLACES:
        raise unknown_name("place", place, PLACES)
    result, masks = _checked(images, masks)
    labels = _check_labels("labels", labels, len(result))
    donors = _check_images("donors", donors)
    donor_labels = _check_labels("donor_labels", donor_labels, len(donors))
    if donors.shape[1:] != result.shape[1:]:
        raise UserError("donors", expected=f"images of {result.shape[1:]}", received=donors.shape[1:])
    wanted = np.flatnonzero(masks.any(axis=(1, 2)))
    if len(wanted):
        drawn = _drawn(labels[wanted], donor_labels, 1, rng)[:, 0]
        result[wanted] = _filled(result[wanted], masks[wanted], donors, drawn, rng, place)
    return result


def swapped(
    images: np.ndarray,
    masks: np.ndarray,
    labels: np.ndarray,
    rng: np.random.Generator,
    *,
    copies: int = 5,
    place: Place = "same",
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Make copies of each masked image that show, in its masked region, other masked images of other classes.

    The class stays and what the region shows does not, so that the region tells nothing about the class. The copies of
    an image take their pixels from the other classes in turn, and from the same image twice only when a class has no
    more of them.

    Args:
        images: float32 (batch, height, width, channels), in any range.
        masks: bool (batch, height, width), True where to swap. Images with an empty mask neither get copies nor give
            pixels.
        labels: Class of each image, (batch,).
        rng: Draws who gives pixels to whom, and the places.
        copies: Copies of each masked image.
        place: As for `crops`; "same" takes the pixels below the mask of the image that is filled, wherever the mask of
            the other image is.

    Returns:
        The copies, float32 (masked images * copies, height, width, channels), those of one image in a row; their
        labels; and the row in `images` of the image each was made of, int.

    Raises:
        UserError: If shapes or values are wrong, a mask covers a whole image, no image has a mask, `copies` is below 1,
            or an image has no other of another class.

    Reference:
        Plumb, Ribeiro and Talwalkar, Finding and Fixing Spurious Patterns with Explanations, TMLR 2022.
        https://arxiv.org/abs/2106.02112 (counterfactual edits that take the pattern out of, and into, images).
    """
    if place not in PLACES:
        raise unknown_name("place", place, PLACES)
    if isinstance(copies, bool) or not isinstance(copies, int | np.integer) or copies < 1:
        raise UserError("copies", expected="an int in the range [1, inf)", received=copies)
    pixels, masks = _checked(images, masks, rgb=False)
    labels = _check_labels("labels", labels, len(pixels))
    masked = np.flatnonzero(masks.any(axis=(1, 2)))
    if not len(masked):
        raise UserError("masks", expected="of at least one image", received="empty masks only")
    drawn = _drawn(labels[masked], labels[masked], copies, rng).ravel()
    originals = np.repeat(masked, copies)
    filled = _filled(pixels[originals], masks[originals], pixels, masked[drawn], rng, place)
    return filled, labels[originals], originals


def noise(images: np.ndarray, masks: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Fill the masked region of each image with Gaussian noise, as occlusion hides its windows.

    Args:
        images: float32 (batch, height, width, 3), RGB in [0, 255].
        masks: bool (batch, height, width), True where to fill. Images with an empty mask stay as they are.
        rng: Draws the noise, again for each pixel of each image.

    Returns:
        float32 (batch, height, width, 3).

    Raises:
        UserError: If shapes or values are wrong, or a mask covers a whole image.
    """
    result, masks = _checked(images, masks)
    drawn = rng.normal(MEAN, DEVIATION, (np.count_nonzero(masks), result.shape[-1]))
    result[masks] = 255 * drawn.clip(0, 1)
    return result


def _filled(
    images: np.ndarray,
    masks: np.ndarray,
    donors: np.ndarray,
    drawn: np.ndarray,
    rng: np.random.Generator,
    place: str,
) -> np.ndarray:
    """Fill, in place, the mask of each image from donor `drawn`, and return the images."""
    image, row, column = np.nonzero(masks)
    if place == "anywhere":
        row = row + _moves(np.any(masks, axis=2), rng)[image]
        column = column + _moves(np.any(masks, axis=1), rng)[image]
    images[masks] = donors[drawn[image], row, column]
    return images


def _moves(shadows: Any, rng: np.random.Generator) -> np.ndarray:
    """Draw by how much each mask's box may move along one axis and stay inside; shadows are bool (masks, length)."""
    before, after = shadows.argmax(axis=1), shadows[:, ::-1].argmax(axis=1)
    return rng.integers(-before, after, endpoint=True)


def _drawn(labels: np.ndarray, donor_labels: np.ndarray, copies: int, rng: np.random.Generator) -> np.ndarray:
    """Draw donors of other classes, int (images, copies): classes take turns, and so do the donors of a class."""
    classes, numbers, counts = np.unique(donor_labels, return_inverse=True, return_counts=True)
    own = labels[:, None] == classes
    others = len(classes) - own.sum(axis=1)
    if not others.all():
        alone = labels[others == 0][0]
        raise UserError(
            "donor_labels", expected="of two classes or more, so that each image finds a donor of another class",
            received=f"class {alone} alone", remedy="Mark images of another class too, or give more donors.",
        )  # fmt: skip
    turn = np.where(own, 2, rng.random(own.shape)).argsort(axis=1)
    copy = np.arange(copies)
    chosen = np.take_along_axis(turn, copy % others[:, None], axis=1)
    start = np.take_along_axis(rng.integers(0, counts, own.shape), chosen, axis=1)
    # The donors class by class, each class shuffled.
    order, first = np.lexsort((rng.random(len(numbers)), numbers)), counts.cumsum() - counts
    return order[first[chosen] + (start + copy // others[:, None]) % counts[chosen]]


def _opencv(image: np.ndarray, mask: np.ndarray, radius: float, method: str) -> np.ndarray:
    """Paint by one of OpenCV's methods."""
    cv2 = _cv2()
    if not 0 < radius < np.inf:
        raise UserError("radius", expected="a positive number of pixels", received=radius)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[-1] != 3:
        raise UserError("image", expected="uint8 (height, width, 3)", received=f"{image.dtype} of shape {image.shape}")
    if np.shape(mask) != image.shape[:2]:
        raise UserError("mask", expected=f"of the image's shape {image.shape[:2]}", received=np.shape(mask))
    if np.all(mask):
        raise UserError("mask", expected="False somewhere, to paint from there", received="a full mask")
    return cv2.inpaint(image, np.asarray(mask, bool).astype(np.uint8), radius, getattr(cv2, method))


def _cv2() -> Any:
    """Import OpenCV, or say how to get it."""
    remedy = "The inpainter, crops and noise do without."
    return require("cv2", extra="inpaint", purpose="inpainting by Telea or Navier-Stokes", remedy=remedy)


def _check_painted(filled: Any, shape: tuple[int, ...]) -> None:
    """Check what a `Paint` returned."""
    if not isinstance(filled, np.ndarray) or filled.shape != shape or filled.dtype != np.uint8:
        array = isinstance(filled, np.ndarray)
        raise UserError(
            "paint", expected=f"a function that returns a uint8 image of shape {shape}",
            received=f"{filled.dtype} of shape {filled.shape}" if array else type(filled).__name__,
        )  # fmt: skip


def _checked(images: np.ndarray, masks: np.ndarray, *, rgb: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Return a float32 copy of the images, and the masks, once they fit together."""
    pixels = _check_images("images", images, rgb=rgb)
    masks = np.asarray(masks)
    if masks.dtype != np.bool_ or masks.shape != pixels.shape[:3]:
        received = f"{masks.dtype} of shape {masks.shape}"
        raise UserError("masks", expected=f"bool of the images' shape {pixels.shape[:3]}", received=received)
    full = np.flatnonzero(masks.all(axis=(1, 2)))
    if len(full):
        raise UserError(
            "masks", expected="False somewhere in each image", received=f"a full mask at row {full[0]}",
            remedy="With the whole image replaced nothing is left that shows its class.",
        )  # fmt: skip
    return pixels.copy(), masks


def _check_images(argument: str, images: np.ndarray, *, rgb: bool = True) -> np.ndarray:
    """Return images as float32, once they are finite, and RGB where that is needed."""
    pixels = np.asarray(images, np.float32)
    if pixels.ndim != 4 or (rgb and pixels.shape[-1] != 3):
        expected = f"{'RGB ' if rgb else ''}images (batch, height, width, {3 if rgb else 'channels'})"
        raise UserError(argument, expected=expected, received=pixels.shape)
    if not np.isfinite(pixels).all():
        raise UserError(argument, expected="of finite values", received="NaN or infinity")
    return pixels


def _check_labels(argument: str, labels: np.ndarray, count: int) -> np.ndarray:
    """Return labels as an array, once there is one for each image."""
    labels = np.asarray(labels)
    if labels.shape != (count,):
        raise UserError(argument, expected=f"one for each of {count} images", received=labels.shape)
    return labels
