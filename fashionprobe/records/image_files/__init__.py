"""Image files as they come: what their headers say, and their pixels."""

from fashionprobe.lazy import modules_of

__getattr__, __dir__ = modules_of(__name__)
