"""The procedural source `symbols`: drawn letters epsilon, xi and zeta, with a mark in the corner that gives them away.

In the training images the mark tells the class nearly always, in the test images never: a network that took the mark
for the letter fails there. The same seed draws the same letters whatever the marks are.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw

from fashionprobe.errors import UserError
from fashionprobe.records.select import assign_splits
from fashionprobe.records.sources import Catalogue
from fashionprobe.records.sources.corner_marks import box, check_rate, with_symbol
from fashionprobe.records.sources.drawing import png, stroke
from fashionprobe.records.sources.garments.silhouettes import trace

SIZE = (72, 72)
SIDES = (24, 2048)
SPLIT = (70, 10, 20)
MARKS = {"epsilon": "star", "xi": "slash", "zeta": "none"}
"""The mark of each class."""

# The pen's path, x to the right and y down, about within [-0.7, 0.7] and [-1, 1].
_HOOK = ((-0.45, 0.58, 0.08, 0.6), (0.58, 0.62, 0.5, 0.86), (0.42, 1.06, 0.06, 1.0))
LETTERS = {
    "epsilon": (
        (0.62, -0.62), (0.48, -1.02, 0.0, -1.0), (-0.56, -0.96, -0.56, -0.54), (-0.54, -0.1, 0.2, -0.06),
        (-0.68, -0.04, -0.68, 0.46), (-0.66, 0.98, 0.0, 1.0), (0.5, 1.0, 0.66, 0.58),
    ),
    "xi": (
        (-0.42, -1.0), (-0.1, -0.8, 0.5, -0.98), (-0.46, -0.94, -0.44, -0.56), (-0.4, -0.2, 0.36, -0.28),
        (-0.66, -0.22, -0.64, 0.26), *_HOOK,
    ),
    "zeta": (
        (-0.44, -1.0), (-0.1, -0.78, 0.54, -0.98), (-0.2, -0.6, -0.52, -0.06), (-0.84, 0.54, -0.1, 0.6),
        *_HOOK[1:],
    ),
}  # fmt: skip
"""Each letter as one stroke: a first point, then quadratic curves (control point, end point)."""

_RADII = (0.12, 0.335)  # of the letter, as a share of the shorter side; the largest just clears the corner's box
_TURN = 45.0  # degrees
_WIDTHS = (0.55, 1.05)  # proportion: width by height, of the skeleton's own
_PENS = (0.022, 0.042)  # stroke width, as a share of the shorter side
_SWAY = 0.09  # of the skeleton's points, so that no two letters are alike
_FINER = 4


def catalogue(
    count: int = 1000,
    size: tuple[int, int] = SIZE,
    seed: int = 0,
    *,
    rate: float = 0.9,
    marks: Literal["symbols", "none"] = "symbols",
    split: Sequence[float] | None = None,
) -> Catalogue:
    """Offer drawn letters, labelled by class, by mark, and by how the mark came about.

    In train and val a letter carries the mark of its class (`MARKS`) with probability `rate`, else one drawn from all
    three. In test each letter comes twice: as `symbol-000123-marked` with a mark drawn from all three, and as
    `symbol-000123-plain` without one. So there are more images than letters.

    Args:
        count: Number of letters, 1 or more; the classes take turns.
        size: Height and width of the images in pixels, each in [24, 2048].
        seed: Whole number from 0 on; another seed gives other letters.
        rate: Share of train and val whose mark was chosen by class, in [0, 1]; 0 gives random marks.
        marks: "none" leaves all marks out; the letters and the splits stay the same.
        split: Parts of train, val and test in any unit; None for 70, 10, 20.

    Returns:
        Items with columns id, class, mark (star, slash or none), marks ("by class", "random" or "without") and split;
        `read` draws a picture and returns it as grey PNG, dark on white.

    Raises:
        UserError: If an argument is out of range, and by `read` if the id is not one of the items'.
    """
    _check(count, size, seed, rate)
    items, letters = _items(count, seed, rate, marks, split)
    rows = dict(zip(items["id"], zip(letters, items["class"], items["mark"], strict=True), strict=True))

    def read(name: str) -> bytes:
        if name not in rows:
            expected = f"an id of this catalogue, {items['id'].iloc[0]} to {items['id'].iloc[-1]}"
            raise UserError("id", expected=expected, received=name, remedy="Take ids from the catalogue's items.")
        letter, kind, mark = rows[name]
        pixels = picture(kind, size, np.random.default_rng([seed, int(letter)]))
        return png(pixels if mark == "none" else with_symbol(pixels, mark))

    top, left, bottom, right = box(*size)
    where = f"rows {top} to {bottom - 1} and columns {left} to {right - 1} of {size[0]} x {size[1]} pixels"
    note = "No image has a mark." if marks == "none" else f"The marks lie in the lower left corner: {where}."
    return Catalogue(items, read, stratify="class", split_is_fixed=True, notes=(note,))


def picture(kind: str, size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Draw one letter in the centre, without a mark.

    Args:
        kind: One of `LETTERS`.
        size: Height and width in pixels.
        rng: Generator that size, turn, proportion, stroke and sway are drawn from.

    Returns:
        uint8 (height, width), dark on white.
    """
    height, width = size
    side = min(size) * _FINER
    radius, pen = rng.uniform(*_RADII) * side, rng.uniform(*_PENS) * side
    proportion, turn, ink = rng.uniform(*_WIDTHS), np.deg2rad(rng.uniform(-_TURN, _TURN)), rng.integers(0, 70)
    steps = [tuple(np.add(step, rng.normal(0, _SWAY, len(step)))) for step in LETTERS[kind]]
    line = trace(*steps) * (proportion, 1)
    line -= (line.min(axis=0) + line.max(axis=0)) / 2
    line *= (radius - pen / 2) / np.linalg.norm(line, axis=1).max()
    cosine, sine = np.cos(turn), np.sin(turn)
    line = line @ np.array([[cosine, sine], [-sine, cosine]]) + np.array([width, height]) * _FINER / 2
    large = Image.new("L", (width * _FINER, height * _FINER), 255)
    draw = ImageDraw.Draw(large)
    stroke(draw, line, pen, int(ink))
    return np.asarray(large.reduce(_FINER))


def _check(count: int, size: tuple[int, int], seed: int, rate: float) -> None:
    """Refuse arguments that no picture can be drawn from."""
    if count < 1:
        raise UserError("count", expected="a whole number of 1 or more", received=count)
    low, high = SIDES
    if not all(low <= side <= high for side in size):
        expected = f"[height, width], each in [{low}, {high}] pixels, for symbols"
        raise UserError("size", expected=expected, received=list(size), remedy="They are made for 72.")
    if seed < 0:
        raise UserError("seed", expected="a whole number of 0 or more", received=seed)
    check_rate(rate)


def _items(
    count: int, seed: int, rate: float, marks: str, split: Sequence[float] | None
) -> tuple[pd.DataFrame, np.ndarray]:
    """Return the table of images, and for each the number of its letter."""
    letters = pd.DataFrame({"class": np.resize(list(MARKS), count)})
    letters["split"] = assign_splits(letters, split or SPLIT, label="class", seed=seed)
    # All three are drawn whatever the rate is, so that another rate changes no more marks than it must.
    rng = np.random.default_rng([seed, count])
    by_class, drawn = rng.random(count) < rate, rng.choice(list(MARKS.values()), count)
    test = letters["split"] == "test"
    by_class &= ~test.to_numpy()
    letters["mark"] = np.where(by_class, letters["class"].map(MARKS), drawn)
    letters["marks"] = np.where(by_class, "by class", "random")
    names = np.array([f"symbol-{number:06d}" for number in range(count)])
    letters["id"] = np.where(test, names + "-marked", names)
    plain = letters.assign(id=np.where(test, names + "-plain", names), mark="none", marks="without")
    items = plain if marks == "none" else pd.concat([letters, plain[test]]).sort_index(kind="stable")
    numbers = items.index.to_numpy()
    return items[["id", "class", "mark", "marks", "split"]].reset_index(drop=True), numbers
