"""Images that a channel, a neuron or a class responds to most, by gradient ascent on the pixels."""

from fashionprobe.lazy import names_of

__getattr__, __dir__ = names_of(__name__)
