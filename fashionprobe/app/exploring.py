"""What stands behind the tab Explore: what the network says of a picture, and what its layers answer to it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from fashionprobe.app.pictures import Pictures
from fashionprobe.app.served_classifier import ServedClassifier
from fashionprobe.errors import UserError
from fashionprobe.explain.heatmaps import heatmap
from fashionprobe.explain.methods import SIGNED
from fashionprobe.plots.overlays import colour_map, overlay, signed_picture

GUESSES = 5


@dataclass(frozen=True)
class Channel:
    """How one channel responds to a picture.

    Attributes:
        number: Its number, from 0.
        peak: The greatest value of its map.
        share: Where it is strong: the map over the picture, uint8 (rows, columns, 3).
        wanted: Path of the picture that it responds to most, where `maximize` made one.
    """

    number: int
    peak: float
    share: np.ndarray
    wanted: Path | None


class Exploring:
    """The network of a run and the pictures that may be looked at.

    Args:
        classifier: The network.
        pictures: The pictures of the record set.
        label: The label column.
        maximized: Folder of the pictures that `maximize` made; None where there is none.

    Attributes:
        classifier: The network.
        pictures: The pictures.
        label: The label column.
        layers: Names of the layers with a feature map by the words for the page, those that end the blocks first.
    """

    def __init__(self, classifier: ServedClassifier, pictures: Pictures, label: str, maximized: Path | None) -> None:
        self.classifier, self.pictures, self.label = classifier, pictures, label
        taps = {f"block {number}: {name}": name for number, name in enumerate(classifier.taps, 1)}
        names = [layer.name for layer in classifier.model.layers if len(getattr(layer.output, "shape", ())) == 4]
        self.layers = taps | {name: name for name in names[1:] if name not in classifier.taps}
        self._maximized = maximized

    def some(self, count: int, seed: int) -> list[str]:
        """Return the ids of some images, drawn by the seed."""
        rows = np.random.default_rng(seed).permutation(len(self.pictures.items))[:count]
        return self.pictures.items["id"].to_numpy(str)[rows].tolist()

    def guesses(self, picture: np.ndarray) -> list[tuple[str, float]]:
        """Return the likeliest classes of a picture, uint8 (height, width, 3), and their probabilities."""
        found = self.classifier.predict(self.classifier.fitted(picture))[0]
        order = np.argsort(-found, kind="stable")[:GUESSES]
        return [(self.classifier.classes[number], float(found[number])) for number in order]

    def seen(self, picture: np.ndarray, method: str, name: str) -> np.ndarray:
        """Return a method's heatmap of a class over a picture, as a picture: uint8 (rows, columns, 3).

        Raises:
            UserError: If there is no such method or class, or the network does not allow it.
        """
        if name not in self.classifier.classes:
            raise UserError("class", expected="a class of the network", received=name)
        number = self.classifier.classes.index(name)
        if method in SIGNED:
            raw = self.classifier.raw(picture, method, number)
            return self.classifier.cropped(signed_picture(raw), picture.shape)
        found = self.classifier.heatmap(picture, method, number)
        return overlay(self.small(picture), found)

    def small(self, picture: np.ndarray) -> np.ndarray:
        """Return a picture as the network sees it, without padding: uint8 (rows, columns, 3)."""
        whole = np.rint(np.clip(self.classifier.fitted(picture)[0], 0, 255)).astype(np.uint8)
        return self.classifier.cropped(whole, picture.shape)

    def channels(self, picture: np.ndarray, layer: str, count: int) -> list[Channel]:
        """Return the channels of a layer that answer most to a picture, the strongest first.

        Args:
            picture: uint8 (height, width, 3), RGB.
            layer: Name of a layer with a feature map.
            count: How many at most.

        Raises:
            UserError: If there is no such layer, or it has no feature map.
        """
        maps = self.classifier.feature_map(picture, layer)
        peaks = maps.max(axis=(0, 1))
        order = np.argsort(-peaks, kind="stable")[:count]
        wanted = self.wanted(layer)
        wide = heatmap(np.moveaxis(maps[..., order], -1, 0), self.classifier.size)
        seen = [self.classifier.cropped(each, picture.shape) for each in wide]
        return [
            Channel(int(number), float(peaks[number]), colour_map(each), wanted.get(int(number)))
            for number, each in zip(order, seen, strict=True)
        ]

    def wanted(self, layer: str) -> dict[int, Path]:
        """Return the pictures of `maximize` for a layer, by channel."""
        table = self._units()
        if self._maximized is None or table is None:
            return {}
        mine = table[table["layer"] == layer]
        return {
            int(channel): self._maximized / Path(str(file)).name
            for channel, file in zip(mine["channel"], mine["file"], strict=True)
        }

    def gallery(self) -> Sequence[tuple[str, Path]]:
        """Return all pictures of `maximize` with their words; empty where there are none."""
        table = self._units()
        if self._maximized is None or table is None:
            return []
        rows = zip(table["layer"].fillna(""), table["title"], table["file"], strict=True)
        return [(f"{layer} {title}".strip(), self._maximized / Path(str(file)).name) for layer, title, file in rows]

    def _units(self) -> pd.DataFrame | None:
        path = self._maximized / "units.csv" if self._maximized else None
        return pd.read_csv(path) if path and path.is_file() else None
