"""Stage `propose`: a trained network -> the images in which to ask the expert for masks first."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import fashionprobe.inputs.arguments as shared
from fashionprobe import progress, text_tables
from fashionprobe.artifacts import Artifact, Recipe, Result, build, child
from fashionprobe.errors import UserError, missing, unknown_name
from fashionprobe.inputs.classifier import Data, TrainedClassifier, find_trained, open_data, open_trained
from fashionprobe.plots.save import Figures

if TYPE_CHECKING:
    import numpy as np

log = logging.getLogger(__name__)

SHOWN = 12
"""Images in the figure, and five in the terminal."""


@dataclass(frozen=True)
class Proposal(Result):
    """A ranking of images on disk.

    Attributes:
        table: One row per image, the most worth asking about first, `proposal.csv`.
        first: Ids of the first images, the best first.
    """

    table: Path
    first: tuple[str, ...]


@shared.stage
def propose(
    *,
    run: shared.Place,
    dataset: shared.Place | None = None,
    split: Literal["train", "val"] = "train",
    by: list[str] | str | None = None,
    others: list[str] | str | None = None,
    seed: int = 0,
    trust: bool = False,
    overwrite: bool = False,
    tfrecords_root: str = "tfrecords",
    runs_root: str = "runs",
) -> Proposal:
    """Rank the images in which to mark regions first.

    An expert's time is short: this says where a mask may teach the network most. An image comes first if the network
    looks elsewhere in it than in others of its class, is not sure of it, or if several networks disagree about it.

    Args:
        dataset: Record set of the images. Default: the one of the training.
        split: Split whose images are ranked.
        by: Criteria, of which the mean place decides: heat (Grad-CAM outside the consensus of the class), uncertainty
            (entropy of the class probabilities), disagreement (of the networks of `others`). Default: heat and
            uncertainty, and disagreement with `others`.
        others: Runs with other networks of the same classes, such as trained with other seeds.
        seed: Seed of the order among equals.

    Returns:
        The ranking: paths and the first ids.

    Raises:
        UserError: If an argument does not fit, or a network or the images are missing or damaged.
        OSError: If the disk is full or the folder may not be written.

    Example:
        fashionprobe propose --run symbols
    """
    from fashionprobe.feedback.asking import CRITERIA

    folder = shared.run_path(run, runs_root)
    rivals = shared.listed("others", others) or []
    criteria = shared.listed("by", by) or [*CRITERIA[:2], *(CRITERIA[2:] if rivals else ())]
    if split not in ("train", "val"):
        raise UserError("split", expected="train or val: test images evaluate the correction", received=split)
    for name in criteria:
        if name not in CRITERIA:
            raise unknown_name("by", name, CRITERIA)
    if "disagreement" in criteria and not rivals:
        raise missing("others", "disagreement needs them", "Pass runs with other networks: --others RUN RUN.")
    places = [folder, *(child(runs_root, name, argument="others") for name in rivals)]
    found = [find_trained(place, trust=trust) for place in places]
    for place, artifact in zip(places, found, strict=True):
        if artifact.facts["classes"] != found[0].facts["classes"]:
            raise UserError(
                "others", expected=f"runs whose networks know the classes of {folder.name}",
                received=f"{place.name}, with {', '.join(map(str, artifact.facts['classes'][:5]))}",
            )  # fmt: skip
        if artifact.facts["size"] != found[0].facts["size"]:
            raise UserError(
                "others", expected=f"runs whose networks take images of {found[0].facts['size']} pixels",
                received=f"{place.name}, with {artifact.facts['size']}",
            )  # fmt: skip
    networks = [open_trained(place, trust=trust) for place in places]
    data = open_data(networks[0], dataset, tfrecords_root, whole=False)
    if data.of(split).empty:
        raise UserError("split", expected="a split with images of the classes of the network", received=split)
    artifact = build(
        folder / "propose",
        Recipe(
            "propose",
            {"split": split, "by": criteria, "others": rivals, "seed": seed},
            {"train": found[0].fingerprint, "records": data.records.fingerprint}
            | {f"train of {place.name}": each.fingerprint for place, each in zip(places[1:], found[1:], strict=True)},
            networks[0].backbone.weights_sha256,
        ),
        lambda draft: _write(draft, networks, data, split, criteria, seed),
        overwrite=overwrite,
    )
    return _result(artifact)


def _write(
    draft: Path, networks: list[TrainedClassifier], data: Data, split: str, criteria: list[str], seed: int
) -> dict[str, Any]:
    import numpy as np
    import pandas as pd

    from fashionprobe.feedback import asking

    # In a random order, so that of equal images not always the first of a class are asked about.
    items = data.of(split)
    order = np.random.default_rng(seed).permutation(len(items))
    maps, said = _looked(networks, data, split)
    numbers = items["number"].to_numpy()
    scores = {
        "heat": asking.unusual_heat(maps, numbers),
        "uncertainty": asking.uncertainty(said[0]),
        **({"disagreement": asking.disagreement(said)} if len(said) > 1 else {}),
    }
    places = np.empty(len(items), int)
    places[order] = asking.rank([scores[name][order] for name in criteria])
    names = networks[0].classes
    table = pd.DataFrame({
        "rank": places, "id": items["id"].to_numpy(), "class": [names[number] for number in numbers],
        "first_guess": [names[number] for number in said[0].argmax(axis=1)],
        "probability": said[0][np.arange(len(items)), numbers], **scores,
    }).sort_values("rank", kind="stable")  # fmt: skip
    table.to_csv(draft / "proposal.csv", index=False, float_format="%.9g")
    figures = Figures(draft)
    _draw(figures, data, table.head(SHOWN), maps[np.argsort(places)[:SHOWN]], criteria)
    return {"dataset": data.records.path.name, "images": len(items), "by": criteria, "figures": figures.notes}


def _looked(networks: list[TrainedClassifier], data: Data, split: str) -> "tuple[np.ndarray, np.ndarray]":
    """Return Grad-CAM of the first network, (n, rows, columns), and what all say, (networks, n, classes)."""
    import numpy as np

    from fashionprobe.explain.cam import grad_cam
    from fashionprobe.feedback.correctable import Correctable

    opened = [Correctable(each.model) for each in networks]
    explain = grad_cam(opened[0].model, opened[0].tap)
    maps, said = [], []
    with progress.bar(total=len(data.of(split)), unit="image", description="propose") as bar:
        for images, labels in data.stream((split,)):
            maps.append(np.asarray(explain(images, labels)))
            said.append(np.stack([network.probabilities(images) for network in opened]))
            bar.update(len(images))
    return np.concatenate(maps), np.concatenate(said, axis=1)


def _draw(figures: Figures, data: Data, table: Any, maps: "np.ndarray", criteria: list[str]) -> None:
    """Draw the first images with their heatmaps."""
    from fashionprobe.explain.heatmaps import heatmap
    from fashionprobe.plots.overlays import overlay
    from fashionprobe.plots.sheets import Row, contact_sheet

    pictures = data.pictures(table["id"].tolist())
    heat = heatmap(maps, data.size)
    captions = [f"{row['class']}\np = {row['probability']:.2f}" for _, row in table.iterrows()]
    rows = []
    for start in range(0, len(pictures), 6):
        part = slice(start, start + 6)
        mixed = [overlay(image, one) for image, one in zip(pictures[part], heat[part], strict=True)]
        rows += [
            Row(f"{start + 1} to {start + len(mixed)}", list(pictures[part]), captions[part]),
            Row("heat", mixed, [""] * len(mixed)),
        ]
    how = {"heat": "unusual heat for the class", "uncertainty": "uncertainty", "disagreement": "networks that disagree"}
    figures.add(
        "proposal", contact_sheet(rows, title="Images to ask the expert about first"), "Where to ask first",
        f"Ranked by {' and '.join(how[name] for name in criteria)}. Grad-CAM of the true class, of probability p.",
    )  # fmt: skip


def _result(artifact: Artifact) -> Proposal:
    import pandas as pd

    table = pd.read_csv(artifact.path / "proposal.csv", dtype={"id": str, "class": str}, keep_default_na=False)
    first = table.head(5)
    shown = ["probability", *(name for name in ("heat", "uncertainty", "disagreement") if name in table)]
    rows = [
        [str(row["rank"]), row["id"], row["class"], *(f"{row[name]:.2f}" for name in shown)]
        for _, row in first.iterrows()
    ]
    for line in text_tables.aligned([["rank", "image", "class", *shown], *rows]):
        log.info("%s", line)
    run, dataset = artifact.path.parent.name, artifact.facts["dataset"]
    log.info(
        "%s: %d images ranked by %s, in proposal.csv. Next: fashionprobe app --run %s, or "
        "fashionprobe masks --dataset %s --run %s --source png --path FOLDER",
        artifact.outcome, artifact.facts["images"], " and ".join(artifact.facts["by"]), run, dataset, run,
    )  # fmt: skip
    return Proposal(artifact.path, artifact.path / "proposal.csv", tuple(first["id"]), reused=artifact.reused)
