"""A shop: drawn photos and the table that lists them."""

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image


def draw_shop(folder: Path, count: int, *, lacking: int = 12, seed: int = 0) -> pd.DataFrame:
    """Draw garments in three colours, and write them down in products.csv; the last ones lack their colour.

    Returns the table with all colours.
    """
    random = np.random.default_rng(seed)
    (folder / "photos").mkdir(parents=True, exist_ok=True)
    colours = {"red": (200, 40, 40), "green": (40, 150, 60), "blue": (40, 60, 190)}
    rows = []
    for number in range(count):
        colour = [*colours][number % 3]
        pixels = np.full((32, 32, 3), 255)
        pixels[4:28, 8:24] = colours[colour]
        noise = random.integers(-40, 41, (32, 32, 3)) + random.integers(-30, 31, 3)
        name = f"photos/{seed}-{number}.png"
        Image.fromarray(np.clip(pixels + noise, 0, 255).astype(np.uint8)).save(folder / name)
        rows.append((f"SKU-{seed}-{number:04}", name, colour, ["Women", "Men"][number % 2], str(10 + number % 50)))
    truth = pd.DataFrame(rows, columns=["sku", "photo", "colour", "gender", "price"])
    given = truth.copy()
    if lacking:
        given.loc[count - lacking :, "colour"] = ""
    given.to_csv(folder / "products.csv", index=False)
    return truth
