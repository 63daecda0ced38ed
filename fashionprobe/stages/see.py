"""Stage `see`: what a network looks at in chosen images: heatmaps over them, by several methods."""

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import fashionprobe.inputs.arguments as shared
from fashionprobe import progress
from fashionprobe.artifacts import Artifact, Recipe, Result, build, child
from fashionprobe.errors import UserError, conflict, missing, unknown_name
from fashionprobe.explain.methods import ATTENTION, MAPS, SIGNED, check_methods, windows_for
from fashionprobe.inputs.images import Images, open_images
from fashionprobe.inputs.methods import Column, applicable, at_layers, choose_columns
from fashionprobe.inputs.network import LoadedNetwork, NetworkSpec
from fashionprobe.plots.save import Figures

if TYPE_CHECKING:
    import numpy as np

    from fashionprobe.explain.explained_model import ExplainFunction
    from fashionprobe.explain.targets import Channel, Neuron, Similarity, Target

log = logging.getLogger(__name__)

CLASS_METHODS = ("grad_cam", "guided_backpropagation")
SCALE = "relevance, from the least to the greatest of each picture"
"""What the colours of the figures stand for."""

CHANNEL_METHODS = ("guided_backpropagation", "gradient")


@dataclass(frozen=True)
class Heatmaps(Result):
    """Heatmaps on disk.

    Attributes:
        page: The gallery, `gallery.html`.
        images: Number of images.
        methods: The methods.
    """

    page: Path
    images: int
    methods: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class _Job:
    """All that decides what one run of this stage shows."""

    opened: LoadedNetwork
    images: Images
    columns: list[Column]
    layers: dict[str, str]
    targets: tuple[str, ...]
    explained: "Target"
    similarity: float | None
    seed: int
    segment: bool
    command: str

    def arguments(self) -> dict[str, Any]:
        """Return what the recipe holds."""
        return {
            **self.opened.arguments(),
            "images": list(self.images.names),
            "fit": self.images.fit,
            "methods": {column.name: column.options for column in self.columns},
            "layer": self.opened.places(list(self.layers.values())) if self.layers else None,
            # A recipe of one target is the same as before there could be several.
            "target": self.targets[0] if len(self.targets) == 1 else list(self.targets),
            "seed": self.seed,
            # This came later: without it a recipe is the same as ever.
            **({"segment": True} if self.segment else {}),
        }


@shared.stage
def see(
    *,
    run: str | None = None,
    images: list[str] | str | None = None,
    pair: list[str] | str | None = None,
    dataset: shared.Place | None = None,
    split: list[str] | str | None = None,
    samples: int = 8,
    backbone: str | None = None,
    weights: str = "pretrained",
    taps: list[str] | str | None = None,
    preprocessing: Literal["auto", "none", "tf", "caffe", "torch"] = "auto",
    size: int | list[int] | None = None,
    fit: Literal["pad", "stretch"] = "pad",
    method: list[str] | str | None = None,
    target: list[str] | str = "top",
    class_names: str | None = None,
    channel: int | None = None,
    neuron: list[int] | None = None,
    layer: list[str] | str | None = None,
    block: list[int] | int | None = None,
    percentile: int | list[int] | None = None,
    windows: int | list[int] | None = None,
    occlusion_score: list[str] | str = "probability",
    score_channels: int = 32,
    noise_samples: int = 25,
    steps: int = 50,
    segment: bool = False,
    batch_size: int = 8,
    seed: int = 0,
    trust: bool = False,
    overwrite: bool = False,
    tfrecords_root: str = "tfrecords",
    runs_root: str = "runs",
) -> Heatmaps:
    """Draw heatmaps that show what a network looks at.

    It takes several methods at once, and writes a gallery page. A classifier is explained at the score of a class
    before its softmax; with --channel or --neuron, any network at one of these; with --pair, a network that embeds
    images at the similarity of two.

    Args:
        run: Name of the run; it becomes the folder runs/NAME. Default: the name of the record set, else "see".
        images: Image files, as a.jpg b.jpg. Or give a dataset.
        pair: Two image files, in place of images: both are shown with what makes them alike, the cosine of their
            embeddings. Default network: the embedding of the run; of any other backbone the mean of its last feature
            map is compared.
        method: One or several of cam, grad_cam, percentile_cam, grad_cam_plus_plus, score_cam, layer_cam, occlusion,
            gradient, deconvnet, guided_backpropagation, guided_grad_cam, smooth_grad, integrated_gradients; for vision
            transformers attention_rollout; or all. Default: grad_cam and guided_backpropagation; with --channel or
            --neuron the second and gradient.
        target: The class to explain: top (the network's first guess), true (the label of the dataset), or the name or
            number of a class; or several of these, which are shown side by side.
        channel: Number of a channel, from 0, to explain in place of a class; of --block or --layer.
        neuron: Channel, row and column of one value of the feature map, from 0, as 5 3 3, to explain in place of a
            class; of --block or --layer.
        layer: The layer that the CAM methods look at, or that holds the channel; or several, whose heatmaps are shown
            side by side. Default: the last feature map.
        block: The layer, or several, given as block numbers instead of names.
        occlusion_score: For occlusion: what a window leaves, probability or output, or both. With probability each
            window adds 1 / p, and the sum is divided by how many windows cover a pixel; with output it adds 1 / s, s
            the score before the softmax, and is not divided, which is the rule of the visualization report.
        steps: For integrated_gradients: points on the path from a black image.
        segment: Also cut out what each map of a CAM method or of occlusion points at: its strongest and weakest places
            are seeds, from which a random walker goes up to the edges of the image.

    Returns:
        The heatmaps: path, gallery page and counts.

    Raises:
        UserError: If an argument does not fit the network or the images.
        OSError: If the disk is full or the folder may not be written.

    Example:
        fashionprobe see --run kaggle --images shirt.jpg shoe.jpg --method all
    """
    command = shared.command(see, locals())
    targets = shared.listed("target", target) or []
    blocks, layers = shared.numbers(block) or [], shared.listed("layer", layer) or []
    of_channel = channel is not None or neuron is not None
    pair = _check_pair(pair, images, dataset, of_channel, targets)
    _check_place(channel, neuron, blocks, layers, targets)
    check_methods(shared.listed("method", method) or [], of_channel=of_channel or bool(pair))
    scores = shared.listed("occlusion_score", occlusion_score) or []
    for score in scores:
        if score not in ("probability", "output"):
            raise unknown_name("occlusion_score", score, ["probability", "output"])

    folder = child(runs_root, shared.run_name(run, dataset, "see"), argument="run")
    embedding = folder / "embed" / "model.keras"
    if pair and backbone is None and embedding.is_file():
        backbone = str(embedding)
    spec = NetworkSpec.of(folder, backbone, weights, taps, preprocessing, size, seed, trust, class_names)
    spec.check(blocks, layers=layers)
    chosen = open_images(
        images=pair or images, dataset=dataset, split=split, samples=samples, fit=fit, seed=seed,
        tfrecords_root=tfrecords_root,
    )  # fmt: skip
    opened = _embedder(spec) if pair else spec.open()
    places = {f"block {number}": opened.layer(number, None) for number in blocks}
    places |= {name: opened.layer(None, name) for name in layers}
    looked_at = {place: name for place, name in places.items() if name is not None}
    unit, similarity = _unit(channel, neuron, opened, looked_at), None
    if pair:
        unit, similarity = _compared(opened, chosen)
    job = _Job(
        opened=opened,
        images=chosen,
        columns=at_layers(choose_columns(
            shared.listed("method", method) or list(CHANNEL_METHODS if of_channel else CLASS_METHODS),
            opened,
            of_channel=unit is not None,
            percentile=shared.numbers(percentile) or [50, 90],
            windows=shared.numbers(windows) or windows_for(opened.backbone.size),
            score_channels=score_channels, noise_samples=noise_samples, steps=steps, seed=seed,
            occlusion_score=scores,
        ), looked_at),
        layers=looked_at,
        targets=_check_targets(targets, opened, chosen) if unit is None
        else ("similarity" if pair else _named(channel, neuron),),
        explained=unit,
        similarity=similarity,
        seed=seed,
        segment=segment,
        command=command,
    )  # fmt: skip
    # What does not fit the network is refused here, before anything is written. A method that explains a channel looks
    # at the last feature map below it, if at any.
    typed = method is not None and shared.listed("method", method) != ["all"]
    layer = None if of_channel else next(iter(looked_at.values()), None)
    made = applicable(job.columns, opened, layer, job.explained, typed=typed)
    job = replace(job, columns=list(made))
    explainers = {column.key: explain for column, explain in made.items()}
    artifact = build(
        folder / "see",
        Recipe("see", job.arguments(), chosen.sources, opened.backbone.weights_sha256),
        lambda draft: _write(draft, job, explainers, batch_size),
        overwrite=overwrite,
        settings={"batch_size": batch_size},
    )
    return _result(artifact)


def _check_pair(
    pair: list[str] | str | None, images: object, dataset: object, of_channel: bool, targets: list[str]
) -> list[str]:
    """Return the two files of a pair, none where there is no pair."""
    if pair is None:
        return []
    files = [pair] if isinstance(pair, str) else list(pair)
    for option, given in (("--images", images), ("--dataset", dataset), ("--channel or --neuron", of_channel)):
        if given:
            raise conflict("pair", option, " ".join(files))
    if targets != ["top"]:
        raise conflict("target", "--pair", ", ".join(targets))
    absent = [file for file in files if not Path(file).is_file()]
    if len(files) != 2 or absent:
        received = f"{absent[0]!r}, which is no file" if absent else len(files)
        raise UserError("pair", expected="two image files, as a.jpg b.jpg", received=received)
    return files


def _embedder(spec: NetworkSpec) -> LoadedNetwork:
    """Open a network that embeds images; one that ends in a feature map is pooled by its mean."""
    import keras

    opened = spec.open(classifier=False)
    network = opened.backbone
    if opened.classes:
        raise UserError(
            "backbone", expected="a network that embeds images, such as the model.keras of `fashionprobe embed`",
            received=f"{network.name}, which ends in classes", remedy="Or name a backbone, as --backbone mini.",
        )  # fmt: skip
    if len(network.model.output_shape) != 4:
        return opened
    pooled = keras.layers.GlobalAveragePooling2D(name="embedding")(network.model.output)
    model = keras.Model(network.model.input, pooled, name=network.model.name)
    return replace(opened, backbone=replace(network, model=model))


def _compared(opened: LoadedNetwork, images: Images) -> "tuple[Similarity, float]":
    """Return the target of a pair, in which each image is the other one's, and how alike they are."""
    import tensorflow as tf

    from fashionprobe.explain.explained_model import Network
    from fashionprobe.explain.targets import Similarity

    pixels = images.first(opened.backbone.size, 2)
    target = Similarity(pixels)
    network = Network(opened.model, target=target)
    return target, float(network.score(network(tf.constant(pixels[:1]))[1], tf.constant([1]))[0])


def _check_place(
    channel: int | None, neuron: list[int] | None, blocks: list[int], layers: list[str], targets: list[str]
) -> None:
    """Check what can be known of a channel or a neuron before the network is opened."""
    if blocks and layers:
        raise conflict("block", "--layer", ", ".join(map(str, blocks)))
    if channel is None and neuron is None:
        return
    if channel is not None and neuron is not None:
        raise conflict("channel", "--neuron", channel)
    option = "--channel" if neuron is None else "--neuron"
    if targets != ["top"]:
        raise conflict("target", option, ", ".join(targets))
    if not blocks and not layers:
        raise missing("block", f"{option} needs --block or --layer")
    if len(blocks) + len(layers) > 1:
        received = ", ".join(map(str, blocks or layers))
        raise UserError("block" if blocks else "layer", expected=f"a single one with {option}", received=received)
    if neuron is not None and (len(neuron) != 3 or min(neuron) < 0):
        raise UserError("neuron", expected="channel, row and column, each from 0, as 5 3 3", received=neuron)


def _unit(
    channel: int | None, neuron: list[int] | None, opened: LoadedNetwork, layers: dict[str, str]
) -> "Channel | Neuron | None":
    """Return the channel or the neuron that is explained; None for a class."""
    from fashionprobe.explain.explained_model import find_map
    from fashionprobe.explain.targets import Channel, Neuron

    if channel is not None:
        return Channel(next(iter(layers.values())), channel)
    if neuron is None:
        return None
    import keras

    layer = next(iter(layers.values()))
    cut = keras.Model(opened.model.input, find_map(opened.model, layer).output)
    shape = cut.compute_output_spec(keras.KerasTensor((1, *opened.backbone.size, 3))).shape
    number, row, column = neuron
    if number >= shape[3] or row >= shape[1] or column >= shape[2]:
        expected = f"channel, row and column below {shape[3]}, {shape[1]} and {shape[2]} for {layer}"
        raise UserError("neuron", expected=expected, received=neuron)
    return Neuron(layer, number, row, column)


def _named(channel: int | None, neuron: list[int] | None) -> str:
    return f"channel {channel}" if neuron is None else f"channel {neuron[0]} at ({neuron[1]}, {neuron[2]})"


def _check_targets(targets: list[str], opened: LoadedNetwork, images: Images) -> tuple[str, ...]:
    """Return what is explained, for the recipe: top, true, or the number of a class; each once."""
    if "true" in targets:
        labels = images.labels(opened.label)
        unknown = [name for name, label in zip(images.names, labels, strict=True) if not label]
        if unknown or not opened.classes:
            why = f"image {unknown[0]} without one" if opened.classes and images.records else "images without labels"
            raise UserError(
                "target", expected="top or a class, where the true class is not known", received=f"true, for {why}",
                remedy="Labels come from a dataset, class names from the model.keras that `train` writes.",
            )  # fmt: skip
        for label in labels:
            opened.class_number(label)
    named = [
        each if each in ("top", "true") else str(opened.class_number(each, also=["top", "true"])) for each in targets
    ]
    return tuple(dict.fromkeys(named))


def _write(draft: Path, job: _Job, explainers: "dict[str, ExplainFunction]", batch_size: int) -> dict[str, Any]:
    """Explain the images batch by batch, and write the page."""
    import pandas as pd

    from fashionprobe.explain.explained_model import probabilities

    predict = None if job.explained is not None else probabilities(job.opened.model)
    rows, figures, done = [], Figures(draft), 0
    seen: list[tuple[np.ndarray, list[tuple[str, np.ndarray]]]] = []
    with progress.bar(total=len(job.images.names), unit="image", description="see") as bar:
        for pixels in job.images.batches(job.opened.backbone.size, batch_size):
            shares = predict(pixels) if predict else None
            described, raw = [], []
            for target in job.targets:
                classes, of_target = _describe(job, target, shares, len(pixels), done)
                described.append(of_target)
                raw.append({name: explain(pixels, classes) for name, explain in explainers.items()})
            for place, image in enumerate(pixels):
                done += 1
                of_image = [each[place] for each in described]
                maps = [{name: each[place] for name, each in of_target.items()} for of_target in raw]
                seen.append(_write_image(figures, job, done, of_image, image, maps))
                rows += [{"image": done, **row} for row in of_image]
                bar.update()
    if job.similarity is not None:
        _write_pair(figures, job, seen)
    pd.DataFrame(rows).to_csv(draft / "items.csv", index=False, float_format="%.6f")
    facts = {"images": done, "methods": [column.key for column in job.columns], "figures": figures.notes}
    _write_page(draft, job, facts)
    return facts


def _describe(
    job: _Job, target: str, shares: "np.ndarray | None", count: int, start: int
) -> "tuple[np.ndarray | None, list[dict[str, Any]]]":
    """Return the class to explain for each image, and what is known of the image."""
    import numpy as np

    names = job.images.names[start : start + count]
    labels = job.images.labels(job.opened.label)[start : start + count]
    rows: list[dict[str, Any]] = [{"id": name, "true": label} for name, label in zip(names, labels, strict=True)]
    if job.similarity is not None:
        others = np.arange(1, -1, -1)[start : start + count]
        told = [{"explained": f"likeness to {job.images.names[other]}", "cosine": job.similarity} for other in others]
        return others, [{**row, **each} for row, each in zip(rows, told, strict=True)]
    if shares is None:
        return None, [{**row, "explained": f"{target} of {next(iter(job.layers.values()))}"} for row in rows]
    top = shares.argmax(axis=1)
    if target == "top":
        classes = top
    elif target == "true":
        classes = np.array([job.opened.class_number(label) for label in labels])
    else:
        classes = np.full(count, int(target))
    for place, row in enumerate(rows):
        row["explained"] = job.opened.class_name(int(classes[place]))
        row["probability"] = float(shares[place, classes[place]])
        row["top"] = job.opened.class_name(int(top[place]))
        row["top_probability"] = float(shares[place, top[place]])
    return classes, rows


def _write_image(
    figures: Figures, job: _Job, number: int, rows: list[dict[str, Any]], pixels: "np.ndarray",
    raw: "list[dict[str, np.ndarray]]",
) -> "tuple[np.ndarray, list[tuple[str, np.ndarray]]]":  # fmt: skip
    """Write the raw maps of one image, of each target, a picture of each, and the figure of all.

    Returns:
        The image and the pictures by their headings.
    """
    import numpy as np
    from PIL import Image

    from fashionprobe.explain.heatmaps import heatmap
    from fashionprobe.explain.segmentation import segment
    from fashionprobe.plots.overlays import explained, outlined, picture

    image = np.rint(np.clip(pixels, 0, 255)).astype(np.uint8)
    alone, by_layer = len(job.targets) == 1, len(job.layers) > 1
    panels, kept, cut = [], {}, []
    for place, (column, before) in enumerate(zip(job.columns, [job.columns[0], *job.columns], strict=False)):
        if place and (not alone or (by_layer and _heading(column) != _heading(before))):
            # Each method has a line of its own, which begins with the image; so have those that look at no layer.
            panels.append((column.title if not alone else _heading(column), image))
        for target, row, of_target in zip(job.targets, rows, raw, strict=True):
            name = column.key if alone else f"{column.key}_{f'class{target}' if target.isdigit() else target}"
            maps = of_target[column.key]
            relevance = heatmap(maps[None], image.shape[:2])[0]
            shown = picture(image, maps, relevance, signed=column.method in SIGNED)
            Image.fromarray(shown).save(figures.folder / f"image_{number:03d}_{name}.png")
            kept[name] = maps
            if job.segment and column.method in (*MAPS, *ATTENTION):
                found = segment(image, relevance)
                Image.fromarray(found).save(figures.folder / f"image_{number:03d}_{name}_segment.png")
                heading = column.title if alone else f"{column.title}: {row['explained']}"
                cut.append((heading, outlined(image, found, side=max(image.shape))))
            panels.append(((column.place or column.title) if alone else row["explained"], shown))
    np.savez(figures.folder / f"image_{number:03d}.npz", **kept)
    title = _title(job, rows)
    layout = {} if alone else {"columns": len(rows) + 1, "name": job.columns[0].title}
    if alone and by_layer:
        layout = {"columns": len(job.layers) + 1, "name": _heading(job.columns[0])}
    if job.similarity is None:
        figure = explained(image, panels, title=title, scale=SCALE, **layout)
        figures.add(f"image_{number:03d}", figure, title, _caption(job, rows))
    if cut:
        caption = "Tinted: what the map points at, up to the edges of the image (random walker from its seeds)."
        figures.add(f"image_{number:03d}_segments", explained(image, cut, title=title), f"{title}: cut out", caption)
    return image, panels


def _write_pair(figures: Figures, job: _Job, seen: "list[tuple[np.ndarray, list[tuple[str, np.ndarray]]]]") -> None:
    """Draw the two images of a pair side by side, and below them what each method sees in both."""
    from fashionprobe.plots.overlays import explained

    (first, of_first), (second, of_second) = seen
    one, other = job.images.names
    panels = [(other, second)] + [
        each for both in zip(of_first, of_second, strict=True) if both[0][1] is not first for each in both
    ]  # fmt: skip
    title = f"{one} and {other}: cosine {job.similarity:.2f}"
    figure = explained(first, panels, title=title, scale=SCALE, columns=2, name=one)
    figures.add("pair", figure, title, "Bright places of each image speak for likeness to the other one.")


def _heading(column: Column) -> str:
    """Return what stands over the image of a line of layers: the method, or nothing of those that look at no layer."""
    from fashionprobe.explain.methods import title

    return title(column.name) if column.place else "image"


def _title(job: _Job, rows: list[dict[str, Any]]) -> str:
    """Say what is explained: the classes with probabilities, and the first guess and the true one where they differ."""
    row, names = rows[0], [each["explained"] for each in rows]
    if job.explained is not None:
        return f"{row['id']}: {row['explained']}"
    text = ", ".join(f"{each['explained']} {_share(each['probability'])}" for each in rows)
    if row["top"] not in names:
        text += f", first guess {row['top']} {_share(row['top_probability'])}"
    return text + (f", true {row['true']}" if row["true"] and row["true"] not in names else "")


def _share(probability: float) -> str:
    return "<1%" if 0 < probability < 0.005 else f"{probability:.0%}"


def _caption(job: _Job, rows: list[dict[str, Any]]) -> str:
    names = " or ".join(dict.fromkeys(row["explained"] for row in rows))
    what = names if job.explained is not None else f"the score of {names}"
    text = f"Image {rows[0]['id']}. Bright places speak for {what}; each picture has its own scale."
    if any(column.method in SIGNED for column in job.columns):
        text += " In deconvnet and guided pictures mid-grey is 0, and colours are those of the pixels to add."
    return text


def _write_page(draft: Path, job: _Job, facts: dict[str, Any]) -> None:
    """Write the gallery."""
    from fashionprobe.report.exhibits import exhibit, gallery

    shown = [exhibit(draft / each["file"], each) for each in facts["figures"]]
    network = job.opened.backbone
    page = gallery(
        shown,
        title=f"fashionprobe: what {network.name} looks at",
        lead=f"{facts['images']} images, {len(job.columns)} methods.",
        facts={"network": network.name, "weights": network.weights, "methods": ", ".join(facts["methods"])},
        command=job.command,
    )
    (draft / "gallery.html").write_text(page, encoding="utf-8")


def _result(artifact: Artifact) -> Heatmaps:
    facts, page = artifact.facts, artifact.path / "gallery.html"
    log.info(
        "%s: %d image%s by %s. Open %s in a browser.", artifact.outcome,
        facts["images"], "" if facts["images"] == 1 else "s", ", ".join(facts["methods"]), page,
    )  # fmt: skip
    return Heatmaps(artifact.path, page, facts["images"], tuple(facts["methods"]), reused=artifact.reused)
