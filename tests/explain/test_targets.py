"""What a heatmap or a picture may be made for."""

import keras

from fashionprobe.explain import Channel, Neuron


def test_a_layer_stands_for_its_name():
    layer = keras.layers.Conv2D(4, 3, name="first")
    assert Channel(layer, 2) == Channel("first", 2)
    assert Neuron(layer, 2, 0, 1) == Neuron("first", 2, 0, 1)
