"""Networks with named blocks: built, loaded from files, cut, copied, and read as descriptors."""

from typing import TYPE_CHECKING

from fashionprobe.lazy import names_of

if TYPE_CHECKING:
    from fashionprobe.backbones.backbone import Backbone, load, on_pixels, preprocessed, randomized

__all__ = ["Backbone", "load", "on_pixels", "preprocessed", "randomized"]

__getattr__, __dir__ = names_of(__name__)
