"""Images and a network that the tests of `explain` share."""

from networks import images, logits, network  # noqa: F401
