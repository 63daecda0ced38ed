"""The self-contained HTML report."""

from fashionprobe.lazy import modules_of

__getattr__, __dir__ = modules_of(__name__)
