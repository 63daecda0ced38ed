"""Correcting a trained network: an expert's masks of irrelevant regions change what it looks at.

`PAS` and `PASA` are Keras losses for `fit`; `replace_regions` changes the images instead.
"""

from typing import TYPE_CHECKING

from fashionprobe.lazy import names_of

if TYPE_CHECKING:
    from fashionprobe.feedback.losses import PAS, PASA
    from fashionprobe.feedback.masks.regions import at_tap
    from fashionprobe.feedback.replace import replace_regions

__all__ = ["PAS", "PASA", "at_tap", "replace_regions"]

__getattr__, __dir__ = names_of(__name__)
