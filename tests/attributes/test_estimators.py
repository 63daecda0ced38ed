"""The estimators against scikit-learn's own checks, and against the functions that they stand on."""

import pickle

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from fashionprobe import backbones
from fashionprobe.attributes import classes, normalization
from fashionprobe.attributes.estimators import AttributeClassifier, Normalizer, UMAPReducer
from fashionprobe.attributes.extractor import DescriptorExtractor
from fashionprobe.backbones import descriptors
from fashionprobe.errors import UserError
from fashionprobe.records.image_files.read import read_files

TABLES = "feeds a random table, and not images"
NO_TABLES = dict.fromkeys(
    (
        "check_complex_data", "check_dict_unchanged", "check_dont_overwrite_parameters", "check_dtype_object",
        "check_estimator_sparse_array", "check_estimator_sparse_matrix", "check_estimator_sparse_tag",
        "check_estimators_dtypes", "check_estimators_empty_data_messages", "check_estimators_fit_returns_self",
        "check_estimators_nan_inf", "check_estimators_overwrite_params", "check_estimators_pickle",
        "check_f_contiguous_array_estimator", "check_fit2d_1feature", "check_fit2d_1sample", "check_fit2d_predict1d",
        "check_fit_check_is_fitted", "check_fit_idempotent", "check_fit_score_takes_y",
        "check_methods_sample_order_invariance", "check_methods_subset_invariance", "check_n_features_in",
        "check_n_features_in_after_fitting", "check_pipeline_consistency", "check_positive_only_tag_during_fit",
        "check_readonly_memmap_input", "check_transformer_data_not_an_array", "check_transformer_general",
        "check_transformer_preserve_dtypes",
    ),
    TABLES,
)  # fmt: skip
TOGETHER = "UMAP places new items together, each by the help of the others"
TOGETHER_ONLY = {"check_methods_sample_order_invariance": TOGETHER, "check_methods_subset_invariance": TOGETHER}


@parametrize_with_checks(
    [
        *(Normalizer(kind) for kind in normalization.NORMALIZATIONS), AttributeClassifier(),
        AttributeClassifier("whiten"), DescriptorExtractor(),
    ],
    expected_failed_checks=lambda estimator: NO_TABLES if isinstance(estimator, DescriptorExtractor) else {},
    xfail_strict=True,
)  # fmt: skip
def test_scikit_learns_checks(estimator, check):
    check(estimator)


@pytest.mark.slow
@parametrize_with_checks([UMAPReducer()], expected_failed_checks=lambda _: TOGETHER_ONLY, xfail_strict=True)
def test_scikit_learns_checks_of_umap(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def table() -> tuple[np.ndarray, np.ndarray]:
    """Descriptors of three classes that hardly overlap, float32 (60, 8), and their names."""
    random = np.random.default_rng(0)
    names = np.repeat(["dotted", "plain", "striped"], 20)
    centres = 4 * np.eye(3, 8)
    return (centres.repeat(20, axis=0) + random.normal(size=(60, 8))).astype(np.float32), names


@pytest.mark.parametrize("kind", normalization.NORMALIZATIONS)
def test_a_normalizer_does_what_the_function_does(kind, table):
    found = Normalizer(kind, shrinkage=0.3).fit(table[0]).transform(table[0])
    expected = normalization.fit(kind, table[0], shrinkage=0.3)(table[0])
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, expected)


def test_fitting_leaves_the_descriptors_as_they_were(table):
    given = table[0].astype(np.float64)
    Normalizer("whiten").fit(given)
    np.testing.assert_array_equal(given, table[0])


def test_names_of_columns_for_pandas(table):
    frame = Normalizer("whiten").set_output(transform="pandas").fit_transform(table[0])
    assert list(frame.columns[:2]) == ["direction0", "direction1"]
    frame = Normalizer("standard").set_output(transform="pandas").fit_transform(frame)
    assert list(frame.columns[:2]) == ["direction0", "direction1"]


def test_classes_are_those_of_the_function(table):
    fitted = AttributeClassifier("whiten", coverage=0.5).fit(*table)
    numbers = np.unique(table[1], return_inverse=True)[1]
    learned = classes.learn(
        table[0], numbers, list(fitted.classes_), normalization.fit("whiten", table[0]), coverage=0.5
    )
    np.testing.assert_array_equal(fitted.means_, learned.means)
    np.testing.assert_array_equal(fitted.reach_, learned.reach)
    assert fitted.score(*table) > 0.9


def test_an_image_of_no_class_is_refused_only_where_a_label_for_it_is_given(table):
    stranger = np.full((1, 8), -40.0)
    assert AttributeClassifier().fit(*table).predict(stranger)[0] in table[1]
    refusing = AttributeClassifier(outlier_label="none of these").fit(*table)
    assert refusing.predict(stranger).tolist() == ["none of these"]
    refused = refusing.predict(table[0]) == "none of these"
    assert 0.1 < refused.mean() < 0.3
    numbered = AttributeClassifier(outlier_label="none of these").fit(table[0], np.repeat([4, 5, 6], 20))
    assert set(numbered.predict(table[0])) == {4, 5, 6, "none of these"}


def test_probabilities_are_calibrated():
    """Of new images that are said to be 60 % to 90 % sure, about that share is right."""
    random = np.random.default_rng(1)
    centres = random.normal(size=(4, 6))
    numbers = random.integers(0, 4, 2000)
    points = centres[numbers] + random.normal(size=(2000, 6))
    fitted = AttributeClassifier().fit(points[:1000], numbers[:1000])
    shares = fitted.predict_proba(points[1000:])
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    sure = (shares.max(axis=1) > 0.6) & (shares.max(axis=1) < 0.9)
    right = fitted.predict(points[1000:]) == numbers[1000:]
    assert sure.sum() > 200
    assert abs(right[sure].mean() - shares.max(axis=1)[sure].mean()) < 0.06


def test_a_grid_search_over_a_pipeline(table):
    pipeline = make_pipeline(Normalizer(), AttributeClassifier())
    search = GridSearchCV(clone(pipeline), {"normalizer__kind": ["none", "whiten"]}, cv=3).fit(*table)
    assert search.best_score_ > 0.9


@pytest.mark.slow
def test_umap_keeps_the_points_of_its_fit(table):
    reducer = UMAPReducer(n_neighbors=5).set_output(transform="pandas")
    frame = reducer.fit_transform(table[0])
    assert list(frame.columns) == ["umapreducer0", "umapreducer1"]
    np.testing.assert_array_equal(frame, reducer.embedding_)


@pytest.mark.parametrize(
    ("estimator", "message"),
    [
        (Normalizer("l3"), "`kind` must be one of: none, l2, standard, whiten, sqrt, sqrt_whiten. Received: l3"),
        (Normalizer(shrinkage=2), r"`shrinkage` must be a number in \[0, 1\]. Received: 2"),
        (AttributeClassifier(coverage=0), r"`coverage` must be a number in \(0, 1\]. Received: 0"),
        (
            AttributeClassifier("l3"),
            "`normalization` must be one of: none, l2, standard, whiten, sqrt",
        ),
        (UMAPReducer(60), "`n_components` must be an int from 1 to 59. Received: 60"),
        (UMAPReducer(n_neighbors=1), "`n_neighbors` must be an int from 2 to inf. Received: 1"),
    ],
)
def test_arguments_are_checked_by_fit(estimator, message, table):
    with pytest.raises(UserError, match=message):
        estimator.fit(*table)


def test_a_class_of_one_image(table):
    with pytest.raises(UserError, match=r"two or more of each class.*Received: 1 sample of dotted"):
        AttributeClassifier().fit(table[0][19:], table[1][19:])


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> tuple[list[str], np.ndarray]:
    """Ten files, half of them reddish and half bluish, and what they show."""
    folder, random = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    paths = []
    for number in range(10):
        pixels = random.integers(0, 60, (40, 32, 3), dtype=np.uint8)
        pixels[..., 2 * (number % 2)] += 180
        paths.append(str(folder / f"{number}.png"))
        Image.fromarray(pixels).save(paths[-1])
    return paths, np.array(["red", "blue"] * 5)


def test_descriptors_are_those_of_the_command(photos):
    extractor = DescriptorExtractor("mini", [1, 5], batch_size=4).set_output(transform="pandas")
    frame = extractor.fit_transform(photos[0])
    backbone = backbones.load("mini")
    images = read_files(photos[0], backbone.size)
    forward = descriptors.extractor(backbone, [1, 5])
    batches = [descriptors.same_shape(images[start : start + 4], 4) for start in (0, 4, 8)]
    expected = np.concatenate([np.hstack(forward(tf.constant(batch))) for batch in batches])[:10]
    np.testing.assert_array_equal(frame, expected)
    assert list(frame.columns[[0, -1]]) == [
        "block1_channel0",
        f"block5_channel{descriptors.channels(backbone, [5])[0] - 1}",
    ]


def test_images_as_arrays_give_the_same_and_a_stored_extractor_too(photos):
    extractor = DescriptorExtractor("mini", [1]).fit(photos[0])
    expected = extractor.transform(photos[0])
    arrays = [np.asarray(Image.open(path)) for path in photos[0]]
    np.testing.assert_allclose(extractor.transform(arrays), expected, rtol=1e-5)
    np.testing.assert_allclose(extractor.transform(np.stack(arrays)), expected, rtol=1e-5)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(extractor)).transform(photos[0]), expected)


def test_from_files_to_classes_in_one_pipeline(photos):
    steps = make_pipeline(DescriptorExtractor("mini", [1]), Normalizer("l2"), AttributeClassifier())
    search = GridSearchCV(steps, {"normalizer__kind": ["none", "l2"]}, cv=2).fit(*photos)
    assert search.best_score_ == 1


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ("a.png", r"Received: 'a.png'. Of one file make a list: \[path\]"),
        (np.zeros((8, 8, 3)), r"an array of shape \(8, 8, 3\). Add the batch axis: images\[None\]"),
        (np.zeros((2, 8, 8, 1)), r"Received: one of shape \(8, 8, 1\)"),
        ([3], "Received: int"),
        ([], "Received: none"),
    ],
)
def test_what_is_not_images(images, message):
    with pytest.raises(UserError, match=message) as caught:
        DescriptorExtractor("mini").fit(images)
    assert "`X` must be paths of image files, or RGB images in [0, 255], (images, height, width, 3)" in str(
        caught.value
    )
