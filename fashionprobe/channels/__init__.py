"""What one channel of a layer does: the images that activate it, what it selects, how much it matters."""

from fashionprobe.lazy import modules_of

__getattr__, __dir__ = modules_of(__name__)
