"""The network and the images that the stages of seeing look at: opened from the same arguments everywhere."""

import functools
import itertools
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import fashionprobe.stages.arguments as shared
from fashionprobe import architectures
from fashionprobe.artifacts import MANIFEST, read_manifest, sha256
from fashionprobe.errors import UserError, unknown_name
from fashionprobe.records.record_set import RecordSet

if TYPE_CHECKING:
    import keras
    import numpy as np
    import pandas as pd

    from fashionprobe.backbones import Backbone
    from fashionprobe.explain.network import Explainer
    from fashionprobe.explain.targets import Target

log = logging.getLogger(__name__)

Preprocessing = Literal["auto", "none", "tf", "caffe", "torch"]
Fit = Literal["pad", "stretch"]


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
    """

    backbone: str
    weights: str = "pretrained"
    taps: list[str] | None = None
    preprocessing: Preprocessing = "auto"
    size: tuple[int, int] | None = None
    seed: int = 0
    trust: bool = False

    @classmethod
    def of(
        cls, run: Path | None, backbone: object, weights: str, taps: list[str] | str | None,
        preprocessing: Preprocessing, size: int | Sequence[int] | None, seed: int, trust: bool,
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

        Raises:
            UserError: If one is of a kind that no network takes.
        """
        trained = run / "train" / "model.keras" if run else None
        default = str(trained) if trained and trained.is_file() else "resnet50"
        name = default if backbone is None else architectures.named(backbone)
        return cls(name, weights, shared.listed("taps", taps), preprocessing, shared.image_size(size), seed, trust)

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
            raise UserError(
                "backbone", expected="given: these descriptors do not say which network made them", received="nothing",
                remedy=f"Pass --backbone with {manifest['facts']['backbone']}.",
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
            UserError: If there is no such network, block or layer, or its file is refused.
        """
        architectures.check(
            self.backbone, weights=self.weights, taps=self.taps, preprocessing=self.preprocessing, trust=self.trust,
            blocks=[block for block in blocks if block is not None],
            layers=[layer for layer in layers if layer is not None],
        )  # fmt: skip

    def load(self) -> "Backbone":
        """Load the network.

        Raises:
            UserError: If it cannot be loaded as it is asked for.
        """
        from fashionprobe import backbones

        return backbones.load(
            self.backbone, weights=self.weights, taps=self.taps, preprocessing=self.preprocessing, size=self.size,
            seed=self.seed, trust=self.trust,
        )  # fmt: skip

    def open(self) -> "Opened":
        """Load the network together with the names of its classes, where `train` or `refit` made it."""
        facts = _trained(Path(self.backbone))
        classes = tuple(facts["classes"]) if facts else None
        return Opened(self.load(), classes, facts.get("label", "") if facts else "")


@dataclass(frozen=True)
class Opened:
    """A network ready to be looked at.

    Attributes:
        backbone: The network as it was loaded, with its blocks.
        classes: Names of its classes, when `train` made it; else None.
        label: The label column that it was trained on; "" when unknown.
    """

    backbone: "Backbone"
    classes: tuple[str, ...] | None
    label: str

    @functools.cached_property
    def model(self) -> "keras.Model":
        """The network with its preprocessing in front: RGB pixels in [0, 255]; flat."""
        from fashionprobe.backbones import on_pixels

        return on_pixels(self.backbone)

    @property
    def is_classifier(self) -> bool:
        """Whether the network ends in one score a class."""
        return len(self.model.output.shape) == 2 and self.model.output_shape[-1] > 1 and _ends_in_scores(self.model)

    def arguments(self) -> dict[str, Any]:
        """Return what a recipe has to hold of it; the weights have their own place there."""
        return {
            "backbone": self.backbone.name,
            "size": self.backbone.size,
            "preprocessing": asdict(self.backbone.preprocessing),
        }

    def layer(self, block: int | None, layer: str | None) -> str | None:
        """Return the name of the layer that one of the two names; None for none.

        Raises:
            UserError: If both are given, or it is not there.
        """
        if block is not None and layer is not None:
            raise UserError("block", expected="left out where --layer is given", received=block)
        if block is not None:
            return self.backbone.taps[self.backbone.choose_blocks([block])[0] - 1]
        if layer is not None:
            from fashionprobe.explain.network import find_layer

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
            listing = "The manifest.json beside the model lists them all."
            raise unknown_name(argument, name, [*also, *self.classes], listing=listing)
        raise UserError(argument, expected=f"the number of a class, 0 to {most - 1}", received=name)

    def class_name(self, number: int) -> str:
        """Return the name of a class, or its number where names are not known."""
        return self.classes[number] if self.classes else f"class {number}"


def _trained(path: Path) -> dict[str, Any] | None:
    """Return what `train` or `refit` noted about the model file that it wrote; None for any other file."""
    if path.name != "model.keras" or not (path.parent / MANIFEST).is_file():
        return None
    manifest = read_manifest(path.parent, remedy="Move that file away.")
    return manifest["facts"] if manifest["stage"] in ("train", "refit") else None


def _ends_in_scores(model: "keras.Model") -> bool:
    """Tell a classifier from a network that ends in pooled features."""
    import keras

    operation: Any = model.output._keras_history.operation
    while isinstance(operation, keras.layers.Softmax | keras.layers.Activation | keras.layers.Reshape):
        operation = operation.input._keras_history.operation
    return not isinstance(operation, keras.layers.GlobalAveragePooling2D | keras.layers.GlobalMaxPooling2D)


@dataclass(frozen=True)
class Column:
    """One method with its options: one picture an image.

    Attributes:
        name: The method, with the option that tells it from its neighbours.
        method: The name in `explain.methods`.
        options: Its options.
    """

    name: str
    method: str
    options: dict[str, Any] = field(default_factory=dict, hash=False)

    @property
    def title(self) -> str:
        """Return the name as a person writes it."""
        words = {"grad_cam": "Grad-CAM", "grad_cam_plus_plus": "Grad-CAM++", "cam": "CAM", "smooth_grad": "SmoothGrad"}
        words |= {"score_cam": "Score-CAM", "layer_cam": "Layer-CAM", "guided_grad_cam": "guided Grad-CAM"}
        return words.get(self.name, self.name.replace("_", " ").replace("cam", "CAM"))

    def explainer(self, model: "keras.Model", layer: str | None, target: "Target") -> "Explainer":
        """Make the method for a model."""
        from fashionprobe.explain.methods import explainer

        return explainer(self.method, model, layer=layer, target=target, **self.options)


def choose_columns(
    methods: list[str],
    opened: Opened,
    *,
    of_channel: bool,
    percentile: list[int],
    windows: list[int],
    score_channels: int,
    noise_samples: int,
    steps: int,
    seed: int,
) -> list[Column]:
    """Return one column a method with the options of each, and one a percentile.

    Raises:
        UserError: If there is no such method, or no class to explain.
    """
    from fashionprobe.explain.methods import METHODS, OF_CLASSES, check_methods

    if not of_channel and not opened.is_classifier:
        raise UserError(
            "backbone", expected="a classifier, such as the model.keras that `fashionprobe train` writes",
            received=f"{opened.backbone.name}, which ends in features",
            remedy="Or explain a channel of it: --block 5 --channel 0.",
        )  # fmt: skip
    if methods == ["all"]:
        methods = [name for name in METHODS if not of_channel or name not in OF_CLASSES]
    options = {
        "occlusion": {"windows": windows, "seed": seed},
        "score_cam": {"channels": score_channels},
        "smooth_grad": {"samples": noise_samples, "seed": seed},
        "integrated_gradients": {"steps": steps},
    }
    check_methods(methods, of_channel=of_channel)
    columns = []
    for method in methods:
        if method == "percentile_cam":
            columns += [Column(f"{method}_{q}", method, {"q": q}) for q in percentile]
        else:
            columns.append(Column(method, method, options.get(method, {})))
    return columns


def applicable(
    columns: list[Column], opened: Opened, layer: str | None, target: "Target", *, typed: bool
) -> "dict[Column, Explainer]":
    """Make the methods; those that nobody asked for by name and that do not fit the network are left out, and said.

    Args:
        columns: The methods.
        opened: The network.
        layer: The layer that they look at.
        target: What they explain.
        typed: Whether the user named the methods: then all must fit.

    Raises:
        UserError: If one that the user named does not fit, or none does.
    """
    made, errors = {}, {}
    for column in columns:
        try:
            made[column] = column.explainer(opened.model, layer, target)
        except UserError as error:
            if typed or error.argument != "model":
                raise
            errors[column] = error
    if not made:
        raise next(iter(errors.values()))
    if errors:
        log.info(
            "Left out, for they do not fit %s: %s. --method %s says why.", opened.backbone.name,
            ", ".join(column.title for column in errors), next(iter(errors)).method,
        )  # fmt: skip
    return made


def relevance_of(maps: "np.ndarray", size: tuple[int, int]) -> "np.ndarray":
    """Bring raw maps or signed gradients to relevance in [0, 1], float32 (batch, *size)."""
    import numpy as np

    from fashionprobe.explain.heatmaps import heatmap
    from fashionprobe.plots.heatmaps import strength

    return heatmap(maps, size) if maps.ndim == 3 else np.stack([strength(each) for each in maps])


@dataclass(frozen=True)
class Images:
    """The images that are looked at, in the order in which they are read.

    Attributes:
        names: Ids of records, or names of files.
        sources: What a recipe has to hold of them: fingerprint of the records, or SHA-256 of each file.
        records: The record set; None for files.
        paths: The files; empty for records.
        fit: How they are brought to the size of the input.
        items: The rows of the records in `items.csv`; None for files.
    """

    names: tuple[str, ...]
    sources: dict[str, str]
    records: RecordSet | None
    paths: tuple[str, ...]
    fit: Fit
    items: "pd.DataFrame | None" = None

    def labels(self, column: str) -> list[str]:
        """Return the class of each image in a label column; "" where it has none or is not known."""
        if self.items is None or column not in self.items:
            return [""] * len(self.names)
        return self.items[column].tolist()

    def batches(self, size: tuple[int, int], batch_size: int) -> "Iterator[np.ndarray]":
        """Yield the images, float32 (batch, *size, 3), RGB in [0, 255]."""
        import numpy as np

        images = self._read(size)
        while batch := list(itertools.islice(images, batch_size)):
            yield np.stack(batch)

    def first(self, size: tuple[int, int], count: int) -> "np.ndarray":
        """Return the first images, float32 (count, *size, 3), RGB in [0, 255]."""
        return next(self.batches(size, count))

    def _read(self, size: tuple[int, int]) -> "Iterator[np.ndarray]":
        from fashionprobe.records.files import read_files

        if self.records is None:
            for path in self.paths:
                yield read_files([path], size, self.fit)[0]
            return
        for _, image in self.records.fitted(self.names, size, self.fit):
            yield image


def open_images(
    *,
    images: Sequence[str] | str | None,
    dataset: shared.Place | None,
    split: Sequence[str] | str | None,
    samples: int,
    fit: Fit,
    seed: int,
    tfrecords_root: str,
) -> Images:
    """Choose image files, or a random sample of a record set.

    Raises:
        UserError: If neither or both are given, or there is nothing to read.
    """
    if (images is None) == (dataset is None):
        received = "neither" if images is None else "both"
        raise UserError("images", expected="given, or --dataset, and not both", received=received)
    if dataset is None:
        paths = [images] if isinstance(images, str) else list(images or [])
        return _files(paths, fit)
    records = shared.open_records(dataset, tfrecords_root)
    return _sample(records, shared.listed("split", split), samples, fit, seed)


def _files(paths: list[str], fit: Fit) -> Images:
    if not paths:
        raise UserError("images", expected="one image file or more", received="nothing")
    for path in paths:
        if not Path(path).is_file():
            received = f"{path!r}, {'a folder' if Path(path).is_dir() else 'which does not exist'}"
            raise UserError("images", expected="image files", received=received)
    names = tuple(Path(path).name for path in paths)
    hashes = {f"image {number}": sha256(Path(path)) for number, path in enumerate(paths, start=1)}
    return Images(names, hashes, None, tuple(paths), fit)


def _sample(records: RecordSet, splits: list[str] | None, samples: int, fit: Fit, seed: int) -> Images:
    import numpy as np

    items, _ = records.in_splits(splits)
    rows = np.random.default_rng(seed).choice(len(items), min(samples, len(items)), replace=False)
    chosen = items.iloc[np.sort(rows)]
    return Images(tuple(chosen["id"]), {"records": records.fingerprint}, records, (), fit, chosen)
