"""fashionprobe: understand, use and correct what trained convnets know, shown on fashion images.

From a notebook: `fashionprobe.explain`, `.attributes`, `.feedback` and `.siamese`; `fashionprobe.stages` holds the
commands as functions. `fashionprobe.Searcher` searches in the index of a run, `fashionprobe.refit` corrects a model.
"""

from typing import TYPE_CHECKING

from fashionprobe.lazy import names_of

if TYPE_CHECKING:
    from fashionprobe.backbones import load as load_backbone
    from fashionprobe.inputs.refit_arrays import refit
    from fashionprobe.inputs.searcher import Searcher

__all__ = ["Searcher", "load_backbone", "refit"]

__version__ = "0.1.0"

__getattr__, __dir__ = names_of(__name__)
