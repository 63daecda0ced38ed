"""Training of a classifier on top of a backbone: classes, network, augmentation, the fit itself, its scores."""

from fashionprobe.lazy import names_of

__getattr__, __dir__ = names_of(__name__)
