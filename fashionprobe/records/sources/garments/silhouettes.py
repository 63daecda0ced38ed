"""Garment outlines: the cut pieces, seams and buttons of eight garments, varied in cut.

Coordinates are the garment's own: x to the right, y down, the garment about within [-1, 1] both ways. A
garment is traced on its right half and mirrored; the two sleeves sway a little, as if laid down by hand.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

Point = tuple[float, float]
_T = np.linspace(0, 1, 13)[1:, None]
_BEZIER = np.hstack([(1 - _T) ** 2, 2 * _T * (1 - _T), _T**2])

Step = tuple[float, ...]  # (x, y): a straight line to; (a, b, x, y): a quadratic curve to (x, y) drawn towards (a, b)


PARTS = ("body", "sleeve", "collar", "hood", "inside", "skirt", "waistband", "leg")
"""What the pieces are called; the inside is the cloth that is seen through a neck or a hood."""


@dataclass(frozen=True)
class Part:
    """A cut piece of cloth.

    Attributes:
        outline: float64 (points, 2), closed.
        turn: Degrees by which the fabric's grain is turned against the garment's axis.
        shade: Brightness of the piece, for cloth that is in the shadow of other cloth.
        name: What the piece is, one of `PARTS`.
    """

    outline: np.ndarray
    turn: float = 0.0
    shade: float = 1.0
    name: str = "body"


@dataclass
class Silhouette:
    """The parts of a garment in painting order, its seams as (polyline, strength), and its buttons.

    `held` are the points (x, y) where the cloth is held, each with the direction that its folds run in, in
    degrees clockwise from the right.
    """

    parts: list[Part] = field(default_factory=list)
    seams: list[tuple[np.ndarray, float]] = field(default_factory=list)
    buttons: list[Point] = field(default_factory=list)
    held: list[tuple[float, float, float]] = field(default_factory=list)


def trace(*steps: Step) -> np.ndarray:
    """Follow the steps of a path from its first point.

    Returns:
        float64 (points, 2).

    Example:
        >>> trace((0, 0), (1, 0), (2, 0, 2, 2))[[0, 1, -1]].tolist()
        [[0.0, 0.0], [1.0, 0.0], [2.0, 2.0]]
    """
    pieces = [np.array([steps[0]], float)]
    for before, step in pairwise(steps):
        # The start's, the control point's and the end's share; a straight line needs its end only.
        shares = _BEZIER if len(step) == 4 else np.array([[0.0, 1.0]])
        corners = np.array([before[-2:], step[:2], step[-2:]] if len(step) == 4 else [before[-2:], step], float)
        pieces.append(shares @ corners)
    return np.concatenate(pieces)


def flipped(line: np.ndarray) -> np.ndarray:
    """Mirror a polyline at the garment's axis."""
    return line * (-1, 1)


def closed(right: np.ndarray) -> np.ndarray:
    """Close a right half, traced from the axis to the axis, with its mirror image."""
    return np.concatenate([right, flipped(right)[::-1]])


def _ribs(line: np.ndarray, height: float, count: int) -> list[tuple[np.ndarray, float]]:
    """Knit a ribbed band: short strokes of `height` (to the line's left) across a polyline of two points."""
    start, end = line
    along = (end - start) / np.linalg.norm(end - start)
    across = np.array([along[1], -along[0]]) * height
    feet = [start + t * (end - start) for t in np.linspace(0.03, 0.97, count)]
    return [(line + across, 0.8), *((np.stack([foot, foot + across]), 0.35) for foot in feet)]


@dataclass(frozen=True)
class _Cut:
    """The measures of a top: half widths, heights, lengths; the sleeve's angle in degrees from the right."""

    neck: float
    depth: float
    shoulder: Point
    armpit: Point
    waist: float
    hem: Point
    sleeve: float
    cuff: float
    angle: float


def _top(cut: _Cut, ribbed: bool, rng: np.random.Generator) -> Silhouette:
    """Cut a top with two sleeves: the back seen through the neck, both sleeves, the front."""
    throat, (wide, low) = -0.9, cut.hem
    back = trace((0, throat + 0.035), (0.7 * cut.neck, throat + 0.03, cut.neck, throat),
                 (cut.neck, throat + cut.depth + 0.04), (0, throat + cut.depth + 0.04))  # fmt: skip
    front = trace(
        (0, throat + cut.depth),
        (0.8 * cut.neck, throat + cut.depth, cut.neck, throat),
        (cut.shoulder[0] - 0.08, cut.shoulder[1] - 0.06, *cut.shoulder),
        (cut.armpit[0] - 0.02, -0.55, *cut.armpit),
        (cut.waist, 0.2, wide, low),
        (0.5 * wide, low + 0.04, 0, low + 0.04),
    )
    shape = Silhouette([Part(closed(back), 0, 0.55, "inside")], held=[(*cut.shoulder, 115), (*cut.armpit, 130)])
    for side in (1, -1):
        sleeve, cuff = _sleeve(cut, rng.normal(0, 2.5))
        shape.parts.append(Part(sleeve * (side, 1), side * (90 - cut.angle), 0.95, "sleeve"))
        cuff = cuff if side == 1 else flipped(cuff)[::-1]
        shape.seams += _ribs(cuff, 0.1, 7) if ribbed else [(cuff, 0.0), (_inset(cuff, 0.05), 0.5)]
    shape.parts.append(Part(closed(front)))
    armhole = trace(cut.shoulder, (cut.armpit[0] - 0.02, -0.55, *cut.armpit))
    shape.seams += [(armhole, 0.8), (flipped(armhole), 0.8)]
    shape.held += [(-x, y, 180 - angle) for x, y, angle in shape.held]
    collar = trace((0, throat + cut.depth), (0.8 * cut.neck, throat + cut.depth, cut.neck, throat))
    shape.seams += [(line, 1.0) for line in (collar, flipped(collar))]
    band = trace((0, throat + cut.depth + 0.055), (cut.neck, throat + cut.depth + 0.05, cut.neck + 0.06, throat + 0.02))
    shape.seams += [(line, 0.6) for line in (band, flipped(band))]
    hem = np.array([(-wide, low), (wide, low)])
    shape.seams += _ribs(hem, 0.1, 30) if ribbed else [(_inset(hem, 0.05), 0.5)]
    return shape


def _inset(line: np.ndarray, by: float) -> np.ndarray:
    """Shift a line of two points to its left, where a hem's stitches run."""
    along = (line[1] - line[0]) / np.linalg.norm(line[1] - line[0])
    return line + np.array([along[1], -along[0]]) * by


def _sleeve(cut: _Cut, sway: float) -> tuple[np.ndarray, np.ndarray]:
    """Trace the right sleeve and its cuff line (inner to outer corner)."""
    angle = np.deg2rad(cut.angle + sway)
    along, across = np.array([np.cos(angle), np.sin(angle)]), np.array([np.sin(angle), -np.cos(angle)])
    shoulder, armpit = np.array(cut.shoulder), np.array(cut.armpit)
    tip = 0.5 * (shoulder + armpit) + cut.sleeve * along
    outer, inner = tip + 0.5 * cut.cuff * across, tip - 0.5 * cut.cuff * across
    elbow = 0.5 * (shoulder + outer) + 0.05 * across
    outline = trace(tuple(shoulder - (0.06, 0.0)), tuple(shoulder), (*elbow, *outer), tuple(inner), tuple(armpit))
    return outline, np.stack([inner, outer])


def t_shirt(rng: np.random.Generator) -> Silhouette:
    """Short sleeves, round neck."""
    width = rng.uniform(0.5, 0.58)
    shoulder = (rng.uniform(0.54, 0.6), rng.uniform(-0.8, -0.74))
    cut = _Cut(
        neck=rng.uniform(0.21, 0.27), depth=rng.uniform(0.12, 0.3), shoulder=shoulder, armpit=(width, -0.36),
        waist=width - rng.uniform(0.02, 0.08), hem=(width, rng.uniform(0.8, 0.95)),
        sleeve=rng.uniform(0.3, 0.42), cuff=rng.uniform(0.34, 0.4), angle=rng.uniform(38, 56),
    )  # fmt: skip
    return _top(cut, False, rng)


def _long_sleeved(ribbed: bool, rng: np.random.Generator, depth: float, width: float = 0.46) -> Silhouette:
    """Cut a top with long sleeves that hang beside the body."""
    width += rng.uniform(-0.03, 0.04)
    cut = _Cut(
        neck=rng.uniform(0.17, 0.22), depth=depth, shoulder=(width + 0.01, rng.uniform(-0.78, -0.72)),
        armpit=(width, -0.36), waist=width - rng.uniform(0.0, 0.05), hem=(width, rng.uniform(0.5, 0.7)),
        sleeve=rng.uniform(1.0, 1.15), cuff=rng.uniform(0.17, 0.21), angle=rng.uniform(64, 75),
    )  # fmt: skip
    return _top(cut, ribbed, rng)


def shirt(rng: np.random.Generator) -> Silhouette:
    """Long sleeves, collar, placket with buttons, chest pocket."""
    depth = rng.uniform(0.2, 0.3)
    shape = _long_sleeved(False, rng, depth)
    low = shape.parts[-1].outline[:, 1].max()
    neck = shape.parts[0].outline[:, 0].max() + 0.02
    wing = trace((0, -0.87 + depth), (neck - 0.03, -0.93), (neck + 0.04, -0.94, neck + 0.06, -0.85),
                 (0.16, -0.82 + depth))  # fmt: skip
    stand = trace((0, -0.9), (neck - 0.06, -0.9, neck - 0.01, -0.94), (neck, -0.84), (0, -0.82))
    shape.parts.append(Part(closed(stand), 90, 0.7, "collar"))
    for outline in (wing, flipped(wing)):
        shape.parts.append(Part(outline, 35, 1.06, "collar"))
        shape.seams.append((np.concatenate([outline, outline[:1]]), 0.9))
    shape.seams += [(np.array([(x, -0.86 + depth), (x, low)]), 0.7) for x in (-0.05, 0.05)]
    shape.buttons = [(0.0, y) for y in np.arange(-0.82 + depth, low - 0.1, 0.22)]
    if rng.random() < 0.7:
        pocket = trace((0.14, -0.35), (0.14, -0.13), (0.235, -0.09), (0.33, -0.13), (0.33, -0.35), (0.14, -0.35))
        shape.seams.append((pocket, 0.7))
    return shape


def sweater(rng: np.random.Generator) -> Silhouette:
    """Long sleeves, ribbed cuffs and hem, high round neck."""
    return _long_sleeved(True, rng, rng.uniform(0.09, 0.14), 0.49)


def hoodie(rng: np.random.Generator) -> Silhouette:
    """A sweater with hood, strings and kangaroo pocket."""
    shape = _long_sleeved(True, rng, rng.uniform(0.16, 0.22), 0.5)
    top = rng.uniform(-1.02, -0.97)
    hood = closed(trace((0, top), (0.3, top, 0.33, -0.78), (0.3, -0.62, 0.12, -0.6), (0, -0.6)))
    opening = closed(trace((0, top + 0.08), (0.2, top + 0.08, 0.21, -0.82), (0.16, -0.7, 0, -0.6)))
    shape.parts += [Part(hood, 20, 1.03, "hood"), Part(opening, 0, 0.5, "inside")]
    shape.seams += [(np.concatenate([line, line[:1]]), 0.8) for line in (hood, opening)]
    string = trace((0.09, -0.66), (0.13, -0.45, 0.1, rng.uniform(-0.35, -0.2)))
    low = shape.parts[3].outline[:, 1].max() - 0.17
    pocket = closed(trace((0, low - 0.4), (0.19, low - 0.4), (0.33, low - 0.14), (0.33, low), (0, low)))
    shape.seams += [(string, 1.0), (flipped(string), 1.0), (np.concatenate([pocket, pocket[:1]]), 0.8)]
    return shape


def tank_top(rng: np.random.Generator) -> Silhouette:
    """No sleeves, scooped neck, straps."""
    strap, width, low = rng.uniform(0.1, 0.16), rng.uniform(0.46, 0.54), rng.uniform(0.82, 0.95)
    neck, depth = rng.uniform(0.2, 0.26), rng.uniform(0.32, 0.46)
    scoop = trace((0, -0.92 + depth), (0.95 * neck, -0.92 + depth, neck, -0.92))
    armhole = trace((neck + strap, -0.9), (neck + strap - 0.02, -0.42, width, -0.36))
    back = trace((0, -0.92 + 0.45 * depth), (neck, -0.9 + 0.4 * depth, neck, -0.92), (neck, -0.4), (0, -0.4))
    side = trace((width, -0.36), (width - rng.uniform(0.04, 0.1), 0.2, width + rng.uniform(0, 0.06), low),
                 (0.5 * width, low + 0.04, 0, low + 0.04))  # fmt: skip
    shape = Silhouette([Part(closed(back), 0, 0.55, "inside"), Part(closed(np.concatenate([scoop, armhole, side])))])
    for line in (scoop, armhole):
        shape.seams += [(line, 1.0), (flipped(line), 1.0)]
    trim = scoop * (1.08, 1) + (0, 0.04)
    hem = np.array([(-width, low - 0.02), (width, low - 0.02)])
    shape.seams += [(trim, 0.5), (flipped(trim), 0.5), (_inset(hem, 0.04), 0.5)]
    for side in (-1, 1):
        shape.held += [(side * neck, -0.92, 90 + 15 * side), (side * width, -0.36, 90 + 35 * side)]
    return shape


def dress(rng: np.random.Generator) -> Silhouette:
    """Sleeveless bodice, waist seam, flared skirt."""
    waist, waist_y, flare = rng.uniform(0.25, 0.31), rng.uniform(-0.3, -0.12), rng.uniform(0.48, 0.8)
    neck, depth, chest = rng.uniform(0.15, 0.22), rng.uniform(0.12, 0.34), rng.uniform(0.33, 0.38)
    collar = trace((0, -0.97 + depth), (0.9 * neck, -0.97 + depth, neck, -0.98))
    armhole = trace((neck + 0.11, -0.96), (neck + 0.1, -0.66, chest, -0.6))
    bodice = np.concatenate(
        [collar, armhole, trace((chest, -0.6), (chest - 0.02, -0.45, waist, waist_y), (0, waist_y))]
    )
    bottom = rng.uniform(0.88, 0.97)
    skirt_half = trace((0, waist_y), (waist, waist_y), (waist + 0.05, 0.1, flare, bottom - 0.06),
                       (0.5 * flare, bottom + 0.03, 0, bottom + 0.02))  # fmt: skip
    back = trace((0, -0.93), (neck, -0.97), (neck, -0.6), (0, -0.6))
    shape = Silhouette([
        Part(closed(back), 0, 0.55, "inside"), Part(closed(bodice)),
        Part(_wavy(closed(skirt_half), rng), name="skirt"),
    ])  # fmt: skip
    belt = np.array([(-waist, waist_y), (waist, waist_y)])
    shape.seams += [(line, 1.0) for line in (collar, flipped(collar), armhole, flipped(armhole))]
    shape.seams += [(belt, 1.0), (belt + np.array([0, 0.05]), 0.5 * float(rng.random() < 0.5))]
    fan = np.rad2deg(np.arctan(flare))
    shape.held = [(x * waist, waist_y, 90 - fan * x) for x in (-0.8, -0.3, 0.3, 0.8)]
    return shape


def _wavy(outline: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Let the lower edge of an outline swing in soft waves, as a flared hem does."""
    x, y = outline.T
    depth = rng.uniform(0.005, 0.025) * np.clip((y - y.min()) / np.ptp(y), 0, 1) ** 4
    return np.stack([x, y + depth * np.sin(rng.uniform(9, 15) * x + rng.uniform(0, 6))], axis=1)


def skirt(rng: np.random.Generator) -> Silhouette:
    """Waistband and flared panel, sometimes pleated."""
    waist, flare, low = rng.uniform(0.34, 0.42), rng.uniform(0.5, 0.88), rng.uniform(0.5, 0.85)
    top = -0.78
    panel = trace((0, top + 0.11), (waist + 0.01, top + 0.11), (waist + 0.16, top + 0.45, flare, low - 0.08),
                  (0.5 * flare, low + 0.03, 0, low + 0.02))  # fmt: skip
    band = trace((0, top + 0.015), (waist - 0.01, top), (waist + 0.01, top + 0.12), (0, top + 0.135))
    shape = Silhouette([Part(_wavy(closed(panel), rng), name="skirt"), Part(closed(band), 0, 1.03, "waistband")])
    shape.seams.append((closed(band), 0.8))
    if rng.random() < 0.4:
        for x in np.linspace(-0.85, 0.85, int(rng.integers(5, 9))):
            shape.seams.append((np.array([(x * waist, top + 0.13), (x * flare, low - 0.03)]), 0.7))
    fan = np.rad2deg(np.arctan((flare - waist) / (low - top)))
    shape.held = [(x * waist, top + 0.12, 90 - fan * x) for x in (-0.8, -0.35, 0.3, 0.75)]
    return shape


def trousers(rng: np.random.Generator) -> Silhouette:
    """Waistband, two legs, fly and pockets; short legs are shorts."""
    waist, hip = rng.uniform(0.31, 0.36), rng.uniform(0.41, 0.46)
    low = rng.choice([0.95, 0.95, 0.95, 0.25]) + rng.uniform(-0.06, 0.03)
    gap, ankle = rng.uniform(0.07, 0.14), rng.uniform(0.2, 0.28) + 0.08 * (low < 0.5)
    leg = trace((-0.01, -0.88), (waist, -0.9), (hip, -0.6, hip, -0.4),
                (gap + ankle + 0.02, 0.2, gap + ankle, low), (gap + 0.5 * ankle, low + 0.02, gap, low),
                (gap - 0.02, 0, 0.0, -0.3))  # fmt: skip
    band = trace((0, -0.985), (waist - 0.01, -1.0), (waist + 0.005, -0.88), (0, -0.865))
    shape = Silhouette([
        Part(flipped(leg), 3, 0.98, "leg"), Part(leg, -3, name="leg"), Part(closed(band), 0, 1.03, "waistband"),
    ])  # fmt: skip
    hem = np.array([(gap, low - 0.05), (gap + ankle, low - 0.05)])
    pocket = trace((0.6 * waist, -0.87), (0.7 * waist, -0.7, hip - 0.03, -0.62))
    fly = trace((0.0, -0.3), (0.0, -0.87), (0.09, -0.87), (0.09, -0.6, 0.0, -0.48))
    shape.seams += [(closed(band), 0.8), (fly, 0.7), (hem, 0.5), (flipped(hem), 0.5)]
    shape.seams += [(pocket, 0.9), (flipped(pocket), 0.9)]
    shape.buttons = [(0.0, -0.925)]
    shape.held = [(0.0, -0.3, 20), (0.0, -0.3, 160), (hip, -0.5, 120), (-hip, -0.5, 60)]
    return shape


GARMENTS: dict[str, Callable[[np.random.Generator], Silhouette]] = {
    "t-shirt": t_shirt,
    "shirt": shirt,
    "sweater": sweater,
    "hoodie": hoodie,
    "tank top": tank_top,
    "dress": dress,
    "skirt": skirt,
    "trousers": trousers,
}
