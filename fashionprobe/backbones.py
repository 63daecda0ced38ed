"""Backbones: Keras models with named blocks, their taps, and the preprocessing that belongs to their weights."""

import hashlib
import itertools
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np

from fashionprobe import mini, nets
from fashionprobe.blocks import DEFAULT_SIZE, TAPS, choose_taps
from fashionprobe.errors import UserError, unknown_name
from fashionprobe.graphs import copy_weights, flatten, kept_random_state
from fashionprobe.preprocessing import PREPROCESSING, Preprocessing, probe


@dataclass(frozen=True)
class Backbone:
    """A Keras model with named blocks.

    Attributes:
        name: Name of the architecture, or of the model file.
        model: The model, un-nested and functional; input (batch, height, width, 3).
        taps: Name of the layer that ends block 1, 2, ...
        preprocessing: What the weights expect of RGB pixels in [0, 255].
        size: (height, width) of its input in pixels.
        weights: Where the weights came from, in words.
        weights_sha256: SHA-256 over all weights.
    """

    name: str
    model: keras.Model
    taps: tuple[str, ...]
    preprocessing: Preprocessing
    size: tuple[int, int]
    weights: str
    weights_sha256: str


@kept_random_state()
def load(
    name: str = "resnet50",
    *,
    weights: str = "pretrained",
    taps: Sequence[str] | None = None,
    preprocessing: Literal["auto", "none", "tf", "caffe", "torch"] = "auto",
    size: tuple[int, int] | None = None,
    seed: int = 0,
) -> Backbone:
    """Build a backbone of `keras.applications`, `mini` or one of `nets`, or load one from a `.keras` file.

    Args:
        name: "resnet50", "vgg16", "mobilenet" or any other name of `keras.applications`; "mini", the small network that
            comes with this package; the name of one of `nets.NETS`, to be trained from scratch; or the path of a
            `.keras` file.
        weights: "pretrained" for those that belong to it: ImageNet for `keras.applications`, the shipped ones for
            `mini`, its own for a `.keras` file, none for the nets to be trained from scratch. Or "imagenet", "random",
            or the path of a weights file (`.weights.h5`, `.h5` or `.keras`).
        taps: Names of the layers that end block 1, 2, ...; None takes them from `TAPS` or finds them (`find_taps`).
        preprocessing: "auto" takes what `keras.applications` does for this architecture.
        size: (height, width) of the input in pixels; None takes the model's own, else 224 x 224.
        seed: Seed of random weights.

    Returns:
        The backbone, in inference mode.

    Raises:
        UserError: If the name, a tap or the weights do not fit, or the weights cannot be downloaded.
    """
    if name.endswith((".keras", ".h5", ".hdf5")) or "/" in name:
        model, architecture, own_size = _from_file(Path(name)), None, DEFAULT_SIZE
    elif name.lower() == mini.NAME:
        model, architecture, own_size = mini.build(), None, mini.SIZE
        if weights == "pretrained":
            mini.load_weights(model)
    elif name.lower() in nets.NETS:
        build, own_size = nets.NETS[name.lower()]
        model, architecture = build(), None
        _need_weights(name, weights)
    else:
        architecture, own_size = _architecture(name), DEFAULT_SIZE
        model = _build(architecture, weights)
    if weights == "random":
        model = randomized(model, seed)
    elif weights == "imagenet" and architecture is None:
        raise UserError(
            "weights", expected=f"'pretrained', 'random' or a path for {Path(name).name}", received="imagenet",
            remedy="Only the backbones of keras.applications have ImageNet weights.",
        )  # fmt: skip
    elif weights not in ("pretrained", "imagenet"):
        _load_weights(model, Path(weights), architecture or Path(name).name)
    size = _input_size(model, size, own_size)
    return Backbone(
        name=Path(name).name,
        model=model,
        taps=choose_taps(model, taps or TAPS.get(name.lower()), size),
        preprocessing=_choose_preprocessing(model, architecture, preprocessing),
        size=size,
        weights=_describe_weights(name, weights, architecture, seed),
        weights_sha256=_sha256(model),
    )


@kept_random_state()
def on_pixels(backbone: Backbone) -> keras.Model:
    """Return the backbone's model with its preprocessing in front: RGB, float32 (batch, *size, 3) in [0, 255].

    It is flat, with the layer names of the backbone, and a copy: the backbone's own model is not changed.
    """
    image = keras.Input((*backbone.size, 3), name="image")
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


def _architecture(name: str) -> str:
    """Return the name as `keras.applications` spells it."""
    known = {key.lower(): key for key in dir(keras.applications) if key[0].isupper()}
    plain = name.lower().replace("_", "").replace("-", "")
    if plain not in known:
        names = [*TAPS, *sorted(set(known) - set(TAPS))]
        listing = "Or pass a .keras file. `python -c 'import keras; print(dir(keras.applications))'` lists all names."
        raise unknown_name("backbone", name, names, listing=listing)
    return known[plain]


def _preprocess_input(architecture: str) -> Callable[[np.ndarray], np.ndarray]:
    """Return the preprocessing that `keras.applications` keeps beside this architecture."""
    return sys.modules[getattr(keras.applications, architecture).__module__].preprocess_input


def _build(architecture: str, weights: str) -> keras.Model:
    try:
        with warnings.catch_warnings():
            # MobileNet warns that it takes the weights of its 224 px variant, which is what is wanted.
            warnings.filterwarnings("ignore", message="`input_shape` is undefined")
            model = getattr(keras.applications, architecture)(
                include_top=False,
                weights="imagenet" if weights in ("pretrained", "imagenet") else None,
            )
            return flatten(model)
    except Exception as error:
        download = _failed_download(error)
        if download is None:
            raise
        url, digest = download
        file = url.rpartition("/")[2]
        kind = {32: "MD5", 64: "SHA-256"}.get(len(digest or ""))
        raise UserError(
            "weights", expected=f"downloadable, or the path of a local copy of {file}"
            + (f" ({kind} {digest})" if kind else " (Keras publishes no checksum of it)"),
            received=f"a failed download ({_first_line(error).rpartition(' -- ')[2]})",
            remedy=f"Fetch {url} elsewhere and pass --weights PATH/{file}, or use --weights random.",
        ) from error  # fmt: skip


def _failed_download(error: Exception) -> tuple[str, str | None] | None:
    """Return the address and the published checksum of the file that Keras was fetching, or None when it was not.

    The errors are of many types and the checksum stands in none of them: both are read off the call.
    """
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if frame.f_code.co_name == "get_file" and frame.f_locals.get("origin"):
            return frame.f_locals["origin"], frame.f_locals.get("file_hash")
    return None


def _from_file(path: Path) -> keras.Model:
    if not path.is_file():
        raise UserError(
            "backbone", expected="a name of keras.applications or the path of a .keras file",
            received=f"{str(path)!r}, which does not exist",
        )  # fmt: skip
    if path.suffix != ".keras":
        raise UserError(
            "backbone", expected="a .keras file", received=f"{str(path)!r}",
            remedy="Name the architecture with --backbone and pass this file with --weights.",
        )  # fmt: skip
    try:
        # Safe mode refuses code inside the file; a stranger's model must not run any.
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:
        raise UserError(
            "backbone", expected="a .keras file that this Keras can load safely",
            received=f"{str(path)!r} ({_first_line(error)})",
        ) from error  # fmt: skip
    if not isinstance(model, keras.Model) or not hasattr(model, "inputs") or not model.inputs:
        raise UserError("backbone", expected="a functional or sequential model", received=type(model).__name__)
    model = flatten(model)
    shared = [layer.name for layer in model.layers if len(layer._inbound_nodes) > 1]
    if shared:
        raise UserError(
            "backbone", expected="a model that uses each layer once", received=f"a model that uses {shared[0]} again",
        )  # fmt: skip
    shape = model.input_shape
    if len(model.inputs) != 1 or len(shape) != 4 or shape[-1] != 3:
        raise UserError(
            "backbone",
            expected="a model with one input (batch, height, width, 3)",
            received=f"input shape {shape}",
        )
    return model


def _need_weights(name: str, weights: str) -> None:
    """Refuse weights that a net to be trained from scratch does not have."""
    if weights in ("pretrained", "imagenet"):
        raise UserError(
            "weights", expected=f"'random' or a path for {name.lower()}, which has no weights of its own",
            received=weights, remedy="Pass --weights random and train it.",
        )  # fmt: skip


def _load_weights(model: keras.Model, path: Path, name: str) -> None:
    if not path.is_file():
        raise UserError(
            "weights", expected="'pretrained', 'imagenet', 'random' or the path of a weights file",
            received=f"{str(path)!r}, which does not exist",
        )  # fmt: skip
    try:
        with warnings.catch_warnings():
            # Keras only warns when part of the weights stays as it was initialised.
            warnings.simplefilter("error")
            model.load_weights(path)
    except Exception as error:
        reason = "layers are missing in it" if isinstance(error, UserWarning) else _first_line(error)
        raise UserError(
            "weights", expected=f"weights of {name} without its classification layer",
            received=f"{str(path)!r} ({reason})", remedy="Check that file and --backbone belong together.",
        ) from error  # fmt: skip


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
    names = {layer.name for layer in model.layers}
    for known, taps in TAPS.items():
        if known not in (mini.NAME, *nets.NETS) and set(taps[:4]) <= names:
            return probe(_preprocess_input(_architecture(known)))
    raise UserError(
        "preprocessing", expected=f"one of {', '.join(PREPROCESSING)} for a model of unknown origin", received="auto",
        remedy="'tf' maps pixels to [-1, 1], 'none' leaves [0, 255].",
    )  # fmt: skip


def _preprocesses(model: keras.Model) -> bool:
    """Return whether a model scales the pixels itself, by a layer or by plain arithmetic, before it convolves them."""
    convolutions = (keras.layers.Conv2D, keras.layers.SeparableConv2D, keras.layers.DepthwiseConv2D)
    first = itertools.takewhile(lambda operation: not isinstance(operation, convolutions), model.operations)
    scaling = (keras.layers.Rescaling, keras.layers.Normalization)
    return any(isinstance(operation, scaling) or not isinstance(operation, keras.Layer) for operation in first)


def _describe_weights(name: str, weights: str, architecture: str | None, seed: int) -> str:
    if weights == "random":
        return f"random, seed {seed}"
    if weights in ("pretrained", "imagenet"):
        return "imagenet" if architecture else "product titles" if name.lower() == mini.NAME else "of the file"
    return Path(weights).name


def _sha256(model: keras.Model) -> str:
    digest = hashlib.sha256()
    for weight in model.get_weights():
        digest.update(np.ascontiguousarray(weight).tobytes())
    return digest.hexdigest()


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__
