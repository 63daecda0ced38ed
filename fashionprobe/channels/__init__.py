"""What one channel of a layer does: the images that activate it, what it selects, how much it matters."""

from fashionprobe.lazy import names_of

__getattr__, __dir__ = names_of(__name__)
