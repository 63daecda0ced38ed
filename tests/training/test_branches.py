import keras
import numpy as np
import pytest
from keras import layers

from fashionprobe import backbones
from fashionprobe.kerasfile import opening
from fashionprobe.training.branches import first_output, one_output, with_branch
from fashionprobe.training.classifier import classifier, finished

IMAGES = np.random.default_rng(0).uniform(0, 255, (5, 16, 16, 3)).astype(np.float32)


@pytest.fixture
def first(tmp_path):
    """A finished classifier of three classes, with batch normalisation and a residual sum in its second block."""
    keras.utils.set_random_seed(1)
    image = keras.Input((16, 16, 3), name="image")
    x = layers.Rescaling(1 / 255)(image)
    x = layers.BatchNormalization(name="bn_1")(layers.Conv2D(4, 3, padding="same", name="conv_1")(x))
    x = layers.MaxPooling2D()(layers.ReLU(name="block1_out")(x))
    y = layers.BatchNormalization(name="bn_2")(layers.Conv2D(4, 3, padding="same", name="conv_2")(x))
    x = layers.ReLU(name="block2_out")(layers.Add(name="sum")([x, y]))
    x = layers.Softmax(name="probabilities")(layers.Dense(3, name="logits")(layers.GlobalAveragePooling2D()(x)))
    model = keras.Model(image, x)
    random = np.random.default_rng(2)
    model.set_weights([random.uniform(0.2, 1, weight.shape) for weight in model.get_weights()])
    model.save(tmp_path / "first.keras")
    return backbones.load(str(tmp_path / "first.keras"), preprocessing="none", classifier=True)


def of_four_classes(backbone, after, blocks, seed=0):
    """A classifier of another label, whose layers above `after` have weights of their own."""
    model = finished(classifier(backbone, 4, blocks=blocks, freeze=after, seed=seed))
    if after == 1:
        model.get_layer("conv_2").kernel.assign(model.get_layer("conv_2").kernel * 0.5)
    return model


@pytest.mark.parametrize(("after", "blocks"), [(2, [2]), (1, [1, 2])])
def test_outputs_are_those_of_the_separate_networks_bit_by_bit(first, after, blocks, tmp_path):
    other = of_four_classes(first, after, blocks)
    network = with_branch(first_output(first.model, "kind"), other, label="fabric", after=f"block{after}_out")
    third = of_four_classes(first, 2, [1, 2], seed=5)
    network = with_branch(network, third, label="a b", after="block2_out")
    network.save(tmp_path / "model.keras")
    read = opening.load_model(tmp_path / "model.keras")
    found = [network(IMAGES, training=False), read(IMAGES, training=False)]
    compiled = read.predict(IMAGES, verbose=0)
    assert set(compiled) == {"kind", "fabric", "a b"}
    for label, separate in (("kind", first.model), ("fabric", other), ("a b", third)):
        for outputs in found:
            np.testing.assert_array_equal(outputs[label], separate(IMAGES, training=False))
        np.testing.assert_array_equal(compiled[label], separate.predict(IMAGES, verbose=0))


def test_the_trunk_is_shared_and_the_branch_has_copies_of_what_follows(first):
    network = first_output(first.model, "kind")
    names = [layer.name for layer in with_branch(network, of_four_classes(first, 1, [2]), label="x",
                                                 after="block1_out").layers if layer.weights]  # fmt: skip
    own = ["branch1.bn_2", "branch1.conv_2", "branch1.logits"]
    assert sorted(names) == ["bn_1", "bn_2", *own, "conv_1", "conv_2", "logits"]
    alone = with_branch(network, of_four_classes(first, 2, [2]), label="x", after="block2_out")
    assert alone.count_params() == first.model.count_params() + 4 * 4 + 4


def test_one_output_is_a_classifier_with_plain_names(first):
    other = of_four_classes(first, 1, [1, 2])
    network = with_branch(first_output(first.model, "kind"), other, label="fabric", after="block1_out")
    part = one_output(network, "fabric")
    assert {layer.name for layer in part.layers} == {layer.name for layer in other.layers}
    np.testing.assert_array_equal(part(IMAGES, training=False), other(IMAGES, training=False))
    np.testing.assert_array_equal(one_output(network, "kind")(IMAGES), first.model(IMAGES))
