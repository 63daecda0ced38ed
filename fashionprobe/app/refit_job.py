"""The refit behind its button: one at a time, in a thread of its own that nobody has to wait for."""

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol

import numpy as np

from fashionprobe import progress
from fashionprobe.errors import UserError, busy, system_error

log = logging.getLogger(__name__)

LOSSES = ("pasa", "pas", "rrr_g", "rrr", "dropout")
"""Ways of the refit that need nothing but the masks."""


@dataclass(frozen=True)
class RefitRequest:
    """How to refit.

    Attributes:
        iterations: Batches.
        loss: One of `LOSSES`.
        seeds: Runs with other random images.
        rivals: Whether to run all rivals, too, or continued training alone.
        replace: Whether an earlier refit of this run may go.
    """

    iterations: int = 100
    loss: str = "pasa"
    seeds: int = 1
    rivals: bool = False
    replace: bool = False


@dataclass(frozen=True)
class State:
    """How far the refit is.

    Attributes:
        phase: none, running, done or failed.
        words: What is happening, or went wrong.
        share: Done so far, in [0, 1].
    """

    phase: Literal["none", "running", "done", "failed"] = "none"
    words: str = ""
    share: float = 0.0


@dataclass(frozen=True)
class Pair:
    """One marked image before and after.

    Attributes:
        id: Its id.
        label: Its class.
        picture: The picture with its mask outlined, uint8 (height, width, 3).
        before: The heatmap of its class over it by the network before, uint8 (height, width, 3).
        after: The same by the corrected one.
        inside: Share of the heat inside the mask before and after, each in [0, 1] or NaN.
        sure: Probability of its class before and after.
    """

    id: str
    label: str
    picture: np.ndarray
    before: np.ndarray
    after: np.ndarray
    inside: tuple[float, float]
    sure: tuple[float, float]


@dataclass(frozen=True)
class Outcome:
    """What a refit came to.

    Attributes:
        method: The method.
        masks: Number of masks it had.
        table: Rows of the methods that were compared, the network before first: name, accuracy and balanced accuracy
            on test, share of the heat inside the masks, and the p-value of the difference; NaN where there is none.
        pairs: Some marked images.
    """

    method: str
    masks: int
    table: Sequence[tuple[str, float, float, float, float]]
    pairs: Sequence[Pair]


class Refit(Protocol):
    """Does the work, and may be asked what came out."""

    def run(self, request: RefitRequest) -> None:
        """Make an artifact of the masks, and refit with it."""
        ...

    def outcome(self) -> Outcome | None:
        """Return what the refit of the run came to; None where there is none."""
        ...


class Correcting:
    """A refit that can be started, and watched by any number of pages.

    Args:
        refit: Does the work.
    """

    def __init__(self, refit: Refit) -> None:
        self.outcome: Callable[[], Outcome | None] = refit.outcome
        self._refit = refit
        self._lock = threading.Lock()
        self._state = State()

    @property
    def state(self) -> State:
        """How far it is."""
        return self._state

    def start(self, request: RefitRequest) -> threading.Thread:
        """Start a refit.

        Raises:
            UserError: If one is running, or the wish does not fit.
        """
        if request.loss not in LOSSES:
            raise UserError("loss", expected=f"one of: {', '.join(LOSSES)}", received=request.loss)
        if not (1 <= request.iterations <= 10_000 and 1 <= request.seeds <= 10):
            received = f"{request.iterations} and {request.seeds}"
            raise UserError("iterations", expected="in 1 to 10000, and seeds in 1 to 10", received=received)
        with self._lock:
            if self._state.phase == "running":
                raise busy("refit", "is already running", "Wait for it to finish.")
            self._state = State("running", "Reading the masks")
        thread = threading.Thread(target=self._work, args=(request,), name="refit", daemon=True)
        thread.start()
        return thread

    def _work(self, request: RefitRequest) -> None:
        words = {"masks": "Writing the masks", "refit": "Refitting"}

        def watch(stage: str, done: int, total: int) -> None:
            self._state = State("running", words.get(stage, stage), done / max(total, 1) if stage == "refit" else 0.0)

        try:
            with progress.watched(watch):
                self._refit.run(request)
            self._state = State("done", "Refitted", 1.0)
        except UserError as error:
            self._state = replace(self._state, phase="failed", words=str(error))
        except OSError as error:
            self._state = replace(self._state, phase="failed", words=str(system_error(error)))
        except Exception as error:
            # In a thread of its own nobody else would hear of it.
            log.exception("the refit failed")
            self._state = replace(self._state, phase="failed", words=f"{type(error).__name__}: {error}")
