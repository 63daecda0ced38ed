"""What is watched and changed from epoch to epoch: the margin, an easy start, and whether the embedding collapses."""

import csv
import logging
import math
from pathlib import Path
from typing import Any

import keras

from fashionprobe.siamese.losses import TripletLoss

log = logging.getLogger(__name__)

COLLAPSED = 0.02
"""Mean distance, as a share of the margin (of 1 without one), below which all embeddings are on one point."""

STALLED = 0.001
"""Share of triplets that fail below which there is nothing left to learn."""


class Schedule(keras.callbacks.Callback):
    """Raises the margin from epoch to epoch, and mines easier triplets in the first ones.

    The margin rises from `start` to `end` along half a cosine, but never above the mean distance that the embedding had
    in the epoch before: it follows what was reached, and does not drive the embedding apart without end.

    Args:
        loss: The loss whose margin is set; an epoch's margin is noted in its logs.
        end: Margin of the last epoch; None keeps the one that the loss has.
        epochs: Number of epochs.
        easy: Number of epochs that begin with semi-hard mining.
        history: The CSV file where a killed run left its epochs.
    """

    def __init__(self, loss: TripletLoss, *, end: float | None, epochs: int, easy: int, history: Path) -> None:
        super().__init__()
        self._loss, self._end, self._epochs, self._easy, self._history = loss, end, epochs, easy, history
        self._start, self._reached = loss.margin, math.inf

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Set what this epoch is trained with."""
        self._loss.start_easy(epoch < self._easy)
        if self._end is None:
            return
        if epoch and math.isinf(self._reached):
            with self._history.open(encoding="utf-8", newline="") as file:
                self._reached = float([*csv.DictReader(file)][epoch - 1]["spread"])
        self._loss.margin = margin_at(self._start, self._end, epoch, self._epochs, reached=self._reached)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Note the distance reached, and the margin for the history."""
        if logs is not None:
            self._reached = logs["spread"]
            logs["margin"] = self._loss.margin


def margin_at(start: float, end: float, epoch: int, epochs: int, *, reached: float = math.inf) -> float:
    """Return the margin of an epoch: half a cosine from `start` to `end`, not above what was reached.

    Args:
        start: Margin of the first epoch, which it never falls below.
        end: Margin of the last epoch.
        epoch: Number of the epoch, from 0.
        epochs: Number of epochs.
        reached: Mean distance between embeddings in the epoch before.
    """
    rise = (1 - math.cos(math.pi * epoch / max(epochs - 1, 1))) / 2
    return max(start, min(start + (end - start) * rise, reached))


class Watch(keras.callbacks.Callback):
    """Says once each when the embedding has collapsed and when no triplet is left to learn from.

    Args:
        loss: The loss, whose margin the distances are compared with.

    Attributes:
        found: What was said, by epoch (from 1): "collapsed" or "stalled".
    """

    def __init__(self, loss: TripletLoss) -> None:
        super().__init__()
        self._loss = loss
        self.found: dict[str, int] = {}

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Look at the epoch."""
        logs = logs or {}
        state = diagnose(logs["spread"], logs["active"], self._loss.margin)
        if state and state not in self.found:
            self.found[state] = epoch + 1
            log.warning("Epoch %d: %s", epoch + 1, explain(state, logs["spread"], self._loss))


def diagnose(spread: float, active: float, margin: float) -> str:
    """Return "collapsed", "stalled" or "" for an epoch.

    Args:
        spread: Mean distance between two embeddings of a batch.
        active: Share of the triplets that fail.
        margin: The margin; 0 for a soft one.
    """
    if spread < COLLAPSED * (margin or 1.0):
        return "collapsed"
    return "stalled" if active < STALLED else ""


def explain(state: str, spread: float, loss: TripletLoss) -> str:
    """Return what a state means and what helps, for someone at a terminal."""
    if state == "stalled":
        return "hardly a triplet fails any more, so nothing is learned. Try --mining batch_hard or a larger --margin."
    remedies = ["--mining semi_hard"] if loss.mining != "semi_hard" else []
    if loss.mining in ("batch_hard", "batch_weighted"):
        remedies += ["--easy-epochs 5"]
    remedies += ["a smaller --per-class", "a lower --learning-rate", "a net with batch normalisation"]
    return (
        f"the embedding has collapsed: all images lie nearly on one point (mean distance {spread:.2g}). "
        f"Try {', '.join(remedies[:-1])} or {remedies[-1]}."
    )
