"""Siamese networks: triplets, their losses, batches of them, and what the embeddings are worth."""

from fashionprobe.lazy import modules_of

__getattr__, __dir__ = modules_of(__name__)
