"""fashionprobe: understand, use and correct what trained convnets know, shown on fashion images."""

from fashionprobe.lazy import modules_of

__version__ = "0.1.0"

__getattr__, __dir__ = modules_of(__name__)
