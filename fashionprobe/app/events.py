"""What all tabs do with the errors of what they call."""

from collections.abc import Callable
from typing import Any

import gradio as gr

from fashionprobe.errors import UserError, system_error

QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
"""Options of events that are answered at once, and that are for the page alone."""


def guarded(function: Callable[[], Any]) -> Any:
    """Call a function for an event of Gradio; an error of the user is shown in the page."""
    try:
        return function()
    except UserError as error:
        raise gr.Error(str(error), print_exception=False) from error
    except OSError as error:
        raise gr.Error(str(system_error(error)), print_exception=False) from error
