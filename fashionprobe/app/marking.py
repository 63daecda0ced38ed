"""What stands behind the tab Mark: which images, what the network sees in them, and the masks that are drawn."""

import itertools
import threading
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fashionprobe.app import data_uris
from fashionprobe.app.pictures import Pictures
from fashionprobe.app.served_classifier import ServedClassifier, remembered
from fashionprobe.errors import UserError, unknown_name
from fashionprobe.feedback.masks import drawings
from fashionprobe.plots.overlays import colour_map

SPLITS = ("train", "val")
"""Splits whose images may be marked: test measures."""

OUTCOMES = ("all", "right", "wrong")
MARKED = ("all", "marked", "not marked")
SURE = {"all": (0.0, 1.01), "80 % and more": (0.8, 1.01), "50 to 80 %": (0.5, 0.8), "below 50 %": (0.0, 0.5)}
"""Ranges of the probability of the first guess."""

FIRST_GUESS, TRUE_CLASS = "its first guess", "its true class"
MAX_SIDE = 2048
"""Longer side of the canvas in pixels: of a larger picture it shows, and marks, a smaller copy."""

BATCH = 16


class Marking:
    """The images that may be marked, and their masks.

    Args:
        classifier: The network.
        pictures: The pictures of the record set.
        items: Rows of its `items.csv` that have a class of the network, with the column `number` (of the class).
        label: The label column.
        folder: Where the masks are kept.
        known: Probability of the first guess and its class number by id, where they are known already.

    Attributes:
        items: The rows of the splits that may be marked.
        label: The label column.
        folder: Where the masks are kept.
        classifier: The network.
        pictures: The pictures.
        guess: Class number of the first guess of each item, int (items,); -1 while it is not known.
        sure: Its probability, float (items,).
    """

    def __init__(
        self, classifier: ServedClassifier, pictures: Pictures, items: pd.DataFrame, label: str, folder: Path,
        known: Mapping[str, tuple[int, float]] | None = None,
    ) -> None:  # fmt: skip
        self.classifier, self.pictures, self.label, self.folder = classifier, pictures, label, folder
        self.items = items[items["split"].isin(SPLITS)].reset_index(drop=True)
        self.guess = np.full(len(self.items), -1)
        self.sure = np.zeros(len(self.items))
        for item, name in enumerate(self.items["id"]):
            if known and name in known:
                self.guess[item], self.sure[item] = known[name]
        self._stop = threading.Event()
        self.heatmap = remembered(classifier, self.picture)

    def start(self) -> threading.Thread:
        """Guess the class of all images in a thread of its own, so that they can be filtered by it."""
        thread = threading.Thread(target=self._guess_all, name="guess", daemon=True)
        thread.start()
        return thread

    def stop(self) -> None:
        """Let that thread end."""
        self._stop.set()

    def picture(self, item: int) -> np.ndarray:
        """Return a picture, uint8 (height, width, 3), RGB.

        Raises:
            UserError: If there is no such item, or the record set is damaged.
        """
        if isinstance(item, bool) or not isinstance(item, int) or not 0 <= item < len(self.items):
            raise UserError("item", expected=f"in 0 to {len(self.items) - 1}", received=item)
        return self.pictures.picture(self.items["id"].iloc[item])

    def choose(
        self, *, split: str = "train", label: str = "", outcome: str = "all", sure: str = "all", marked: str = "all"
    ) -> dict[str, list[int]]:
        """Return the items that a filter leaves, and those among them that are marked.

        Args:
            split: train or val.
            label: A class; "" for all.
            outcome: Whether the network has them right or wrong; those not guessed yet are left out of both.
            sure: A range of the probability of the first guess.
            marked: Whether they have a mask.

        Raises:
            UserError: If there is no such split, class or word.
        """
        for name, value, valid in (
            ("split", split, SPLITS), ("label", label, ("", *self.classifier.classes)), ("outcome", outcome, OUTCOMES),
            ("sure", sure, SURE), ("marked", marked, MARKED),
        ):  # fmt: skip
            if value not in valid:
                raise unknown_name(name, value, valid)
        kept = (self.items["split"] == split).to_numpy(copy=True)
        number = self.items["number"].to_numpy()
        if label:
            kept &= number == self.classifier.classes.index(label)
        if outcome != "all":
            kept &= (self.guess >= 0) & ((self.guess == number) == (outcome == "right"))
        if sure != "all":
            kept &= (self.guess >= 0) & (self.sure >= SURE[sure][0]) & (self.sure < SURE[sure][1])
        have = self.items["id"].isin(list(self.ids_marked())).to_numpy()
        if marked != "all":
            kept &= have == (marked == "marked")
        return {"items": np.flatnonzero(kept).tolist(), "marked": np.flatnonzero(kept & have).tolist()}

    def ids_marked(self) -> set[str]:
        """Return the ids of the images that have a mask."""
        return {mark.id for mark in drawings.load_all(self.folder) if mark.now.file}

    def guessed(self) -> float:
        """Return the share of the images whose class is guessed."""
        return float((self.guess >= 0).mean()) if len(self.guess) else 1.0

    def look(self, item: int, method: str, target: str) -> dict[str, Any]:
        """Return what the page shows of an image: picture, heatmap, words and mask.

        Args:
            item: Its number.
            method: Method of the heatmap; "" for none.
            target: The class that it is about: a name, `FIRST_GUESS` or `TRUE_CLASS`.

        Raises:
            UserError: If there is no such item, method or class.
        """
        picture, row = self.picture(item), self.items.iloc[item]
        guess, sure = self._guessed(item)
        classes, true = self.classifier.classes, int(row["number"])
        if target not in (FIRST_GUESS, TRUE_CLASS, *classes):
            raise unknown_name("class", target, [FIRST_GUESS, TRUE_CLASS, *classes])
        about = {FIRST_GUESS: guess, TRUE_CLASS: true}.get(target)
        about = classes.index(target) if about is None else about
        return {
            "item": item, "id": row["id"], "width": self.canvas(picture)[1], "height": self.canvas(picture)[0],
            "picture": data_uris.jpeg(picture, side=MAX_SIDE),
            "heat": data_uris.png(colour_map(self.heatmap(item, method, about).astype(np.float32))) if method else "",
            "true": classes[true], "guess": classes[guess], "sure": sure, "right": guess == true,
            "about": classes[about], "split": row["split"],
            **self.kept(item),
        }  # fmt: skip

    def kept(self, item: int) -> dict[str, Any]:
        """Return what is kept of the mask of an image: the version that counts, and others that wait for a choice."""
        picture = self.picture(item)
        mark = drawings.load(self.folder, self.items["id"].iloc[item]) or drawings.Mark("", "")
        return {**self._shown(mark.now, picture), "others": [self._shown(each, picture) for each in mark.others]}

    def save(
        self, item: int, mask: object, *, author: str, note: object, base: object, settles: Collection[object] = ()
    ) -> dict[str, Any]:
        """Keep a mask that the page drew.

        Args:
            item: Number of the image.
            mask: Data URI of the canvas; "" for none.
            author: Who drew it.
            note: Why.
            base: The version that it was drawn on.
            settles: Versions that were looked at.

        Returns:
            What is kept now, and whether it clashed with a version of somebody else.

        Raises:
            UserError: If there is no such image, or the mask cannot be read.
            OSError: If the disk is full.
        """
        picture, row = self.picture(item), self.items.iloc[item]
        drawn = data_uris.read_mask(mask, (picture.shape[0], picture.shape[1]), self.canvas(picture))
        saved = drawings.save(
            self.folder, row["id"], self.classifier.classes[int(row["number"])], drawn, author=author,
            note=str(note or ""), base=str(base or ""), settles=[str(each) for each in settles],
        )  # fmt: skip
        return {**self.kept(item), "clash": saved.clash, "mine": saved.version}

    @staticmethod
    def canvas(picture: np.ndarray) -> tuple[int, int]:
        """Return (height, width) of the page's canvas for a picture: its own, or a smaller copy's."""
        height, width = picture.shape[:2]
        scale = min(1.0, MAX_SIDE / max(height, width))
        return max(1, round(height * scale)), max(1, round(width * scale))

    def _shown(self, version: drawings.Version, picture: np.ndarray) -> dict[str, Any]:
        mask = drawings.mask_of(self.folder, version)
        uri = ""
        if mask is not None and mask.shape == picture.shape[:2]:
            uri = data_uris.mask_png(data_uris.resized(mask, self.canvas(picture)))
        return {
            "version": version.version, "mask": uri, "note": version.note, "author": version.author,
            "time": version.time, "share": version.share,
        }  # fmt: skip

    def _guessed(self, item: int) -> tuple[int, float]:
        """Return the first guess of an image and its probability."""
        if self.guess[item] < 0:
            found = self.classifier.predict(self.classifier.fitted(self.picture(item)))[0]
            self.sure[item], self.guess[item] = found.max(), found.argmax()
        return int(self.guess[item]), float(self.sure[item])

    def _guess_all(self) -> None:
        missing = self.items[self.guess < 0]
        place = {name: item for item, name in zip(missing.index, missing["id"], strict=True)}
        # Not through the memory of pictures, which would lose those that the person looks at.
        stream = self.pictures.records.pictures(list(place))
        while (batch := list(itertools.islice(stream, BATCH))) and not self._stop.is_set():
            started = time.monotonic()
            items = np.array([place[name] for name, _ in batch])
            found = self.classifier.predict(np.concatenate([self.classifier.fitted(picture) for _, picture in batch]))
            self.sure[items], self.guess[items] = found.max(axis=1), found.argmax(axis=1)
            # Half of the time is left to those who look at the page.
            self._stop.wait(time.monotonic() - started)
