"""What can be said about a backbone before Keras is imported, which takes seconds: its name, its file, its blocks."""

import ast
import functools
import importlib.util
import os
from collections.abc import Sequence
from pathlib import Path

from fashionprobe.backbones.blocks import NETS, TAPS, check_names, named_taps, taps_of
from fashionprobe.backbones.preprocessing import PREPROCESSING
from fashionprobe.errors import UserError, not_installed, unknown_name
from fashionprobe.kerasfile import opening
from fashionprobe.kerasfile.sizes import Graph, Node

SHIPPED = ("efficientnet_lite0", "mini")
"""The networks whose weights come with the installation."""

IMAGENET_CLASSES = 1000

TORCH_FILES = (".pth", ".pt")
"""Ends of the names of files that torch wrote."""

FOREIGN = (*TORCH_FILES, ".safetensors", ".onnx")
"""Ends of the names of files of other frameworks."""

HUB = "hub:"
"""What stands before the name or the folder of a preset of KerasHub."""

TORCH_NETS = ("efficientnet_lite0", "resnet18", "resnet34", "resnet50")
"""The networks that take weights of torch: resnet50 then strides where torchvision's does."""

CONVOLUTIONS = ("Conv2D", "SeparableConv2D", "DepthwiseConv2D")

UNSCALED = frozenset({
    "Cast", "CenterCrop", "ConvertToTensor", "CropImages", "Cropping2D", "Dropout", "Identity", "InputLayer", "Pad",
    "PadImages", "RandomCrop", "RandomFlip", "RandomRotation", "RandomTranslation", "RandomZoom", "Resize", "Resizing",
    "StopGradient", "ZeroPadding2D",
})  # fmt: skip
"""What may stand before the first convolution and leaves the values of pixels as they are."""


@functools.cache
def applications() -> dict[str, str]:
    """Return the networks of the installed `keras.applications`, by their names in small letters.

    They are read off the source text: importing it would import TensorFlow.
    """
    spec = importlib.util.find_spec("keras")
    folders = spec.submodule_search_locations if spec else None
    for folder in folders or []:
        for place in ("applications/__init__.py", "api/applications/__init__.py"):
            if (Path(folder) / place).is_file():
                tree = ast.parse((Path(folder) / place).read_text())
                imported = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
                names = [alias.asname or alias.name for node in imported for alias in node.names]
                return {name.lower(): name for name in names if name[0].isupper()}
    return {}


def named(backbone: object) -> str:
    """Return the name of a network, or its path as text.

    Raises:
        UserError: If it is something else, such as a model of Keras.
    """
    if isinstance(backbone, str | os.PathLike):
        return os.fspath(backbone)
    raise UserError(
        "backbone", expected="a name of keras.applications or the path of a .keras file",
        received=type(backbone).__name__,
        remedy="Save it first, model.save('net.keras'), and pass that path." if hasattr(backbone, "save") else "",
    )  # fmt: skip


def is_hub(name: str) -> bool:
    """Tell whether the name of a backbone is that of a preset of KerasHub, "hub:NAME" or "hub:FOLDER"."""
    return name.startswith(HUB)


def hub_preset(name: str) -> str:
    """Return the name or the folder of a preset, without "hub:"."""
    return name.removeprefix(HUB)


def is_file(name: str) -> bool:
    """Tell whether the name of a backbone is the path of a file."""
    return not is_hub(name) and (name.endswith((".keras", ".h5", ".hdf5", *FOREIGN)) or "/" in name)


def spelled(name: str) -> str:
    """Return the name of a network as `keras.applications` spells it.

    Raises:
        UserError: If there is no such network.
    """
    if name.startswith(("timm:", "torchvision:", "hf:", "torch:")):
        raise foreign(name)
    plain = name.lower().replace("_", "").replace("-", "")
    known = applications()
    if plain not in known:
        names = [*TAPS, *sorted(set(known) - set(TAPS))]
        listing = "Or pass a .keras file. `python -c 'import keras; print(dir(keras.applications))'` lists all names."
        raise unknown_name("backbone", name, names, listing=listing)
    return known[plain]


def ends_in_imagenet(name: str, output_shape: Sequence[int | None]) -> bool:
    """Tell whether a network ends in the classes of ImageNet: one that is known by name ends in those or in none."""
    return not is_file(name) and not is_hub(name) and tuple(output_shape[1:]) == (IMAGENET_CLASSES,)


def check(
    name: str,
    *,
    weights: str = "pretrained",
    taps: Sequence[str] | None = None,
    preprocessing: str = "auto",
    blocks: Sequence[int] = (),
    layers: Sequence[str] = (),
    trust: bool = False,
) -> None:
    """Check what is asked of a backbone, as far as its name or the header of its file tells.

    Args:
        name: As for `backbones.load`.
        weights: As for `backbones.load`.
        taps: As for `backbones.load`.
        preprocessing: As for `backbones.load`.
        blocks: Numbers of the blocks that are asked for.
        layers: Names of the layers that are asked for.
        trust: Whether to leave a file to Keras alone.

    Raises:
        UserError: If there is no such network, file, layer, block or preprocessing, or the file is refused.
    """
    if preprocessing not in ("auto", *PREPROCESSING):
        raise unknown_name("preprocessing", preprocessing, ["auto", *PREPROCESSING])
    check_weights(name, weights)
    if is_hub(name):
        _check_hub(name, trust=trust)
        return
    if is_file(name):
        check_path(Path(name))
        if not trust:
            graph = opening.header(Path(name))
            check_names(layers, [node.name for node in graph.nodes if node.is_layer], Path(name).stem, argument="layer")
            _check_graph(Path(name), graph, taps, preprocessing, blocks)
        return
    if name.lower() not in (*SHIPPED, *NETS):
        spelled(name)
    if blocks and taps is None:
        check_blocks(blocks, block_count(name), Path(name).name)


def _check_hub(name: str, *, trust: bool) -> None:
    """Check that KerasHub is installed, and that a folder of a preset is there and trusted.

    Raises:
        UserError: If not.
    """
    if importlib.util.find_spec("keras_hub") is None:
        raise not_installed("keras_hub", extra="hub", purpose=f"the backbone {name}")
    preset = hub_preset(name)
    if preset and not any(sign in preset for sign in "/\\.:"):
        return
    if "://" not in preset and not (Path(preset) / "config.json").is_file():
        raise UserError(
            "backbone", expected="hub:NAME of a preset of KerasHub, or hub:FOLDER that `save_to_preset` made",
            received=repr(name),
        )  # fmt: skip
    if not trust:
        raise UserError(
            "backbone", expected="the name of a preset that KerasHub lists, for others may run code",
            received=repr(name), remedy="Pass --trust where you know who made it.",
        )  # fmt: skip


def check_path(path: Path) -> None:
    """Check that a backbone's file is there and of the right kind.

    Raises:
        UserError: If it is not.
    """
    if path.suffix in FOREIGN and path.suffix not in TORCH_FILES:
        raise foreign(str(path))
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


def check_blocks(blocks: Sequence[int], count: int, name: str) -> None:
    """Check that a backbone has blocks of these numbers.

    Raises:
        UserError: If it has not.
    """
    if not all(1 <= block <= count for block in blocks):
        received = blocks[0] if len(blocks) == 1 else list(blocks)
        raise UserError("block", expected=f"in 1 to {count} for {name}", received=received)


def block_count(name: str) -> int:
    """Return how many blocks a network has that is called by its name."""
    if name.lower() in TAPS:
        return len(TAPS[name.lower()])
    # Of those of keras.applications only the ConvNeXt networks reduce their maps once less, in their first convolution.
    return 4 if name.lower().startswith("convnext") else 5


def known_taps(names: Sequence[str]) -> str | None:
    """Return the network of `keras.applications` whose first four taps are among the names of layers, if there is one.

    What its weights expect of the pixels is known, whatever was built on top of it.
    """
    known = (name for name in TAPS if name not in (*SHIPPED, *NETS))
    return next((name for name in known if set(TAPS[name][:4]) <= set(names)), None)


def check_weights(name: str, weights: str) -> None:
    """Check that a network has such weights, or that their file is there and can be opened.

    Args:
        name: As for `backbones.load`.
        weights: As for `backbones.load`.

    Raises:
        UserError: If it has none, or the file is not there or is refused.
    """
    if weights == "random":
        return
    plain = name.lower()
    if weights in ("pretrained", "imagenet"):
        if plain in NETS:
            raise UserError(
                "weights", expected=f"'random' or a path for {plain}, which has no weights of its own",
                received=weights,
                remedy="Pass --weights random and train it"
                + (", or --weights FILE.pth with those of torchvision." if plain in TORCH_NETS else "."),
            )  # fmt: skip
        if weights == "imagenet" and (is_file(name) or is_hub(name) or plain == "mini"):
            raise UserError(
                "weights", expected=f"'pretrained', 'random' or a path for {Path(name).name}", received="imagenet",
                remedy="Only efficientnet_lite0 and the backbones of keras.applications have ImageNet weights.",
            )  # fmt: skip
    elif not Path(weights).is_file():
        raise UserError(
            "weights", expected="'pretrained', 'imagenet', 'random' or the path of a weights file",
            received=f"{weights!r}, which does not exist",
        )  # fmt: skip
    elif Path(weights).suffix in TORCH_FILES:
        if plain not in TORCH_NETS:
            raise UserError(
                "weights", expected=f"a file that Keras wrote for {Path(name).name}", received=repr(weights),
                remedy=f"Weights of torch fit {', '.join(TORCH_NETS[:-1])} and {TORCH_NETS[-1]}.",
            )  # fmt: skip
    else:
        opening.check_weights(Path(weights))


def _check_graph(
    path: Path, graph: Graph, taps: Sequence[str] | None, preprocessing: str, blocks: Sequence[int]
) -> None:
    names = [node.name for node in graph.nodes if node.is_layer]
    if taps is not None:
        check_names(taps, names, path.name)
    shape = graph.input_shape
    if shape is not None and (len(shape) != 4 or shape[-1] != 3):
        raise UserError(
            "backbone", expected="a model with one input (batch, height, width, 3)",
            received=f"input shape (batch, {', '.join(map(str, shape[1:]))})", remedy=of_rgb(shape),
        )  # fmt: skip
    if preprocessing == "auto" and known_taps(names) is None and not any(map(_may_scale, _before_convolution(graph))):
        raise unknown_preprocessing()
    if blocks and graph.is_measured:
        count = len(taps or named_taps(names) or taps_of(graph.nodes, path.name))
        check_blocks(blocks, count, path.name)


def of_rgb(shape: Sequence[int | None]) -> str:
    """Say how a network that takes no RGB images comes to take some."""
    if len(shape) != 4:
        return ""
    made = "keras.ops.image.rgb_to_grayscale(image)" if shape[-1] == 1 else "LAYERS(image)"
    return f"Save one that makes its input of RGB: keras.Model(image, model({made})), image = keras.Input((H, W, 3))."


def foreign(name: str) -> UserError:
    """Make the error for a network of another framework."""
    return UserError(
        "backbone", expected="a name of keras.applications, a .keras file, or hub:PRESET of KerasHub",
        received=repr(name),
        remedy="Networks of torch and ONNX stay out: take the same one of KerasHub, or build it in Keras; the weights "
        f"of torchvision fit {', '.join(TORCH_NETS[1:-1])} and {TORCH_NETS[-1]} by --weights FILE.pth.",
    )  # fmt: skip


def unknown_preprocessing() -> UserError:
    """Make the error for a model that does not show what its weights expect of the pixels."""
    return UserError(
        "preprocessing", expected=f"one of {', '.join(PREPROCESSING)} for a model of unknown origin", received="auto",
        remedy="'tf' maps pixels to [-1, 1], 'none' leaves [0, 255].",
    )  # fmt: skip


def _before_convolution(graph: Graph) -> list[Node]:
    """Return what the pixels go through before they are convolved."""
    first = next((place for place, node in enumerate(graph.nodes) if node.kind in CONVOLUTIONS), len(graph.nodes))
    return list(graph.nodes[:first])


def _may_scale(node: Node) -> bool:
    return node.kind not in UNSCALED
