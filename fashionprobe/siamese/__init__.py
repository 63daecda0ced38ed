"""Siamese networks: triplets, their losses, batches of them, and what the embeddings are worth."""

from typing import TYPE_CHECKING

from fashionprobe.lazy import names_of

if TYPE_CHECKING:
    from fashionprobe.siamese.evaluate import class_auc
    from fashionprobe.siamese.losses import TripletLoss
    from fashionprobe.siamese.sampling import balanced

__all__ = ["TripletLoss", "balanced", "class_auc"]

__getattr__, __dir__ = names_of(__name__)
