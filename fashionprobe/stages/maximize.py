"""Stage `maximize`: a backbone -> the pictures that chosen channels or classes respond to most."""

import logging
import re
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import fashionprobe.inputs.arguments as shared
from fashionprobe.artifacts import Artifact, Recipe, Result, build, child
from fashionprobe.errors import UserError, check_one, conflict, missing, unknown_name
from fashionprobe.inputs.images import Images, open_images
from fashionprobe.inputs.network import LoadedNetwork, NetworkSpec
from fashionprobe.plots.save import Figures

if TYPE_CHECKING:
    import keras
    import numpy as np

    import fashionprobe.explain.maximization.maximize as explain
    from fashionprobe.backbones import Backbone
    from fashionprobe.explain.maximization.regularizers import Penalty, Transform

log = logging.getLogger(__name__)

SHOWN = 16
"""Channels that are shown when none are named."""


@dataclass(frozen=True)
class SyntheticImages(Result):
    """Pictures on disk.

    Attributes:
        mosaic: All of them in one figure, `mosaic.png`.
        images: One PNG per channel or class.
    """

    mosaic: Path
    images: tuple[Path, ...]


@dataclass(frozen=True)
class _Unit:
    """A channel or a class: its file, its words for a person, its layer ("" for a class) and its number."""

    name: str
    title: str
    layer: str
    number: int


@shared.stage
def maximize(
    *,
    run: str | None = None,
    backbone: str | None = None,
    weights: str = "pretrained",
    taps: list[str] | str | None = None,
    preprocessing: Literal["auto", "none", "tf", "caffe", "torch"] = "auto",
    block: int | None = None,
    layer: str | None = None,
    channels: list[int] | int | None = None,
    classes: list[str] | list[int] | str | int | None = None,
    class_names: str | None = None,
    images: list[str] | str | None = None,
    octaves: int | None = None,
    octave_scale: float = 1.4,
    size: int | list[int] | None = None,
    fit: Literal["pad", "stretch"] = "pad",
    steps: int | None = None,
    learning_rate: float | None = None,
    start: Literal["noise", "grey"] = "noise",
    fourier: bool = False,
    jitter: int = 8,
    blur: float = 0.5,
    l2: float = 0.0,
    total_variation: float = 0.0,
    small_norm: float = 0.0,
    small_contribution: float = 0.0,
    every: int = 4,
    batch_size: int = 16,
    seed: int = 0,
    trust: bool = False,
    overwrite: bool = False,
    runs_root: str = "runs",
) -> SyntheticImages:
    """Make pictures that channels or classes respond to most.

    The pixels change by gradient ascent, from noise or, with --images, from photographs: DeepDream.

    Args:
        run: Name of the run; it becomes the folder runs/NAME. Default: the name of the backbone.
        block: Number of the block whose last layer is shown.
        layer: Name of a layer, instead of a block.
        channels: Channels of that layer, as 0 1 2. Default: 16, evenly spread over the layer; of photographs the layer
            as a whole.
        classes: Classes instead of channels, by number, or by name where `train` wrote the model.
        images: Image files to start from, as a.jpg b.jpg: each channel, or the layer, changes each towards what it
            responds to. The options from --start on, but for --jitter, are for pictures from nothing.
        octaves: With --images: sizes at which the picture is changed, the smallest first. Default: 4, fewer for small
            pictures, 1 for a network of one size.
        octave_scale: With --images: factor from one size to the next.
        size: Height and width in pixels of the pictures; one number for a square. Default: the model's own, or 128;
            with --images that of the backbone.
        steps: Steps of the ascent. Default: 64; with --images 20 in each octave.
        learning_rate: Size of a step; pixels go from -1 to 1. Default: 0.05 for pixels, 0.1 for Fourier coefficients,
            0.02 with --images.
        start: Where to start: noise about grey, or grey.
        fourier: Look for Fourier coefficients of decorrelated colours, which look more natural, instead of pixels.
        jitter: Largest shift of the picture before each step, in pixels.
        blur: Standard deviation in pixels of the Gaussian blur; 0 for none. Not used with Fourier coefficients.
        l2: Weight of the penalty on strong colours.
        total_variation: Weight of the penalty on roughness.
        small_norm: Share of the pixels, those nearest to grey, that are made grey.
        small_contribution: Share of the pixels, those that matter least to the activation, that are made grey.
        every: Steps between two blurs, or two removals of pixels.

    Returns:
        The pictures: paths.

    Raises:
        UserError: If an argument does not fit.
        OSError: If the disk is full or the folder may not be written.

    Example:
        fashionprobe maximize --run kaggle --block 5 --channels 0 1 2 3
    """
    _check(locals())
    asked = child(runs_root, run, argument="run") if run is not None else None
    spec = NetworkSpec.of(asked, backbone, weights, taps, preprocessing, size, seed, trust, class_names)
    spec.check([block], layers=[layer])

    from fashionprobe.backbones import devices

    opened = spec.open(classifier=classes is not None)
    opened = opened if size is not None or images is not None else _sized(opened)
    loaded, model = opened.backbone, opened.model
    folder = asked or child(runs_root, re.sub(r"[^\w-]+", "-", loaded.name.removesuffix(".keras")), argument="run")
    if images is not None and channels is None:
        units = [_whole(opened, block, layer)]
    else:
        units = _channels(opened, block, layer, channels) if classes is None else _classes(opened, classes)
    facts = {"backbone": loaded.name, "weights": loaded.weights, "size": loaded.size, "block": block}
    if images is not None:
        chosen = open_images(images=images, dataset=None, split=None, samples=0, fit=fit, seed=seed, tfrecords_root="")
        arguments = {
            "steps": 20 if steps is None else steps, "learning_rate": learning_rate or 0.02, "jitter": jitter,
            "seed": seed, "octaves": octaves, "octave_scale": octave_scale,
        }  # fmt: skip
        network = _network(loaded, model, units) | {"images": list(chosen.names), "fit": fit}
        artifact = build(
            folder / "maximize",
            Recipe("maximize", network | arguments, chosen.sources, loaded.weights_sha256),
            lambda draft: {**facts, "steps": arguments["steps"], **_dream(draft, opened, chosen, units, arguments)},
            overwrite=overwrite,
            settings={"device": devices.name()},
        )
        return _result(artifact)
    steps = 64 if steps is None else steps
    arguments = {
        "steps": steps, "learning_rate": learning_rate, "start": start, "fourier": fourier, "jitter": jitter,
        "blur": 0.0 if fourier else blur, "l2": l2, "total_variation": total_variation, "small_norm": small_norm,
        "small_contribution": small_contribution, "every": every, "seed": seed,
    }  # fmt: skip
    recipe = Recipe("maximize", {**_network(loaded, model, units), **arguments}, {}, loaded.weights_sha256)
    facts["steps"] = steps
    artifact = build(
        folder / "maximize",
        recipe,
        lambda draft: {
            **facts,
            **_write(draft, model, units, loaded.size, arguments, batch_size, _title(loaded, units)),
        },
        overwrite=overwrite,
        settings={"batch_size": batch_size, "device": devices.name()},
    )
    return _result(artifact)


def _check(given: dict[str, Any]) -> None:
    """Check what does not depend on the network."""
    if given["start"] not in ("noise", "grey"):
        raise unknown_name("start", given["start"], ["noise", "grey"])
    check_one("Such as --block 5 --channels 0 1 2 3.", **{name: given[name] for name in ("block", "layer", "classes")})
    if given["classes"] is not None and given["channels"] is not None:
        raise conflict("channels", "--classes", given["channels"])
    if given["images"] is not None:
        others = {"classes": None, "start": "noise", "fourier": False, "l2": 0, "total_variation": 0, "small_norm": 0}
        for name, default in {**others, "small_contribution": 0}.items():
            if given[name] != default:
                raise conflict(name, "--images", given[name])
    elif given["octaves"] is not None:
        raise missing("images", "--octaves is for photographs")


def _sized(opened: LoadedNetwork) -> LoadedNetwork:
    """Return the network at the size of the pictures: one of any size is not held to that of its training."""
    from fashionprobe.explain.maximization.units import SIZE

    free = None in opened.backbone.model.input_shape[1:3]
    return replace(opened, backbone=replace(opened.backbone, size=SIZE)) if free else opened


def _channels(
    opened: LoadedNetwork, block: int | None, layer: str | None, channels: list[int] | int | None
) -> list[_Unit]:
    """Return the channels that are asked for, or some from all over the layer."""
    import numpy as np

    from fashionprobe.explain.explained_model import find_layer

    found = find_layer(opened.model, str(opened.layer(block, layer)))
    most = int(found.output.shape[-1])
    chosen = shared.numbers(channels)
    if chosen is None:
        chosen = [int(number) for number in np.unique(np.linspace(0, most - 1, min(SHOWN, most)).astype(int))]
    if not chosen or chosen[0] < 0 or chosen[-1] >= most:
        raise UserError(
            "channels", expected=f"in the range [0, {most}) for {found.name}", received=chosen,
            remedy="Leave --channels out for some from all over the layer.",
        )  # fmt: skip
    prefix = f"block{block}" if block is not None else re.sub(r"[^\w-]+", "-", found.name)
    return [_Unit(f"{prefix}_channel{number:04d}", f"channel {number}", found.name, number) for number in chosen]


def _whole(opened: LoadedNetwork, block: int | None, layer: str | None) -> _Unit:
    """Return a layer as a whole."""
    from fashionprobe.explain.explained_model import find_map

    found = find_map(opened.model, str(opened.layer(block, layer)))
    name = f"block{block}" if block is not None else re.sub(r"[^\w-]+", "-", found.name)
    return _Unit(name, "all channels", found.name, -1)


def _classes(opened: LoadedNetwork, classes: list[str] | list[int] | str | int) -> list[_Unit]:
    """Return the classes that are asked for by number or, where their names are known, by name."""
    if not opened.is_classifier:
        raise conflict(
            "classes", "a network without classes", classes,
            "Pass --block or --layer, or as --backbone the model.keras that `fashionprobe train` writes.",
        )  # fmt: skip
    given = [str(each) for each in classes] if isinstance(classes, list) else str(classes)
    numbers = [opened.class_number(name, "classes") for name in shared.listed("classes", given) or []]
    # A class may have been given by name and by number.
    return [_Unit(f"class{number:04d}", opened.class_name(number), "", number) for number in dict.fromkeys(numbers)]


def _network(backbone: "Backbone", model: "keras.Model", units: list[_Unit]) -> dict[str, Any]:
    """Return what the recipe holds of the network and the units, in terms that are the same in each process."""
    places = [layer.name for layer in model.layers]
    return {
        "backbone": backbone.name,
        "size": backbone.size,
        "preprocessing": asdict(backbone.preprocessing),
        "layer": places.index(units[0].layer) if units[0].layer else "classes",
        "units": [unit.number for unit in units],
        # The files are named after the block, or after the layer.
        "files": [unit.name for unit in units],
    }


def _title(backbone: "Backbone", units: list[_Unit]) -> str:
    return f"{backbone.name}: {units[0].layer or 'classes'}"


def _regularizers(given: dict[str, Any]) -> "list[Penalty | Transform]":
    """Return the penalties and transforms that the numbers ask for."""
    from fashionprobe.explain.maximization.regularizers import (
        L2,
        Blur,
        DropSmallContribution,
        DropSmallNorm,
        TotalVariation,
    )

    every = given["every"]
    made = {
        "l2": lambda: L2(given["l2"]),
        "total_variation": lambda: TotalVariation(given["total_variation"]),
        "blur": lambda: Blur(given["blur"], every),
        "small_norm": lambda: DropSmallNorm(given["small_norm"], every),
        "small_contribution": lambda: DropSmallContribution(given["small_contribution"], every),
    }
    return [make() for name, make in made.items() if given[name]]


def _write(
    draft: Path,
    model: "keras.Model",
    units: list[_Unit],
    size: tuple[int, int],
    given: dict[str, Any],
    batch_size: int,
    title: str,
) -> dict[str, Any]:
    """Make the pictures and fill the files of the artifact."""
    import numpy as np
    import tensorflow as tf
    from PIL import Image

    import fashionprobe.explain.maximization.maximize as explain
    from fashionprobe.explain.targets import Channel
    from fashionprobe.plots.sheets import mosaic

    targets = [Channel(unit.layer, unit.number) if unit.layer else unit.number for unit in units]
    options = {name: given[name] for name in ("steps", "learning_rate", "start", "fourier", "jitter", "seed")}
    try:
        made = explain.maximize(
            model, targets, size=size, regularizers=_regularizers(given), batch_size=batch_size, **options
        )
    except tf.errors.ResourceExhaustedError as error:
        raise UserError(
            "batch_size", expected="small enough for the memory of this device", received=batch_size,
            remedy="Lower --batch-size or --size.",
        ) from error  # fmt: skip
    images = np.round(made.images).astype(np.uint8)
    for unit, image in zip(units, images, strict=True):
        Image.fromarray(image).save(draft / f"{unit.name}.png")
    what = units[0].layer or "classes"
    caption = (
        f"Pictures made from nothing that {title} answers to most, one a channel or class, by gradient ascent on the "
        f"pixels ({given['steps']} steps). They show what each one looks for."
    )
    figures = Figures(draft)
    drawn = mosaic(images, [unit.title for unit in units], title=title)
    figures.add("mosaic", drawn, f"What {what} wants to see", caption)
    return {"layer": units[0].layer, "units": _tables(draft, units, made), "figures": figures.notes}


def _dream(
    draft: Path, opened: LoadedNetwork, images: Images, units: list[_Unit], given: dict[str, Any]
) -> dict[str, Any]:
    """Change photographs towards what the units respond to, and fill the files of the artifact."""
    import numpy as np
    import pandas as pd
    from PIL import Image

    from fashionprobe.backbones import on_pixels
    from fashionprobe.explain.activations import activations
    from fashionprobe.explain.maximization.dream import dream
    from fashionprobe.explain.targets import Channel
    from fashionprobe.plots.sheets import Row, contact_sheet

    layer, model = units[0].layer, on_pixels(opened.backbone, any_size=True)
    forward = activations(model, [layer])
    rows, sheet = [], []
    for number, photograph in enumerate(images.batches(opened.backbone.size, 1), start=1):
        before = forward(photograph)[0].numpy()[0]
        for unit in units:
            shown = [photograph]
            target = layer if unit.number < 0 else Channel(layer, unit.number)
            made = dream(model, photograph, target, after_octave=shown.append, **given)
            after = forward(made)[0].numpy()[0]
            pictures = [np.round(each[0]).astype(np.uint8) for each in shown]
            name = f"image_{number:03d}_{unit.name}"
            for octave, picture in enumerate(pictures[1:-1], start=1):
                Image.fromarray(picture).save(draft / f"{name}_octave{octave}.png")
            Image.fromarray(pictures[-1]).save(draft / f"{name}.png")
            sizes = ["image", *(f"{picture.shape[0]} x {picture.shape[1]} px" for picture in pictures[1:])]
            sheet.append(Row(unit.title.replace(" ", "\n"), pictures, sizes))
            rows.append({
                "file": f"{name}.png", "image": images.names[number - 1], "title": unit.title, "layer": layer,
                "channel": unit.number, "score": _score(after, unit), "start_score": _score(before, unit),
            })  # fmt: skip
    pd.DataFrame(rows).to_csv(draft / "units.csv", index=False, float_format="%.6g")
    figures, title = Figures(draft), _title(opened.backbone, units)
    caption = (
        f"Photographs that changed by gradient ascent ({given['steps']} steps in each octave, the smallest size first) "
        f"towards what {title} responds to (DeepDream)."
    )
    remark = "From left to right: the photograph, and the picture after each octave."
    drawn = contact_sheet(sheet, title=title, remark=remark)
    figures.add("mosaic", drawn, f"What {layer} sees in photographs", caption)
    return {"layer": layer, "units": rows, "figures": figures.notes}


def _score(feature_map: "np.ndarray", unit: _Unit) -> float:
    """Return what the ascent raises: the mean of a channel, or the mean of squares of the layer."""
    return float((feature_map**2).mean() if unit.number < 0 else feature_map[..., unit.number].mean())


def _tables(draft: Path, units: list[_Unit], made: "explain.Maximization") -> list[dict[str, Any]]:
    """Write `units.csv` and `history.csv`, and return the rows of the first."""
    import pandas as pd

    rows = [
        {
            "file": f"{unit.name}.png", "title": unit.title, "layer": unit.layer, "channel": unit.number,
            "score": float(score), "start_score": float(history[0]),
        }
        for unit, score, history in zip(units, made.scores, made.history, strict=True)
    ]  # fmt: skip
    pd.DataFrame(rows).to_csv(draft / "units.csv", index=False, float_format="%.6g")
    steps = pd.DataFrame(made.history.T, columns=pd.Index([unit.name for unit in units]))
    steps.rename_axis("step").to_csv(draft / "history.csv", float_format="%.6g")
    return rows


def _result(artifact: Artifact) -> SyntheticImages:
    facts = artifact.facts
    images = tuple(artifact.path / row["file"] for row in facts["units"])
    log.info(
        "%s: %d picture%s of %s, %d x %d pixels, all of them in mosaic.png. Next: fashionprobe report --run %s",
        artifact.outcome,
        len(images),
        "" if len(images) == 1 else "s",
        facts["layer"] or "classes",
        *facts["size"],
        artifact.path.parent.name,
    )
    return SyntheticImages(artifact.path, artifact.path / "mosaic.png", images, reused=artifact.reused)
