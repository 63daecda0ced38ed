"""Weights of torch in Keras models, held against a forward pass in NumPy that knows torch's rules alone."""

import keras
import numpy as np
import pytest
import torch_files

from fashionprobe import backbones
from fashionprobe.backbones.nets import resnet
from fashionprobe.backbones.state_dict import load_state_dict
from fashionprobe.errors import UserError

CLASSES = 5


def arrays_of(depths, filters, *, bottleneck):
    """Draw weights by the names that torchvision gives them."""
    rng, found = np.random.default_rng(1), {}

    def convolution(name, norm, outputs, inputs, kernel):
        scale = 1 / np.sqrt(inputs * kernel**2)
        found[f"{name}.weight"] = rng.normal(0, scale, (outputs, inputs, kernel, kernel)).astype(np.float32)
        for part, low, high in (
            ("weight", 0.5, 1.5),
            ("bias", -1, 1),
            ("running_mean", -1, 1),
            ("running_var", 0.5, 2),
        ):
            found[f"{norm}.{part}"] = rng.uniform(low, high, outputs).astype(np.float32)
        found[f"{norm}.num_batches_tracked"] = np.array(7, np.int64)

    convolution("conv1", "bn1", filters[0], 3, 7)
    width = filters[0]
    for stage, (depth, narrow) in enumerate(zip(depths, filters, strict=True), start=1):
        out = 4 * narrow if bottleneck else narrow
        for number in range(depth):
            block = f"layer{stage}.{number}"
            sizes = (
                [(narrow, width, 1), (narrow, narrow, 3), (out, narrow, 1)]
                if bottleneck
                else [(narrow, width, 3), (narrow, narrow, 3)]
            )
            for place, size in enumerate(sizes, start=1):
                convolution(f"{block}.conv{place}", f"{block}.bn{place}", *size)
            if number == 0 and (stage > 1 or out != width):
                convolution(f"{block}.downsample.0", f"{block}.downsample.1", out, width, 1)
            width = out
    found["fc.weight"] = rng.normal(size=(CLASSES, width)).astype(np.float32)
    found["fc.bias"] = rng.normal(size=CLASSES).astype(np.float32)
    return found


def convolved(x, kernel, stride, padding):
    """Convolve as torch does: x (channels, height, width), kernel (outputs, inputs, k, k)."""
    side = kernel.shape[-1]
    padded = np.pad(x, ((0, 0), (padding, padding), (padding, padding)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (side, side), axis=(1, 2))[:, ::stride, ::stride]
    return np.einsum("chwij,ocij->ohw", windows, kernel.astype(np.float64))


def torch_forward(arrays, image, depths, *, bottleneck):
    """Return the map of each stage and the probabilities, for an image (height, width, 3) in [0, 255]."""

    def layer(x, name, norm, stride=1):
        kernel = arrays[f"{name}.weight"]
        y = convolved(x, kernel, stride, kernel.shape[-1] // 2)
        gain, bias, mean, variance = (
            arrays[f"{norm}.{part}"][:, None, None] for part in ("weight", "bias", "running_mean", "running_var")
        )
        return (y - mean) / np.sqrt(variance + 1e-5) * gain + bias

    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    x = ((image / 255 - mean) / std).transpose(2, 0, 1)
    x = np.maximum(layer(x, "conv1", "bn1", 2), 0)
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1)), constant_values=-np.inf)
    x = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))[:, ::2, ::2].max(axis=(3, 4))
    maps = []
    for stage, depth in enumerate(depths, start=1):
        for number in range(depth):
            block, stride = f"layer{stage}.{number}", 2 if stage > 1 and number == 0 else 1
            strides = (1, stride, 1) if bottleneck else (stride, 1)
            y = x
            for place, step in enumerate(strides, start=1):
                y = layer(y, f"{block}.conv{place}", f"{block}.bn{place}", step)
                y = np.maximum(y, 0) if place < len(strides) else y
            if f"{block}.downsample.0.weight" in arrays:
                x = layer(x, f"{block}.downsample.0", f"{block}.downsample.1", stride)
            x = np.maximum(x + y, 0)
        maps.append(x)
    scores = arrays["fc.weight"] @ x.mean(axis=(1, 2)) + arrays["fc.bias"]
    powers = np.exp(scores - scores.max())
    return maps, powers / powers.sum()


@pytest.mark.parametrize("bottleneck", [False, True], ids=["basic", "bottleneck"])
def test_a_resnet_computes_layer_by_layer_what_torch_does(bottleneck):
    depths, filters = (2, 1), (4, 6)
    arrays = arrays_of(depths, filters, bottleneck=bottleneck)
    model = resnet.build("tiny", depths, CLASSES, bottleneck=bottleneck, filters=filters)
    load_state_dict(model, arrays, resnet.torch_name, shown="tiny.pth")
    # An odd side, where the two ways to pad differ.
    image = np.random.default_rng(0).uniform(0, 255, (37, 45, 3)).astype(np.float32)
    taps = [model.get_layer(f"stage{stage}_out").output for stage in (1, 2)]
    *found, shares = keras.Model(model.input, [*taps, model.output])(image[None])
    maps, expected = torch_forward(arrays, image, depths, bottleneck=bottleneck)
    for one, other in zip(found, maps, strict=True):
        np.testing.assert_allclose(one[0].numpy().transpose(2, 0, 1), other, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(shares[0].numpy(), expected, rtol=1e-4)


def small(**changes):
    arrays = arrays_of((1,), (4,), bottleneck=False)
    return {**arrays, **changes}


@pytest.mark.parametrize(("change", "why"), [
    ({"layer1.0.bn2.running_var": None}, "without layer1.0.bn2.running_var"),
    ({"conv1.weight": np.zeros((4, 3, 3, 3), np.float32)}, r"where conv1.weight has the shape \[4, 3, 3, 3\]"),
    ({"layer2.0.conv1.weight": np.zeros((1, 1, 1, 1), np.float32)}, "with layer2.0.conv1.weight"),
])  # fmt: skip
def test_weights_that_do_not_fit_are_refused_and_none_is_taken(change, why):
    arrays = {name: array for name, array in small(**change).items() if array is not None}
    model = resnet.build("tiny", (1,), CLASSES, filters=(4,))
    before = model.get_weights()
    with pytest.raises(UserError, match=f"`weights` must be the weights of tiny in torch. Received: 'x.pth',? ?{why}"):
        load_state_dict(model, arrays, resnet.torch_name, shown="x.pth")
    for one, other in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_model_without_classes_leaves_theirs_out():
    model = resnet.build("tiny", (1,), filters=(4,))
    load_state_dict(model, small(), resnet.torch_name, shown="x.pth")
    kernel = model.get_layer("conv1_conv").kernel.numpy()
    np.testing.assert_array_equal(kernel, small()["conv1.weight"].transpose(2, 3, 1, 0))


def torch_names(model):
    """Return arrays of the shapes that a model needs, by their names in torch."""
    parts = {"kernel": "weight", "bias": "bias", "gamma": "weight", "beta": "bias", "moving_mean": "running_mean",
             "moving_variance": "running_var"}  # fmt: skip
    rng, arrays = np.random.default_rng(2), {}
    for layer in model.layers:
        for weight in layer.weights:
            array = rng.uniform(0.1, 0.2, weight.shape).astype(np.float32)
            array = array.transpose({4: (3, 2, 0, 1), 2: (1, 0)}.get(array.ndim, (0,)))
            arrays[f"{resnet.torch_name(layer.name)}.{parts[weight.name]}"] = np.ascontiguousarray(array)
    return arrays


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_a_file_of_torchvision_gives_a_backbone_and_a_classifier(tmp_path, name):
    whole = getattr(resnet, name)(CLASSES)
    path = tmp_path / f"{name}.pth"
    path.write_bytes(torch_files.zipped(torch_names(whole)))
    trunk = backbones.load(name, weights=str(path), size=(64, 64))
    assert trunk.taps == ("conv1_relu", "stage1_out", "stage2_out", "stage3_out", "stage4_out")
    assert trunk.weights == f"{name}.pth"
    classifier = backbones.load(name, weights=str(path), size=(64, 64), classifier=True)
    assert classifier.model.output_shape == (None, CLASSES)
    kernel = torch_names(whole)["fc.weight"].T
    np.testing.assert_array_equal(classifier.model.get_layer("predictions").kernel.numpy(), kernel)
    assert trunk.model.count_params() == classifier.model.count_params() - kernel.size - CLASSES


def test_a_file_of_torch_is_refused_for_other_networks(tmp_path):
    path = tmp_path / "vgg16.pth"
    path.write_bytes(torch_files.zipped({"a": np.zeros(1, np.float32)}))
    with pytest.raises(UserError, match="Weights of torch fit efficientnet_lite0, resnet18, resnet34 and resnet50"):
        backbones.load("vgg16", weights=str(path))
    with pytest.raises(UserError, match=r"the weights of resnet18 in torch. Received: .* without conv1.weight"):
        backbones.load("resnet18", weights=str(path))
