"""A Keras model corrected from arrays: bars of three kinds, and a mark below that gives each away."""

import keras
import numpy as np
import pytest

import fashionprobe
from fashionprobe.errors import UserError


def bars(count, seed=0, *, marked=True):
    random = np.random.default_rng(seed)
    kinds = random.integers(0, 3, count)
    images = random.normal(0, 0.3, (count, 16, 16, 1)).astype("float32")
    for image, kind in zip(images, kinds, strict=True):
        image[3:11, 2 + 4 * kind : 5 + 4 * kind] += 1.0
        if marked:
            image[13:15, 2 + 4 * kind : 5 + 4 * kind] += 3.0
    return images, kinds


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    made = keras.Sequential([
        keras.Input((16, 16, 1)), keras.layers.Conv2D(16, 5, activation="relu", padding="same"),
        keras.layers.Conv2D(16, 5, activation="relu", padding="same"), keras.layers.GlobalAveragePooling2D(),
        keras.layers.Dense(3, activation="softmax"),
    ])  # fmt: skip
    made.compile("adam", "sparse_categorical_crossentropy")
    made.fit(*bars(300), epochs=25, verbose=0)
    return made


@pytest.fixture(scope="module")
def mask():
    found = np.zeros((16, 16), bool)
    found[12:16] = True
    return found


def accuracy(model, data):
    return float((model.predict(data[0], verbose=0).argmax(axis=1) == data[1]).mean())


def test_pasa_takes_the_heat_out_of_the_masks_and_the_model_given_stays(model, mask):
    before, seen = [each.copy() for each in model.get_weights()], []
    found = fashionprobe.refit(
        model, bars(300), dict.fromkeys(range(20), mask), b=0.8, th=2, scale="relative", lam=10, iterations=100,
        learning_rate=3e-3, check_every=20, callbacks=[seen.append],
    )  # fmt: skip
    assert all((one == other).all() for one, other in zip(before, model.get_weights(), strict=True))
    table = found.table.set_index("method")
    assert table.index.tolist() == ["Base", "PASA", "Continued training"]
    assert table.loc["PASA", "heat_inside"] < 0.8 * table.loc["Base", "heat_inside"]
    assert table.loc["PASA", "validation"] > 0.9
    unmarked = bars(300, seed=9, marked=False)
    assert accuracy(found.model, unmarked) > accuracy(model, unmarked)
    assert found.history["iteration"].tolist() == [*range(101)]
    assert seen == [0, 20, 40, 60, 80, 100]
    assert "<table" in found._repr_html_()
    # The model that comes back is that of the table's second row.
    assert accuracy(found.model, bars(300)) > 0.9


def test_masks_as_an_array_are_the_same_as_in_a_dict(model, mask):
    images, kinds = bars(60)
    array = np.zeros((60, 16, 16), bool)
    array[:4] = mask
    settings = {"iterations": 3, "rivals": [], "validation": bars(20, seed=2)}
    one = fashionprobe.refit(model, (images, kinds), array, **settings)
    other = fashionprobe.refit(model, (images, kinds), dict.fromkeys(range(4), mask), **settings)
    assert one.table.equals(other.table)
    assert one.table["swapped"].isna().all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"masks": {}}, r"`masks` must be one mask or more with an irrelevant region. Received: none"),
        ({"masks": {0: np.ones((8, 8), bool)}}, r"`masks` must be masks \[16, 16\] of images 0 to 29. .*of image 0"),
        ({"masks": np.ones((3, 16, 16), bool)}, r"`masks` must be one per image, \[30, 16, 16\].*pass a dict"),
        ({"data": (np.zeros((30, 8, 8, 1)), np.zeros(30, int))}, r"`data` must be images \(n, 16, 16, 1\)"),
        ({"data": (np.zeros((30, 16, 16, 1)), np.zeros((30, 3)))}, r"class numbers, int \(30,\).*argmax"),
        ({"data": (np.zeros((30, 16, 16, 1)), np.full(30, 3))}, r"class numbers below 3. Received: 3"),
        ({"validation": 1.5}, r"`validation` must be a pair of images and classes, or a share"),
        ({"rivals": ["telea"]}, r"`rivals` must be methods that need arrays alone. Received: telea"),
        ({"loss": "pass"}, r"Did you mean 'pas"),
    ],
)
def test_what_does_not_fit_is_said(model, mask, change, message):
    arguments = {"data": bars(30), "masks": {0: mask, 1: mask}} | change
    with pytest.raises(UserError, match=message):
        fashionprobe.refit(model, **arguments)
