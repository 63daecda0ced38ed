"""Image files as they come: what their headers say, and their pixels."""

from fashionprobe.lazy import names_of

__getattr__, __dir__ = names_of(__name__)
