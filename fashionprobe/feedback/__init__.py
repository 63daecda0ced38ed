"""Correcting a trained network: an expert's masks of irrelevant regions change what it looks at."""

from fashionprobe.lazy import modules_of

__getattr__, __dir__ = modules_of(__name__)
