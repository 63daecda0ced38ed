"""Pictures on a grid, similar ones side by side: how to lay them out, and how well a layout keeps what is near."""

from fashionprobe.lazy import names_of

__getattr__, __dir__ = names_of(__name__)
