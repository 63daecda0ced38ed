import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import logsumexp, softmax
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fashionprobe.errors import UserError
from fashionprobe.feedback.last_layer import choose_strength, refit_last_layer

FEW = (0.01, 0.1, 1.0)


def blobs(classes, count=40, channels=6, seed=0, spread=1.0):
    """Descriptors like those after ReLU, in channels of very different scales, and one channel that is dead."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count * classes) % classes
    centres = np.random.default_rng(7).uniform(1, 4, (classes, channels))
    features = np.maximum(centres[labels] + rng.normal(0, spread, (len(labels), channels)), 0)
    features *= np.geomspace(0.01, 100, channels)
    features[:, 2] = 0
    return features.astype(np.float32), labels


def slow_twin(features, labels, classes, c, bias):
    """The convex problem of scikit-learn's documentation, on scaled features, given to a general minimizer."""
    values = features.astype(np.float64)
    mean = values.mean(axis=0) if bias else np.zeros(values.shape[1])
    deviation = values.std(axis=0)
    scaled = (values - mean) / np.where(deviation > 0, deviation, 1)
    one_hot = np.eye(classes)[labels]

    def objective(flat):
        weights = flat.reshape(-1, classes)
        logits = scaled @ weights[:-1] + weights[-1] * bias
        return (logsumexp(logits, axis=1) - (one_hot * logits).sum(axis=1)).sum() * c + (weights[:-1] ** 2).sum() / 2

    weights = minimize(objective, np.zeros((values.shape[1] + 1) * classes), tol=1e-9).x.reshape(-1, classes)
    return scaled @ weights[:-1] + weights[-1] * bias


@pytest.mark.parametrize("bias", [True, False])
def test_the_dense_layer_does_what_a_general_minimizer_finds(bias):
    features, labels = blobs(3)
    kernel, shift = refit_last_layer(features, labels, 3, bias=bias, seed=0, cs=[0.1])
    logits = features @ kernel + (shift if bias else 0)
    expected = slow_twin(features, labels, 3, 0.1, bias)
    np.testing.assert_allclose(softmax(logits, axis=1), softmax(expected, axis=1), atol=2e-3)
    assert kernel.shape == (6, 3)
    assert kernel.dtype == np.float32
    assert (shift is None) is not bias


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("weight", ["none", "balanced"])
def test_logits_are_the_decision_function_of_the_pipeline(classes, bias, weight):
    features, labels = blobs(classes)
    features, labels = features[20:][labels[20:] + np.arange(len(labels) - 20) % 3 > 0], None
    labels = np.concatenate(
        [np.arange(classes), np.random.default_rng(1).integers(0, classes, len(features) - classes)]
    )
    regression = LogisticRegression(
        C=0.3, fit_intercept=bias, max_iter=5000, class_weight="balanced" if weight == "balanced" else None
    )
    pipeline = make_pipeline(StandardScaler(with_mean=bias), regression).fit(features.astype(float), labels)
    kernel, shift = refit_last_layer(features, labels, classes, bias=bias, seed=0, cs=[0.3], class_weight=weight)
    logits = features.astype(float) @ kernel + (shift if bias else 0)
    decision = pipeline.decision_function(features.astype(float))
    if classes == 2:
        np.testing.assert_allclose(logits[:, 1] - logits[:, 0], decision, atol=1e-4)
    else:
        np.testing.assert_allclose(logits - logits.mean(axis=1, keepdims=True), decision, atol=1e-4)


def test_two_images_by_hand():
    # Scaled, the one channel is -1 and 1. One weight w for the second class against the first minimizes
    # w^2 / 2 + 2 C log(1 + exp(-w)), so that w (1 + exp(w)) = 2 C: w = 1 for C = (1 + e) / 2.
    features, labels = np.array([[2.0], [6.0]]), np.array([0, 1])
    kernel, bias = refit_last_layer(features, labels, 2, bias=True, seed=0, cs=[(1 + np.e) / 2])
    # Half of w for each class, divided by the deviation of 2; the mean is 4.
    np.testing.assert_allclose(kernel, [[-0.25, 0.25]], atol=1e-4)
    np.testing.assert_allclose(bias, [1, -1], atol=4e-4)


def test_the_scale_of_a_channel_does_not_matter():
    features, labels = blobs(3)
    test = blobs(3, seed=5)[0]
    factor = np.array([1e-3, 1, 1, 50, 1, 1e3], np.float32)
    results = []
    for each, other in ((features, test), (features * factor, test * factor)):
        kernel, bias = refit_last_layer(each, labels, 3, bias=True, seed=0, cs=FEW)
        results.append(softmax(other @ kernel + bias, axis=1))
    np.testing.assert_allclose(*results, atol=1e-3)


def test_a_dead_channel_gets_no_weight():
    features, labels = blobs(3)
    kernel, _ = refit_last_layer(features, labels, 3, bias=True, seed=0, cs=[1.0])
    np.testing.assert_array_equal(kernel[2], 0)
    assert np.abs(kernel[[0, 1, 3, 4, 5]]).min() > 0


def test_a_mark_that_is_shuffled_in_the_copies_is_forgotten():
    rng = np.random.default_rng(0)
    labels = np.arange(200) % 2
    shape, noise = labels + rng.normal(0, 0.7, 200), rng.normal(0, 0.05, 200)
    marked = np.stack([shape, labels + noise], axis=1)
    shuffled = np.stack([shape, rng.permutation(labels) + noise], axis=1)
    fooled, freed = (refit_last_layer(each, labels, 2, bias=True, seed=0, cs=FEW)[0] for each in (marked, shuffled))
    assert abs(fooled[1, 1]) > abs(fooled[0, 1])
    assert abs(freed[1, 1]) < 0.2 * abs(freed[0, 1])


def test_the_strength_is_chosen_on_validation():
    features, labels = blobs(2, count=10, channels=30, spread=4)
    right = blobs(2, count=300, channels=30, seed=1, spread=4)
    wrong = right[0], 1 - right[1]
    cs = (1e-4, 1e-2, 1.0, 100.0)
    losses = []
    for c in cs:
        kernel, bias = refit_last_layer(features, labels, 2, bias=True, seed=0, cs=[c])
        logits = right[0] @ kernel + bias
        accuracy = (logits.argmax(axis=1) == right[1]).mean()
        losses.append((accuracy, (logits[np.arange(600), right[1]] - logsumexp(logits, axis=1)).mean()))
    best = cs[max(range(4), key=losses.__getitem__)]
    chosen, other = (
        choose_strength(features, labels, 2, bias=True, seed=0, cs=cs[::-1], validation=each) for each in (right, wrong)
    )
    assert chosen == best
    assert other != chosen
    kernel, _ = refit_last_layer(features, labels, 2, bias=True, seed=0, cs=cs, validation=right)
    expected, _ = refit_last_layer(features, labels, 2, bias=True, seed=0, cs=[best])
    np.testing.assert_allclose(kernel, expected, atol=1e-3 * np.abs(expected).max())


def test_a_class_may_be_absent_from_validation():
    features, labels = blobs(3)
    kept = labels < 2
    assert (
        choose_strength(features, labels, 3, bias=True, seed=0, cs=FEW, validation=(features[kept], labels[kept])) > 0
    )


def test_cross_validation_sees_through_noise_only_when_copies_share_a_fold():
    rng = np.random.default_rng(0)
    features, labels = rng.normal(0, 1, (40, 100)), np.arange(40) % 2
    features[:, 0] += labels
    copies = np.repeat(np.arange(40), 6)
    edited = features[copies] + rng.normal(0, 0.01, (240, 100))
    cs = (1e-4, 100.0)
    leaking = choose_strength(edited, labels[copies], 2, bias=True, seed=0, cs=cs)
    honest = choose_strength(edited, labels[copies], 2, bias=True, seed=0, cs=cs, groups=copies)
    assert (leaking, honest) == (100.0, 1e-4)


def test_balanced_weights_help_the_rare_class():
    rng = np.random.default_rng(0)
    labels = (np.arange(600) % 20 == 0).astype(int)
    features = rng.normal(0, 1, (600, 2)) + labels[:, None]
    scores = []
    for weight in ("none", "balanced"):
        kernel, bias = refit_last_layer(features, labels, 2, bias=True, seed=0, cs=FEW, class_weight=weight)
        scores.append(balanced_accuracy_score(labels, (features @ kernel + bias).argmax(axis=1)))
    assert scores[1] > scores[0] + 0.1


def test_fewer_images_than_folds():
    features, labels = blobs(3, count=2)
    kernel, _ = refit_last_layer(features, labels, 3, bias=False, seed=0, cs=FEW)
    assert np.isfinite(kernel).all()
    lonely = r"`labels` must be at least 2 images of each class, .* Received: 1 of class 2. Give `validation`"
    with pytest.raises(UserError, match=lonely):
        refit_last_layer(features[:5], labels[:5], 3, bias=False, seed=0)
    refit_last_layer(features[:5], labels[:5], 3, bias=False, seed=0, cs=[1.0])
    refit_last_layer(features[:5], labels[:5], 3, bias=False, seed=0, cs=FEW, validation=(features, labels))


def test_the_same_twice():
    features, labels = blobs(3, spread=3)
    first, again = (refit_last_layer(features, labels, 3, bias=True, seed=4, cs=FEW) for _ in range(2))
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])


def test_bad_input():
    features, labels = blobs(3)
    given = {"bias": True, "seed": 0}
    with pytest.raises(
        UserError, match=r"`labels` must be at least one image .* 5 classes. Received: none of class 3, 4"
    ):
        refit_last_layer(features, labels, 5, **given)
    with pytest.raises(UserError, match=r"`labels` must be class numbers in \[0, 1\]. Received: 2"):
        refit_last_layer(features, labels, 2, **given)
    with pytest.raises(
        UserError, match=r"`labels` must be an int for each of 120 images. Received: int64 of shape \(9,"
    ):
        refit_last_layer(features, labels[:9], 3, **given)
    with pytest.raises(UserError, match=r"`classes` must be an int in the range \[2, inf\). Received: 1"):
        refit_last_layer(features, labels * 0, 1, **given)
    with pytest.raises(
        UserError, match=r"`features` must be descriptors \(images, channels\). Received: \(120, 1, 6\)"
    ):
        refit_last_layer(features[:, None], labels, 3, **given)
    with pytest.raises(UserError, match=r"`cs` must be one positive number or more. Received: \[0.1, 0\]"):
        refit_last_layer(features, labels, 3, cs=[0.1, 0], **given)
    with pytest.raises(UserError, match=r"`class_weight` must be one of: none, balanced. .* Did you mean 'balanced'"):
        refit_last_layer(features, labels, 3, class_weight="balance", **given)
    with pytest.raises(UserError, match=r"`validation` must be descriptors of 6 channels. Received: 5"):
        refit_last_layer(features, labels, 3, validation=(features[:, 1:], labels), **given)
    with pytest.raises(UserError, match=r"`groups` must be one for each of 120 images"):
        refit_last_layer(features, labels, 3, groups=labels[1:], **given)
    with pytest.raises(UserError, match=r"`groups` must be copies of one class each"):
        refit_last_layer(features, labels, 3, groups=np.zeros(120, int), **given)
    features[7, 3] = np.inf
    with pytest.raises(UserError, match=r"`features` must be descriptors of finite values. Received: NaN or infinity"):
        refit_last_layer(features, labels, 3, **given)
