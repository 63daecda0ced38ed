"""Masks of irrelevant regions: read from files, computed, and drawn by a person."""

from fashionprobe.lazy import modules_of

__getattr__, __dir__ = modules_of(__name__)
