"""Pictures on a grid, like beside like: how to lay them out, and how well a layout keeps what is near."""

from fashionprobe.lazy import modules_of

__getattr__, __dir__ = modules_of(__name__)
