import keras
import numpy as np
import pytest
from keras import layers

from fashionprobe import backbones
from fashionprobe.backbones.preprocessing import PREPROCESSING
from fashionprobe.errors import UserError
from fashionprobe.training import augment
from fashionprobe.training.classifier import LOGITS, classifier, finished, head, preprocessed

IMAGES = np.random.default_rng(0).uniform(0, 255, (4, 32, 24, 3)).astype(np.float32)


@pytest.fixture
def backbone(tmp_path):
    """Two blocks with batch normalisation, `first` and `second`, and weights that are not those of a fresh layer."""
    keras.utils.set_random_seed(1)
    image = keras.Input((None, None, 3))
    x = layers.Conv2D(4, 3, padding="same", name="conv_1")(image)
    x = layers.BatchNormalization(name="bn_1")(x)
    x = layers.ReLU(name="first")(x)
    x = layers.MaxPooling2D()(x)
    x = layers.Conv2D(6, 3, padding="same", name="conv_2")(x)
    x = layers.BatchNormalization(name="bn_2")(x)
    model = keras.Model(image, layers.ReLU(name="second")(x))
    random = np.random.default_rng(2)
    model.set_weights([random.uniform(0.2, 1, weight.shape) for weight in model.get_weights()])
    model.save(tmp_path / "two.keras")
    return backbones.load(str(tmp_path / "two.keras"), preprocessing="torch", size=(32, 24))


def by_hand(backbone, model, blocks):
    """Logits from the backbone's own maps and the head's weights."""
    pixels = backbone.preprocessing(IMAGES)
    taps = keras.Model(backbone.model.input, [backbone.model.get_layer(backbone.taps[b - 1]).output for b in blocks])
    maps = keras.tree.flatten(taps(pixels, training=False))
    descriptor = np.concatenate([np.asarray(each).mean(axis=(1, 2)) for each in maps], axis=1)
    kernel, bias = model.get_layer(LOGITS).get_weights()
    return descriptor @ kernel + bias


@pytest.mark.parametrize("blocks", [[2], [1, 2]])
def test_logits_are_pooled_maps_times_the_dense_layer(backbone, blocks):
    model = classifier(backbone, 5, blocks=blocks, seed=3)
    np.testing.assert_allclose(model(IMAGES, training=False), by_hand(backbone, model, blocks), rtol=1e-4, atol=1e-5)
    assert not any(isinstance(layer, keras.Model) for layer in model.layers)
    assert model.input_shape == (None, 32, 24, 3)


def test_without_a_bias_the_logits_are_the_pooled_maps_times_the_kernel(backbone):
    model = classifier(backbone, 5, blocks=[2], bias=False, seed=3)
    (kernel,) = model.get_layer(LOGITS).get_weights()
    with_bias = classifier(backbone, 5, blocks=[2], seed=3)
    np.testing.assert_array_equal(kernel, with_bias.get_layer(LOGITS).get_weights()[0])
    np.testing.assert_allclose(model(IMAGES), with_bias(IMAGES), rtol=1e-5, atol=1e-6)
    assert len(head(6, 5, bias=False).get_layer(LOGITS).weights) == 1
    probabilities = finished(model)(IMAGES)
    np.testing.assert_allclose(np.sum(probabilities, axis=1), 1, rtol=1e-5)


def test_the_finished_network_gives_probabilities_and_survives_a_file(backbone, tmp_path):
    random = augment.layers(["flip", "shift"], seed=0)
    model = classifier(backbone, 5, blocks=[1, 2], freeze=1, dropout=0.5, augment=random, dtype="mixed_bfloat16")
    dense = model.get_layer(LOGITS)
    dense.set_weights([0.01 * weight for weight in dense.get_weights()])  # probabilities between 0 and 1
    done = finished(model)
    done.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    logits = by_hand(backbone, model, [1, 2])
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(again.predict(IMAGES, verbose=0), expected, rtol=1e-4, atol=1e-6)
    # Also in training nothing random is left but the dropout, and nothing is frozen or of mixed precision.
    assert not [layer.name for layer in again.layers if "augment" in layer.name]
    assert all(layer.trainable and layer.dtype_policy.name == "float32" for layer in again.layers)
    assert [layer.name for layer in again.layers[-2:]] == [LOGITS, "probabilities"]


def test_a_finished_network_is_a_backbone_with_the_same_blocks(backbone, tmp_path):
    path = tmp_path / "model.keras"
    finished(classifier(backbone, 5, blocks=[2])).save(path)
    again = backbones.load(str(path))
    assert (again.taps, again.size) == (backbone.taps, (32, 24))
    assert again.preprocessing == PREPROCESSING["none"]


@pytest.mark.parametrize("freeze", [0, 1, 2])
def test_frozen_blocks_and_their_batch_normalisation_stay_and_the_rest_moves(backbone, freeze):
    model = classifier(backbone, 3, blocks=[2], freeze=freeze)
    before = {layer.name: layer.get_weights() for layer in model.layers if layer.weights}
    model.compile(keras.optimizers.SGD(0.1), loss=keras.losses.CategoricalCrossentropy(from_logits=True))
    model.fit(IMAGES, np.eye(3)[[0, 1, 2, 0]], verbose=0)
    moved = {
        name for name, old in before.items()
        if any((new != was).any() for new, was in zip(model.get_layer(name).get_weights(), old, strict=True))
    }  # fmt: skip
    blocks = [{"conv_1", "bn_1"}, {"conv_2", "bn_2"}]
    assert moved == {LOGITS}.union(*blocks[freeze:])


def test_the_backbone_itself_is_not_touched(backbone):
    before = [layer.trainable for layer in backbone.model.layers]
    classifier(backbone, 3, blocks=[2], freeze=2)
    assert [layer.trainable for layer in backbone.model.layers] == before


def test_head_and_classifier_start_alike(backbone):
    whole, alone = classifier(backbone, 5, blocks=[1, 2], seed=9), head(10, 5, seed=9)
    for one, other in zip(whole.get_layer(LOGITS).get_weights(), alone.get_layer(LOGITS).get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", ["tf", "torch", "caffe"])
def test_preprocessing_in_the_graph_is_that_of_keras(name):
    image = keras.Input((32, 24, 3))
    found = keras.Model(image, preprocessed(image, PREPROCESSING[name]))(IMAGES)
    expected = keras.applications.imagenet_utils.preprocess_input(IMAGES.copy(), mode=name)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"blocks": [3]}, "`block` must be in 1 to 2 for two.keras. Received: 3. Leave --block out for the last "
         "one."),
        ({"blocks": [1], "freeze": 2}, "`freeze` must be in 0 to 1, the deepest block in use. Received: 2. 0 trains "
         "all of the network, the deepest block trains the head alone."),
        ({"blocks": [2], "freeze": -1}, "`freeze` must be in 0 to 2, the deepest block in use. Received: -1. 0 trains "
         "all of the network, the deepest block trains the head alone."),
    ],
)  # fmt: skip
def test_blocks_that_are_not_there_are_refused(backbone, options, message):
    with pytest.raises(UserError) as caught:
        classifier(backbone, 3, **options)
    assert str(caught.value) == message
