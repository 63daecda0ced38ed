"""The gradients that `pipelines/saturation.py` draws, beside those of TensorFlow and of the losses themselves."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from fashionprobe.feedback import losses

PATH = Path(__file__).parents[2] / "pipelines/saturation.py"
spec = importlib.util.spec_from_file_location("saturation", PATH)
saturation = importlib.util.module_from_spec(spec)
spec.loader.exec_module(saturation)

SURE = np.array([0.1, 0.5, 0.9, 0.999])


def gradients(p, loss):
    """|d loss / d z| and d loss / d A at a value in the mask, of one image of two classes; z is raised by A / cells."""
    maps = tf.Variable(np.full((1, 14, 14, 64), 0.7))
    mask = np.zeros((1, 14, 14))
    mask[0, :4, :10] = 1
    offset = np.log(p / (1 - p)) - 0.7
    with tf.GradientTape(persistent=True) as tape:
        score = tf.reduce_mean(maps[..., 0], axis=(1, 2)) + offset
        logits = tf.stack([score, tf.zeros_like(score)], axis=1)
        value = loss([0], logits, maps, mask)
    return abs(float(tape.gradient(value, score)[0])), tape.gradient(value, maps)[0].numpy()


@pytest.mark.parametrize(("b", "th"), saturation.SETTINGS.values())
@pytest.mark.parametrize("p", SURE)
def test_the_curves_are_the_gradients_of_the_losses(p, b, th):
    score, inside = gradients(p, lambda *given: losses.cross_entropy(*given[:2]))
    assert score == pytest.approx(saturation.of_score(p), rel=1e-6)
    assert abs(inside[0, 0, 0]) == pytest.approx(saturation.of_activation(p), rel=1e-6)
    act = 0.7 * 40 / 41
    score, inside = gradients(p, lambda *given: losses.pasa(*given, b=b, th=th))
    # Keras passes B through float32.
    assert score == pytest.approx(saturation.of_score(p, act=act, b=b, th=th), rel=1e-5)
    # A channel that raises no score is moved by the penalty alone.
    assert inside[0, 0, 1] == pytest.approx(saturation.penalty_of_activation(p, masked=40, b=b, th=th), rel=1e-5)
    assert inside[9, 0, 1] == 0


def test_the_page_is_written(command):
    saturation.main()
    assert {path.name for path in Path("runs/saturation").iterdir()} == {
        "saturation.csv", "saturation.png", "saturation.svg"
    }  # fmt: skip
