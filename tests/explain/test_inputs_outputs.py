"""Networks with several inputs and outputs, subclassed ones, and layers that are used twice."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from fashionprobe.errors import UserError
from fashionprobe.explain import (
    CAM,
    Channel,
    Deletion,
    GradCAM,
    Gradient,
    IntegratedGradients,
    Occlusion,
    ScoreCAM,
    SmoothGrad,
    functional,
    methods,
)
from fashionprobe.explain.explained_model import flat

KERNEL = np.random.default_rng(5).normal(size=(4, 4, 1)).astype(np.float32)


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    return np.random.default_rng(0).random((3, 4, 4, 1), dtype=np.float32)


@pytest.fixture(scope="module")
def photos() -> np.ndarray:
    return np.random.default_rng(1).random((3, 12, 12, 3), dtype=np.float32)


def weighed() -> keras.Model:
    """The scores age * sum(KERNEL * photo) + height and its negative, and the mean: whose gradients are known."""
    photo, age = keras.Input((4, 4, 1), name="photo"), keras.Input((1,), name="age")
    height = keras.Input((), name="height")
    dense = layers.Dense(1, use_bias=False, name="weighed")
    total = dense(layers.Flatten()(photo)) * age + height[:, None]
    dense.set_weights([KERNEL.reshape(16, 1)])
    outputs = {"kind": keras.ops.concatenate([total, -total], axis=1), "light": keras.ops.mean(photo, (1, 2))}
    return keras.Model({"photo": photo, "age": age, "height": height}, outputs)


def two_towers(shared: bool = True) -> keras.Model:
    """How far the features of two photos are apart; the towers are one, or two whose layers have the same names."""

    def tower(name: str) -> keras.Model:
        image = keras.Input((12, 12, 3))
        x = layers.Conv2D(5, 3, activation="relu", name="conv")(image)
        return keras.Model(image, layers.GlobalAveragePooling2D(name="pool")(x), name=name)

    first = tower("left")
    second = first if shared else tower("right")
    a, b = keras.Input((12, 12, 3), name="a"), keras.Input((12, 12, 3), name="b")
    return keras.Model([a, b], layers.Dense(2, name="head")(keras.ops.abs(first(a) - second(b))))


@keras.saving.register_keras_serializable("tests")
class Subclassed(keras.Model):
    """A convolution, its mean over space and a dense layer."""

    def __init__(self, **options) -> None:
        super().__init__(**options)
        self.conv = layers.Conv2D(4, 3, activation="relu", name="conv")
        self.drop = layers.Dropout(0.5)
        self.scores = layers.Dense(3, name="scores")

    def call(self, x, training=False):
        return self.scores(self.drop(keras.ops.mean(self.conv(x), (1, 2)), training=training))


class OfDict(Subclassed):
    def call(self, inputs, training=False):
        return {"scores": super().call(inputs["photo"], training=training) * inputs["age"], "age": inputs["age"]}


class OfTwo(Subclassed):
    def call(self, photo, age, training=False):
        return super().call(photo, training=training) * age


class OfList(Subclassed):
    def call(self, inputs):
        return [inputs[1], super().call(inputs[0]) * inputs[1]]


class OfTensorFlow(Subclassed):
    def call(self, x):
        return self.scores(tf.reduce_mean(self.conv(x), axis=(1, 2)))


def twos(photos):
    return np.full((len(photos), 1), 2, np.float32)


def test_the_gradient_is_that_of_the_chosen_output_at_the_held_values(pixels):
    model = functional(weighed(), output="kind", inputs={"age": 3.0, "height": [7.0]})
    explainer = Gradient(model)
    np.testing.assert_allclose(explainer(pixels, 0), np.tile(3 * KERNEL, (3, 1, 1, 1)), rtol=1e-5)
    np.testing.assert_allclose(explainer(pixels, 1), np.tile(-3 * KERNEL, (3, 1, 1, 1)), rtol=1e-5)
    np.testing.assert_allclose(model(pixels)[:, 0], 3 * (pixels * KERNEL).sum((1, 2, 3)) + 7, rtol=1e-4)
    explainer.model.get_layer("age").value.assign([-2.0])
    np.testing.assert_allclose(explainer(pixels, 0), np.tile(-2 * KERNEL, (3, 1, 1, 1)), rtol=1e-5)
    light = functional(weighed(), input=2, output=1, inputs={"age": 0, "height": 0})
    np.testing.assert_allclose(Gradient(light)(pixels, 0), np.full((3, 4, 4, 1), 1 / 16), rtol=1e-6)


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("explained", ["a", "b"])
def test_a_tower_is_explained_beside_another_photo(shared, explained, photos):
    model = two_towers(shared)
    held = "b" if explained == "a" else "a"
    opened = functional(model, input=explained, inputs={held: photos[1]})
    given = {explained: photos, held: np.stack([photos[1]] * 3)}
    np.testing.assert_allclose(opened(photos), model([given["a"], given["b"]]), rtol=1e-5)
    explainer = GradCAM(opened, relu=False)
    maps = explainer(photos, 0)
    # Worked out on the user's own model, from the convolution on.
    tower = model.get_layer("left" if shared or explained == "a" else "right")
    other = model.get_layer("left" if shared or explained == "b" else "right")(given[held])
    with tf.GradientTape() as tape:
        features = tower.get_layer("conv")(photos)
        tape.watch(features)
        score = model.get_layer("head")(keras.ops.abs(tf.reduce_mean(features, (1, 2)) - other))[:, 0]
    weights = tf.reduce_mean(tape.gradient(score, features), (1, 2))
    np.testing.assert_allclose(maps, np.einsum("bhwd,bd->bhw", features, weights), rtol=1e-4, atol=1e-6)
    assert np.abs(maps[0]).max() > 0
    if shared:
        assert (explainer.layer, len(tower.get_layer("conv")._inbound_nodes)) == ("conv", 1)
        np.testing.assert_array_equal(maps[1], 0)  # a photo and itself


@pytest.mark.parametrize("method", methods.METHODS)
def test_every_method_takes_one_of_several_inputs_and_outputs(method, photos):
    photo, age = keras.Input((12, 12, 3), name="photo"), keras.Input((1,), name="age")
    x = layers.Conv2D(4, 3, activation="relu", name="conv")(photo)
    pooled = layers.GlobalAveragePooling2D()(x)
    positive = keras.initializers.RandomUniform(0.1, 1.0, seed=1)
    colour = layers.Dense(3, activation="softmax", kernel_initializer=positive, name="colour")(pooled)
    model = keras.Model([photo, age], [colour, layers.Dense(2, name="old")(age)])
    options = {**methods.quick_options(method, (12, 12)), **({"channels": 2} if method == "score_cam" else {})}
    opened = functional(model, output="colour", inputs={"age": 1})
    raw = methods.explainer(method, opened, **options)(photos[:1], 1)
    expected = methods.explainer(method, keras.Model(photo, colour), **options)(photos[:1], 1)
    np.testing.assert_allclose(raw, expected, rtol=1e-4, atol=1e-6)
    assert np.abs(raw).max() > 0


@pytest.mark.parametrize(
    ("make", "given", "options", "output"),
    [
        (Subclassed, lambda x: (x,), {}, None),
        (OfDict, lambda x: ({"photo": x, "age": twos(x)},), {"inputs": {"age": 2}}, "scores"),
        (OfTwo, lambda x: (x, twos(x)), {"inputs": {"age": [2.0]}}, None),
        (OfList, lambda x: ([x, twos(x)],), {"inputs": {"1": 2}}, 1),
    ],
)  # fmt: skip
def test_a_subclassed_model_is_explained_by_its_layers(make, given, options, output, photos):
    model = make()
    expected = model(*given(photos))
    expected = expected if output is None else expected[output]
    opened = functional(model, output=output, **options)
    np.testing.assert_allclose(opened(photos), expected, rtol=1e-5)
    explainer = GradCAM(opened)
    assert (explainer.layer, explainer(photos).shape) == ("conv", (3, 10, 10))
    assert GradCAM(opened, model.conv, target=Channel("scores", 0))(photos).shape == (3, 10, 10)
    # Nothing is noted in the user's model, and what it learns shows.
    assert [model.conv._inbound_nodes, model.scores._outbound_nodes] == [[], []]
    model.scores.set_weights([2 * weight for weight in model.scores.get_weights()])
    np.testing.assert_allclose(explainer.model(photos), 2 * expected, rtol=1e-5)


def test_a_subclassed_model_needs_no_further_word(photos):
    model = Subclassed()
    with pytest.raises(UserError, match=r"was called before. Received: Subclassed. Call it once on a batch"):
        GradCAM(model)
    model(photos)
    assert GradCAM(model)(photos).shape == CAM_SHAPE
    assert Deletion(model, steps=2)(photos, np.ones((3, 12, 12))).auc.shape == (3,)
    image = keras.Input((12, 12, 3))
    around = keras.Model(image, layers.Dense(2)(model(image)))
    explainer = GradCAM(around)
    assert (explainer.layer, explainer(photos).shape) == ("conv", CAM_SHAPE)
    np.testing.assert_allclose(explainer.model(photos), around(photos), rtol=1e-5)


CAM_SHAPE = (3, 10, 10)


def test_a_call_of_tensorflow_is_explained_without_layers(photos, caplog):
    model = OfTensorFlow(name="with_tf")
    model(photos)
    with tf.GradientTape() as tape:
        tape.watch(images := tf.constant(photos))
        score = model(images)[:, 1]
    np.testing.assert_allclose(Gradient(model)(photos, 1), tape.gradient(score, images), rtol=1e-4, atol=1e-7)
    assert "The layers of with_tf cannot be seen" in caplog.text
    assert "KerasTensor cannot be used as input to a TensorFlow function" in caplog.text
    for method in (Occlusion(model), SmoothGrad(model, samples=1), IntegratedGradients(model, steps=1)):
        assert np.isfinite(method(photos[:1])).all()
    for cannot in (GradCAM, CAM, ScoreCAM):
        with pytest.raises(UserError, match=r"`model` must be .*Received: .*with_tf"):
            cannot(model)


def test_a_layer_that_is_used_twice_is_two(photos):
    image, conv = keras.Input((12, 12, 3)), layers.Conv2D(3, 3, padding="same", activation="relu", name="twice")
    pooled = layers.GlobalAveragePooling2D()(conv(conv(image)))
    model = keras.Model(image, layers.Dense(2, name="scores")(pooled))
    opened = flat(model)
    assert [layer.name for layer in opened.layers][1:3] == ["twice", "twice_2"]
    np.testing.assert_allclose(opened(photos), model(photos), rtol=1e-5)
    # CAM at the second use, from the weights.
    second, kernel = conv(conv(photos)), np.asarray(model.get_layer("scores").kernel)
    np.testing.assert_allclose(
        CAM(model, relu=False)(photos, 1), np.einsum("bhwd,d->bhw", second, kernel[:, 1]), rtol=1e-4, atol=1e-6
    )
    assert Gradient(model, target=Channel("twice_2", 0))(photos).any()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: GradCAM(weighed()), r"one input. Received: 3: age \(batch, 1\), height \(batch\), photo \(bat"),
        (lambda: functional(weighed()), r"`inputs` is missing: photo is explained, and the model also takes age"),
        (lambda: functional(weighed(), inputs={"age": 1, "height": 1}), "`output` is missing.* 2 outputs: kind, light"),
        (lambda: functional(weighed(), input="photos"), r"`input` must be one of .*age .*photo.*Received: 'photos'"),
        (lambda: functional(weighed(), input=3), "`input` must be one of .* or its position. Received: 3"),
        (lambda: functional(weighed(), inputs={"size": 1}), "`inputs` must be values for age, height. Received: size"),
        (lambda: functional(weighed(), inputs={"age": "old", "height": 1}), "numbers for age. Received: 'old'"),
        (
            lambda: functional(weighed(), inputs={"age": np.ones((3, 1)), "height": 1}),
            r"shape \[1\], for age. Received: shape \[3, 1\]. Image by image: .*get_layer\(\"age\"\)",
        ),
        (
            lambda: functional(weighed(), output="knd", inputs={"age": 1, "height": 1}),
            "`output` must be one of the model's, kind, light, or its position. Received: 'knd'",
        ),
        (lambda: functional(two_towers()), r"`input` is missing: .* a \(batch, 12, 12, 3\), b .*Choose the image"),
        (lambda: functional("model.keras"), "`model` must be a Keras model. Received: str"),
    ],
)  # fmt: skip
def test_what_is_missing_is_named(call, message):
    with pytest.raises(UserError, match=message):
        call()
