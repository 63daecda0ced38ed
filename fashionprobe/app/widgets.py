"""What all tabs share: a place to upload a picture, and what becomes of errors."""

import html
from collections.abc import Callable
from typing import Any

import gradio as gr

from fashionprobe.errors import UserError, system_error

QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
"""Options of events that are answered at once, and that are for the page alone."""


def guarded(function: Callable[[], Any]) -> Any:
    """Call a function for an event of Gradio; an error of the user is shown in the page, which takes it for HTML."""
    try:
        return function()
    except UserError as error:
        raise gr.Error(html.escape(str(error), quote=False), print_exception=False) from error
    except OSError as error:
        raise gr.Error(html.escape(str(system_error(error)), quote=False), print_exception=False) from error


def upload(label: str, *, height: int, elem_id: str) -> gr.Image:
    """Return a place to upload a picture; what it hands to an event is the path of the file, unopened.

    Args:
        label: Words above it.
        height: In pixels.
        elem_id: Its id in the page.
    """
    made = gr.Image(
        type="filepath", image_mode=None, sources=["upload", "clipboard"], label=label, height=height, buttons=[],
        elem_id=elem_id,
    )  # fmt: skip
    # Gradio would have Pillow open it, leave it open, and answer a damaged file with the word "Error" alone.
    made.preprocess = lambda payload: None if payload is None else payload.path  # pyright: ignore[reportAttributeAccessIssue]
    return made
