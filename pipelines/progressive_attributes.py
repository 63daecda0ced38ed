"""Three attributes of garments: a network each, one network with three heads, or one that grows a branch at a time?

Figure 3.18 of the attribute thesis (after Adhikari et al. 2019) compares the three. Here they start from the same
weights, see the same images for the same number of epochs, and are measured on the same test images. The first network
of the first way is the trunk of the third; its branches leave it early, with few layers of their own.

With --epochs 3 --branch-epochs 3 on an excerpt of 12,041 photographs, one seed, the test accuracy of type, colour and
pattern was 0.875, 0.647, 0.702 for a network each, 0.846, 0.659, 0.669 for multi-label, and 0.875, 0.619, 0.745
for progressive: the mean is that of a network each, colour 2.8 points below it, with 48 % of the parameters and 68 % of
the time.

    python pipelines/progressive_attributes.py                                  # drawn garments, offline
    python pipelines/progressive_attributes.py --path fashion_products.zip      # article type, colour, pattern
"""

import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd

from fashionprobe.cli import script
from fashionprobe.stages import branch, ingest, train

# Where each branch leaves the trunk, and what its head reads: colour is known early, pattern later.
COLOUR, PATTERN = {"from_block": 2, "block": [2, 3]}, {"from_block": 3, "block": [3, 4]}


def main(
    *,
    path: str | None = None,
    backbone: str = "mini",
    weights: str = "random",
    size: list[int] | None = None,
    count: int = 1500,
    min_images: int = 100,
    epochs: int = 5,
    branch_epochs: int = 5,
    batch_size: int = 32,
    seeds: int = 1,
) -> None:
    """Train the three, and print one table.

    Args:
        path: Folder or zip file of the catalogue. Default: garments are drawn.
        backbone: Where the networks start from; a network with four blocks or more.
        weights: Its weights; random, so that no attribute is known beforehand.
        size: Height and width in pixels. Default: 80 x 60 for photographs, 64 x 64 for drawings.
        count: Number of garments to draw.
        min_images: A class with fewer images is left out.
        epochs: Epochs of each network.
        branch_epochs: Epochs of each branch.
        batch_size: Images per batch.
        seeds: How often all of it is trained, each time from other weights.
    """
    pixels = size or ([80, 60] if path else [64, 64])
    kind, colour = ("articleType", "baseColour") if path else ("garment", "colour")
    if path:
        records = ingest(dataset="progressive", source="kaggle", path=path, label=kind, split=[70, 15, 15], size=pixels)
    else:
        records = ingest(
            dataset="progressive_drawn", source="garments", count=count, label=kind, split=[70, 15, 15], size=pixels
        )
    branches = {colour: COLOUR, "pattern": PATTERN}
    rows: list[dict[str, Any]] = []
    for seed in range(seeds):
        name = f"{records.path.name}_{seed}"
        common = {"min_images": min_images, "batch_size": batch_size, "seed": seed, "dataset": records}
        start = {"backbone": backbone, "weights": weights, "size": pixels, "epochs": epochs}

        single: list[dict[str, Any]] = []
        for label in (kind, *branches):
            made, spent = clocked(train, run=f"{name}_{label}", label=label, **common, **start)
            single.append(of_train(made.path, label) | spent)
        rows += [{"way": "a network each", "seed": seed, **each} for each in single]

        rows += [{"way": "multi-label", "seed": seed, **each} for each in multi_label(
            records.path, {each["label"]: each["numbers"] for each in single}, start, batch_size, seed, name
        )]  # fmt: skip

        grown = [{**single[0]}]
        for label, options in branches.items():
            made, spent = clocked(
                branch, run=f"{name}_{kind}", label=label, epochs=branch_epochs, overwrite=label == colour, **common,
                **options,
            )  # fmt: skip
            grown.append(of_branch(made.path, label, before=sum(each["parameters"] for each in grown)) | spent)
        rows += [{"way": "progressive", "seed": seed, **each} for each in grown]
    table = pd.DataFrame(rows).drop(columns="numbers")
    folder = Path("runs") / records.path.name
    folder.mkdir(parents=True, exist_ok=True)
    table.to_csv(folder / "comparison.csv", index=False, float_format="%.6f")
    report(table)


def clocked(stage: Any, **options: Any) -> tuple[Any, dict[str, float]]:
    """Call a stage; return its result, and the seconds that it took by the wall and of all cores."""
    wall, cores = time.perf_counter(), time.process_time()
    made = stage(**options)
    return made, {"seconds": time.perf_counter() - wall, "core_seconds": time.process_time() - cores}


def of_train(folder: Path, label: str) -> dict[str, Any]:
    """Read accuracy and size of a network of one label."""
    from fashionprobe.artifacts import read_manifest

    manifest = read_manifest(folder, remedy="")
    facts, score = manifest["facts"], manifest["facts"]["scores"]["test"]
    return {"label": label, "images": score["images"], "accuracy": score["top_1"], "low": score["low"],
            "high": score["high"], "parameters": facts["parameters"],
            "numbers": manifest["arguments"]["classes"]}  # fmt: skip


def of_branch(folder: Path, label: str, before: int) -> dict[str, Any]:
    """Read accuracy of a branch, and what it added to the network."""
    from fashionprobe.artifacts import read_manifest

    facts = read_manifest(folder, remedy="")["facts"]
    score = facts["outputs"][label]["scores"]["test"]
    return {"label": label, **{name: score[name] for name in ("images", "accuracy", "low", "high")},
            "parameters": facts["parameters"] - before}  # fmt: skip


def multi_label(
    path: Path, numbers: dict[str, dict[str, int]], start: dict[str, Any], batch_size: int, seed: int, name: str
) -> list[dict[str, Any]]:
    """Train one network with a head for each label; the loss is the sum over the labels that an image has."""
    import shutil

    from fashionprobe import backbones
    from fashionprobe.records.record_set import open_record_set
    from fashionprobe.training.branches import first_output, one_output, with_branch
    from fashionprobe.training.classifier import classifier, finished
    from fashionprobe.training.fit import Plan
    from fashionprobe.training.together import JointTraining, measure, train_together

    wall, cores = time.perf_counter(), time.process_time()
    records = open_record_set(path)
    loaded = backbones.load(start["backbone"], weights=start["weights"], size=tuple(start["size"]), seed=seed)
    last = len(loaded.taps)
    heads = {
        label: finished(classifier(loaded, len(set(known.values())), blocks=[last], seed=seed + place))
        for place, (label, known) in enumerate(numbers.items())
    }
    first, *others = heads
    network = first_output(heads[first], first)
    for label in others:
        network = with_branch(network, heads[label], label=label, after=loaded.taps[-1])
    job = JointTraining(
        network=network, records=records, numbers=numbers, fit="pad", batch_size=batch_size, augment=[], seed=seed,
        plan=Plan(start["epochs"], decay="cosine"),
    )  # fmt: skip
    folder = Path("runs") / f"{name}_multi"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    trained, _ = train_together(job, folder)
    rows = []
    for label, known in numbers.items():
        names = [""] * len(set(known.values()))
        for value, number in known.items():
            names[number] = value
        part = one_output(trained, label)
        score = measure(part, records, label, known, names, fit="pad", batch_size=batch_size)["test"]
        rows.append({"label": label, "images": score.images, "accuracy": score.top_1, "low": score.low,
                     "high": score.high, "parameters": 0, "seconds": 0.0, "core_seconds": 0.0})  # fmt: skip
    # One network and one training: they stand in the row of the first label.
    rows[0] |= {"parameters": trained.count_params(), "seconds": time.perf_counter() - wall,
                "core_seconds": time.process_time() - cores}  # fmt: skip
    return rows


def report(table: pd.DataFrame) -> None:
    """Print accuracy by way and label, the cost of each way, and what progressive training is worth."""
    labels = list(dict.fromkeys(table["label"]))
    accuracy = table.pivot_table("accuracy", "way", "label", sort=False)[labels]
    cost = table.groupby(["way", "seed"], sort=False)[["parameters", "seconds", "core_seconds"]].sum()
    cost = cost.groupby("way", sort=False).mean()
    shown = accuracy.assign(mean=accuracy.mean(axis=1)).join(cost)
    print("Accuracy on the test images; parameters and time of all networks of a way together.")
    print(shown.to_string(float_format="%.3f"))
    worst = (accuracy.loc["progressive"].to_numpy(float) - accuracy.loc["a network each"].to_numpy(float)).min()
    share = cost.loc["progressive"] / cost.loc["a network each"]
    print(
        f"Progressive: {100 * worst:+.1f} points at its worst label, {share['parameters']:.0%} of the parameters and "
        f"{share['core_seconds']:.0%} of the time of a network each."
    )


if __name__ == "__main__":
    sys.exit(script(main))
