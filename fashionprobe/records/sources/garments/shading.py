"""Colour and light: the shade of the cloth, the inks on it, the folds in it, the backdrop behind it."""

import colorsys

import numpy as np
from PIL import Image, ImageFilter

# Hue in degrees, saturation and value, each as (lowest, highest). Neighbours in hue (brown and orange, red
# and pink) are kept apart by value and saturation, the neutral colours by value.
SHADES: dict[str, tuple[tuple[float, float], tuple[float, float], tuple[float, float]]] = {
    "yellow": ((47, 57), (0.62, 0.95), (0.86, 1.0)),
    "blue": ((206, 236), (0.55, 0.92), (0.42, 0.88)),
    "brown": ((17, 31), (0.42, 0.72), (0.27, 0.48)),
    "grey": ((0, 360), (0.0, 0.05), (0.40, 0.68)),
    "purple": ((264, 287), (0.38, 0.80), (0.36, 0.72)),
    "orange": ((19, 32), (0.78, 1.0), (0.88, 1.0)),
    "black": ((0, 360), (0.0, 0.14), (0.06, 0.14)),
    "red": ((-9, 5), (0.76, 0.95), (0.58, 0.86)),
    "pink": ((322, 350), (0.26, 0.55), (0.88, 1.0)),
    "green": ((92, 152), (0.42, 0.85), (0.30, 0.70)),
}

_CLEAR = 0.38  # RGB distance from which an ink is told from the ground at a glance


def shade(colour: str, rng: np.random.Generator) -> np.ndarray:
    """Draw one shade of a colour.

    Args:
        colour: One of `SHADES`.
        rng: Generator the shade is drawn from.

    Returns:
        float32 (3,), RGB in [0, 1].
    """
    hue, saturation, value = (rng.uniform(low, high) for low, high in SHADES[colour])
    return np.array(colorsys.hsv_to_rgb(hue / 360 % 1, saturation, value), np.float32)


def inks(ground: np.ndarray, quiet: bool, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Choose the inks that a pattern is printed or woven with.

    Args:
        ground: float32 (3,), RGB in [0, 1]: the garment's own shade.
        quiet: Only neutral and tonal inks, for the patterns that leave about half of the ground free.
        rng: Generator the choice is drawn from.

    Returns:
        float32 (3,) each, RGB in [0, 1]: `accent` and `second`, both clear of the ground; `tone` and `spot`,
        the ground's own colour a step and a leap darker (on black: lighter); `dark` and `light`, for shadows
        and glints.
    """
    accent = _clear_ink(ground, quiet, rng)
    second = _clear_ink(ground, quiet, rng)
    bright = ground.max() > 0.3
    tone = ground * 0.72 if bright else ground + 0.14
    spot = ground * rng.uniform(0.12, 0.3) if bright else ground + rng.uniform(0.25, 0.5)
    # Half-strength ink keeps the ground's hue in the mean where ink and ground share the fabric evenly.
    strength = rng.uniform(0.72, 0.95) if quiet else rng.uniform(0.88, 1.0)
    return {
        "accent": ground + strength * (accent - ground),
        "second": ground + strength * (second - ground),
        "tone": tone.astype(np.float32),
        "spot": spot.astype(np.float32),
        "dark": ground * np.float32(0.22),
        "light": (0.15 * ground + 0.85).astype(np.float32),
    }


def _clear_ink(ground: np.ndarray, quiet: bool, rng: np.random.Generator) -> np.ndarray:
    """Draw an ink among neutral, tonal and (unless quiet) foreign ones that stands out from the ground."""
    neutrals = [np.full(3, 0.96), np.array([0.95, 0.91, 0.82]), np.full(3, 0.12), np.full(3, 0.80)]
    tones = [ground + rng.uniform(0.55, 0.8) * (1 - ground), ground * rng.uniform(0.25, 0.45)]
    foreign = [] if quiet else [shade(str(name), rng) for name in rng.choice(list(SHADES), 3)]
    choice = np.array(neutrals + tones + foreign, np.float32)
    weight = np.array([3, 2, 2, 1, 3, 3, 1.2, 1.2, 1.2][: len(choice)])
    distance = np.linalg.norm(choice - ground, axis=1)
    weight = np.where(distance > _CLEAR, weight, 0)
    return choice[rng.choice(len(choice), p=weight / weight.sum())]


def folds(
    held: list[tuple[float, float, float]], x: np.ndarray, y: np.ndarray, light: tuple[float, float],
    reach: float, rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Raise folds in the cloth.

    Args:
        held: The points that folds run from and their directions, as `Silhouette.held`.
        x: float32 (height, width), each pixel's garment coordinate to the right.
        y: The same, down.
        light: Where the light comes from, in the picture's plane.
        reach: Pixels in one garment unit.
        rng: Generator the folds are drawn from.

    Returns:
        float32 (height, width) each: the brightness that folds add under the light, about 0, and the height
        of the cloth, by which the pattern is bent.
    """
    height, width = x.shape
    # Folds are smooth: they are worked out on every step-th pixel and enlarged.
    step = -(-max(height, width) // 96)
    x, y = x[::step, ::step], y[::step, ::step]
    cloth = 0.7 * _noise((4, 7), x.shape, rng) + 0.2 * _noise((10, 14), x.shape, rng)
    for from_x, from_y, direction in held:
        for _ in range(3):
            cloth += _fold(x - from_x, y - from_y, rng.normal(direction, 12), rng)
    slope_y, slope_x = np.gradient(cloth, np.float32(48 * step / reach))
    relief = np.asarray(rng.uniform(0.3, 0.9) * (slope_x * light[0] + slope_y * light[1]))
    return _resized(relief, (height, width)), _resized(cloth, (height, width))


def _fold(x: np.ndarray, y: np.ndarray, direction: float, rng: np.random.Generator) -> np.ndarray:
    """Return the height of one fold that runs from the origin, `direction` in degrees, and dies out."""
    angle = np.float32(np.deg2rad(direction))
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    length, width = rng.uniform(0.3, 1.2), rng.uniform(0.02, 0.06)
    onset = np.square(np.maximum(along, 0))
    spread = np.float32(width) * (1 + np.maximum(along, 0))
    fade = onset / (onset + np.float32(0.02)) * np.exp(-np.square(along / np.float32(length)))
    return np.float32(rng.uniform(0.6, 1.4)) * fade * np.exp(-np.square(across / spread))


def _noise(knots: tuple[int, int], size: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Return float32 noise of this size and about unit variance, smooth between the knots."""
    return _resized(rng.standard_normal(knots, np.float32), size, Image.Resampling.BICUBIC)


def _resized(field: np.ndarray, size: tuple[int, ...], how: Image.Resampling = Image.Resampling.BILINEAR) -> np.ndarray:
    """Resize a float32 field to (height, width)."""
    return np.array(Image.fromarray(field).resize((size[1], size[0]), how))


def blurred(covered: np.ndarray, radius: float, shift: tuple[float, float] = (0, 0)) -> np.ndarray:
    """Blur a coverage in [0, 1] and move it by -`shift` (x, y) pixels.

    Returns:
        float32 (height, width).
    """
    height, width = covered.shape
    # What is blurred needs no fine pixels.
    step = max(1, round(radius / 2))
    mask = Image.fromarray((covered * 255).astype(np.uint8)).reduce(step)
    mask = mask.filter(ImageFilter.GaussianBlur(radius / step))
    if any(shift):
        move = (1, 0, shift[0] / step, 0, 1, shift[1] / step)
        mask = mask.transform(mask.size, Image.Transform.AFFINE, move, Image.Resampling.BILINEAR)
    return np.asarray(mask.resize((width, height), Image.Resampling.BILINEAR), np.float32) / 255


def backdrop(covered: np.ndarray, light: tuple[float, float], reach: float, rng: np.random.Generator) -> np.ndarray:
    """Paint a plain backdrop, white, grey or pastel, with the garment's shadow on it.

    Args:
        covered: float32 (height, width), the garment's coverage in [0, 1].
        light: Where the light comes from, in the picture's plane.
        reach: Pixels in one garment unit.
        rng: Generator the backdrop is drawn from.

    Returns:
        float32 (3, height, width), RGB in [0, 1].
    """
    height, width = covered.shape
    kind = rng.choice(3, p=[0.45, 0.25, 0.3])
    tint = rng.uniform(0, 1, 3) * rng.uniform(0, [0.02, 0.04, 0.16][kind])
    level = rng.uniform(*[(0.93, 1.0), (0.72, 0.9), (0.88, 0.99)][kind])
    down = np.linspace(0, 1, height, dtype=np.float32)[:, None] * np.float32(rng.uniform(-0.06, 0.02))
    across = np.linspace(-0.5, 0.5, width, dtype=np.float32) * np.float32(rng.uniform(-0.05, 0.05))
    distance = rng.uniform(0.02, 0.07) * reach
    shadow = blurred(covered, rng.uniform(0.03, 0.09) * reach, (light[0] * distance, light[1] * distance))
    brightness = (1 + down + across) * (1 - np.float32(rng.uniform(0.15, 0.45)) * shadow)
    return np.stack([np.float32(level * (1 - amount)) * brightness for amount in tint])
