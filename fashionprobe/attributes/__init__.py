"""Descriptors -> answers: what a block knows about an attribute."""

from fashionprobe.lazy import modules_of

__getattr__, __dir__ = modules_of(__name__)
