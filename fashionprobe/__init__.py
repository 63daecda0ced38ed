"""fashionprobe: understand, use and correct what trained convnets know, shown on fashion images."""

__version__ = "0.1.0"
