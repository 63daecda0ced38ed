"""See what a trained network looks at: every method takes a Keras model and returns a function of a batch of images."""

from fashionprobe.lazy import modules_of

__getattr__, __dir__ = modules_of(__name__)
