"""The running server: started in threads, waited for, closed."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr

from fashionprobe.app import page
from fashionprobe.app.access import Access, options
from fashionprobe.app.page import Parts


class Server:
    """A server that listens. Use it as a context, which closes it at the end.

    Args:
        blocks: The page, launched.
        url: Where it is.
        stop: What has to be told that the server closes.
    """

    def __init__(self, blocks: gr.Blocks, url: str, stop: Callable[[], None]) -> None:
        self.url = url
        self._blocks, self._stop = blocks, stop
        self._closed = threading.Event()

    def wait(self) -> None:
        """Wait until it is closed, or Ctrl-C is pressed."""
        try:
            self._closed.wait()
        except KeyboardInterrupt:
            return

    def close(self) -> None:
        """Close it."""
        self._stop()
        self._blocks.close(verbose=False)
        self._closed.set()

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def start(parts: Parts, access: Access, run: Path) -> Server:
    """Start the server of a run.

    Args:
        parts: What the tabs show.
        access: Where it listens, and who may connect.
        run: Folder of the run.
    """
    blocks = page.build(parts)
    # Events wait for their turn no longer than this; those that look things up may run side by side.
    blocks.queue(default_concurrency_limit=4, api_open=False)
    told: dict[str, Any] = {**page.look(), **options(access, run)}
    _, url, _ = blocks.launch(prevent_thread_lock=True, **told)
    return Server(blocks, url, lambda: _stop(parts))


def _stop(parts: Parts) -> None:
    if not isinstance(parts.marking, str):
        parts.marking.stop()
