"""Stage `predict`: the classes that a classifier sees in images."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import fashionprobe.inputs.arguments as shared
from fashionprobe import progress
from fashionprobe.artifacts import Artifact, Recipe, Result, build, child
from fashionprobe.errors import UserError
from fashionprobe.inputs.images import Images, open_images
from fashionprobe.inputs.network import LoadedNetwork, NetworkSpec
from fashionprobe.plots.save import Figures
from fashionprobe.text_tables import aligned

if TYPE_CHECKING:
    import numpy as np

log = logging.getLogger(__name__)

NETWORK = "efficientnet_lite0"
"""What predicts where the run has no classifier of its own: it needs no download."""

PRINTED, DRAWN = 20, 6
"""Images in the table on the terminal, and in the figure."""


@dataclass(frozen=True)
class Guess:
    """A class that a network sees in an image.

    Attributes:
        image: Name of the file, or id in the record set.
        rank: 1 for the likeliest class.
        number: Number of the class, from 0.
        name: Name of the class.
        probability: Its probability, in [0, 1].
    """

    image: str
    rank: int
    number: int
    name: str
    probability: float


@dataclass(frozen=True)
class Predictions(Result):
    """Predictions on disk.

    Attributes:
        guesses: The likeliest classes of each image, the likeliest first.
    """

    guesses: tuple[Guess, ...]


@shared.stage(adversarial="[0, 255]")
def predict(
    *,
    run: str | None = None,
    images: list[str] | str | None = None,
    dataset: shared.Place | None = None,
    split: list[str] | str | None = None,
    samples: int = 8,
    backbone: str | None = None,
    weights: str = "pretrained",
    preprocessing: Literal["auto", "none", "tf", "caffe", "torch"] = "auto",
    size: int | list[int] | None = None,
    fit: Literal["pad", "stretch"] = "pad",
    class_names: str | None = None,
    top: int = 5,
    adversarial: float = 0.0,
    batch_size: int = 32,
    seed: int = 0,
    trust: bool = False,
    overwrite: bool = False,
    tfrecords_root: str = "tfrecords",
    runs_root: str = "runs",
) -> Predictions:
    """Say what a classifier sees in images.

    Args:
        run: Name of the run; it becomes the folder runs/NAME. Default: the name of the record set, else "see".
        images: Image files, as a.jpg b.jpg. Or give a dataset.
        backbone: efficientnet_lite0, resnet50, any other name of keras.applications, or the path of a .keras file with
            a classifier. Default: the one that `train` wrote into this run, if there is one, else efficientnet_lite0.
        top: Classes per image, the likeliest first.
        adversarial: Also change each value of the images by this much of 255, such that the first guess loses most (the
            fast gradient sign), and predict again; 0 leaves it out. 2 cannot be seen.

    Returns:
        The predictions: path and guesses.

    Raises:
        UserError: If an argument does not fit the network or the images.
        OSError: If the disk is full or the folder may not be written.

    Example:
        fashionprobe predict --images shirt.jpg shoe.jpg --top 5
    """
    folder = child(runs_root, shared.run_name(run, dataset, "see"), argument="run")
    if backbone is None and not (folder / "train" / "model.keras").is_file():
        backbone = NETWORK
    spec = NetworkSpec.of(folder, backbone, weights, None, preprocessing, size, seed, trust, class_names)
    spec.check()
    chosen = open_images(
        images=images, dataset=dataset, split=split, samples=samples, fit=fit, seed=seed,
        tfrecords_root=tfrecords_root,
    )  # fmt: skip
    opened = spec.open()
    if not opened.is_classifier:
        raise UserError(
            "backbone", expected=f"a classifier, such as {NETWORK}",
            received=f"{opened.backbone.name}, which ends in features",
        )  # fmt: skip
    arguments = {**opened.arguments(), "images": list(chosen.names), "fit": fit, "top": top}
    # This came later: without it a recipe is the same as ever.
    arguments |= {"adversarial": adversarial} if adversarial else {}
    artifact = build(
        folder / "predict",
        Recipe("predict", arguments, chosen.sources, opened.backbone.weights_sha256),
        lambda draft: _write(draft, opened, chosen, top, adversarial, batch_size),
        overwrite=overwrite,
        settings={"batch_size": batch_size},
    )
    return _result(artifact)


def _write(
    draft: Path, opened: LoadedNetwork, images: Images, top: int, adversarial: float, batch_size: int
) -> dict[str, Any]:
    import numpy as np
    import pandas as pd

    from fashionprobe.explain.explained_model import probabilities
    from fashionprobe.plots.predictions import predictions

    probabilities_of = probabilities(opened.model)
    rows: list[dict[str, Any]] = []
    drawn: list[np.ndarray] = []
    with progress.bar(total=len(images.names), unit="image", description="predict") as bar:
        done = 0
        for pixels in images.batches(opened.backbone.size, batch_size):
            for image, shares in zip(pixels, probabilities_of(pixels), strict=True):
                rows += _guesses(opened, images.names[done], shares, top)
                if len(drawn) < DRAWN:
                    drawn.append(np.rint(np.clip(image, 0, 255)).astype(np.uint8))
                done += 1
            bar.update(len(pixels))
    table = pd.DataFrame(rows)
    table.to_csv(draft / "predictions.csv", index=False, float_format="%.6f")
    figures = Figures(draft)
    network = opened.backbone
    figures.add(
        "predictions", predictions(drawn, table, title=f"What {network.name} sees"), "What the network sees",
        f"The likeliest classes of {network.name} ({network.weights}), each with its probability.",
    )  # fmt: skip
    changed = _write_adversarial(figures, opened, images, adversarial, batch_size) if adversarial else {}
    return {"backbone": network.name, "images": done, "figures": figures.notes, **changed}


def _write_adversarial(
    figures: Figures, opened: LoadedNetwork, images: Images, epsilon: float, batch_size: int
) -> dict[str, Any]:
    """Change the images against their first guess, and draw and list what is seen in them then."""
    import numpy as np
    import pandas as pd

    from fashionprobe.explain.adversarial import fast_gradient_sign
    from fashionprobe.explain.explained_model import probabilities
    from fashionprobe.plots.sheets import Row, contact_sheet

    attack, probabilities_of = fast_gradient_sign(opened.model, epsilon=epsilon), probabilities(opened.model)
    table: list[dict[str, Any]] = []
    rows: list[Row] = []
    for pixels in images.batches(opened.backbone.size, batch_size):
        changed = attack(pixels)
        before, after = probabilities_of(pixels), probabilities_of(changed)
        for image, other, old, new in zip(pixels, changed, before, after, strict=True):
            first, then = int(old.argmax()), int(new.argmax())
            named, renamed = opened.class_name(first), opened.class_name(then)
            table.append({
                "image": images.names[len(table)], "class": named, "probability": float(old[first]),
                "class_after": renamed, "probability_after": float(new[then]),
                "probability_of_class_after": float(new[first]),
            })  # fmt: skip
            if len(rows) < DRAWN:
                shown = [image, 127.5 + (other - image) * (127.5 / epsilon), other]
                pictures = [np.rint(np.clip(each, 0, 255)).astype(np.uint8) for each in shown]
                captions = [f"{named}\n{old[first]:.1%}", "change,\nmagnified", f"{renamed}\n{new[then]:.1%}"]
                rows.append(Row("", pictures, captions))
    found = pd.DataFrame(table)
    found.to_csv(figures.folder / "adversarial.csv", index=False, float_format="%.6f")
    turned = int((found["class"] != found["class_after"]).sum())
    title = f"Adversarial examples for {opened.backbone.name}"
    remark = f"From left to right: the image, a change of at most {epsilon:g} of 255 in each value, magnified "
    remark += f"{127.5 / epsilon:.0f} times, and their sum."
    figures.add(
        "adversarial", contact_sheet(rows, title=title, remark=remark), "Adversarial examples",
        f"A change of at most {epsilon:g} of 255 turns the first guess for {turned} of {len(found)} images (fast "
        "gradient sign).",
    )  # fmt: skip
    return {"adversarial": {"epsilon": epsilon, "changed": turned}}


def _guesses(opened: LoadedNetwork, image: str, shares: "np.ndarray", top: int) -> list[dict[str, Any]]:
    order = (-shares).argsort(kind="stable")[:top]
    return [
        {
            "image": image, "rank": rank, "number": int(number), "class": opened.class_name(int(number)),
            "probability": float(shares[number]),
        }
        for rank, number in enumerate(order, start=1)
    ]  # fmt: skip


def _result(artifact: Artifact) -> Predictions:
    import pandas as pd

    table = pd.read_csv(artifact.path / "predictions.csv", dtype={"image": str, "class": str}, keep_default_na=False)
    guesses = tuple(
        Guess(row["image"], int(row["rank"]), int(row["number"]), row["class"], float(row["probability"]))
        for row in table.to_dict("records")
    )
    count, name = artifact.facts["images"], artifact.facts["backbone"]
    network = f"run {artifact.path.parent.name}" if name.endswith(".keras") else f"backbone {name}"
    each = len(guesses) // count
    lines = [
        [guess.image if guess.rank == 1 else "", guess.name, f"{guess.probability:.1%}"]
        for guess in guesses[: PRINTED * each]
    ]
    for line in aligned([["image", "class", "probability"], *lines]):
        log.info("%s", line)
    log.info(
        "%s: %d image%s, in predictions.csv. Next: fashionprobe see --%s --images FILE --target NAME",
        artifact.outcome, count, "" if count == 1 else "s", network,
    )  # fmt: skip
    return Predictions(artifact.path, guesses, reused=artifact.reused)
