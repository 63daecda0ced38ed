"""The methods that explain an image, as commands choose them: with options, title and order."""

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from fashionprobe.errors import UserError
from fashionprobe.explain.methods import LAYERED, title
from fashionprobe.inputs.network import LoadedNetwork

if TYPE_CHECKING:
    import keras

    from fashionprobe.explain.explained_model import ExplainFunction
    from fashionprobe.explain.targets import Target

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Column:
    """One method with its options: one picture an image.

    Attributes:
        name: The method, with the option that tells it from its neighbours.
        method: The name in `explain.methods`.
        options: Its options.
        place: The name of the layer that it looks at as people are told it, where there are several; else "".
        layer: That layer; None for the one that all look at.
    """

    name: str
    method: str
    options: dict[str, Any] = field(default_factory=dict, hash=False)
    place: str = ""
    layer: str | None = None

    @property
    def title(self) -> str:
        """Return the name as a person writes it."""
        return title(self.name) + (f", {self.place}" if self.place else "")

    @property
    def key(self) -> str:
        """Return the name for files, which no other column has."""
        return self.name + (f"_{re.sub(r'[^a-zA-Z0-9_-]+', '', self.place)}" if self.place else "")

    def explainer(self, model: "keras.Model", layer: str | None, target: "Target") -> "ExplainFunction":
        """Make the method for a model."""
        from fashionprobe.explain.methods import explainer

        return explainer(self.method, model, layer=layer, target=target, **self.options)


def choose_columns(
    methods: list[str],
    opened: LoadedNetwork,
    *,
    of_channel: bool,
    percentile: list[int],
    windows: list[int],
    score_channels: int,
    noise_samples: int,
    steps: int,
    seed: int,
    occlusion_score: Sequence[str] = ("probability",),
) -> list[Column]:
    """Return one column per method with the options of each, and one per percentile and per score of occlusion.

    Raises:
        UserError: If there is no such method, or no class to explain.
    """
    from fashionprobe.backbones.graph import attention_layers
    from fashionprobe.explain.methods import ATTENTION, METHODS, OF_CLASSES, check_methods

    if not of_channel and not opened.is_classifier:
        raise UserError(
            "backbone", expected="a classifier, such as the model.keras that `fashionprobe train` writes",
            received=f"{opened.backbone.name}, which ends in features",
            remedy="Or explain a channel of it: --block 5 --channel 0.",
        )  # fmt: skip
    if methods == ["all"]:
        methods = [name for name in METHODS if not of_channel or name not in OF_CLASSES]
        if not of_channel and attention_layers(opened.model):
            methods += ATTENTION
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
        elif method == "occlusion":
            # The score came later: a recipe without one means the probability.
            scores = {"probability": {}, "output": {"score": "output"}}
            named = {"probability": method, "output": f"{method}_output"}
            columns += [Column(named[score], method, options[method] | scores[score]) for score in occlusion_score]
        else:
            columns.append(Column(method, method, options.get(method, {})))
    return columns


def at_layers(columns: list[Column], layers: Mapping[str, str]) -> list[Column]:
    """Repeat the columns of methods that look at a layer for each layer, if there are several; the others come last.

    Args:
        columns: One column per method.
        layers: The layers by the names that people are told.
    """
    if len(layers) < 2:
        return columns
    layered = [
        replace(column, place=place, layer=layer)
        for column in columns if column.method in LAYERED
        for place, layer in layers.items()
    ]  # fmt: skip
    return layered + [column for column in columns if column.method not in LAYERED]


def applicable(
    columns: list[Column], opened: LoadedNetwork, layer: str | None, target: "Target", *, typed: bool
) -> "dict[Column, ExplainFunction]":
    """Make the methods; those that nobody asked for by name and that do not fit the network are left out, and said.

    Args:
        columns: The methods.
        opened: The network.
        layer: The layer that they look at, but for columns with one of their own.
        target: What they explain.
        typed: Whether the user named the methods: then all must fit.

    Raises:
        UserError: If one that the user named does not fit, or none does.
    """
    made, errors = {}, {}
    for column in columns:
        try:
            made[column] = column.explainer(opened.model, column.layer or layer, target)
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
