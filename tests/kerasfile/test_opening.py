"""Opening networks: honest ones come out as they went in, and nothing else in the package opens any."""

import json
import re
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers, ops
from keras_files import HONEST, function, write

import fashionprobe
from fashionprobe.backbones import mini, nets
from fashionprobe.errors import UserError
from fashionprobe.kerasfile import opening


def with_head(base):
    image = keras.Input((32, 32, 3))
    x = layers.GlobalAveragePooling2D()(base(layers.Rescaling(1 / 255)(image)))
    return keras.Model(image, layers.Dense(3, "softmax")(x))


def mobilenet():
    return keras.applications.MobileNet(weights=None, include_top=False, input_shape=(32, 32, 3), alpha=0.25)


def compiled():
    base = keras.Sequential([keras.Input((32, 32, 3)), layers.Conv2D(4, 3, activation="relu")])
    base.compile("sgd", "mse")
    model = with_head(base)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(np.zeros((2, 32, 32, 3)), np.zeros(2), verbose=0)
    return model


def of_policy(name):
    with_policy = keras.config.dtype_policy().name
    keras.config.set_dtype_policy(name)
    try:
        return with_head(mobilenet())
    finally:
        keras.config.set_dtype_policy(with_policy)


def quantized(mode):
    model = keras.Sequential([keras.Input((8, 8, 3)), layers.Flatten(), layers.Dense(8, "relu"), layers.Dense(4)])
    for layer in model.layers[1:]:
        layer.quantize(mode)
    return model


def sequential():
    inner = keras.Sequential([layers.Conv2D(4, 3, activation="relu"), layers.MaxPooling2D()])
    return keras.Sequential([keras.Input((16, 16, 3)), layers.RandomFlip(), inner, layers.Flatten(), layers.Dense(3)])


def of_operations():
    image = keras.Input((16, 16, 3))
    x = ops.pad(ops.cast(image, "float32"), [[0, 0], [1, 1], [1, 1], [0, 0]])
    x = layers.Conv2D(8, 3, kernel_regularizer="l2", activation=layers.LeakyReLU())(x * np.array([1, 2, 3], "float32"))
    x = ops.concatenate([ops.relu(x[:, 1:-1]), ops.flip(x[:, 1:-1], 1)], -1)
    x = ops.reshape(x, (-1, 14 * 16, 16))
    x = layers.LayerNormalization()(x + layers.MultiHeadAttention(2, 8)(x, x))
    return keras.Model(image, layers.Dense(3)(ops.mean(x, axis=1)))


def with_layers():
    image = keras.Input((8, 8, 3))
    x = layers.SpectralNormalization(layers.Conv2D(4, 3))(image)
    x = layers.PReLU(shared_axes=[1, 2])(layers.GroupNormalization(2)(x))
    x = layers.SeparableConv2D(4, 3, depthwise_constraint=keras.constraints.MaxNorm(2))(x)
    x = layers.Reshape((-1, 4))(layers.Conv2DTranspose(4, 3, strides=2)(x))
    return keras.Model(image, layers.Bidirectional(layers.LSTM(3))(x))


HONEST_MODELS = {
    # Each with or without its classifier: both halves of both would tell nothing more.
    **{
        f"{name}-{top}": (lambda name=name, top=top: getattr(keras.applications, name)(weights=None, include_top=top))
        for name, top in (("MobileNet", True), ("MobileNetV3Small", False), ("EfficientNetB0", True))
    },
    **{name: build for name, (build, _) in nets.NETS.items() if not name.startswith("resnet")},
    "mini": mini.build, "compiled": compiled, "sequential": sequential, "operations": of_operations,
    "layers": with_layers,
    **{name: (lambda name=name: of_policy(name)) for name in ("mixed_float16", "mixed_bfloat16")},
    **{mode: (lambda mode=mode: quantized(mode)) for mode in ("int8", "int4")},
}  # fmt: skip


@pytest.mark.parametrize("name", HONEST_MODELS)
def test_honest_networks_come_out_as_they_went_in(name, tmp_path):
    model = HONEST_MODELS[name]()
    model.save(tmp_path / "a.keras")
    graph = opening.header(tmp_path / "a.keras")
    assert graph.is_measured
    loaded = opening.load_model(tmp_path / "a.keras")
    assert not loaded.compiled
    for mine, theirs in zip(loaded.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    sides = [side or 32 for side in model.input_shape[1:]]
    image = np.random.default_rng(0).uniform(0, 255, (1, *sides)).astype(np.float32)
    np.testing.assert_array_equal(loaded(image, training=False), model(image, training=False))


def test_a_class_that_this_program_registered(tmp_path):
    @keras.saving.register_keras_serializable("fashionprobe_tests")
    class Scaled(layers.Layer):
        def __init__(self, factor=1, **options):
            super().__init__(**options)
            self.factor = factor

        def call(self, x):
            return x * self.factor

        def get_config(self):
            return {**super().get_config(), "factor": self.factor}

    @keras.saving.register_keras_serializable("fashionprobe_tests")
    class Subclass(keras.Model):
        pass

    image = keras.Input((8, 8, 3))
    Subclass(image, layers.Conv2D(2, 3)(Scaled(3)(image))).save(tmp_path / "a.keras")
    loaded = opening.load_model(tmp_path / "a.keras")
    assert type(loaded) is Subclass
    assert loaded.layers[1].factor == 3


def test_keras_is_given_what_was_judged_and_nothing_else(tmp_path, monkeypatch):
    given = {}

    def load(path, **options):
        with zipfile.ZipFile(path) as archive:
            given.update(config=json.loads(archive.read("config.json")), names=archive.namelist(), **options)
        return keras.Sequential()

    monkeypatch.setattr(keras.saving, "load_model", load)
    config = {**HONEST, "compile_config": {"loss": function("builtins", "eval")}}
    path = write(tmp_path / "a.keras", config)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("assets/vocabulary.txt", "x")
    opening.load_model(path)
    assert given["names"] == ["config.json", "metadata.json", "model.weights.h5"]
    assert "compile_config" not in given["config"]
    assert (given["compile"], given["safe_mode"]) == (False, True)


def test_trust_opens_code(tmp_path):
    image = keras.Input((8, 8, 3))
    keras.Model(image, layers.Lambda(lambda x: x / 255)(image)).save(tmp_path / "a.keras")
    with pytest.raises(UserError, match=r"keras\.layers\.Lambda in layer lambda"):
        opening.load_model(tmp_path / "a.keras")
    assert opening.load_model(tmp_path / "a.keras", trust=True)(np.full((1, 8, 8, 3), 255.0)).numpy().max() == 1


def test_what_keras_refuses_is_said_in_one_line(tmp_path):
    config = json.loads(json.dumps(HONEST))
    config["config"]["layers"][1]["config"]["padding"] = "nowhere"
    with pytest.raises(UserError) as caught:
        opening.load_model(write(tmp_path / "a.keras", config))
    text = str(caught.value)
    assert text.startswith(f"`backbone` must be a .keras file that the installed Keras can load. Received: '{tmp_path}")
    assert text.isprintable()
    assert len(text) < 400


ROADS = re.compile(r"\bload_model\(|model_from_json|model_from_config|deserialize_keras_object|saving\.deserialize")
WEIGHTS = re.compile(r"\.load_weights\(")


def test_there_is_one_road_to_a_model():
    root = Path(fashionprobe.__file__).parents[1]
    files = [path for folder in ("fashionprobe", "pipelines", "benchmarks") for path in (root / folder).rglob("*.py")]
    assert len(files) > 200
    roads = {
        path.relative_to(root).as_posix()
        for path in files
        if any(ROADS.search(line) and "opening.load_model(" not in line for line in path.read_text().splitlines())
    }
    assert roads == {"fashionprobe/kerasfile/opening.py"}
    own = {"fashionprobe/training/fit.py", "fashionprobe/stages/refit/results.py", "fashionprobe/backbones/backbone.py"}
    weights = {
        path.relative_to(root).as_posix()
        for path in files
        if any(WEIGHTS.search(line) and "opening.load_weights(" not in line for line in path.read_text().splitlines())
    }
    # The first two read what the same process wrote; the third those that come with the package.
    assert weights == {"fashionprobe/kerasfile/opening.py", *own}
