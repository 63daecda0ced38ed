"""The network that a command uses: what its arguments ask for, what a manifest remembers, and the open network."""

import functools
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import fashionprobe.inputs.arguments as shared
from fashionprobe.artifacts import MANIFEST, read_manifest
from fashionprobe.backbones import architectures, imagenet
from fashionprobe.errors import UserError, conflict, missing, unknown_name
from fashionprobe.inputs.class_names import read_class_names

if TYPE_CHECKING:
    import keras

    from fashionprobe.backbones import Backbone

log = logging.getLogger(__name__)

Preprocessing = Literal["auto", "none", "tf", "caffe", "torch"]


@dataclass(frozen=True)
class NetworkSpec:
    """Which network: what the arguments of a stage ask for, and what a manifest remembers of it.

    Attributes:
        backbone: As for `backbones.load`, and so are the others.
        weights: Where the weights come from.
        taps: Names of the layers that end its blocks; None when they are known or found.
        preprocessing: What the weights expect of the pixels.
        size: (height, width) of the input in pixels; None for its own.
        seed: Seed of random weights.
        trust: Whether its file may hold more than layers of Keras.
        class_names: "imagenet" or the file that names its classes; None for the names that are known.
    """

    backbone: str
    weights: str = "pretrained"
    taps: list[str] | None = None
    preprocessing: Preprocessing = "auto"
    size: tuple[int, int] | None = None
    seed: int = 0
    trust: bool = False
    class_names: str | None = None

    @classmethod
    def of(
        cls, run: Path | None, backbone: object, weights: str, taps: list[str] | str | None,
        preprocessing: Preprocessing, size: int | Sequence[int] | None, seed: int, trust: bool,
        class_names: str | None = None,
    ) -> "NetworkSpec":  # fmt: skip
        """Read the arguments of a stage.

        Args:
            run: Folder of the run whose own network is the default, else resnet50.
            backbone: The other arguments as the stage takes them.
            weights: See `NetworkSpec`.
            taps: See `NetworkSpec`.
            preprocessing: See `NetworkSpec`.
            size: See `NetworkSpec`.
            seed: See `NetworkSpec`.
            trust: See `NetworkSpec`.
            class_names: See `NetworkSpec`.

        Raises:
            UserError: If one is of a kind that no network takes.
        """
        trained = run / "train" / "model.keras" if run else None
        default = str(trained) if trained and trained.is_file() else "resnet50"
        name = default if backbone is None else architectures.named(backbone)
        return cls(
            name, weights, shared.listed("taps", taps), preprocessing, shared.image_size(size), seed, trust, class_names
        )

    @classmethod
    def of_manifest(cls, manifest: Mapping[str, Any], backbone: object = None, *, trust: bool = False) -> "NetworkSpec":
        """Read what a stage noted about the network that it used.

        Args:
            manifest: Its manifest, or what an index kept of it.
            backbone: Name or path that counts in place of the noted one, which a moved file makes wrong.
            trust: See `NetworkSpec`.

        Raises:
            UserError: If neither names a network.
        """
        noted = manifest["run"]["settings"].get("network") or {}
        name = architectures.named(backbone) if backbone else noted.get("backbone")
        if name is None:
            raise missing(
                "backbone", "these descriptors do not say which network made them",
                f"Pass --backbone with {manifest['facts']['backbone']}.",
            )  # fmt: skip
        known = {each: noted[each] for each in ("weights", "taps", "preprocessing", "seed") if each in noted}
        return cls(name, **known, size=tuple(manifest["arguments"]["size"]), trust=trust)

    def noted(self) -> dict[str, Any]:
        """Return what a manifest notes, so that another stage can open the same network; `of_manifest` reads it."""
        return {name: getattr(self, name) for name in ("backbone", "weights", "taps", "preprocessing", "seed")}

    def check(self, blocks: Sequence[int | None] = (), layers: Sequence[str | None] = ()) -> None:
        """Judge the network before Keras is imported, as far as its name or its file tells.

        Args:
            blocks: Numbers of the blocks that are asked for; None for none.
            layers: Names of the layers that are asked for; None for none.

        Raises:
            UserError: If there is no such network, block, layer or file of class names, or its file is refused.
        """
        if self.class_names is not None:
            read_class_names(self.class_names)
        architectures.check(
            self.backbone, weights=self.weights, taps=self.taps, preprocessing=self.preprocessing, trust=self.trust,
            blocks=[block for block in blocks if block is not None],
            layers=[layer for layer in layers if layer is not None],
        )  # fmt: skip

    def load(self, *, classifier: bool = False) -> "Backbone":
        """Load the network.

        Args:
            classifier: Keep its classification layers, where it and its weights have them.

        Raises:
            UserError: If it cannot be loaded as it is asked for.
        """
        from fashionprobe import backbones

        return backbones.load(
            self.backbone, weights=self.weights, taps=self.taps, preprocessing=self.preprocessing, size=self.size,
            seed=self.seed, trust=self.trust, classifier=classifier,
        )  # fmt: skip

    def open(self, *, classifier: bool = True) -> "LoadedNetwork":
        """Load the network together with the names of its classes, where they are known.

        They are those of `class_names`, those of the run where `train` or `refit` made it, or those of ImageNet.

        Args:
            classifier: As for `load`.

        Raises:
            UserError: If it cannot be loaded as it is asked for, or its classes are not as many as the names.
        """
        facts = _trained(Path(self.backbone)) or {}
        loaded = self.load(classifier=classifier)
        if len(loaded.model.outputs) > 1:
            raise UserError(
                "backbone", expected="a network with one output",
                received=f"{self.backbone!r}, with {len(loaded.model.outputs)}",
                remedy="`branch` writes a file for each of its labels beside it, only_LABEL.keras; of any other, "
                "Python saves one output: fashionprobe.explain.functional(model, output=NAME).save(FILE.keras).",
            )  # fmt: skip
        classes = facts.get("classes")
        if self.class_names is not None:
            classes = read_class_names(self.class_names)
            outputs = loaded.model.output_shape[1:]
            if outputs != (len(classes),):
                raise UserError(
                    "class_names", expected=f"{outputs[0]} names for {loaded.name}" if len(outputs) == 1
                    else f"left out for {loaded.name}, which ends in a feature map",
                    received=f"{len(classes)}, of {self.class_names!r}",
                )  # fmt: skip
        elif (
            classes is None and classifier and architectures.ends_in_imagenet(self.backbone, loaded.model.output_shape)
        ):
            classes = imagenet.class_names()
        return LoadedNetwork(loaded, tuple(classes) if classes else None, facts.get("label", ""), self.class_names)


@dataclass(frozen=True)
class LoadedNetwork:
    """A network ready to be looked at.

    Attributes:
        backbone: The network as it was loaded, with its blocks.
        classes: Names of its classes; None where they are not known.
        label: The label column that it was trained on; "" when unknown.
        class_names: Where the names come from, when the user said so.
    """

    backbone: "Backbone"
    classes: tuple[str, ...] | None
    label: str
    class_names: str | None = None

    @functools.cached_property
    def model(self) -> "keras.Model":
        """The network with its preprocessing in front: RGB pixels in [0, 255]; flat."""
        from fashionprobe.backbones import on_pixels

        return on_pixels(self.backbone)

    @property
    def is_classifier(self) -> bool:
        """Whether the network ends in one score per class."""
        return len(self.model.output_shape) == 2 and self.model.output_shape[-1] > 1 and _ends_in_scores(self.model)

    def arguments(self) -> dict[str, Any]:
        """Return what a recipe has to hold of it; the weights have their own place there."""
        return {
            "backbone": self.backbone.name,
            "size": self.backbone.size,
            "preprocessing": asdict(self.backbone.preprocessing),
            # A recipe of networks whose classes nobody named is the same as ever.
            **({"classes": list(self.classes or ())} if self.class_names else {}),
        }

    def layer(self, block: int | None, layer: str | None) -> str | None:
        """Return the name of the layer that one of the two names; None for none.

        Raises:
            UserError: If both are given, or it is not there.
        """
        if block is not None and layer is not None:
            raise conflict("block", "--layer", block)
        if block is not None:
            return self.backbone.taps[self.backbone.choose_blocks([block], remedy="")[0] - 1]
        if layer is not None:
            from fashionprobe.explain.explained_model import find_layer

            return find_layer(self.model, layer).name
        return None

    def places(self, layers: list[str]) -> list[int]:
        """Return where layers stand, for a recipe: names that Keras gave differ from process to process."""
        names = [layer.name for layer in self.model.layers]
        return [names.index(layer) for layer in layers]

    def class_number(self, name: str, argument: str = "target", also: Sequence[str] = ()) -> int:
        """Return the number of a class, given its name or number.

        Args:
            name: The name, or the number.
            argument: Name of the argument, for the error.
            also: Words that this argument takes besides.

        Raises:
            UserError: If there is no such class.
        """
        name = shared.spelled(name)
        spelled = [shared.spelled(each) for each in self.classes or ()]
        if name in spelled:
            return spelled.index(name)
        most = int(self.model.output_shape[-1])
        if name.isdigit() and int(name) < most:
            return int(name)
        if self.classes and not name.lstrip("-").isdigit():
            if self.classes == imagenet.class_names():
                return _imagenet_class(name, argument, also)
            listing = f"{self.class_names or 'The manifest.json beside the model'} lists them all."
            raise unknown_name(argument, name, [*also, *self.classes], listing=listing)
        raise UserError(argument, expected=f"the number of a class, 0 to {most - 1}", received=name)

    def class_name(self, number: int) -> str:
        """Return the name of a class, or its number where names are not known."""
        return self.classes[number] if self.classes else f"class {number}"


def _imagenet_class(name: str, argument: str, also: Sequence[str]) -> int:
    """Return the number of the class of ImageNet that bears a name, in capitals or not, or a synonym of it."""
    known = imagenet.numbers_by_synonym()
    numbers = known.get(name.lower(), ())
    if len(numbers) == 1:
        return numbers[0]
    if numbers:
        bearers = " and ".join(f"{number} ({imagenet.class_names()[number]})" for number in numbers)
        raise UserError(argument, expected="one class", received=f"{name!r}, a name of {bearers}",
                        remedy="Pass the number.")  # fmt: skip
    listing = "`fashionprobe predict` names what a network sees."
    raise unknown_name(argument, name, [*also, *imagenet.class_names(), *known], listing=listing)


def _trained(path: Path) -> dict[str, Any] | None:
    """Return what `train`, `refit` or `branch` noted about a model file; None for a file that none of them wrote."""
    of_branch = path.parent.name == "branch" and path.suffix == ".keras"
    if not (path.name == "model.keras" or of_branch) or not (path.parent / MANIFEST).is_file():
        return None
    manifest = read_manifest(path.parent, remedy="Move that file away.")
    if manifest["stage"] == "branch":
        outputs = manifest["facts"]["outputs"].items()
        return next(({**each, "label": label} for label, each in outputs if each["file"] == path.name), None)
    return manifest["facts"] if manifest["stage"] in ("train", "refit") else None


def _ends_in_scores(model: "keras.Model") -> bool:
    """Tell a classifier from a network that ends in pooled features."""
    import keras

    from fashionprobe.backbones.graph import origin

    operation = origin(model.output)
    while isinstance(operation, keras.layers.Softmax | keras.layers.Activation | keras.layers.Reshape):
        operation = origin(operation.input)
    return not isinstance(operation, keras.layers.GlobalAveragePooling2D | keras.layers.GlobalMaxPooling2D)
