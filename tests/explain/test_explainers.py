"""The classes against the functions that they stand on, and what is answered to a first mistake."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from networks import build

from fashionprobe.errors import UserError
from fashionprobe.explain import CAM, Channel, Deletion, GradCAM, Gradient, Insertion, explainers, heatmaps, methods
from fashionprobe.explain.cam import grad_cam
from fashionprobe.explain.faithfulness import deletion, insertion

CLASSES = {
    each.method: each for each in vars(explainers).values()
    if isinstance(each, type) and issubclass(each, explainers.Explainer) and each is not explainers.Explainer
}  # fmt: skip

FEW = {
    "percentile_cam": {"percentile": 90}, "occlusion": {"windows": [4], "value_range": (0, 1)},
    "smooth_grad": {"samples": 3}, "integrated_gradients": {"steps": 4}, "score_cam": {"channels": 3},
}  # fmt: skip


@pytest.fixture(scope="module")
def explainer(network) -> GradCAM:
    return GradCAM(network, batch_size=3)


@pytest.fixture(scope="module")
def expected(network, images) -> np.ndarray:
    return grad_cam(network)(images)


def test_there_is_a_class_for_each_method():
    assert set(CLASSES) == {*methods.METHODS, *methods.ATTENTION}


@pytest.mark.parametrize("method", methods.METHODS)
def test_a_class_gives_the_maps_of_its_function(method, network, images):
    options = {"q" if name == "percentile" else name: value for name, value in FEW.get(method, {}).items()}
    expected = methods.explainer(method, network, **options)(images, 2)
    explainer = CLASSES[method](network, **FEW.get(method, {}))
    np.testing.assert_array_equal(explainer(images, 2), expected)
    np.testing.assert_array_equal(explainer.heatmap(images, 2), heatmaps.heatmap(expected, (16, 16)))


@pytest.mark.parametrize("method", [name for name in methods.METHODS if name not in methods.OF_CLASSES])
def test_a_target_that_is_not_a_class(method, network, images):
    target = Channel("third_relu", 2)
    options = FEW.get(method, {})
    found = CLASSES[method](network, target=target, **options)(images[:1])
    own = {"q" if name == "percentile" else name: value for name, value in options.items()}
    np.testing.assert_array_equal(found, methods.explainer(method, network, target=target, **own)(images[:1]))


def dataset(images):
    return tf.data.Dataset.from_tensor_slices((images, np.arange(len(images)))).batch(2)


class Sequence(keras.utils.PyDataset):
    def __init__(self, images):
        super().__init__()
        self.images = images

    def __len__(self):
        return 2

    def __getitem__(self, place):
        return self.images[2 * place : 2 * place + 2], np.zeros(2)


@pytest.mark.parametrize(
    "bring",
    [
        tf.constant, list, dataset, lambda images: dataset(images).map(lambda image, label: image), Sequence,
        lambda images: [images[:3], images[3:]], lambda images: iter([(images[:1], 0), (images[1:], 0)]),
        lambda images: (each[None] for each in images),
    ],
    ids=["tensor", "list", "labelled dataset", "dataset", "PyDataset", "batches", "labelled batches", "generator"],
)  # fmt: skip
def test_images_come_in_many_ways(bring, explainer, images, expected):
    np.testing.assert_allclose(explainer(bring(images)), expected, rtol=1e-4, atol=1e-6)


def test_one_class_per_image_goes_with_its_image_through_all_batches(explainer, network, images):
    expected = grad_cam(network)(images, [0, 1, 4, 2])
    np.testing.assert_allclose(explainer(dataset(images), [0, 1, 4, 2]), expected, rtol=1e-4, atol=1e-6)


def test_a_layer_by_object_and_inside_a_nested_model(images):
    model = build("nested")
    layer = model.get_layer("inner").get_layer("second_relu")
    found = GradCAM(model, layer)
    assert found.layer == "second_relu"
    np.testing.assert_allclose(found(images), grad_cam(model, "second_relu")(images), rtol=1e-5)


def test_the_users_model_is_not_changed(images):
    model = build("dense")
    before = model.get_config(), [len(layer._outbound_nodes) for layer in model.layers], model.get_weights()
    explainer = GradCAM(model, "second_relu")
    explainer.plot(images)
    after = model.get_config(), [len(layer._outbound_nodes) for layer in model.layers], model.get_weights()
    assert before[:2] == after[:2]
    assert all(np.array_equal(*pair) for pair in zip(before[2], after[2], strict=True))


def test_what_it_says_of_itself(network):
    assert repr(GradCAM(network)) == f"<GradCAM of the score of a class in '{network.name}' at 'third_relu', relu=True>"
    assert repr(Gradient(network, target=Channel("first", 1))) == (
        f"<Gradient of channel 1 of first in '{network.name}'>"
    )
    assert repr(Deletion(network)) == f"<Deletion for '{network.name}', steps=50, baseline='mean'>"


@pytest.mark.parametrize(("method", "grey"), [("grad_cam", False), ("gradient", True), ("deconvnet", True)])
def test_a_figure_has_each_image_beside_what_is_seen_in_it(method, grey, images, network):
    if grey:
        image = keras.Input((16, 16, 1))
        x = keras.layers.Conv2D(3, 3, activation="relu")(image)
        network = keras.Model(image, keras.layers.Dense(2)(keras.layers.GlobalAveragePooling2D()(x)))
        images = images[..., :1] * 2 - 1
    figure = CLASSES[method](network).plot(images, count=3)
    drawn = [ax for ax in figure.axes if ax.images]
    titles = [ax.get_title(loc="left") for ax in drawn]
    assert titles[::2] == ["image", "image 2", "image 3"] and len(titles) == 6
    assert set(titles[1::2]) == {methods.title(method)}
    assert np.ptp(drawn[0].images[0].get_array()) > 200


@pytest.mark.parametrize(
    ("images", "classes", "message"),
    [
        (np.zeros((16, 16, 3)), None, r"Received: \[16, 16, 3\]\. Add the batch axis: images\[None\]"),
        (tf.data.Dataset.from_tensor_slices(np.zeros((2, 16, 16, 3))), None, r"single images.*dataset\.batch\(32\)"),
        ("photo.png", None, "Received: 'photo.png'. Read files first"),
        (["a.png"], None, "Received: 'a.png'. Read files first"),
        ([], None, r"`images` must be a batch of shape"),
        (iter([]), None, "`images` must be one batch of images or more. Received: none"),
        (7, None, r"`images` must be a batch of shape"),
        (np.zeros((4, 16, 16, 3)), [1, 2, 3], "one per image. Received: 3 for at least 4 images"),
        (np.zeros((4, 16, 16, 3)), [1, 2, 3, 4, 0], "one per image. Received: 5 for 4 images"),
        (np.zeros((4, 16, 16, 3)), 5, r"`classes` must be in the range \[0, 5\). Received: 5"),
        (np.zeros((4, 16, 16, 3)), "shoe", "A network knows its classes by number"),
    ],
)
def test_first_mistakes_with_images_are_answered(explainer, images, classes, message):
    with pytest.raises(UserError, match=message):
        explainer(images, classes)


def test_batches_of_several_sizes_are_explained_one_by_one():
    image = keras.Input((None, None, 3))
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(3, 3, name="map")(image))
    explainer = GradCAM(keras.Model(image, keras.layers.Dense(2)(x)))
    with pytest.raises(UserError, match=r"`images` must be batches of one size.*Call the explainer for each batch"):
        explainer([np.zeros((1, 8, 8, 3)), np.zeros((1, 9, 9, 3))])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda model, images: GradCAM(model, images), r"Images come second: GradCAM\(model\)\(images\)"),
        (lambda model, images: grad_cam(model, images), r"Images come second: GradCAM\(model\)\(images\)"),
        (lambda model, images: GradCAM(model, "secnd"), "such as second.*Received: secnd"),
        (lambda model, images: GradCAM(model, batch_size=0), "`batch_size` must be an int, 1 or more. Received: 0"),
        (lambda model, images: GradCAM(images), "`model` must be a functional or sequential Keras model"),
        (lambda model, images: CAM(build_without_pooling()), "grad_cam"),
    ],
)
def test_first_mistakes_with_the_model_are_answered(make, message, network, images):
    with pytest.raises(UserError, match=message):
        make(network, images)


def build_without_pooling():
    image = keras.Input((8, 8, 3))
    return keras.Model(image, keras.layers.Dense(2)(keras.layers.Flatten()(image)))


@pytest.mark.parametrize(("kind", "factory"), [(Deletion, deletion), (Insertion, insertion)])
def test_deletion_and_insertion_measure_heatmaps(kind, factory, network, images):
    heat = GradCAM(network).heatmap(images)
    found, expected = kind(network, steps=5)(images, heat), factory(network, steps=5)(images, heat)
    np.testing.assert_array_equal(found.auc, expected.auc)
