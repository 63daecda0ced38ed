"""Images that a channel, a neuron or a class responds to most, by gradient ascent on the pixels."""

from fashionprobe.lazy import modules_of

__getattr__, __dir__ = modules_of(__name__)
