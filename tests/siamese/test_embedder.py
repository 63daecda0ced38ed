import keras
import numpy as np
import pytest
import tensorflow as tf

from fashionprobe import backbones
from fashionprobe.backbones.descriptors import extractor
from fashionprobe.errors import UserError
from fashionprobe.siamese.embedder import embedder

IMAGES = np.random.default_rng(0).uniform(0, 255, (3, 28, 28, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def light():
    return backbones.load("light_bn", weights="random")


def test_the_light_net_has_the_filters_of_light_model_but_pools_four_times():
    model = embedder(backbones.load("light", weights="random"), 2, pooling="flatten")
    kinds = [type(layer).__name__ for layer in model.layers if layer.count_params() or "Pool" in type(layer).__name__]
    assert kinds == ["Conv2D", "MaxPooling2D"] * 4 + ["Dense"]
    # 3x3 convolutions of one grey channel to 4, 8, 16 and 32, and 32 values to 2, each with a bias.
    sizes = [9 * before * after + after for before, after in ((1, 4), (4, 8), (8, 16), (16, 32))]
    assert model.count_params() == sum(sizes) + 32 * 2 + 2


def test_the_embedding_is_the_last_block_of_the_saved_network(light, tmp_path):
    model = embedder(light, 5, pooling="flatten", hidden=7, unit_norm=True)
    model.save(tmp_path / "model.keras")
    loaded = backbones.load(str(tmp_path / "model.keras"))
    assert loaded.taps == ("block1_out", "block2_out", "block3_out", "block4_out", "embedding")
    first, last = extractor(loaded, [1, 5])(tf.constant(IMAGES))
    assert first.shape == (3, 4)
    np.testing.assert_allclose(last, model(IMAGES), atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(last, axis=1), 1, rtol=1e-5)


def test_frozen_blocks_have_no_trainable_weights(light):
    model = embedder(light, 4, freeze=2)
    names = {weight.path.split("/")[0] for weight in model.trainable_weights}
    assert names == {"block3_conv", "block3_bn", "block4_conv", "block4_bn", "embedding"}
    assert all(layer.trainable for layer in light.model.layers)


def test_the_average_of_the_map_is_read():
    backbone = backbones.load("symbol", weights="random", size=(28, 28))
    model = embedder(backbone, 3)
    assert isinstance(model.get_layer("descriptor"), keras.layers.GlobalAveragePooling2D)
    assert model.get_layer("embedding").kernel.shape == (64, 3)


def test_the_seed_draws_the_head(light):
    first, again, other = (
        np.asarray(embedder(light, 4, seed=seed).get_layer("embedding").kernel) for seed in (1, 1, 2)
    )
    assert (first == again).all() and (first != other).any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dimension": 1}, r"`dimension` must be an int in the range \[2, 512\]. Received: 1"),
        ({"dimension": 513}, r"Received: 513"),
        ({"freeze": 5}, r"`freeze` must be in 0 to 4, the blocks of light_bn. Received: 5"),
    ],
)
def test_bad_arguments(light, arguments, message):
    with pytest.raises(UserError, match=message):
        embedder(light, **{"dimension": 4, **arguments})


def test_images_too_small_for_the_net():
    with pytest.raises(UserError, match=r"`size` must be large enough for light_bn. Received: \[8, 8\]"):
        embedder(backbones.load("light_bn", weights="random", size=(8, 8)), 4)


def test_augmentation_is_in_the_network_to_train_alone(light):
    from fashionprobe.training import augment
    from fashionprobe.training.classifier import without_augmentation

    model = embedder(light, 3, augment=augment.layers(["flip"], seed=0))
    plain = without_augmentation(model)
    names = [layer.name for layer in model.layers]
    assert names[1] == "augment_flip" and [layer.name for layer in plain.layers] == [names[0], *names[2:]]
    np.testing.assert_allclose(plain(IMAGES, training=False), model(IMAGES, training=False), atol=1e-6)
