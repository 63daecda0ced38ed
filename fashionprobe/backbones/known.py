"""The networks that are known by name: how each is built, and where its weights come from."""

import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import keras

from fashionprobe.backbones import architectures, efficientnet_lite0, mini, nets
from fashionprobe.backbones.blocks import DEFAULT_SIZE, NETS, TAPS
from fashionprobe.backbones.graph import copy_model, flatten
from fashionprobe.backbones.nets import resnet
from fashionprobe.backbones.state_dict import load_state_dict
from fashionprobe.errors import UserError
from fashionprobe.kerasfile import opening, torchfile


@dataclass(frozen=True)
class Network:
    """A network that is known by name.

    Attributes:
        name: The name.
        build: Makes the model, given the number of classes whose probabilities it is to return, or None for the last
            feature map; weights as Keras starts them, or as they come with it.
        size: (height, width) in pixels that it takes when no size is asked for.
        taps: Names of the layers that end its blocks; None when they are to be found.
        trained_on: What its own weights were trained on.
        load_own: Puts its own weights into a model; None where `build` has done it.
        torch_name: Returns what torch calls a layer; None where weights of torch do not fit.
        architecture: The name in `keras.applications`; None for networks built here.
    """

    name: str
    build: Callable[[int | None], keras.Model]
    size: tuple[int, int]
    taps: tuple[str, ...] | None
    trained_on: str = ""
    load_own: Callable[[keras.Model], None] | None = None
    torch_name: Callable[[str], str] | None = None
    architecture: str | None = None

    def load(self, weights: str, *, classifier: bool) -> keras.Model:
        """Build the model and give it weights.

        Args:
            weights: "pretrained" or "imagenet" for its own, "random" for none, or the path of a file.
            classifier: Keep the classification layers, where the weights have them.

        Raises:
            UserError: If a file of weights does not fit.
        """
        whole = architectures.IMAGENET_CLASSES if classifier else None
        if weights == "random":
            return self.build(None)
        if weights in ("pretrained", "imagenet"):
            model = self.build(whole)
            if self.load_own:
                self.load_own(model)
            return model
        path = Path(weights)
        if self.torch_name and path.suffix in architectures.TORCH_FILES:
            arrays = torchfile.read(path)
            scores = arrays.get(f"{self.torch_name('predictions')}.weight")
            model = self.build(len(scores) if classifier and scores is not None else None)
            load_state_dict(model, arrays, self.torch_name, shown=weights)
            return model
        if whole is not None:
            try:
                return load_weights(self.build(whole), path, self.name)
            except UserError:
                # Files without classification layers are common, too.
                pass
        return load_weights(self.build(None), path, self.name)


def network(name: str, weights: str) -> Network:
    """Return the network of a name.

    Args:
        name: As for `backbones.load`, but a path.
        weights: As for `backbones.load`: those of torchvision's ResNet-50 do not fit that of Keras.

    Raises:
        UserError: If there is none.
    """
    plain = name.lower()
    if plain == mini.NAME:
        return Network(plain, lambda _: mini.build(), mini.SIZE, TAPS[plain], "product titles", mini.load_weights)
    if plain == efficientnet_lite0.NAME:
        return Network(
            plain, efficientnet_lite0.build, efficientnet_lite0.SIZE,
            TAPS[plain], "imagenet", efficientnet_lite0.load_weights, efficientnet_lite0.torch_name,
        )  # fmt: skip
    if plain in _TORCHVISION and (plain in NETS or Path(weights).suffix in architectures.TORCH_FILES):
        return Network(
            plain, _TORCHVISION[plain], DEFAULT_SIZE, NETS["resnet18"], torch_name=resnet.torch_name,
        )  # fmt: skip
    if plain in NETS:
        untrained, size = nets.NETS[plain]
        return Network(plain, lambda _: untrained(), size, TAPS[plain])
    architecture = architectures.spelled(name)
    build = partial(_application, architecture, weights in ("pretrained", "imagenet"))
    return Network(plain, build, DEFAULT_SIZE, TAPS.get(plain), "imagenet", architecture=architecture)


_TORCHVISION = {"resnet18": resnet.resnet18, "resnet34": resnet.resnet34, "resnet50": resnet.resnet50}


def of_any_size(model: keras.Model) -> keras.Model:
    """Return a classifier that takes images of any size: Keras builds classifiers for one size alone.

    One that flattens its map is returned as it is: its dense layers are for one size.
    """
    if any(isinstance(layer, keras.layers.Flatten) for layer in model.layers):
        return model
    image: Any = keras.Input((None, None, 3), name=model.layers[0].name)
    return copy_model(model, image=image)


def load_weights(model: keras.Model, path: Path, name: str) -> keras.Model:
    """Load a file of weights that Keras wrote into a model that has all its layers.

    Args:
        model: The model.
        path: The file.
        name: Name of the network, for the error.

    Returns:
        The model.

    Raises:
        UserError: If it does not fit.
    """
    try:
        with warnings.catch_warnings():
            # Keras only warns when part of the weights stays as it was initialised.
            warnings.simplefilter("error")
            opening.load_weights(model, path)
            return model
    except UserError:
        raise
    except Exception as error:
        reason = "layers are missing in it" if isinstance(error, UserWarning) else _first_line(error)
        raise UserError(
            "weights", expected=f"weights of {name} without its classification layer",
            received=f"{str(path)!r} ({reason})", remedy="Check that file and --backbone belong together.",
        ) from error  # fmt: skip


def _application(architecture: str, pretrained: bool, classes: int | None) -> keras.Model:
    """Build a network of `keras.applications`; with its classes, for the one size that Keras gives it."""
    build = getattr(keras.applications, architecture)
    weights = "imagenet" if pretrained else None
    try:
        with warnings.catch_warnings():
            # MobileNet warns that it takes the weights of its 224 px variant, which is what is wanted.
            warnings.filterwarnings("ignore", message="`input_shape` is undefined")
            return flatten(build(include_top=classes is not None, weights=weights))
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


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__
