"""Masks of irrelevant regions: read from files, computed, and drawn by a person."""

from fashionprobe.lazy import names_of

__getattr__, __dir__ = names_of(__name__)
