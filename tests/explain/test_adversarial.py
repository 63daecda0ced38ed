import keras
import numpy as np
import pytest
from networks import build

from fashionprobe.errors import UserError
from fashionprobe.explain.adversarial import fast_gradient_sign
from fashionprobe.explain.explained_model import probabilities


def linear(activation):
    image = keras.Input((1, 3, 1))
    x = keras.layers.Dense(2, activation=activation, use_bias=False)(keras.layers.Flatten()(image))
    model = keras.Model(image, x)
    model.set_weights([np.array([[2, 0], [-1, 0], [0, 0]], np.float32)])
    return model


@pytest.mark.parametrize("activation", ["softmax", None, "sigmoid"])
def test_by_hand(activation):
    # The logit of class 0 is 2 a - b: its cross-entropy grows where a falls and b grows; c has no part in it.
    image = np.array([0.5, 0.5, 0.5], np.float32).reshape(1, 1, 3, 1)
    attack = fast_gradient_sign(linear(activation), epsilon=0.25, value_range=(0.0, 1.0))
    np.testing.assert_allclose(attack(image, 0).ravel(), [0.25, 0.75, 0.5])
    # The top class of 2 a - b > 0 is 0.
    np.testing.assert_allclose(attack(image).ravel(), [0.25, 0.75, 0.5])
    clipped = fast_gradient_sign(linear(activation), epsilon=0.75, value_range=(0.0, 1.0))
    np.testing.assert_allclose(clipped(image, 0).ravel(), [0, 1, 0.5])
    if activation != "sigmoid":
        np.testing.assert_allclose(attack(image, 1).ravel(), [0.75, 0.25, 0.5])


def test_no_value_moves_further_and_the_class_loses(images):
    model = build("layer")
    # Of a probability of 1 nothing could be seen to go.
    dense = model.get_layer("scores")
    dense.kernel.assign(dense.kernel / 20)
    before = probabilities(model)(images)
    top = before.argmax(axis=1)
    changed = fast_gradient_sign(model, epsilon=0.01, value_range=(-10.0, 10.0))(images)
    assert np.abs(changed - images).max() == pytest.approx(0.01, rel=1e-3)
    assert (probabilities(model)(changed)[range(4), top] < before[range(4), top]).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epsilon": 0}, r"`epsilon` must be a number in the range \(0, inf\). Received: 0"),
        ({"value_range": (1.0, 0.0)}, "`value_range` must be"),
    ],
)
def test_options_out_of_range(options, message):
    with pytest.raises(UserError, match=message):
        fast_gradient_sign(linear("softmax"), **options)
