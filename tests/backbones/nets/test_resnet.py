import keras
import numpy as np
import pytest

from fashionprobe import backbones
from fashionprobe.backbones import nets


@pytest.mark.parametrize(("name", "published", "depth"), [("resnet18", 11_689_512, 18), ("resnet34", 21_797_672, 34)])
def test_as_large_as_published(name, published, depth):
    model = nets.NETS[name][0]()
    trainable = sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)
    # The published number counts the dense layer of 1,000 classes.
    assert trainable == published - 513_000
    convolutions = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    shortcuts = [layer for layer in convolutions if layer.kernel_size == (1, 1)]
    assert len(convolutions) - len(shortcuts) + 1 == depth and len(shortcuts) == 3


def test_blocks_and_their_maps():
    backbone = backbones.load("resnet18", weights="random")
    outputs = [backbone.model.get_layer(tap).output for tap in backbone.taps]
    spec = keras.Model(backbone.model.input, outputs).compute_output_spec(keras.KerasTensor((1, 224, 224, 3)))
    assert [each.shape[1:] for each in spec] == [
        (112, 112, 64), (56, 56, 64), (28, 28, 128), (14, 14, 256), (7, 7, 512),
    ]  # fmt: skip


def test_pixels_are_scaled_as_published_weights_expect():
    layer = nets.NETS["resnet18"][0]().get_layer("rescaling")
    pixels = np.array([[[[124.0, 116.0, 104.0]]]], np.float32)
    expected = (pixels / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    np.testing.assert_allclose(layer(pixels), expected, atol=1e-5)
