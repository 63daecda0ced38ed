"""The losses against plain NumPy, against values by hand, and against the gradients worked out on paper."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.special import log_softmax, softmax

from fashionprobe.errors import UserError
from fashionprobe.feedback import losses

SETTINGS = [(0.4, 0.7), (0.8, 2.0), (5.0, 0.8)]
"""B and th of the animals, the symbols and the X-rays."""


@pytest.fixture(scope="module")
def head_and_maps():
    """A net of one dense layer behind average pooling, in float64, and five images, of which the third has no mask."""
    random = np.random.default_rng(0)
    # With negative values, so that the sign of the activations matters.
    maps, kernel, bias = random.normal(0.3, 1, (5, 3, 4, 6)), random.normal(0, 1, (6, 3)), random.normal(0, 1, 3)
    masks = (random.random((5, 3, 4)) < 0.4).astype(float)
    masks[2] = 0
    return maps, kernel, bias, masks, np.array([0, 2, 1, 1, 0])


def scored(maps, kernel, bias):
    return maps.mean(axis=(1, 2)) @ kernel + bias


def slow_sum(maps, mask):
    """|M A| of one image, added up value by value."""
    rows, columns, channels = maps.shape
    cells = [(row, column) for row in range(rows) for column in range(columns) if mask[row, column]]
    return sum(abs(maps[row, column, channel]) for row, column in cells for channel in range(channels))


def slow_act(maps, mask):
    return slow_sum(maps, mask) / maps.shape[-1] / (mask.sum() + 1)


def slow_entropy(scores, label):
    return -log_softmax(scores)[label]


def test_pas_and_pasa_are_their_formulas(head_and_maps):
    maps, kernel, bias, masks, labels = head_and_maps
    scores = scored(maps, kernel, bias)
    entropy = [slow_entropy(*each) for each in zip(scores, labels, strict=True)]
    sums = [slow_sum(*each) for each in zip(maps, masks, strict=True)]
    certain = softmax(scores, axis=1)[range(5), labels]
    np.testing.assert_allclose(losses.cross_entropy(labels, scores), entropy)
    np.testing.assert_allclose(losses.pas(labels, scores, maps, masks, lam=0.3), entropy + 0.3 * np.array(sums))
    np.testing.assert_allclose(
        losses.pas(labels, scores, maps, masks), np.array(entropy) + np.array(sums) / (5 * 3 * 4 * 6)
    )
    for b, th in SETTINGS:
        act = np.array([slow_act(*each) for each in zip(maps, masks, strict=True)])
        np.testing.assert_allclose(
            losses.pasa(labels, scores, maps, masks, b=b, th=th, lam=1.5),
            entropy + 1.5 * act * b ** (certain / th),
            rtol=1e-6,
        )
    default = losses.pasa(labels, scores, maps, masks)
    np.testing.assert_allclose(default, losses.pasa(labels, scores, maps, masks, b=0.4, th=0.7, lam=1))


def test_values_by_hand():
    # Two channels of 1 x 2 cells, the second cell masked: |3| + |-5| = 8, over 2 channels and 1 + 1 cells.
    maps = np.array([[[[1.0, 2.0], [3.0, -5.0]]]])
    mask, label = np.array([[[0.0, 1.0]]]), np.array([0])
    even = np.zeros((1, 2))
    np.testing.assert_allclose(losses.activation_inside(maps, mask), [8])
    np.testing.assert_allclose(losses.mean_inside(maps, mask), [2])
    np.testing.assert_allclose(losses.pas(label, even, maps, mask), [np.log(2) + 8 / 20])
    # p = 1/2 and th = 1/4: B squared.
    np.testing.assert_allclose(losses.certainty(label, even, b=3.0, th=0.25), [9])
    np.testing.assert_allclose(losses.pasa(label, even, maps, mask, b=3.0, th=0.25), [np.log(2) + 2 * 9])


def test_an_image_without_a_mask_has_no_penalty(head_and_maps):
    maps, kernel, bias, masks, labels = head_and_maps
    scores = scored(maps, kernel, bias)
    entropy = np.array(losses.cross_entropy(labels, scores))
    for found in (losses.pas(labels, scores, maps, masks), losses.pasa(labels, scores, maps, masks)):
        penalty = np.array(found) - entropy
        np.testing.assert_allclose(penalty[2], 0, atol=1e-12)
        assert penalty[[0, 1, 3, 4]].min() > 0.01


@pytest.mark.parametrize(("b", "grows"), [(5.0, True), (0.4, False)])
def test_the_penalty_grows_or_fades_with_certainty(b, grows):
    sure = np.stack([np.linspace(-4, 4, 9), np.zeros(9)], axis=1)
    factor = np.array(losses.certainty(np.zeros(9, int), sure, b=b, th=0.8))
    steps = np.diff(factor)
    assert (steps > 0).all() if grows else (steps < 0).all()
    assert factor[0] == pytest.approx(1, abs=0.05)
    assert factor[-1] == pytest.approx(b ** (1 / 0.8), rel=0.05)


def test_b_of_one_forgets_the_certainty(head_and_maps):
    maps, kernel, bias, masks, labels = head_and_maps
    scores = scored(maps, kernel, bias)
    found = losses.pasa(labels, scores, maps, masks, b=1.0, th=0.7) - losses.cross_entropy(labels, scores)
    np.testing.assert_allclose(found, losses.mean_inside(maps, masks))


def test_labels_may_be_numbers_or_targets_and_scores_logits_or_probabilities(head_and_maps):
    maps, kernel, bias, masks, labels = head_and_maps
    scores = scored(maps, kernel, bias)
    one_hot, sure = np.eye(3)[labels], softmax(scores, axis=1)
    for loss in (losses.pas, losses.pasa):
        expected = loss(labels, scores, maps, masks)
        for given in (one_hot, labels[:, None], labels.astype(np.float32)):
            np.testing.assert_allclose(loss(given, scores, maps, masks), expected)
        np.testing.assert_allclose(loss(labels, sure, maps, masks, from_logits=False), expected)
        assert not np.allclose(loss(labels, sure, maps, masks), expected)


def test_masks_may_be_true_and_false(head_and_maps):
    maps, kernel, bias, masks, labels = head_and_maps
    scores = scored(maps, kernel, bias)
    for loss in (losses.pas, losses.pasa):
        np.testing.assert_allclose(loss(labels, scores, maps, masks > 0), loss(labels, scores, maps, masks))


def test_the_gradient_penalty_by_hand():
    # (2 * 1)^2 + (-3)^2 over two channels of the one masked pixel; the other pixel does not count.
    gradient = np.array([[[[2.0, -3.0], [100.0, 100.0]]]])
    np.testing.assert_allclose(losses.gradient_inside(gradient, np.array([[[1.0, 0.0]]])), [13])


def test_the_map_penalty_by_hand():
    # CAM 1*[1, 2, 4, 5] - 1*[1, 0, 0, 1] = [0, 2, 4, 4], scaled [0, 0.5, 1, 1]; its mean over the masked three.
    maps = np.array([[[[1.0, 1.0], [2.0, 0.0]], [[4.0, 0.0], [5.0, 1.0]]]])
    mask = np.array([[[0.0, 1.0], [1.0, 1.0]]])
    np.testing.assert_allclose(losses.cam_inside(maps, np.array([[1.0, -1.0]]), mask), [2.5 / 3])
    np.testing.assert_array_equal(losses.cam_inside(maps, np.array([[1.0, -1.0]]), mask * 0), [0])
    np.testing.assert_array_equal(losses.cam_inside(maps * 0 + 7, np.array([[1.0, -1.0]]), mask), [0])


def test_the_map_penalty_is_its_formula(head_and_maps):
    maps, kernel, _, masks, labels = head_and_maps
    expected = []
    for image, mask, label in zip(maps, masks, labels, strict=True):
        cam = sum(kernel[channel, label] * image[..., channel] for channel in range(6))
        cam = (cam - cam.min()) / np.ptp(cam)
        expected.append(cam[mask > 0].mean() if mask.any() else 0)
    np.testing.assert_allclose(losses.cam_inside(maps, kernel[:, labels].T, masks), expected)


def test_a_constant_map_has_a_gradient_that_is_a_number():
    maps, weights = tf.Variable(tf.ones((1, 2, 2, 3))), tf.Variable([[1.0, -1.0, 0.5]])
    with tf.GradientTape() as tape:
        penalty = losses.cam_inside(maps, weights, tf.ones((1, 2, 2)))
    assert all(np.isfinite(each).all() for each in tape.gradient(penalty, [maps, weights]))


def by_hand(head_and_maps, image, b, th, lam):
    """Gradients of PASA with respect to the map and the kernel for one image; `lam` 0 gives those of cross-entropy."""
    maps, kernel, bias, masks, labels = (each if each.ndim == 1 else each.copy() for each in head_and_maps)
    maps, mask, true = maps[image], masks[image], labels[image]
    cells, channels = mask.size, maps.shape[-1]
    means = maps.mean(axis=(0, 1))
    sure = softmax(means @ kernel + bias)
    wrong = sure - np.eye(3)[true]
    factor, act = b ** (sure[true] / th), slow_act(maps, mask)
    of_map = np.broadcast_to(kernel @ wrong / cells, maps.shape).copy()
    of_map += lam * factor / (channels * (mask.sum() + 1)) * mask[..., None] * np.sign(maps)
    through_p = act * np.log(b) / th * factor * sure[true]
    of_map += lam * through_p * (kernel[:, true] - kernel @ sure) / cells
    of_kernel = np.outer(means, wrong + lam * through_p * (np.eye(3)[true] - sure))
    return of_map, of_kernel


def by_tape(head_and_maps, image, loss):
    """The same gradients by TensorFlow."""
    maps, kernel, bias, masks, labels = head_and_maps
    maps, kernel = tf.Variable(maps[image : image + 1]), tf.Variable(kernel)
    with tf.GradientTape() as tape:
        scores = tf.reduce_mean(maps, axis=(1, 2)) @ kernel + bias
        value = loss(labels[image : image + 1], scores, maps, masks[image : image + 1])
    of_map, of_kernel = tape.gradient(value, [maps, kernel])
    return of_map[0].numpy(), of_kernel.numpy()


@pytest.mark.parametrize(("b", "th"), SETTINGS)
def test_the_gradients_of_pasa_on_paper(head_and_maps, b, th):
    for image in range(5):
        expected = by_hand(head_and_maps, image, b, th, lam=1.7)
        found = by_tape(head_and_maps, image, lambda *given: losses.pasa(*given, b=b, th=th, lam=1.7))
        for pair in zip(found, expected, strict=True):
            # Keras passes B through float32.
            np.testing.assert_allclose(*pair, rtol=1e-6, atol=1e-7)


def test_the_gradients_of_pas_on_paper(head_and_maps):
    maps, _, _, masks, _ = head_and_maps
    for image in (0, 2, 4):
        of_map, of_kernel = by_hand(head_and_maps, image, 1.0, 1.0, lam=0)
        of_map += 0.3 * masks[image][..., None] * np.sign(maps[image])
        found = by_tape(head_and_maps, image, lambda *given: losses.pas(*given, lam=0.3))
        np.testing.assert_allclose(found[0], of_map, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(found[1], of_kernel, rtol=1e-9, atol=1e-12)


def test_the_certainty_may_count_as_a_constant(head_and_maps):
    maps, kernel, bias, masks, labels = head_and_maps
    sure = softmax(scored(maps, kernel, bias), axis=1)
    found = by_tape(head_and_maps, 0, lambda *given: losses.pasa(*given, b=5.0, th=0.8, stop_gradient=True))
    of_map, of_kernel = by_hand(head_and_maps, 0, 1.0, 1.0, lam=0)
    factor = 5 ** (sure[0, labels[0]] / 0.8) / (6 * (masks[0].sum() + 1))
    np.testing.assert_allclose(found[0], of_map + factor * masks[0][..., None] * np.sign(maps[0]), rtol=1e-9)
    np.testing.assert_allclose(found[1], of_kernel, rtol=1e-9, atol=1e-12)
    flowing = by_tape(head_and_maps, 0, lambda *given: losses.pasa(*given, b=5.0, th=0.8))
    assert np.abs(flowing[1] - of_kernel).max() > 0.01


@pytest.mark.parametrize(
    ("loss", "config"),
    [
        (losses.PAS(0.25, from_logits=False, reduction="sum", name="own"),
         {"lam": 0.25, "from_logits": False, "reduction": "sum", "name": "own"}),
        (losses.PAS(), {"lam": None, "from_logits": True, "reduction": "sum_over_batch_size", "name": "pas"}),
        (losses.PASA(5, 0.8, 2, stop_gradient=True),
         {"b": 5, "th": 0.8, "lam": 2, "stop_gradient": True, "from_logits": True, "name": "pasa"}),
    ],
)  # fmt: skip
def test_a_loss_is_made_again_from_its_config(head_and_maps, loss, config):
    maps, kernel, bias, masks, labels = head_and_maps
    assert config.items() <= loss.get_config().items()
    # No `custom_objects`: the classes are registered.
    for again in (
        type(loss).from_config(loss.get_config()),
        keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss)),
        keras.losses.deserialize(keras.losses.serialize(loss)),
    ):
        assert type(again) is type(loss)
        assert again.get_config() == loss.get_config()
        given = (labels, masks), (softmax(scored(maps, kernel, bias), axis=1), maps)
        np.testing.assert_allclose(again(*given), loss(*given))


def test_classes_reduce_what_the_functions_return(head_and_maps):
    maps, kernel, bias, masks, labels = head_and_maps
    scores = scored(maps, kernel, bias)
    pairs = [
        (losses.PAS, {"lam": 0.3}, losses.pas),
        (losses.PASA, {"b": 5, "th": 0.8, "lam": 2.0}, losses.pasa),
    ]
    for kind, options, function in pairs:
        each = np.array(function(labels, scores, maps, masks, **options))
        for reduction, expected in (("sum_over_batch_size", each.mean()), ("sum", each.sum()), (None, each)):
            loss = kind(**options, reduction=reduction)
            np.testing.assert_allclose(loss((labels, masks > 0), (scores, maps)), expected, rtol=1e-5)
    weighted = losses.PAS(0.3)((labels, masks), (scores, maps), sample_weight=np.array([1, 0, 0, 0, 0]))
    np.testing.assert_allclose(weighted, np.array(losses.pas(labels, scores, maps, masks, lam=0.3))[0] / 5, rtol=1e-5)


def corrected():
    """The model of the recipe in the documentation of the classes; images of any size."""

    class Corrected(keras.Model):
        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
            return self.loss(y, y_pred, sample_weight)

    image = keras.Input((None, None, 3))
    feature_map = keras.layers.Conv2D(4, 3, activation="relu")(image)
    logits = keras.layers.Dense(2)(keras.layers.GlobalAveragePooling2D()(feature_map))
    return Corrected(image, [logits, feature_map])


def test_fit_lowers_the_loss_by_the_recipe():
    keras.utils.set_random_seed(0)
    model = corrected()
    random = np.random.default_rng(0)
    images, labels = random.random((8, 6, 6, 3)).astype(np.float32), np.arange(8) % 2
    masks = np.zeros((8, 4, 4), np.float32)
    masks[:4, :2] = 1
    model.compile(keras.optimizers.Adam(0.02), loss=losses.PASA(5, 0.8, 2))

    def terms():
        logits, maps = model(images)
        value = float(np.mean(losses.pasa(labels, logits, maps, masks, b=5, th=0.8, lam=2)))
        return value, float(np.mean(losses.mean_inside(maps, masks)))

    before = terms()
    history = model.fit(images, (labels, masks), batch_size=8, epochs=15, verbose=0).history["loss"]
    after = terms()
    assert history[0] == pytest.approx(before[0], rel=1e-4)
    assert after[0] < before[0]
    assert after[1] < 0.9 * before[1]


def test_pas_of_images_of_any_size():
    run = tf.function(
        lambda maps, masks: losses.pas(np.array([0]), np.zeros((1, 2), np.float32), maps, masks),
        input_signature=[tf.TensorSpec((None, None, None, 4)), tf.TensorSpec((None, None, None))],
    )
    np.testing.assert_allclose(run(tf.ones((1, 2, 3, 4)), tf.ones((1, 2, 3))), [np.log(2) + 1 / 5], rtol=1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: losses.PASA(b=0), r"`b` must be a number above 0. Received: 0"),
        (lambda: losses.PASA(b=-1), r"`b` must be a number above 0. Received: -1"),
        (lambda: losses.PASA(th=0), r"`th` must be a number above 0. Received: 0"),
        (lambda: losses.PASA(th=-0.7), r"`th` must be a number above 0. Received: -0.7"),
        (lambda: losses.PASA(lam=-0.1), r"`lam` must be a number of 0 or more. Received: -0.1"),
        (lambda: losses.PAS(lam=-0.1), r"`lam` must be a number of 0 or more. Received: -0.1"),
        (lambda: losses.PASA(b=float("nan")), r"`b` must be a number above 0. Received: nan"),
        (lambda: losses.PASA(th=float("inf")), r"`th` must be a number above 0. Received: inf"),
        (lambda: losses.PAS(float("nan")), r"`lam` must be a number of 0 or more. Received: nan"),
    ],
)
def test_numbers_out_of_range(make, message):
    with pytest.raises(UserError, match=message):
        make()


def test_a_penalty_of_nothing_is_allowed(head_and_maps):
    maps, kernel, bias, masks, labels = head_and_maps
    scores = scored(maps, kernel, bias)
    losses.check(lam=0.0)
    for loss in (losses.PAS(0.0), losses.PASA(lam=0)):
        found = loss((labels, masks), (scores, maps))
        np.testing.assert_allclose(found, np.mean(losses.cross_entropy(labels, scores)), rtol=1e-5)
