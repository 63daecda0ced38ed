"""The ten patterns, each a function of fabric coordinates.

Fabric coordinates `u` (along the weft) and `v` (along the warp), float32 (height, width), count the
pattern's periods, so a pattern knows neither garment nor picture. Edges are drawn as coverage over one
`pixel`, its side in periods, which is all the anti-aliasing they need. A pattern returns layers, painted in
order over the plain ground: an ink of `shading.inks` and the share of it at each pixel, float32
(height, width) in [0, 1].
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Layer = tuple[str, np.ndarray]

_TAU = np.float32(2 * np.pi)


@dataclass(frozen=True)
class Pattern:
    """How a pattern is laid on a garment.

    Attributes:
        draw: `draw(u, v, pixel, rng)` returns the layers.
        period: Range of the period, in half garment heights.
        floor: Shortest period in pixels at which the pattern can still be told.
        turns: Degrees the pattern may be turned by; one is drawn.
        wobble: Degrees by which the drawn turn may be missed.
        quiet: Whether the pattern covers about half of the ground and so needs inks that leave it dominant.
    """

    draw: Callable[[np.ndarray, np.ndarray, float, np.random.Generator], list[Layer]]
    period: tuple[float, float]
    floor: float
    turns: tuple[float, ...] = (0.0,)
    wobble: float = 5.0
    quiet: bool = False


def inside(distance: np.ndarray, pixel: float) -> np.ndarray:
    """Return the share of each pixel that is inside a shape, from the signed distance (negative inside)."""
    return np.clip(0.5 - distance / np.float32(pixel), 0, 1)


def from_nearest(u: np.ndarray) -> np.ndarray:
    """Return the signed distance to the nearest whole number."""
    return u - np.rint(u)


def cells(u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cut the fabric into unit cells, every other row shifted by half a cell.

    Returns:
        float32 offsets from the cell's centre in [-0.5, 0.5] along u and v, and a key in [0, 256) for tables
        of each cell's random traits (the traits repeat after 16 cells).
    """
    row = np.floor(v)
    u = u + 0.5 * (row % 2)
    column = np.floor(u)
    key = (row.astype(np.int32) & 15) * 16 + (column.astype(np.int32) & 15)
    return u - column - 0.5, v - row - 0.5, key


def table(rng: np.random.Generator, low: float, high: float) -> np.ndarray:
    """Draw one trait for each of the 256 keys of `cells`."""
    return rng.uniform(low, high, 256).astype(np.float32)


def turned(p: np.ndarray, q: np.ndarray, angle: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
    """Turn coordinates by an angle in radians."""
    cosine, sine = np.cos(angle, dtype=np.float32), np.sin(angle, dtype=np.float32)
    return cosine * p + sine * q, cosine * q - sine * p


def plain(u: np.ndarray, v: np.ndarray, pixel: float, rng: np.random.Generator) -> list[Layer]:
    """No pattern: the weave alone."""
    return []


def stripes(u: np.ndarray, v: np.ndarray, pixel: float, rng: np.random.Generator) -> list[Layer]:
    """Regular stripes, or groups of stripes of different widths."""
    if rng.random() < 0.5:
        return [("accent", inside(np.abs(from_nearest(u)) - rng.uniform(0.11, 0.2), pixel))]
    wide, thin = rng.uniform(0.07, 0.14), rng.uniform(0.025, 0.05)
    gap = wide + rng.uniform(0.08, 0.14)
    ink = "second" if rng.random() < 0.5 else "accent"
    beside = np.abs(np.abs(from_nearest(u)) - gap) - max(thin, 0.5 * pixel)
    return [("accent", inside(np.abs(from_nearest(u)) - wide, pixel)), (ink, inside(beside, pixel))]


def polka(u: np.ndarray, v: np.ndarray, pixel: float, rng: np.random.Generator) -> list[Layer]:
    """Dots on a staggered or a square lattice."""
    radius = rng.uniform(0.2, 0.3)
    if rng.random() < 0.7:
        p, q, _ = cells(u, v)
    else:
        p, q = from_nearest(u), from_nearest(v)
    return [("accent", inside(np.hypot(p, q) - radius, pixel))]


def checks(u: np.ndarray, v: np.ndarray, pixel: float, rng: np.random.Generator) -> list[Layer]:
    """Gingham or tartan: coloured warp and weft, half of each seen where they cross."""
    # The twill line is the diagonal on which the warp comes up; where too fine, it fades to its mean, 1/2.
    threads = 10
    fade = np.float32(np.clip(1.5 - 4 * threads * pixel, 0, 0.7))
    warp_up = 0.5 + 0.5 * fade * np.sin(_TAU * threads * (u + v))
    gingham = rng.random() < 0.5
    half = rng.uniform(0.17, 0.22) if gingham else rng.uniform(0.1, 0.18)

    def woven(band: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        return warp_up * band(u) + (1 - warp_up) * band(v)

    broad = woven(lambda thread: inside(np.abs(from_nearest(thread)) - half, pixel))
    if gingham:
        return [("accent", broad)]
    line = max(rng.uniform(0.02, 0.035), 0.5 * pixel)
    fine = woven(lambda thread: inside(np.abs(from_nearest(thread + 0.5)) - line, pixel))
    return [("accent", broad), ("second", fine)]


def argyle(u: np.ndarray, v: np.ndarray, pixel: float, rng: np.random.Generator) -> list[Layer]:
    """Tall diamonds in two inks on the ground, crossed by thin diagonal lines."""
    v = v * np.float32(rng.uniform(0.6, 0.75))
    s, t = u + v, u - v
    slope = 1.4 * pixel
    # Squares of the (s, t) lattice: even-even ones take the accent, odd-odd ones the tone, others neither.
    even = inside(np.maximum(np.abs(from_nearest(s)), np.abs(from_nearest(t))) - 0.25, slope)
    odd = inside(np.maximum(np.abs(from_nearest(s + 0.5)), np.abs(from_nearest(t + 0.5))) - 0.25, slope)
    width = max(rng.uniform(0.012, 0.02), 0.4 * pixel)
    line = np.minimum(np.abs(from_nearest(2 * s)), np.abs(from_nearest(2 * t))) / 2 - width
    return [("accent", even), ("tone", odd), ("second", inside(line, slope))]


def twill_houndstooth() -> np.ndarray:
    """Weave one repeat of houndstooth: 4 dark and 4 light threads both ways in a 2/2 twill.

    Returns:
        bool (8, 8), True where the thread on the surface is a light (accent) one; rows are weft threads.
    """
    weft, warp = np.mgrid[:8, :8]
    warp_on_top = (warp - weft) % 4 < 2
    return np.where(warp_on_top, warp % 8 >= 4, weft % 8 >= 4)


def houndstooth(u: np.ndarray, v: np.ndarray, pixel: float, rng: np.random.Generator) -> list[Layer]:
    """The broken check that a 2/2 twill of 4 dark and 4 light threads makes."""
    side = 128
    tile = np.kron(twill_houndstooth(), np.ones((side // 8, side // 8)))
    # Blurred once on the repeat, by the pixel's own width, the lookup needs no further anti-aliasing.
    frequency = np.fft.fftfreq(side) * side
    response = np.exp(-2 * (np.pi * max(0.35 * pixel, 1 / side) * frequency) ** 2)
    blurred = np.fft.irfft2(np.fft.rfft2(tile) * response[:, None] * response[: side // 2 + 1], (side, side))
    column = (u * side).astype(np.int32) & (side - 1)
    row = (v * side).astype(np.int32) & (side - 1)
    return [("accent", np.clip(blurred, 0, 1).astype(np.float32)[row, column])]


def flowers(u: np.ndarray, v: np.ndarray, pixel: float, rng: np.random.Generator) -> list[Layer]:
    """Blossoms with petals, a centre and two leaves, strewn on two lattices that do not match."""
    small = rng.uniform(1.5, 1.9)
    under = turned(small * u + 0.3, small * v, rng.uniform(0.4, 1.2))
    return _blossoms(*under, small * pixel, "second", "accent", rng) + _blossoms(u, v, pixel, "accent", "second", rng)


def _blossoms(
    u: np.ndarray, v: np.ndarray, pixel: float, petal: str, centre: str, rng: np.random.Generator
) -> list[Layer]:
    """Draw at most one blossom in each cell."""
    p, q, key = cells(u, v)
    p, q = p - table(rng, -0.1, 0.1)[key], q - table(rng, -0.1, 0.1)[key]
    p, q = turned(p, q, table(rng, 0, float(_TAU))[key])
    size = table(rng, 0.2, 0.29)
    size[rng.random(256) < 0.2] = -1  # a cell left empty
    radius = size[key]
    distance, lobe = np.hypot(p, q), np.abs(np.cos(np.float32(2.5) * np.arctan2(q, p)))
    petals = inside(distance - radius * (0.55 + 0.45 * np.sqrt(lobe)), pixel)
    folds = petals * np.clip(0.75 - 1.3 * lobe, 0, 1)
    heart = inside(distance - 0.3 * radius, pixel)
    # A leaf is the lens between two parabolas, tip to tip along p.
    along = (np.abs(p) - 1.25 * radius) / (0.4 * np.abs(radius))
    leaf = inside(np.abs(q) - 0.34 * np.abs(radius) * (1 - along**2), pixel) * (radius > 0)
    return [("tone", leaf), (petal, petals), ("dark", 0.45 * folds), (centre, heart)]


def paisley(u: np.ndarray, v: np.ndarray, pixel: float, rng: np.random.Generator) -> list[Layer]:
    """Bent teardrops with inner lines and a heart, small dots between them."""
    tall = np.float32(1.25)
    p, q, key = cells(u, v / tall)
    q = q * tall
    dots = np.minimum(np.hypot(np.abs(p) - 0.5, q), np.hypot(np.abs(p) - 0.25, np.abs(q) - 0.5 * tall))
    tilt = table(rng, -0.3, 0.3) + np.where(rng.random(256) < 0.5, 0, np.float32(np.pi))
    p, q = turned(p, q, tilt[key])
    half = 0.5  # half the teardrop's height
    p = p * np.where(rng.random(256) < 0.5, 1 / half, -1 / half).astype(np.float32)[key]
    q = q / np.float32(half) - 0.3
    # Turned the more, the farther from the belly's centre: the tip curls over.
    around = np.hypot(p, q)
    p, q = turned(p, q, np.float32(rng.uniform(0.65, 0.95)) * (around - 0.6))
    lace = 0.05 * np.abs(np.sin(8 * np.arctan2(p, q)))
    scales = (1.0, 0.8, 0.62, 0.34)
    outer, ring, inner, core = (_teardrop(p, q, scale, scale * lace, pixel / half) for scale in scales)
    return [
        ("second", inside(dots - 0.06, pixel)),
        ("accent", outer),
        ("spot", ring - np.minimum(ring, inner)),
        ("second", core),
    ]


def _teardrop(p: np.ndarray, q: np.ndarray, scale: float, lace: np.ndarray, pixel: float) -> np.ndarray:
    """Return the coverage of a teardrop of height 2, tip up, shrunk towards its belly, widened by `lace`."""
    p, q = p / np.float32(scale), q / np.float32(scale) + 0.3
    within = np.clip(q, -1, 1)
    half_width = np.float32(0.78) * np.sqrt(1 - within * within) * np.sqrt(0.5 + 0.5 * within)
    return inside(np.maximum(np.abs(p) - half_width - lace, np.abs(q) - 1), pixel / scale)


def leopard(u: np.ndarray, v: np.ndarray, pixel: float, rng: np.random.Generator) -> list[Layer]:
    """Irregular broken rosettes with a darker heart, one around each point of a jittered lattice."""
    phase = rng.uniform(0, float(_TAU), 4).astype(np.float32)
    u, v = (
        u + 0.07 * np.sin(7 * v + phase[0]) + 0.05 * np.sin(11 * u + phase[1]),
        v + 0.07 * np.sin(8 * u + phase[2]) + 0.05 * np.sin(13 * v + phase[3]),
    )
    first, border, key = _nearest_seed(u, v, rng)
    wave = np.sin(phase[0] + 9 * u + 4 * v) + np.sin(phase[1] + 10 * v - 6 * u)
    thick = table(rng, 0.1, 0.17)[key] + 0.05 * wave
    ring = inside(np.abs(border - 0.2 - thick) - thick, 1.6 * pixel)
    ring *= inside(first - table(rng, 0.36, 0.5)[key], pixel)
    heart = inside(0.3 - border, 2 * pixel) * inside(first - 0.4, pixel)
    return [("tone", heart), ("spot", ring)]


def _nearest_seed(u: np.ndarray, v: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the nearest seed point's distance, how much farther the second is, and the nearest's key."""
    # Seeds keep away from their cells' borders, so one of the four cells round a corner holds the nearest.
    shift_u, shift_v = table(rng, 0.15, 0.85), table(rng, 0.15, 0.85)
    row, column = np.rint(v).astype(np.int32), np.rint(u).astype(np.int32)
    from_u, from_v = from_nearest(u), from_nearest(v)
    first = second = np.full(u.shape, 9, np.float32)
    nearest = np.zeros(u.shape, np.int32)
    for down in (-1, 0):
        for right in (-1, 0):
            key = ((row + down) & 15) * 16 + ((column + right) & 15)
            square = np.square(shift_u[key] + right - from_u) + np.square(shift_v[key] + down - from_v)
            second = np.minimum(second, np.maximum(first, square))
            nearest = np.where(square < first, key, nearest)
            first = np.minimum(first, square)
    first = np.sqrt(first)
    return first, np.sqrt(second) - first, nearest


def sequins(u: np.ndarray, v: np.ndarray, pixel: float, rng: np.random.Generator) -> list[Layer]:
    """Overlapping shiny discs, each tilted its own way, so that some flash and some are in shadow."""
    radius, pitch = 0.56, np.float32(0.7)
    row = np.floor(v / pitch)
    p = q = np.zeros_like(u)
    key = np.zeros(u.shape, np.int32)
    found = np.zeros(u.shape, bool)
    loose = table(rng, -0.08, 0.08)
    # Discs overlap like roof tiles, the upper row on top: the first row that reaches a pixel is the one seen.
    for down in (-1, 0, 1):
        here = row + down
        shifted = u + 0.5 * (here % 2)
        cell = (here.astype(np.int32) & 15) * 16 + (np.rint(shifted).astype(np.int32) & 15)
        across, below = from_nearest(shifted) + loose[cell], v - here * pitch
        hit = ~found & (across * across + below * below < radius * radius)
        p, q, key = np.where(hit, across, p), np.where(hit, below, q), np.where(hit, cell, key)
        found |= hit
    slant_p, slant_q = rng.normal(0, 0.5, (2, 256)).astype(np.float32)
    slope = slant_p[key] + 1.1 * p, slant_q[key] + 1.1 * q
    light = rng.uniform(-0.6, 0.6), -rng.uniform(0.2, 0.8)
    glint = np.exp(-rng.uniform(3, 6) * (np.square(slope[0] - light[0]) + np.square(slope[1] - light[1])))
    distance = np.hypot(p, q) / np.float32(radius)
    rim = np.clip((distance - 0.72) / 0.28, 0, 1)
    away = -(slope[0] * light[0] + slope[1] * light[1])
    shadow = np.where(found, np.clip(0.1 + 0.35 * away + 0.4 * rim * rim, 0, 0.75), 0.5)
    return [("dark", shadow), ("light", 0.9 * glint * found)]


PATTERNS: dict[str, Pattern] = {
    "argyle": Pattern(argyle, (0.26, 0.46), 12, wobble=3),
    "checks": Pattern(checks, (0.16, 0.42), 8, turns=(0, 0, 0, 45), quiet=True),
    "flowers": Pattern(flowers, (0.26, 0.5), 12, wobble=180),
    "sequins": Pattern(sequins, (0.06, 0.13), 4, wobble=15),
    "leopard": Pattern(leopard, (0.15, 0.28), 9, wobble=40),
    "paisley": Pattern(paisley, (0.26, 0.46), 13, wobble=20),
    "houndstooth": Pattern(houndstooth, (0.13, 0.32), 10, quiet=True),
    "plain": Pattern(plain, (1.0, 1.0), 1),
    "polka": Pattern(polka, (0.12, 0.3), 7, turns=(0, 0, 45)),
    "stripes": Pattern(stripes, (0.12, 0.36), 7, turns=(0, 90, 45, -45)),
}
