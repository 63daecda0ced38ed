"""Images and labels as sharded TFRecord files: where they come from, how they are written, how they are read."""

from fashionprobe.lazy import names_of

__getattr__, __dir__ = names_of(__name__)
