"""Images and a network that the tests of `channels` share."""

from networks import images, logits, network  # noqa: F401
