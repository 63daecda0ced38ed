"""Backbones: Keras models with named blocks, their taps, and the preprocessing that belongs to their weights."""

import hashlib
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np

from fashionprobe.backbones import architectures, hub, known
from fashionprobe.backbones.blocks import DEFAULT_SIZE, choose_taps, nodes_of
from fashionprobe.backbones.graph import channels_first, copy_weights, flatten, kept_random_state, uses
from fashionprobe.backbones.preprocessing import PREPROCESSING, Preprocessing, probe
from fashionprobe.errors import UserError, unknown_name
from fashionprobe.kerasfile import opening, sizes


@dataclass(frozen=True)
class Backbone:
    """A Keras model with named blocks.

    Attributes:
        name: Name of the architecture, or of the model file.
        model: The model, un-nested and functional; input (batch, height, width, 3).
        taps: Name of the layer that ends block 1, 2, ...
        preprocessing: What the weights expect of RGB pixels in [0, 255].
        size: (height, width) of its input in pixels.
        weights: Where the weights came from, as text.
        weights_sha256: SHA-256 over all weights.
    """

    name: str
    model: keras.Model
    taps: tuple[str, ...]
    preprocessing: Preprocessing
    size: tuple[int, int]
    weights: str
    weights_sha256: str

    def choose_blocks(
        self, blocks: Sequence[int] | None, argument: str = "block", remedy: str = "Leave --block out for all of them."
    ) -> list[int]:
        """Return the numbers of some blocks, of all for None.

        Args:
            blocks: The numbers, from 1.
            argument: Name of the argument, for the error.
            remedy: What to do, for the error.

        Raises:
            UserError: If it has no such block.
        """
        count = len(self.taps)
        chosen = list(range(1, count + 1)) if blocks is None else list(blocks)
        wrong = [block for block in chosen if not 1 <= block <= count]
        if wrong or not chosen:
            raise UserError(
                argument, expected=f"in 1 to {count} for {self.name}", received=wrong[0] if wrong else chosen,
                remedy=remedy,
            )  # fmt: skip
        return chosen

    def places(self, layers: Sequence[str]) -> list[int]:
        """Return where layers stand, for a recipe: names that Keras gave differ from process to process."""
        names = [layer.name for layer in self.model.layers]
        return [names.index(layer) for layer in layers]


@kept_random_state()
def load(
    name: str = "resnet50",
    *,
    weights: str = "pretrained",
    taps: Sequence[str] | None = None,
    preprocessing: Literal["auto", "none", "tf", "caffe", "torch"] = "auto",
    size: tuple[int, int] | None = None,
    seed: int = 0,
    trust: bool = False,
    classifier: bool = False,
) -> Backbone:
    """Build a backbone that is known by name, or load one from a `.keras` file.

    Args:
        name: "resnet50", "vgg16", "mobilenet" or any other name of `keras.applications`; "efficientnet_lite0" or
            "mini", whose weights come with this package; the name of one of `nets.NETS`, to be trained from scratch; or
            the path of a `.keras` file; or "hub:" and the name of a preset of KerasHub, or the folder of one.
        weights: "pretrained" for those that belong to it: ImageNet for `keras.applications` and `efficientnet_lite0`,
            product titles for `mini`, its own for a `.keras` file, none for the nets to be trained from scratch. Or
            "imagenet", "random", or the path of a weights file (`.weights.h5`, `.h5` or `.keras`; `.pth` of torchvision
            for resnet18, resnet34 and resnet50).
        taps: Names of the layers that end block 1, 2, ...; None takes them from `TAPS` or finds them (`find_taps`).
        preprocessing: "auto" takes what `keras.applications` does for this architecture.
        size: (height, width) of the input in pixels; None takes the model's own, else 224 x 224.
        seed: Seed of random weights.
        trust: Open a `.keras` file whatever it holds. The code in it, and all that it names, runs with your rights.
        classifier: Keep the layers that return the probabilities of the classes, where the network and its weights have
            them; a `.keras` file stays as it is.

    Returns:
        The backbone, in inference mode.

    Raises:
        UserError: If the name, a tap or the weights do not fit, the weights cannot be downloaded, or a file holds more
            than layers and operations of Keras.
    """
    name = architectures.named(name)
    architectures.check_weights(name, weights)
    of_preset: Preprocessing | None = None
    is_hub = architectures.is_hub(name)
    network = None if is_hub or architectures.is_file(name) else known.network(name, weights)
    if is_hub:
        architectures.check(name, trust=trust)
        found, of_preset, own_size = hub.load(name, pretrained=weights == "pretrained")
        model, own_size = _fitting(found), own_size or DEFAULT_SIZE
        if weights not in ("pretrained", "random"):
            known.load_weights(model, Path(weights), Path(name).name)
    elif network is None:
        model, own_size = _from_file(Path(name), trust=trust), DEFAULT_SIZE
        if weights not in ("pretrained", "random"):
            known.load_weights(model, Path(weights), Path(name).name)
    else:
        model, own_size = network.load(weights, classifier=classifier), network.size
        if classifier and size not in (None, model.input_shape[1:3]):
            model = known.of_any_size(model)
    if weights == "random":
        model = randomized(model, seed)
    size = _input_size(model, size, own_size)
    if network is None and not is_hub and not trust and not opening.header(Path(name)).is_measured:
        _check_maps(model, size, Path(name))
    architecture = network.architecture if network else None
    return Backbone(
        name=Path(name).name,
        model=model,
        taps=choose_taps(model, taps or (network.taps if network else None), size),
        preprocessing=of_preset
        if of_preset and preprocessing == "auto"
        else _choose_preprocessing(model, architecture, preprocessing),
        size=size,
        weights="of the preset" if is_hub and weights == "pretrained" else _describe_weights(weights, network, seed),
        weights_sha256=_sha256(model),
    )


@kept_random_state()
def on_pixels(backbone: Backbone, *, any_size: bool = False) -> keras.Model:
    """Return the backbone's model with its preprocessing in front: RGB, float32 (batch, *size, 3) in [0, 255].

    It is flat, with the layer names of the backbone, and a copy: the backbone's own model is not changed.

    Args:
        backbone: The backbone.
        any_size: Whether it takes images of all sizes that the backbone's model takes, not of `size` alone.
    """
    sides = backbone.model.input_shape[1:3] if any_size else backbone.size
    image = keras.Input((*sides, 3), name="image")
    pixels = preprocessed(image, backbone.preprocessing)
    return flatten(keras.Model(image, backbone.model(pixels), name=backbone.model.name))


def preprocessed(pixels: Any, wanted: Preprocessing) -> Any:
    """Add the preprocessing that the weights expect to the graph, so that the model takes plain RGB pixels."""
    if wanted == Preprocessing():
        return pixels
    offset = [-mean * scale for mean, scale in zip(wanted.mean, wanted.scale, strict=True)]
    scaling: dict[str, Any] = {"scale": list(wanted.scale), "offset": offset}
    scaled = keras.layers.Rescaling(**scaling, name="preprocessing", dtype="float32")(pixels)
    return keras.ops.flip(scaled, axis=-1) if wanted.bgr else scaled


def _preprocess_input(architecture: str) -> Callable[[np.ndarray], np.ndarray]:
    """Return the preprocessing that `keras.applications` keeps beside this architecture."""
    return sys.modules[getattr(keras.applications, architecture).__module__].preprocess_input


def _from_file(path: Path, *, trust: bool) -> keras.Model:
    architectures.check_path(path)
    model = opening.load_model(path, trust=trust)
    if not isinstance(model, keras.Model) or not hasattr(model, "inputs") or not model.inputs:
        raise UserError("backbone", expected="a functional or sequential model", received=type(model).__name__)
    return _fitting(model)


def _fitting(model: keras.Model) -> keras.Model:
    """Return a model without inner ones, if it takes images and can be cut.

    Raises:
        UserError: If not.
    """
    model = flatten(model)
    shared = [layer.name for layer in model.layers if uses(layer) > 1]
    if shared:
        raise UserError(
            "backbone", expected="a model that uses each layer once", received=f"a model that uses {shared[0]} again",
        )  # fmt: skip
    if first := channels_first(model):
        raise UserError(
            "backbone", expected="a model of feature maps (batch, height, width, channels)",
            received=f"channels first in {min(first)}", remedy='Build it again with data_format="channels_last".',
        )  # fmt: skip
    shape = model.input_shape
    if len(model.inputs) != 1:
        raise UserError(
            "backbone", expected="a model with one input, for commands give it images alone",
            received=f"{len(model.inputs)}: {', '.join(each.name for each in model.inputs)}",
            remedy="From Python, fashionprobe.explain.functional(model, inputs={NAME: VALUE}) holds the others.",
        )  # fmt: skip
    if len(shape) != 4 or shape[-1] != 3:
        raise UserError(
            "backbone",
            expected="a model with one input (batch, height, width, 3)",
            received=f"input shape {shape}",
            remedy=architectures.of_rgb(shape),
        )
    return model


def _check_maps(model: keras.Model, size: tuple[int, int], path: Path) -> None:
    """Refuse too large maps that could not be worked out from the file: Keras knows the shapes, nothing is computed."""
    for node in nodes_of(model, size):
        if math.prod(side or 1 for side in node.shape) > sizes.MAX_VALUES:
            raise UserError(
                "backbone", expected=f"a network of at most {sizes.MAX_VALUES:,} numbers in a feature map",
                received=f"{str(path)!r}, whose layer {node.name} returns {' x '.join(map(str, node.shape[1:]))}",
            )  # fmt: skip


def randomized(model: keras.Model, seed: int) -> keras.Model:
    """Return the same architecture with new weights: Glorot-uniform kernels, all else as Keras starts it.

    The seed of Keras is global, so it is left alone: it belongs to the user's script. What a `Normalization` knows of
    the pixels is kept: it is preprocessing.
    """
    fresh = keras.models.clone_model(model)
    kernels = []
    for layer in fresh.layers:
        if isinstance(layer, keras.layers.Normalization):
            copy_weights(model.get_layer(layer.name), layer)
        else:
            # Frozen layers, too.
            kernels += [weight for weight in layer.weights if len(weight.shape) > 1]
    seeds = np.random.SeedSequence(seed).generate_state(len(kernels))
    for kernel, number in zip(kernels, seeds, strict=True):
        # TensorFlow takes seeds of 31 bits.
        initializer = keras.initializers.GlorotUniform(seed=int(number) >> 1)
        kernel.assign(initializer(kernel.shape, dtype=kernel.dtype))
    return fresh


def _input_size(model: keras.Model, size: tuple[int, int] | None, default: tuple[int, int]) -> tuple[int, int]:
    """Return the input size to use; a model with a fixed one takes no other."""
    fixed = model.input_shape[1:3]
    if None not in fixed:
        if size is not None and tuple(size) != tuple(fixed):
            raise UserError("size", expected=f"{list(fixed)}, the fixed input of {model.name}", received=list(size))
        return tuple(fixed)
    if size is None:
        return default
    if len(size) != 2 or min(size) < 8 or max(size) > 4096:
        raise UserError("size", expected="[height, width], each in the range [8, 4096]", received=list(size))
    return (int(size[0]), int(size[1]))


def _choose_preprocessing(model: keras.Model, architecture: str | None, choice: str) -> Preprocessing:
    if choice != "auto":
        if choice not in PREPROCESSING:
            raise unknown_name("preprocessing", choice, ["auto", *PREPROCESSING])
        return PREPROCESSING[choice]
    if architecture is not None:
        return probe(_preprocess_input(architecture))
    if _preprocesses(model):
        return PREPROCESSING["none"]
    known = architectures.known_taps([layer.name for layer in model.layers])
    if known is None:
        raise architectures.unknown_preprocessing()
    return probe(_preprocess_input(architectures.spelled(known)))


def _preprocesses(model: keras.Model) -> bool:
    """Return whether a model changes the values of pixels before it convolves them, found by sending pixels through.

    Casting, padding and resizing do not; a `Rescaling`, plain arithmetic or a normalisation does.
    """
    convolutions = (keras.layers.Conv2D, keras.layers.SeparableConv2D, keras.layers.DepthwiseConv2D)
    first = next((layer for layer in model.layers if isinstance(layer, convolutions)), None)
    last: Any = model.output if first is None else first.input
    if not isinstance(last, keras.KerasTensor) or len(last.shape) != 4 or last.shape[-1] != 3:
        # Patches or a single channel: what became of the pixels cannot be compared.
        return any(isinstance(layer, keras.layers.Rescaling | keras.layers.Normalization) for layer in model.layers)
    sides = [side or 64 for side in model.input_shape[1:3]]
    colours = np.array([[0, 0, 0], [255, 128, 32]], np.float32)
    images = np.broadcast_to(colours[:, None, None, :], (2, *sides, 3))
    found = np.asarray(keras.Model(model.input, last)(images, training=False), np.float32)
    # The middle: at the rim a padding has put its own.
    middle = found[:, found.shape[1] // 2, found.shape[2] // 2]
    return not np.allclose(middle, colours, atol=1.0)


def _describe_weights(weights: str, network: "known.Network | None", seed: int) -> str:
    if weights == "random":
        return f"random, seed {seed}"
    if weights in ("pretrained", "imagenet"):
        return network.trained_on if network else "of the file"
    return Path(weights).name


def _sha256(model: keras.Model) -> str:
    digest = hashlib.sha256()
    for weight in model.get_weights():
        digest.update(np.ascontiguousarray(weight).tobytes())
    return digest.hexdigest()
