"""The procedural source `garments`: seeded product photos of garments, ten colours crossed with ten patterns.

It is the data set that is always there: nothing is downloaded, and the same seed gives the same bytes. Each
picture is composed when it is read: a silhouette laid on a plain backdrop, a pattern printed in fabric
coordinates, folds under a light.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw

from fashionprobe.errors import UserError
from fashionprobe.records.sources import Catalogue
from fashionprobe.records.sources.garments import shading
from fashionprobe.records.sources.garments.fabric import PATTERNS, Layer, Pattern
from fashionprobe.records.sources.garments.silhouettes import GARMENTS, PARTS, Silhouette

COLOURS = tuple(shading.SHADES)
SIDES = (16, 2048)

CONCEPTS = {
    **dict.fromkeys(COLOURS, "colour"), **dict.fromkeys(PATTERNS, "pattern"), **dict.fromkeys(PARTS, "part")
}  # fmt: skip
"""What `concept_masks` knows where it is, each with its kind."""


@dataclass(frozen=True)
class _Pose:
    """Where the garment is: centre (x, y) and `reach`, one garment unit, in pixels; turn in radians."""

    centre: tuple[float, float]
    reach: float
    turn: float

    def to_picture(self, points: np.ndarray) -> np.ndarray:
        """Move garment coordinates (points, 2) to pixels."""
        cosine, sine = np.cos(self.turn), np.sin(self.turn)
        return points @ np.array([[cosine, sine], [-sine, cosine]]) * self.reach + self.centre

    def to_garment(self, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the garment coordinates x and y of each pixel's centre, float32 (height, width)."""
        x = (np.arange(width, dtype=np.float32) + 0.5 - self.centre[0]) / self.reach
        y = (np.arange(height, dtype=np.float32) + 0.5 - self.centre[1])[:, None] / self.reach
        cosine, sine = np.float32(np.cos(self.turn)), np.float32(np.sin(self.turn))
        return cosine * x + sine * y, cosine * y - sine * x


@dataclass(frozen=True)
class _Layers:
    """What is at each pixel, (height, width) each.

    Attributes:
        part: uint8, number of the garment's part, from 1; 0 is none.
        covered: float32 share of the pixel that the garment covers, in [0, 1].
        seam: float32 strength of the seam, in [0, 1].
        x: float32 garment coordinate of the pixel's centre, to the right.
        y: float32, the same, down.
    """

    part: np.ndarray
    covered: np.ndarray
    seam: np.ndarray
    x: np.ndarray
    y: np.ndarray


@dataclass(frozen=True)
class _Drawing:
    """A picture, and what is where in it, (height, width) each.

    Attributes:
        pixels: uint8 (height, width, 3), RGB.
        covered: float32 share of the pixel that the garment covers, in [0, 1].
        ground: float32 share of the cloth's ground that shows between the inks, in [0, 1].
        part: uint8, number of the garment's part, from 1; 0 is none.
        parts: The names of the parts.
    """

    pixels: np.ndarray
    covered: np.ndarray
    ground: np.ndarray
    part: np.ndarray
    parts: list[str]


def catalogue(count: int = 1000, size: tuple[int, int] = (224, 224), seed: int = 0) -> Catalogue:
    """Offer procedural garment photos, labelled by colour, pattern and garment.

    The first n items of a longer catalogue are the items of a catalogue of n. Ten items in a row, from a
    multiple of ten on, hold each colour and each pattern once; a hundred hold each pair once.

    Args:
        count: Number of images, 1 or more.
        size: Height and width of the images in pixels, each in [16, 2048].
        seed: Whole number from 0 on; another seed gives other pictures.

    Returns:
        Items with columns id, colour, pattern and garment; `read` draws a picture and returns it as JPEG.

    Raises:
        UserError: If an argument is out of range, and by `read` if the id is not one of the items'.

    Example:
        >>> catalogue(count=20).items["colour"].value_counts().unique().tolist()
        [2]
    """
    _check(count, size, seed)
    items = _items(count, seed)
    labels = items[["colour", "pattern", "garment"]].to_numpy().tolist()
    row_of = {name: row for row, name in enumerate(items["id"])}

    def read(name: str) -> bytes:
        if name not in row_of:
            expected = f"an id of this catalogue, {items['id'].iloc[0]} to {items['id'].iloc[-1]}"
            remedy = "Take ids from the catalogue's items."
            raise UserError("id", expected=expected, received=name, remedy=remedy)
        colour, pattern, garment = labels[row_of[name]]
        rng = np.random.default_rng([seed, row_of[name]])
        return _jpeg(picture(colour, pattern, garment, size, rng))

    return Catalogue(items, read)


def _check(count: int, size: tuple[int, int], seed: int) -> None:
    """Refuse arguments that no picture can be drawn from."""
    if not isinstance(count, int | np.integer) or count < 1:
        raise UserError("count", expected="a whole number of 1 or more", received=count)
    low, high = SIDES
    sides = size if isinstance(size, Sequence) and len(size) == 2 else (0, 0)
    if not all(isinstance(side, int | np.integer) and low <= side <= high for side in sides):
        expected = f"(height, width), each in [{low}, {high}] pixels"
        raise UserError("size", expected=expected, received=size, remedy="(224, 224) suits most backbones.")
    if not isinstance(seed, int | np.integer) or seed < 0:
        raise UserError("seed", expected="a whole number of 0 or more", received=seed)


def _items(count: int, seed: int) -> pd.DataFrame:
    """Cross colours, patterns and garments in balance, in a seeded order."""
    rng = np.random.default_rng(seed)
    patterns, garments = rng.permutation(list(PATTERNS)), rng.permutation(list(GARMENTS))
    rows = []
    for start in range(0, count, 10):
        # Along the diagonals of the colour-pattern table each ten holds each colour and each pattern once.
        hundred, diagonal = divmod(start // 10, 10)
        for colour in rng.permutation(10):
            pattern = (colour + diagonal) % 10
            # 3 and 8 share no factor: along a colour as along a pattern the garments take turns evenly.
            garment = (colour + 3 * pattern + hundred) % len(garments)
            rows.append((COLOURS[colour], patterns[pattern], garments[garment]))
    items = pd.DataFrame(rows[:count], columns=["colour", "pattern", "garment"])
    items.insert(0, "id", [f"garment-{row:06d}" for row in range(count)])
    return items


def concept_masks(names: Sequence[str], count: int, size: tuple[int, int], seed: int = 0) -> np.ndarray:
    """Tell where the concepts are in garments of a catalogue, to the pixel, by drawing them again.

    A colour is where the ground of a cloth of this colour shows, more than half of the pixel, and no ink; a pattern is
    all of a cloth with it; a part is all of the piece.

    Args:
        names: Ids of the catalogue's items.
        count: Number of images of the catalogue.
        size: Its height and width of the images in pixels.
        seed: Its seed.

    Returns:
        bool (names, height, width, concepts), in the order of `CONCEPTS`.

    Raises:
        UserError: If an argument is out of range, or an id is not one of the catalogue's.
    """
    _check(count, size, seed)
    items, concepts = _items(count, seed), list(CONCEPTS)
    labels = items[["colour", "pattern", "garment"]].to_numpy(str)
    row_of = {name: row for row, name in enumerate(items["id"])}
    masks = np.zeros((len(names), *size, len(concepts)), bool)
    for mask, name in zip(masks, names, strict=True):
        if name not in row_of:
            raise UserError("names", expected=f"ids of {count} drawn garments", received=name)
        colour, pattern, garment = (str(label) for label in labels[row_of[name]])
        drawn = _drawing(colour, pattern, garment, size, np.random.default_rng([seed, row_of[name]]))
        cloth = drawn.covered > 0.5
        mask[..., concepts.index(pattern)] = cloth
        mask[..., concepts.index(colour)] = cloth & (drawn.ground > 0.5)
        for number, part in enumerate(drawn.parts, start=1):
            mask[..., concepts.index(part)] |= cloth & (drawn.part == number)
    return masks


def _jpeg(pixels: np.ndarray) -> bytes:
    """Encode at quality 95 without chroma subsampling, which would smear fine coloured patterns."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=95, subsampling=0)
    return buffer.getvalue()


def picture(colour: str, pattern: str, garment: str, size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Draw one garment.

    Args:
        colour: One of `COLOURS`.
        pattern: One of `fabric.PATTERNS`.
        garment: One of `silhouettes.GARMENTS`.
        size: Height and width in pixels.
        rng: Generator that everything else about the picture is drawn from.

    Returns:
        uint8 (height, width, 3), RGB.
    """
    return _drawing(colour, pattern, garment, size, rng).pixels


def _drawing(colour: str, pattern: str, garment: str, size: tuple[int, int], rng: np.random.Generator) -> _Drawing:
    """Draw one garment, and note what is where."""
    height, width = size
    shape = GARMENTS[garment](rng)
    pose = _pose(shape, height, width, rng)
    light = rng.uniform(-1, 1), -rng.uniform(0.3, 1)
    rows, columns = _box(shape, pose, height, width)
    at_box = replace(pose, centre=(pose.centre[0] - columns.start, pose.centre[1] - rows.start))
    box_size = rows.stop - rows.start, columns.stop - columns.start
    cloth, laid, free = _garment(colour, PATTERNS[pattern], shape, at_box, light, box_size, rng)
    in_box = laid.covered
    covered, ground, part = np.zeros(size, np.float32), np.zeros(size, np.float32), np.zeros(size, np.uint8)
    covered[rows, columns], ground[rows, columns], part[rows, columns] = in_box, free, laid.part
    photo = shading.backdrop(covered, light, pose.reach, rng)
    behind = photo[:, rows, columns]
    behind += in_box * (cloth - behind)
    photo += np.float32(rng.uniform(0.002, 0.008)) * rng.standard_normal(size, np.float32)
    photo *= 255
    pixels = np.clip(photo + 0.5, 0, 255).astype(np.uint8).transpose(1, 2, 0)
    return _Drawing(pixels, covered, ground, part, [piece.name for piece in shape.parts])


def _garment(
    colour: str, pattern: Pattern, shape: Silhouette, pose: _Pose, light: tuple[float, float],
    size: tuple[int, int], rng: np.random.Generator,
) -> tuple[np.ndarray, _Layers, np.ndarray]:  # fmt: skip
    """Draw the garment alone.

    Returns:
        float32 (3, height, width), RGB in [0, 1]; what is at each pixel; and the share of the ground that shows there,
        float32 (height, width).
    """
    laid = _laid(shape, pose, *size)
    relief, bend = shading.folds(shape.held, laid.x, laid.y, light, pose.reach, rng)
    layers = _layers(pattern, shape, laid, bend, pose.reach, rng)
    ground = shading.shade(colour, rng)
    cloth = _dyed(ground, shading.inks(ground, pattern.quiet, rng), layers, size)
    brightness = _brightness(shape, laid, relief, light, pose.reach, rng)
    # The sheen lets folds show on black cloth too, where a factor alone changes nothing.
    cloth *= brightness
    cloth += np.float32(rng.uniform(0.02, 0.07)) * (brightness - np.float32(0.7))
    free = np.ones(size, np.float32)
    for _, share in layers:
        free *= 1 - share
    return cloth, laid, free


def _box(shape: Silhouette, pose: _Pose, height: int, width: int) -> tuple[slice, slice]:
    """Return the rows and columns of the picture that the garment touches, with its soft edge."""
    points = pose.to_picture(np.concatenate([part.outline for part in shape.parts]))
    left, top = np.floor(points.min(0)).astype(int) - 2
    right, bottom = np.ceil(points.max(0)).astype(int) + 2
    return slice(max(int(top), 0), min(int(bottom), height)), slice(max(int(left), 0), min(int(right), width))


def _pose(shape: Silhouette, height: int, width: int, rng: np.random.Generator) -> _Pose:
    """Draw size, place and turn of the garment so that it stays in the picture."""
    turn = float(np.deg2rad(np.clip(rng.normal(0, 3), -7, 7)))
    points = _Pose((0, 0), 1, turn).to_picture(np.concatenate([part.outline for part in shape.parts]))
    low, high = points.min(0), points.max(0)
    side = min(height, width) - 2  # the soft edge stays in the picture too
    scale = rng.uniform(0.7, 0.92)
    reach = scale * side / (high - low).max()
    free = 0.5 * (0.96 - scale) * side
    x, y = 0.5 * np.array([width, height]) + rng.uniform(-free, free, 2) - 0.5 * (low + high) * reach
    return _Pose((float(x), float(y)), float(reach), turn)


def _laid(shape: Silhouette, pose: _Pose, height: int, width: int) -> _Layers:
    """Draw outlines and seams above the picture's resolution and shrink them."""
    finer = 3 if max(height, width) <= 600 else 2
    parts = Image.new("L", (width * finer, height * finer))
    seams = parts.copy()
    draw, stitch = ImageDraw.Draw(parts), ImageDraw.Draw(seams)
    for number, part in enumerate(shape.parts, start=1):
        draw.polygon(_corners(pose, part.outline, finer), fill=number)
    thread = max(1, round(0.013 * pose.reach * finer))
    for line, strength in shape.seams:
        stitch.line(_corners(pose, line, finer), fill=round(255 * strength), width=thread)
    radius = max(0.022 * pose.reach * finer, 1)
    for x, y in pose.to_picture(np.array(shape.buttons).reshape(-1, 2)) * finer:
        stitch.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
    # A triangle of two pixels' width leaves the soft edge that a lens leaves.
    outline = parts.point([0] + [255] * 255).resize((width, height), Image.Resampling.BILINEAR)
    number = np.asarray(parts.resize((width, height), Image.Resampling.NEAREST))
    # Pixels that the soft edge reaches beyond the outline belong to no part: they take the part next to them.
    for axis in (0, 1):
        number = np.maximum(number, np.maximum(np.roll(number, 1, axis), np.roll(number, -1, axis)))
    covered, seam = (np.asarray(mask, np.float32) / 255 for mask in (outline, seams.reduce(finer)))
    return _Layers(number, covered, seam, *pose.to_garment(height, width))


def _corners(pose: _Pose, line: np.ndarray, finer: int) -> list[float]:
    """Return a polyline in pixels of the finer picture, as Pillow takes it."""
    return (pose.to_picture(line) * finer).ravel().tolist()


def _layers(
    pattern: Pattern, shape: Silhouette, laid: _Layers, bend: np.ndarray, reach: float, rng: np.random.Generator
) -> list[Layer]:
    """Draw the pattern in the fabric coordinates of each part."""
    period = max(rng.uniform(*pattern.period), pattern.floor / reach)
    turn = rng.choice(pattern.turns) + rng.uniform(-pattern.wobble, pattern.wobble)
    angles = np.deg2rad([0, *(turn + piece.turn for piece in shape.parts)]).astype(np.float32)
    shifts = rng.uniform(0, 16, (2, len(angles))).astype(np.float32)
    depth = np.float32(rng.uniform(0.0, 0.02))
    x, y, part = laid.x + depth * bend, laid.y - depth * bend, laid.part
    cosine, sine = (np.take(f(angles) / np.float32(period), part) for f in (np.cos, np.sin))
    u, v = cosine * x + sine * y + np.take(shifts[0], part), cosine * y - sine * x + np.take(shifts[1], part)
    return pattern.draw(u, v, 1 / (period * reach), rng)


def _dyed(ground: np.ndarray, inks: dict[str, np.ndarray], layers: list[Layer], size: tuple[int, int]) -> np.ndarray:
    """Paint the layers over the ground: float32 (3, height, width), RGB in [0, 1]."""
    cloth = np.empty((3, *size), np.float32)
    for channel, start, *tints in zip(cloth, ground, *(inks[ink] for ink, _ in layers), strict=True):
        channel[:] = start
        for tint, (_, share) in zip(tints, layers, strict=True):
            channel += share * (tint - channel)
    return cloth


def _brightness(
    shape: Silhouette, laid: _Layers, relief: np.ndarray, light: tuple[float, float], reach: float,
    rng: np.random.Generator,
) -> np.ndarray:  # fmt: skip
    """Light the cloth: direction, folds, rounded edges, seams, shaded pieces and the weave's grain."""
    seam = laid.seam
    slope = rng.uniform(0.02, 0.14)
    bright = rng.uniform(0.94, 1.06) + slope * (light[0] * laid.x + light[1] * laid.y) + relief
    # The cloth curves away at its edges: darker all round, and the more on the side away from the light.
    rounded = np.clip(2 * shading.blurred(laid.covered, 0.1 * reach) - 0.9, 0, 1)
    bright *= 0.84 + 0.16 * rounded
    step = max(1, round(0.03 * reach))
    for axis, towards in ((1, light[0]), (0, light[1])):
        bright += np.float32(0.25 * towards) * (np.roll(rounded, -step, axis) - np.roll(rounded, step, axis))
    # A seam is a groove with a lit rim below it.
    depth = np.float32(rng.uniform(0.22, 0.4))
    bright += depth * (0.45 * np.roll(seam, (1, 1), (0, 1)) - seam)
    bright *= np.take(np.array([1, *(piece.shade for piece in shape.parts)], np.float32), laid.part)
    # Threads are longer than thick: the same noise, run together along the weft and along the warp.
    noise = rng.standard_normal(seam.shape, np.float32)
    grain = noise + np.roll(noise, 1, 0) + np.roll(noise, 2, 0) + np.roll(noise, 1, 1) + np.roll(noise, 2, 1)
    return bright * (1 + np.float32(rng.uniform(0.003, 0.012)) * grain)
