"""Stage `faithfulness`: which heatmaps to trust: deletion and insertion curves, and the randomisation check."""

import csv
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import fashionprobe.inputs.arguments as shared
from fashionprobe import progress
from fashionprobe import text_tables as tables
from fashionprobe.artifacts import Artifact, Recipe, Result, build, child
from fashionprobe.explain.methods import check_methods, windows_for
from fashionprobe.inputs.images import Images, open_images
from fashionprobe.inputs.methods import Column, applicable, choose_columns
from fashionprobe.inputs.network import LoadedNetwork, NetworkSpec
from fashionprobe.plots.save import Figures

if TYPE_CHECKING:
    import pandas as pd

    from fashionprobe.explain.explained_model import ExplainFunction
    from fashionprobe.explain.faithfulness import Curve

log = logging.getLogger(__name__)

DEFAULT_METHODS = ("grad_cam", "guided_backpropagation", "gradient")
RANDOM = "random"
"""A heatmap of noise: what a method has to beat."""


@dataclass(frozen=True)
class Faithfulness(Result):
    """Measures of heatmaps on disk.

    Attributes:
        images: Number of images.
        best: The method with the greatest area of insertion less that of deletion.
    """

    images: int
    best: str


@shared.stage
def faithfulness(
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
    class_names: str | None = None,
    method: list[str] | str | None = None,
    layer: str | None = None,
    block: int | None = None,
    percentile: int | list[int] | None = None,
    windows: int | list[int] | None = None,
    score_channels: int = 32,
    noise_samples: int = 25,
    steps: int = 50,
    curve_steps: int = 25,
    randomization: int = 4,
    batch_size: int = 8,
    seed: int = 0,
    trust: bool = False,
    overwrite: bool = False,
    tfrecords_root: str = "tfrecords",
    runs_root: str = "runs",
) -> Faithfulness:
    """Measure how far heatmaps can be trusted.

    Several methods are measured side by side, on a classifier. Deletion takes the pixels that a method marks out of the
    image, insertion puts them into a blurred one, most relevant first; the probability of the class is recorded. The
    randomisation check shuffles the weights, layer by layer from the output: heatmaps of a method that explains the
    network change. A heatmap of noise is measured for comparison.

    Args:
        run: Name of the run; it becomes the folder runs/NAME. Default: the name of the record set, else "see".
        images: Image files, as a.jpg b.jpg. Or give a dataset.
        backbone: The path of a .keras file with a classifier. Default: the one that `train` wrote into this run.
        method: One or several of those of `fashionprobe see`; or all. Default: grad_cam, guided_backpropagation and
            gradient. Those that run the network hundreds of times per image, such as occlusion, take minutes.
        layer: The layer that the CAM methods look at. Default: the last feature map.
        block: The layer, given as a block number instead of a name.
        steps: For integrated_gradients: points on the path from a black image.
        curve_steps: Steps of the deletion and insertion curves.
        randomization: Images of the randomisation check, each explained again for up to 16 layers; 0 leaves it out.

    Returns:
        The measures: path, and the best method.

    Raises:
        UserError: If an argument does not fit the network or the images.
        OSError: If the disk is full or the folder may not be written.

    Example:
        fashionprobe faithfulness --run kaggle --dataset kaggle --split val
    """
    check_methods(shared.listed("method", method) or [], of_channel=False)
    folder = child(runs_root, shared.run_name(run, dataset, "see"), argument="run")
    spec = NetworkSpec.of(folder, backbone, weights, taps, preprocessing, size, seed, trust, class_names)
    spec.check([block], layers=[layer])
    chosen = open_images(
        images=images, dataset=dataset, split=split, samples=samples, fit=fit, seed=seed,
        tfrecords_root=tfrecords_root,
    )  # fmt: skip
    opened = spec.open()
    columns = choose_columns(
        shared.listed("method", method) or list(DEFAULT_METHODS), opened, of_channel=False,
        percentile=shared.numbers(percentile) or [50, 90],
        windows=shared.numbers(windows) or windows_for(opened.backbone.size),
        score_channels=score_channels, noise_samples=noise_samples, steps=steps, seed=seed,
    )  # fmt: skip
    looked_at = opened.layer(block, layer)
    typed = method is not None and shared.listed("method", method) != ["all"]
    made = applicable(columns, opened, looked_at, None, typed=typed)
    columns = list(made)
    arguments = {
        **opened.arguments(), "images": list(chosen.names), "fit": fit, "curve_steps": curve_steps, "seed": seed,
        "methods": {column.name: column.options for column in columns}, "randomization": randomization,
        "layer": opened.places([looked_at]) if looked_at else None,
    }  # fmt: skip
    explainers = {column.name: explain for column, explain in made.items()}
    job = _Job(opened, chosen, columns, explainers, looked_at, curve_steps, randomization, seed)
    artifact = build(
        folder / "faithfulness",
        Recipe("faithfulness", arguments, chosen.sources, opened.backbone.weights_sha256),
        lambda draft: _write(draft, job, batch_size),
        overwrite=overwrite,
        settings={"batch_size": batch_size},
    )
    return _result(artifact)


@dataclass(frozen=True)
class _Job:
    """All that decides what one run of this stage measures."""

    opened: LoadedNetwork
    images: Images
    columns: list[Column]
    explainers: "dict[str, ExplainFunction]"
    layer: str | None
    curve_steps: int
    randomization: int
    seed: int

    @property
    def titles(self) -> dict[str, str]:
        """Return the names of the methods as a person writes them."""
        return {column.name: column.title for column in self.columns} | {RANDOM: "noise"}


def _write(draft: Path, job: _Job, batch_size: int) -> dict[str, Any]:
    import pandas as pd

    curves, rows = _measure(job, batch_size)
    table = pd.DataFrame(rows)
    table.to_csv(draft / "per_image.csv", index=False, float_format="%.6f")
    summary = _summary(job, table)
    summary.to_csv(draft / "faithfulness.csv", index=False, float_format="%.6f")
    figures = Figures(draft)
    _draw_curves(figures, job, curves)
    if job.randomization:
        _check_randomized(figures, job)
    methods = summary[summary["method"] != RANDOM]
    best = methods["method"].iloc[int((methods["insertion"] - methods["deletion"]).argmax())]
    return {"images": len(job.images.names), "best": best, "figures": figures.notes}


def _measure(job: _Job, batch_size: int) -> "tuple[dict[str, dict[str, Curve]], list[dict[str, Any]]]":
    """Return the curves of each kind and method over all images, and one row per image, method and kind."""
    import numpy as np

    from fashionprobe.explain.explained_model import probabilities
    from fashionprobe.explain.faithfulness import Curve, deletion, insertion
    from fashionprobe.explain.heatmaps import heatmap

    model = job.opened.model
    predict = probabilities(model)
    erasers = {"deletion": deletion(model, steps=job.curve_steps), "insertion": insertion(model, steps=job.curve_steps)}
    found: dict[str, dict[str, list[Curve]]] = {kind: {name: [] for name in job.titles} for kind in erasers}
    random = np.random.default_rng(job.seed)
    rows: list[dict[str, Any]] = []
    done = 0
    with progress.bar(total=len(job.images.names), unit="image", description="faithfulness") as bar:
        for pixels in job.images.batches(job.opened.backbone.size, batch_size):
            classes = predict(pixels).argmax(axis=1)
            relevance = {
                name: heatmap(explain(pixels, classes), pixels.shape[1:3]) for name, explain in job.explainers.items()
            }
            relevance[RANDOM] = random.random(pixels.shape[:3])
            ids = job.images.names[done : done + len(pixels)]
            names = [job.opened.class_name(int(number)) for number in classes]
            for kind, erase in erasers.items():
                for name, maps in relevance.items():
                    curve = erase(pixels, maps, classes)
                    found[kind][name].append(curve)
                    rows += [
                        {"id": each, "class": explained, "method": name, "curve": kind, "area": area}
                        for each, explained, area in zip(ids, names, curve.auc, strict=True)
                    ]
            done += len(pixels)
            bar.update(len(pixels))
    joined = {kind: {name: _joined(parts) for name, parts in each.items()} for kind, each in found.items()}
    return joined, rows


def _joined(parts: "list[Curve]") -> "Curve":
    """Return the curves of all batches as one."""
    import numpy as np

    from fashionprobe.explain.faithfulness import Curve

    probabilities = np.concatenate([part.probabilities for part in parts])
    return Curve(parts[0].fractions, probabilities, np.concatenate([part.auc for part in parts]))


def _summary(job: _Job, table: "pd.DataFrame") -> "pd.DataFrame":
    """Return one row per method: mean areas and their standard errors."""
    import pandas as pd

    grouped = table.groupby(["method", "curve"])["area"]
    mean, error = grouped.mean().unstack(), grouped.sem().unstack()
    summary = pd.DataFrame(
        {
            "deletion": mean["deletion"], "deletion_standard_error": error["deletion"],
            "insertion": mean["insertion"], "insertion_standard_error": error["insertion"],
        }
    )  # fmt: skip
    return summary.loc[list(job.titles)].rename_axis("method").reset_index()


def _draw_curves(figures: Figures, job: _Job, curves: "dict[str, dict[str, Curve]]") -> None:
    from fashionprobe.plots.faithfulness import deletion_insertion

    named = {kind: {job.titles[name]: curve for name, curve in each.items()} for kind, each in curves.items()}
    caption = (
        "The probability of the class while the pixels that a method marks are taken out of the image (deletion: lower "
        "is better) or put into a blurred one (insertion: higher is better), most relevant first. Lines are means over "
        f"{len(job.images.names)} images, bands their standard error; noise is a heatmap of random numbers."
    )
    drawn = deletion_insertion(named["deletion"], named["insertion"])
    figures.add("deletion_insertion", drawn, "How much the marked pixels matter", caption)


def _check_randomized(figures: Figures, job: _Job) -> None:
    """Run the randomisation check on the first images, write its table and draw it."""
    import pandas as pd

    from fashionprobe.explain.faithfulness import randomization
    from fashionprobe.plots import faithfulness as plots

    pixels = job.images.first(job.opened.backbone.size, job.randomization)
    tables = []
    for column in job.columns:
        table = randomization(
            job.opened.model, lambda model, column=column: column.explainer(model, job.layer, None), pixels,
            seed=job.seed % 2**31,
        )  # fmt: skip
        tables.append(table.assign(method=column.title))
    joined = pd.concat(tables, ignore_index=True)
    joined.to_csv(figures.folder / "randomization.csv", index=False, float_format="%.6f")
    caption = (
        "Rank correlation between a method's map and its map after the weights were shuffled, layer by layer from the "
        "output. A method that explains what the network learned falls to 0; one that stays high mostly shows the "
        f"image. Means over {len(pixels)} images, bars their standard deviation."
    )
    drawn = plots.randomization(joined)
    figures.add("randomization", drawn, "Does the heatmap depend on what was learned?", caption)


def _result(artifact: Artifact) -> Faithfulness:
    facts = artifact.facts
    with (artifact.path / "faithfulness.csv").open(newline="", encoding="utf-8") as file:
        found = [(row["method"], float(row["insertion"]), float(row["deletion"])) for row in csv.DictReader(file)]
    found.sort(key=lambda row: row[2] - row[1])
    rows = [[name, *(f"{area:.3f}" for area in (more, less, more - less))] for name, more, less in found]
    for line in tables.aligned([["method", "insertion", "deletion", "difference"], *rows]):
        log.info("%s", line)
    log.info(
        "%s: %d images; insertion less deletion is greatest for %s. Next: fashionprobe report --run %s",
        artifact.outcome, facts["images"], facts["best"],
        artifact.path.parent.name,
    )  # fmt: skip
    return Faithfulness(artifact.path, facts["images"], facts["best"], reused=artifact.reused)
