"""Training of a classifier on top of a backbone: classes, network, augmentation, the fit itself, its scores."""
