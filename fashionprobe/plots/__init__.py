"""Figures, drawn with matplotlib and returned as `Figure`."""

from fashionprobe.lazy import modules_of

__getattr__, __dir__ = modules_of(__name__)
