"""Progress bars: shown on a terminal after two seconds, silent everywhere else, and told to whoever watches."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from tqdm import tqdm

Watcher = Callable[[str, int, int], object]
"""Takes the stage's name, the units that are done, and the units of the whole job."""

_WATCHER: ContextVar[Watcher | None] = ContextVar("watcher", default=None)


def bar(*, total: int, done: int = 0, unit: str, description: str) -> tqdm:
    """Make a progress bar with rate and time left.

    Args:
        total: Number of units of the whole job.
        done: Units that an earlier, interrupted run has finished; they do not count in the rate.
        unit: What is counted, such as "image".
        description: The stage's name.

    Returns:
        A bar to use as a context manager; call `update(n)` on it. It is hidden where only warnings are logged.
    """
    watcher = _WATCHER.get()
    quiet = logging.getLogger("fashionprobe").level > logging.INFO
    kind = tqdm if watcher is None else _told(watcher, description, total, done)
    return kind(
        total=total,
        initial=done,
        unit=unit,
        desc=description,
        disable=quiet or None,
        delay=2,
        dynamic_ncols=True,
        smoothing=0.1,
    )


@contextmanager
def watched(watcher: Watcher) -> Iterator[None]:
    """Tell a function how far the bars have come that are made within, in this thread."""
    token = _WATCHER.set(watcher)
    try:
        yield
    finally:
        _WATCHER.reset(token)


def _told(watcher: Watcher, description: str, total: int, done: int) -> type[tqdm]:
    """Return a kind of bar that tells a watcher; one that is not shown does not count by itself."""

    class Told(tqdm):
        so_far = done

        def update(self, n: float | None = 1) -> Any:
            self.so_far += int(n or 0)
            watcher(description, self.so_far, total)
            return super().update(n)

    return Told
