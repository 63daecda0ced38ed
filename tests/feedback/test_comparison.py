"""Every method on a net of a few hundred weights and a handful of images, one or two iterations each."""

import dataclasses

import keras
import numpy as np
import pandas as pd
import pytest

from fashionprobe.errors import UserError
from fashionprobe.feedback import comparison as module
from fashionprobe.feedback.comparison import Bench, RefitData, mask_at_tap
from fashionprobe.feedback.correctable import Correctable
from fashionprobe.feedback.methods import BASE, RIVALS, method
from fashionprobe.feedback.refit import Plan, Refit

SIDE, CLASSES = 12, 3


def tiny(bias=True, head=True):
    keras.utils.set_random_seed(4)
    image = keras.Input((SIDE, SIDE, 3))
    x = keras.layers.Rescaling(1 / 255)(image)
    x = keras.layers.BatchNormalization()(keras.layers.Conv2D(4, 3, padding="same", name="first")(x))
    x = keras.layers.Conv2D(5, 3, strides=2, padding="same", activation="relu", name="last")(x)
    x = keras.layers.GlobalAveragePooling2D()(x) if head else keras.layers.Flatten()(x)
    return keras.Model(image, keras.layers.Dense(CLASSES, use_bias=bias, name="scores")(x), name="tiny")


def pictures(count, seed):
    """Images of which each class is brighter in one colour, in a lower left corner most of all."""
    random, labels = np.random.default_rng(seed), np.arange(count) % CLASSES
    images = random.uniform(0, 150, (count, SIDE, SIDE, 3))
    images[range(count), :, :, labels] += 30
    images[range(count), -4:, :4, labels] += 70
    return images.astype(np.float32), labels


def corner(network, count, seed):
    images, labels = pictures(count, seed)
    masks = np.zeros(images.shape[:3], bool)
    masks[:, -4:, :4] = True
    return mask_at_tap(network, np.array([f"{seed}-{row}" for row in range(count)]), images, labels, masks)


class Workbench:
    """A bench on which all that the data is asked for is noted."""

    def __init__(self, **model):
        self.network = Correctable(tiny(**model))
        self.pools, self.freshened, self.augmented, self.painted = [], [], [], []
        self.data = RefitData(
            batches=self._batches,
            masked=corner(self.network, 6, 1),
            held_out=corner(self.network, 3, 2),
            validation=pictures(9, 3),
            donors=pictures(12, 4),
            paints={name: self._paint for name in ("telea", "navier_stokes", "generative", "function")},
            fresh=self._fresh,
            augment=self._augment,
        )
        # Adam takes longer to compile.
        plan = Plan(iterations=2, masked=2, optimizer="sgd", check_every=1, learning_rate=0.01, dropped=2)
        self.bench = Bench(self.network, self.data, plan, dataclasses.replace(plan, iterations=3))
        self.base = self.network.model.get_weights()

    def _batches(self, pool, seed):
        self.pools.append((pool, seed))
        random = np.random.default_rng(seed)
        images, labels = pictures(30, 5)
        while True:
            rows = random.integers(30, size=4)
            yield images[rows], labels[rows]

    def _paint(self, seed):
        self.painted.append(seed)
        return lambda image, mask: np.full_like(image, 7)

    def _fresh(self, seed):
        self.freshened.append(seed)
        random = np.random.default_rng(seed)
        self.network.model.set_weights([random.uniform(0.1, 0.3, weight.shape) for weight in self.base])

    def _augment(self, seed):
        self.augmented.append(seed)
        return lambda images: 255 - images

    def run(self, name, seed=0, **changes):
        """Run a method on changed data, from a network that the last one has spoiled."""
        self.network.model.set_weights([weight * 0 for weight in self.base])
        data = dataclasses.replace(self.data, **changes)
        return self.bench.at(data, self.bench.plan).run(named(name), seed)

    def weights(self):
        return self.network.model.get_weights()


def named(name):
    return BASE if name == "base" else RIVALS[name]


@pytest.fixture(scope="module")
def workbench():
    return Workbench()


@pytest.fixture
def seen(monkeypatch):
    """What `refit` would have been given, in place of running it."""
    given = []

    def record(network, stepper, batches, masked, plan, **options):
        given.append({"batch": next(batches), "masked": masked, "plan": plan, "stepper": stepper, **options})
        return Refit(pd.DataFrame(), pd.DataFrame(), 0, 0.0)

    monkeypatch.setattr(module, "refit", record)
    return given


def is_same(first, second):
    return [np.array_equal(*pair) for pair in zip(first, second, strict=True)]


@pytest.mark.parametrize("name", ["base", *RIVALS])
def test_every_method_starts_from_the_trained_weights_and_goes_its_way(workbench, name):
    reported = []
    workbench.network.model.set_weights(workbench.base)
    start = workbench.bench.score(0)
    workbench.network.model.set_weights([weight * 0 for weight in workbench.base])
    found = workbench.bench.run(named(name), 0, report=reported.append)
    assert sum(reported) == workbench.bench.iterations(named(name)) == len(found.history) - 1
    assert np.isfinite(found.history.drop(columns="loss")).all(axis=None)
    if not named(name).fresh:
        assert start.items() <= found.history.iloc[0].to_dict().items()
    same = is_same(workbench.weights(), workbench.base)
    if name == "base":
        assert all(same)
    elif name == "head":
        # Kernel and bias of the last layer alone.
        assert same == [True] * (len(same) - 2) + [False] * 2
    else:
        # Convolutions, batch statistics and the last layer.
        assert not any(same)


@pytest.mark.parametrize("name", ["crops", "pasa_head"])
def test_a_seed_gives_the_same_network_twice(workbench, name):
    found = []
    for seed in (0, 0, 1):
        workbench.run(name, seed)
        found.append(workbench.weights())
    assert all(is_same(found[0], found[1]))
    assert not any(is_same(found[0], found[2])[-2:])


def test_pools_and_plans(workbench, seen):
    workbench.pools.clear()
    expected = {
        "continued": "train", "masked_images": "train", "misclassified": "wrong", "augmentation": "train",
        "all_data": "train+val", "with_validation": "train+val", "crops": "train", "pasa": "train",
    }  # fmt: skip
    for name in expected:
        workbench.run(name, seed=7)
    assert workbench.pools == [(pool, 7) for pool in expected.values()]
    by_name = dict(zip(expected, seen, strict=True))
    assert all(given["seed"] == 7 for given in seen)
    assert [name for name, given in by_name.items() if given["masked"] is None] == [
        "continued", "misclassified", "augmentation", "all_data", "with_validation",
    ]  # fmt: skip
    # Validation images that were trained with choose nothing.
    assert [name for name, given in by_name.items() if not given["plan"].keep_best] == [
        "all_data", "with_validation",
    ]  # fmt: skip
    assert {name: given["plan"].iterations for name, given in by_name.items()} == {
        name: 3 if name in ("augmentation", "all_data") else 2 for name in expected
    }
    assert by_name["pasa"]["plan"].loss == "pasa"
    assert by_name["pasa"]["masked"] is workbench.data.masked


def test_from_scratch_means_new_weights_and_changed_images(workbench, seen):
    workbench.freshened.clear()
    workbench.augmented.clear()
    workbench.run("augmentation", seed=3)
    assert workbench.freshened == workbench.augmented == [3]
    assert not any(is_same(workbench.weights(), workbench.base))
    plain, _ = next(workbench._batches("train", 3))
    np.testing.assert_array_equal(seen[0]["batch"][0], 255 - plain)
    workbench.run("continued", seed=3)
    np.testing.assert_array_equal(seen[1]["batch"][0], plain)
    assert workbench.freshened == workbench.augmented == [3]
    workbench.run("all_data", seed=3)
    np.testing.assert_array_equal(seen[2]["batch"][0], plain)
    assert (workbench.freshened, workbench.augmented) == ([3, 3], [3])


@pytest.mark.parametrize("name", ["telea", "navier_stokes", "generative", "crops", "noise"])
def test_replaced_regions_have_no_mask_any_more(workbench, seen, name):
    given = workbench.data.masked
    before = given.images.copy()
    workbench.painted.clear()
    workbench.run(name, seed=5)
    edited = seen[0]["masked"]
    assert not edited.masks.any() and not edited.at_tap.any()
    assert edited.ids.tolist() == given.ids.tolist() and edited.labels.tolist() == given.labels.tolist()
    np.testing.assert_array_equal(edited.images[~given.masks], given.images[~given.masks])
    assert (edited.images != given.images)[given.masks].any(axis=1).all()
    np.testing.assert_array_equal(given.images, before)
    if name in ("crops", "noise"):
        assert workbench.painted == []
        for seed in (5, 6):
            workbench.run(name, seed)
        np.testing.assert_array_equal(seen[1]["masked"].images, edited.images)
        assert (seen[2]["masked"].images != edited.images).any()
    else:
        # The number of the filling.
        assert workbench.painted == [0]
        assert (edited.images[given.masks] == 7).all()


def test_a_region_is_filled_several_times_and_each_time_differently(workbench):
    given, count = workbench.data.masked, len(workbench.data.masked)
    bench = dataclasses.replace(workbench.bench, fillings=3)
    filled = bench.edited(named("noise"), 0)
    assert filled.ids.tolist() == given.ids.tolist() * 3 and filled.labels.tolist() == given.labels.tolist() * 3
    first, second, _ = filled.images.reshape(3, count, *given.images.shape[1:])
    assert (first != second)[given.masks].any(axis=1).all()
    np.testing.assert_array_equal(first[~given.masks], given.images[~given.masks])
    workbench.painted.clear()
    assert len(bench.edited(named("generative"), 0)) == 3 * count and workbench.painted == [0, 1, 2]
    # What fills a region in one way only does so once.
    assert len(bench.edited(named("telea"), 0)) == count
    found = bench.run(named("noise"), 0)
    assert found.probabilities.groupby("iteration")["id"].nunique().eq(count).all()
    assert not found.probabilities.duplicated(["iteration", "id"]).any()


def test_the_score_is_the_mean_of_validation_and_swapped_copies(workbench):
    workbench.network.model.set_weights(workbench.base)
    found = workbench.bench.score(0)
    images, labels = workbench.data.validation
    val = (np.argmax(workbench.network.model.predict(images, verbose=0), axis=1) == labels).mean()
    assert found["val"] == pytest.approx(val)
    assert found["score"] == pytest.approx((found["val"] + found["swapped"]) / 2)
    # A net that says class 2 whatever it sees, and validation images of that class alone.
    kernel, _ = workbench.network.dense.get_weights()
    workbench.network.dense.set_weights([kernel * 0, np.array([0, 0, 1])])
    blue = images[labels == 2], labels[labels == 2]
    data = dataclasses.replace(workbench.data, validation=blue)
    found = workbench.bench.at(data, workbench.bench.plan).score(0)
    assert found == pytest.approx({"val": 1, "swapped": 1 / 3, "score": 2 / 3})
    alone = workbench.bench.at(dataclasses.replace(data, held_out=None), workbench.bench.plan)
    assert alone.score(0) == pytest.approx({"val": 1, "swapped": np.nan, "score": 1}, nan_ok=True)


def test_swapped_copies_show_the_corner_of_another_class(workbench, monkeypatch):
    held_out = workbench.data.held_out
    asked = []
    monkeypatch.setattr(Correctable, "probabilities", lambda self, images: asked.append(images) or np.eye(3)[[0] * 15])
    validation = workbench.data.validation[0][:15], np.zeros(15, int)
    workbench.bench.at(dataclasses.replace(workbench.data, validation=validation), workbench.bench.plan).score(0)
    copies = asked[1]
    assert copies.shape == (15, SIDE, SIDE, 3)
    owner = np.repeat(held_out.images, 5, axis=0)
    np.testing.assert_array_equal(copies[:, :8], owner[:, :8])
    assert (copies[:, -4:, :4] != owner[:, -4:, :4]).all(axis=(1, 2, 3)).all()


def test_a_bench_with_other_data_compiles_nothing_again(workbench, seen):
    other = workbench.bench.at(workbench.data, dataclasses.replace(workbench.bench.plan, lam=5.0, iterations=9))
    for each in (workbench.bench, other):
        each.run(RIVALS["pas"], 0)
    assert seen[0]["stepper"] is seen[1]["stepper"]
    assert (seen[0]["plan"].lam, seen[1]["plan"].lam) == (1.0, 5.0)
    assert (other.iterations(RIVALS["pas"]), other.iterations(BASE), other.iterations(RIVALS["head"])) == (9, 0, 0)
    adam = workbench.bench.at(workbench.data, dataclasses.replace(workbench.bench.plan, optimizer="adam"))
    adam.run(RIVALS["pas"], 0)
    assert seen[2]["stepper"] is not seen[0]["stepper"]


@pytest.fixture
def fitted(monkeypatch):
    """What the last layer would have been fitted to, in place of fitting it."""
    given = {}

    def record(features, labels, classes, **options):
        given.update(features=features, labels=labels, classes=classes, **options)
        return np.ones((5, 3)), np.zeros(3)

    monkeypatch.setattr(module, "refit_last_layer", record)
    return given


def test_the_last_layer_is_fitted_to_copies_that_share_a_fold(workbench, fitted):
    workbench.run("head", held_out=None)
    assert fitted["validation"] is None
    assert np.unique(fitted["groups"], return_counts=True)[1].tolist() == [5] * 6
    np.testing.assert_array_equal(fitted["labels"], np.repeat(workbench.data.masked.labels, 5))
    assert fitted["features"].shape == (30, 5)
    np.testing.assert_array_equal(workbench.network.dense.get_weights()[0], 1)
    workbench.run("head")
    features, labels = fitted["validation"]
    assert features.shape == (15, 5)
    np.testing.assert_array_equal(labels, np.repeat(workbench.data.held_out.labels, 5))


def some(masked, wanted):
    return masked.take(np.flatnonzero(wanted))


@pytest.mark.parametrize("left", [0, 1])
def test_a_class_with_no_mask_or_one_keeps_some_images_as_they_are(workbench, fitted, left):
    masked = workbench.data.masked
    few = some(masked, (masked.labels < 2) | (np.arange(6) < 3 * left))
    assert np.bincount(few.labels, minlength=3).tolist() == [2, 2, left]
    workbench.run("head", masked=few, held_out=None)
    labels, groups = fitted["labels"], fitted["groups"]
    assert np.bincount(labels).tolist() == [10, 10, 5 * left + 4]
    assert [len(np.unique(groups[labels == label])) for label in range(3)] == [2, 2, left + 4]
    workbench.network.model.set_weights(workbench.base)
    images, of_donors = workbench.data.donors
    np.testing.assert_allclose(fitted["features"][-4:], workbench.network.infer(images[of_donors == 2])[1], rtol=1e-5)


def test_a_class_without_masks_and_images_ends_the_fit_of_the_last_layer(workbench):
    masked, (images, labels) = workbench.data.masked, workbench.data.donors
    with pytest.raises(UserError, match="`labels` must be at least one image of each of 3 classes"):
        workbench.run("head", masked=some(masked, masked.labels < 2), donors=(images[labels < 2], labels[labels < 2]))
    with pytest.raises(UserError, match="two classes or more"):
        workbench.run("head", masked=some(masked, masked.labels < 1))


def test_a_last_layer_without_a_bias():
    workbench = Workbench(bias=False)
    workbench.run("head")
    same = is_same(workbench.weights(), workbench.base)
    assert same == [True] * (len(same) - 1) + [False]
    assert len(workbench.network.dense.get_weights()) == 1


def test_a_network_without_the_head(seen):
    workbench = Workbench(head=False)
    assert workbench.network.dense is None
    for name in ("head", "pasa_head"):
        with pytest.raises(UserError, match="`head` must be kept for a network that does not end in"):
            workbench.run(name)
    for name in ("dropout", "rrr_g"):
        with pytest.raises(UserError, match="`loss` must be ce, pas, pasa, rrr or a replacement"):
            workbench.run(name)
    for name in ("pas", "rrr", "noise"):
        workbench.run(name)
    assert [given["plan"].loss for given in seen] == ["pas", "rrr", "ce"]


def test_own_functions_fill_regions_like_the_others(workbench, seen):
    workbench.painted.clear()
    workbench.bench.run(method(replace="function"), 2)
    assert workbench.painted == [0]
    assert (seen[0]["masked"].images[workbench.data.masked.masks] == 7).all()


def test_masks_of_another_size(workbench):
    images, labels = pictures(2, 0)
    masks = np.zeros((2, 5, SIDE), bool)
    with pytest.raises(UserError, match=r"`masks` must be of the images' shape \(2, 12, 12\). Received: \(2, 5, 12\)"):
        mask_at_tap(workbench.network, np.array(["a", "b"]), images, labels, masks)
    # The corner is 4 x 4 of 12 x 12 pixels, and 2 x 2 of 6 x 6 cells.
    cells = workbench.data.masked.at_tap
    assert cells.shape == (6, 6, 6) and cells.sum() == 6 * 4 and cells[:, 4:, :2].all()
