"""The self-contained HTML report."""

from fashionprobe.lazy import names_of

__getattr__, __dir__ = names_of(__name__)
