"""What the report knows about one label in one run: plain values, tables and image bytes, no files."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from fashionprobe.plots.accuracy_by_block import Curve, curves, find

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False, kw_only=True)
class Section:
    """One label of one run, as the report shows it.

    Args:
        run: Name of the run.
        dataset: Name of the data set.
        label: Name of the label.
        images: How many images were classified.
        missing: How many images have no value for this label and were left out.
        folds: Number of folds.
        accuracy: Columns label, block, classifier, parameter, accuracy_mean, accuracy_std, folds, images; the
            rows of this label.
        per_class: Columns class, images, correct, accuracy, low, high, at the best block and classifier.
        confusion: Counts, int (classes, classes), rows true, columns predicted, at the best block and
            classifier.
        best_block: The block of the best accuracy.
        best_classifier: Its classifier, such as "knn".
        best_parameter: Its parameter, such as "4".
        samples: Class to a few thumbnails, each a JPEG file.
        facts: How the run was made: backbone, weights, image size, seed, fingerprint, …
        versions: Package to its version.
        notes: What the reader has to know before trusting the numbers, one sentence each.
        linear: Where linear probes were made: label, block, control_mean, control_std (with shuffled labels) and
            selectivity. Their accuracy is in `accuracy`.
        control: As `accuracy`, of the same network with random weights, where there is one.
        subject: Whether the page is about this run, and others are compared with it.
    """

    run: str
    dataset: str
    label: str
    images: int
    missing: int
    folds: int
    accuracy: "pd.DataFrame"
    per_class: "pd.DataFrame"
    confusion: "pd.DataFrame"
    best_block: int
    best_classifier: str
    best_parameter: str
    samples: dict[str, list[bytes]] = field(default_factory=dict)
    facts: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    linear: "pd.DataFrame | None" = None
    control: "pd.DataFrame | None" = None
    subject: bool = False

    def curves(self) -> list[Curve]:
        """Return the accuracy over the blocks of every classifier, in reading order."""
        return curves(self.accuracy)

    def best_curve(self) -> Curve:
        """Return the curve of the best classifier, over all blocks.

        Raises:
            UserError: The accuracy table has no such classifier.
        """
        return find(self.curves(), self.best_classifier, self.best_parameter)

    def best(self) -> tuple[float, float]:
        """Return mean and standard deviation of the best accuracy.

        Raises:
            UserError: The accuracy table has no such block or classifier.
        """
        return self.best_curve().at(self.best_block)

    def readers(self) -> list[tuple[Curve, int]]:
        """Return the best classifier without training and the linear probe, each with its best block, the better first.

        Only the first where there are no linear probes.
        """
        trained = [curve for curve in self.curves() if curve.classifier == "linear"]
        plain = [curve for curve in self.curves() if curve.classifier != "linear"]
        found = [max(group, key=lambda curve: float(curve.mean.max())) for group in (plain, trained) if group]
        found.sort(key=lambda curve: -float(curve.mean.max()))
        return [(curve, int(curve.blocks[curve.mean.argmax()])) for curve in found]

    def level_blocks(self) -> list[int]:
        """Return the blocks that the best classifier reads as well as the best one, that one included.

        Two blocks are level when their ranges, mean ± standard deviation over the folds, overlap.
        """
        mean, std = self.best()
        curve = self.best_curve()
        # Without folds to compare (one fold), a deviation is not a number and counts as zero.
        reach = curve.mean + np.nan_to_num(curve.std)
        return [int(block) for block in curve.blocks[reach >= mean - np.nan_to_num(std)]]

    def chance(self) -> float:
        """Return the accuracy of a blind guess among the classes."""
        return 1.0 / max(len(self.per_class), 1)

    def largest_share(self) -> float:
        """Return the share of the largest class: the accuracy of always naming that one."""
        counts = self.per_class["images"].to_numpy(float)
        return float(counts.max() / counts.sum()) if counts.sum() else 0.0
