"""Stage `activations`: what the hidden layers answer to images: channel grids, silent channels, first-layer kernels."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import fashionprobe.inputs.arguments as shared
from fashionprobe import progress
from fashionprobe.artifacts import Artifact, Recipe, Result, build, child
from fashionprobe.errors import UserError, conflict
from fashionprobe.inputs.images import Images, open_images
from fashionprobe.inputs.network import LoadedNetwork, NetworkSpec
from fashionprobe.plots.save import Figures

if TYPE_CHECKING:
    import numpy as np

log = logging.getLogger(__name__)

INVERTED = 4
"""Images that are made from their activations, at most."""


@dataclass(frozen=True)
class Activations(Result):
    """Pictures of hidden layers on disk.

    Attributes:
        page: The gallery, `gallery.html`.
        layers: The layers.
    """

    page: Path
    layers: tuple[str, ...]


@shared.stage(channels="[1, inf)", invert="[0, inf)")
def activations(
    *,
    run: str | None = None,
    images: list[str] | str | None = None,
    dataset: shared.Place | None = None,
    split: list[str] | str | None = None,
    samples: int = 16,
    backbone: str | None = None,
    weights: str = "pretrained",
    taps: list[str] | str | None = None,
    preprocessing: Literal["auto", "none", "tf", "caffe", "torch"] = "auto",
    size: int | list[int] | None = None,
    fit: Literal["pad", "stretch"] = "pad",
    block: int | list[int] | None = None,
    layer: list[str] | str | None = None,
    channels: int = 64,
    channel: list[int] | int | None = None,
    invert: int = 0,
    batch_size: int = 16,
    seed: int = 0,
    trust: bool = False,
    overwrite: bool = False,
    tfrecords_root: str = "tfrecords",
    runs_root: str = "runs",
) -> Activations:
    """Draw the feature maps of hidden layers for an image.

    It also shows the silent channels by depth, the first kernels, and with --invert what each layer keeps of the image.

    Args:
        run: Name of the run; it becomes the folder runs/NAME. Default: the name of the record set, else "see".
        images: Image files, as a.jpg b.jpg; the grids show the first. Or give a dataset.
        layer: Names of layers, in place of blocks; relu stands for all that end in a ReLU.
        channels: Channels in a grid; if there are more, the strongest.
        channel: Numbers of the channels in a grid, as 4 7, in place of the strongest.
        invert: Steps of network inversion: for each of the first images and each layer an image is made, from noise,
            that the layer answers to alike. 200 is enough to see something; 0 leaves it out.

    Returns:
        The pictures: path, gallery page and layers.

    Raises:
        UserError: If an argument does not fit the network or the images.
        OSError: If the disk is full or the folder may not be written.

    Example:
        fashionprobe activations --run kaggle --images shirt.jpg
    """
    command = shared.command(activations, locals())
    folder = child(runs_root, shared.run_name(run, dataset, "see"), argument="run")
    spec = NetworkSpec.of(folder, backbone, weights, taps, preprocessing, size, seed, trust)
    spec.check(shared.numbers(block) or [])
    chosen = open_images(
        images=images, dataset=dataset, split=split, samples=samples, fit=fit, seed=seed,
        tfrecords_root=tfrecords_root,
    )  # fmt: skip
    opened = spec.open(classifier=False)
    layers = _layers(opened, shared.numbers(block), shared.listed("layer", layer))
    chosen_channels = shared.numbers(channel)
    _check_channels(opened, layers, chosen_channels)
    arguments = {
        **opened.arguments(),
        "images": list(chosen.names),
        "fit": fit,
        "layers": opened.places(list(layers.values())),
        "channels": channels,
        # These came later: without them a recipe is the same as ever.
        **({"channel": chosen_channels} if chosen_channels is not None else {}),
        **({"invert": invert, "seed": seed} if invert else {}),
    }
    artifact = build(
        folder / "activations",
        Recipe("activations", arguments, chosen.sources, opened.backbone.weights_sha256),
        lambda draft: _write(
            draft, opened, chosen, layers, channels, chosen_channels, (invert, seed), batch_size, command
        ),
        overwrite=overwrite,
        settings={"batch_size": batch_size},
    )
    return _result(artifact)


def _layers(opened: LoadedNetwork, blocks: list[int] | None, names: list[str] | None) -> dict[str, str]:
    """Return the layers to draw by the names that they are shown under: their own, or those of the blocks."""
    from fashionprobe.explain.activations import relu_layers
    from fashionprobe.explain.explained_model import find_map

    if names is not None:
        if blocks is not None:
            raise conflict("block", "--layer", blocks)
        if names == ["relu"] and not any(layer.name == "relu" for layer in opened.model.layers):
            names = relu_layers(opened.model)
        return {name: find_map(opened.model, name).name for name in names}
    every = list(range(1, len(opened.backbone.taps) + 1))
    return {f"block {block}": str(opened.layer(block, None)) for block in blocks or every}


def _check_channels(opened: LoadedNetwork, layers: dict[str, str], channels: list[int] | None) -> None:
    """Check that each layer has the channels that are asked for."""
    for layer in layers.values() if channels is not None else ():
        most = opened.model.get_layer(layer).output.shape[-1]
        wrong = next((each for each in channels or [] if not 0 <= each < most), None)
        if wrong is not None:
            raise UserError("channel", expected=f"in the range [0, {most}) for {layer}", received=wrong)


def _write(
    draft: Path,
    opened: LoadedNetwork,
    images: Images,
    layers: dict[str, str],
    channels: int,
    channel: list[int] | None,
    inversion: tuple[int, int],
    batch_size: int,
    command: str,
) -> dict[str, Any]:
    """Run the network once over the images and draw what its layers answer."""
    import numpy as np

    from fashionprobe.explain.activations import activations as feature_maps
    from fashionprobe.explain.activations import dead
    from fashionprobe.plots.channels import channel_grid

    forward = feature_maps(opened.model, list(layers.values()))
    silent: list[list[np.ndarray]] = [[] for _ in layers]
    figures = Figures(draft)
    with progress.bar(total=len(images.names), unit="image", description="activations") as bar:
        for pixels in images.batches(opened.backbone.size, batch_size):
            maps = [each.numpy() for each in forward(pixels)]
            for (name, layer), found, gathered in zip(layers.items(), maps, silent, strict=True):
                if not gathered:
                    title = name if name == layer else f"{name} ({layer})"
                    file = f"activations_{name.replace(' ', '').replace('/', '_')}"
                    grid = channel_grid(found[0], title=title, most=channels, channels=channel)
                    figures.add(file, grid, f"Activations of {name}", _grid_caption(images.names[0], layer))
                gathered.append(dead(found))
            bar.update(len(pixels))
    _write_dead(figures, layers, [np.concatenate(each) for each in silent])
    _write_kernels(figures, opened)
    if inversion[0]:
        _write_inversion(figures, opened, images, layers, *inversion)
    _write_page(draft, opened, figures.notes, command)
    return {"layers": list(layers.values()), "images": len(images.names), "figures": figures.notes}


def _grid_caption(image: str, layer: str) -> str:
    return (
        f"What the channels of {layer} answer to image {image}. Bright is strong; each channel has its own scale; "
        "plain grey ones are silent."
    )


def _write_dead(figures: Figures, layers: dict[str, str], silent: "list[np.ndarray]") -> None:
    import numpy as np
    import pandas as pd

    from fashionprobe.plots.channels import dead_by_depth

    shares = np.stack([each.mean(axis=1) for each in silent])
    everywhere = np.array([each.all(axis=0).mean() for each in silent])
    table = pd.DataFrame(
        {
            "layer": list(layers.values()), "channels": [each.shape[1] for each in silent],
            "images": [len(each) for each in silent], "silent_for_one_image": shares.mean(axis=1),
            "deviation": shares.std(axis=1), "silent_for_all_images": everywhere,
        }
    )  # fmt: skip
    table.to_csv(figures.folder / "dead_channels.csv", index=False, float_format="%.6f")
    caption = (
        f"The share of a layer's channels that are nowhere above 0, over {shares.shape[1]} images: for a single image "
        "(mean and standard deviation), and for all of them. Deeper channels are choosier."
    )
    drawn = dead_by_depth(list(layers), shares, everywhere)
    figures.add("dead_channels", drawn, "Silent channels by depth", caption)


def _write_kernels(figures: Figures, opened: LoadedNetwork) -> None:
    """Draw the kernels of the first convolution, where the network starts with one."""
    from fashionprobe.explain.activations import kernels
    from fashionprobe.plots.channels import kernel_grid

    try:
        found = kernels(opened.model)
    except UserError:
        return
    drawn = kernel_grid(found[..., ::-1] if opened.backbone.preprocessing.bgr else found)
    height, width = found.shape[1:3]
    caption = f"The {len(found)} kernels of the first layer, {height} x {width} pixels each. Mid-grey is 0."
    figures.add("kernels", drawn, "Kernels of the first layer", caption)


def _write_inversion(
    figures: Figures, opened: LoadedNetwork, images: Images, layers: dict[str, str], steps: int, seed: int
) -> None:
    """Draw the first images beside those that each layer takes for them."""
    import numpy as np
    import pandas as pd

    from fashionprobe.explain.maximization.invert import invert
    from fashionprobe.plots.sheets import Row, contact_sheet

    def as_picture(image: np.ndarray) -> np.ndarray:
        return np.rint(np.clip(image, 0, 255)).astype(np.uint8)

    pixels = images.first(opened.backbone.size, INVERTED)
    names = images.names[: len(pixels)]
    made = {name: invert(opened.model, pixels, layer, steps=steps, seed=seed) for name, layer in layers.items()}
    table = pd.DataFrame([
        {"image": image, "layer": layers[name], "distance": float(inversion.distances[place])}
        for place, image in enumerate(names) for name, inversion in made.items()
    ])  # fmt: skip
    table.to_csv(figures.folder / "inversion.csv", index=False, float_format="%.6g")
    rows = [
        Row(
            "", [as_picture(pixels[place]), *(as_picture(each.images[place]) for each in made.values())],
            [image, *(f"{name}\n{each.distances[place]:.2g}" for name, each in made.items())],
        )
        for place, image in enumerate(names)
    ]  # fmt: skip
    remark = f"Made from noise in {steps} steps, so that the layer answers to it as to the image on the left; the "
    remark += "number is the relative distance of the activations, |difference|² / |activations of the image|²."
    drawn = contact_sheet(rows, title=f"What {opened.backbone.name} keeps of an image", remark=remark)
    caption = "Images made from the activations of each layer alone (network inversion). What differs is lost there."
    figures.add("inversion", drawn, "What each layer keeps of the image", caption)


def _write_page(draft: Path, opened: LoadedNetwork, noted: list[dict[str, str]], command: str) -> None:
    from fashionprobe.report.exhibits import exhibit, gallery

    network = opened.backbone
    page = gallery(
        [exhibit(draft / each["file"], each) for each in noted],
        title=f"fashionprobe: inside {network.name}",
        lead="What the hidden layers answer to an image.",
        facts={"network": network.name, "weights": network.weights, "size": "{} x {} px".format(*network.size)},
        command=command,
    )
    (draft / "gallery.html").write_text(page, encoding="utf-8")


def _result(artifact: Artifact) -> Activations:
    facts, page = artifact.facts, artifact.path / "gallery.html"
    log.info(
        "%s: layers: %d, images: %d. Open %s in a browser.", artifact.outcome,
        len(facts["layers"]), facts["images"], page,
    )  # fmt: skip
    return Activations(artifact.path, page, tuple(facts["layers"]), reused=artifact.reused)
