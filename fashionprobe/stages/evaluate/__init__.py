"""Stage `evaluate`: what a trained network, an embedding or an index is worth on another record set."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import fashionprobe.inputs.arguments as shared
from fashionprobe import progress
from fashionprobe.artifacts import Artifact, Recipe, Result, build
from fashionprobe.errors import UserError, conflict, nearest
from fashionprobe.inputs.classifier import Data
from fashionprobe.plots.save import Figures
from fashionprobe.records.record_set import RecordSet
from fashionprobe.stages.evaluate.readers import STAGES, Guesses, Reader, find, open_reader, taught_splits

if TYPE_CHECKING:
    import pandas as pd

    from fashionprobe.training.scores import Scores

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Evaluation(Result):
    """What was measured, on disk.

    Attributes:
        images: Number of images.
        accuracy: Share of them whose class was read.
        low: Lower end of its 95 % Wilson interval.
        high: Its upper end.
        top_5: Share whose class is among the five most probable; None with five classes or fewer, and for what is not
            a classifier.
        calibration_error: Expected calibration error; None for tags, which do not say how sure they are.
        difference: Accuracy less that on the images of the run's own test split, or val; None for tags.
        unknown: Number of images of each class that is not known, which were left out.
        missing: Number of images without a label, which were left out.
    """

    images: int
    accuracy: float
    low: float
    high: float
    top_5: float | None
    calibration_error: float | None
    difference: float | None
    unknown: dict[str, int]
    missing: int


@dataclass(frozen=True)
class _Matched:
    """The images of the record set whose class is known.

    Attributes:
        data: They, with the number of the class.
        splits: The splits that they are in.
        unknown: Number of images by each class that is not known.
        missing: Number of images without a label.
        learned: Number of images that it learned from.
    """

    data: Data
    splits: list[str]
    unknown: dict[str, int]
    missing: int
    learned: int


@shared.stage
def evaluate(
    *,
    run: shared.Place,
    dataset: shared.Place,
    what: Literal["classifier", "embedding", "tags"] | None = None,
    label: str | None = None,
    group: str | None = None,
    split: list[str] | str | None = None,
    backbone: str | None = None,
    trust: bool = False,
    overwrite: bool = False,
    tfrecords_root: str = "tfrecords",
    runs_root: str = "runs",
) -> Evaluation:
    """Measure what a run has learned on other images.

    A trained classifier, an embedding or the tags of an index are measured on another record set. Classes are matched
    by name. Images of a class that is not known, and those without a label, are left out and counted;
    unknown_classes.csv lists the classes. An embedding gives an image the class of its nearest neighbours among the
    images that it was trained on. The result becomes the folder runs/NAME/evaluate/WHAT-DATASET.

    Args:
        what: What of the run: classifier (of train), embedding (of embed), or tags (of index). Default: the first of
            them that the run has.
        label: Label column of that record set. Default: the one that the run knows.
        group: For tags: group of the index. Default: the only one that has classes.
        backbone: Name or path of the backbone that described the run; needed when it was moved.

    Returns:
        The evaluation: path and headline numbers.

    Raises:
        UserError: If there is nothing to measure, or the record set has none of its classes.
        OSError: If the disk is full or the folder may not be written.

    Example:
        fashionprobe evaluate --run kaggle --dataset shop --label category
    """
    folder = shared.run_path(run, runs_root)
    chosen = find(folder, what)
    for name, value in (("group", group), ("backbone", backbone)):
        if value is not None and chosen != "tags":
            raise conflict(name, f"--what {chosen}", value)
    records = shared.open_records(dataset, tfrecords_root)
    reader = open_reader(
        folder, chosen, group=group, backbone=backbone, trust=trust, tfrecords_root=tfrecords_root
    )  # fmt: skip
    matched = _match(records, reader, label, shared.listed("split", split))
    arguments = {"what": chosen, "label": matched.data.label, "split": matched.splits, **reader.arguments}
    artifact = build(
        folder / "evaluate" / f"{chosen}-{records.path.name}",
        Recipe("evaluate", arguments, {"records": records.fingerprint, STAGES[chosen]: reader.artifact.fingerprint}),
        lambda draft: _write(draft, reader, matched, chosen),
        overwrite=overwrite,
        changed={"records": lambda there: shared.other_records(there, records)},
    )
    return _result(artifact)


def _match(records: RecordSet, reader: Reader, label: str | None, wanted: list[str] | None) -> _Matched:
    """Find the images whose class the network knows, by the names of the classes."""
    label = records.label(shared.spelled(label) if label else reader.label or None)
    items, splits = records.in_splits(wanted)
    counts = items[label].value_counts()
    missing = int(counts.get("", 0))
    values = [str(value) for value in counts.index if value != ""]
    known = {_plain(name): number for name, number in reader.numbers.items()}
    numbers = {value: known[_plain(value)] for value in values if _plain(value) in known}
    if not numbers:
        raise UserError(
            "label", expected=f"a column of {records.path.name} with a class that the run knows: "
            f"{', '.join([*reader.numbers][:5])}{', ...' if len(reader.numbers) > 5 else ''}",
            received=f"{label}, with {', '.join(values[:5]) or 'no class'}{', ...' if len(values) > 5 else ''}",
            remedy="--label names another column.",
        )  # fmt: skip
    chosen = items[items[label].isin([*numbers])].reset_index(drop=True)
    chosen = chosen.assign(number=chosen[label].map(numbers).astype("int64"))
    taught = chosen["split"].isin(taught_splits(reader, records))
    return _Matched(
        Data(records, label, numbers, chosen, reader.size, reader.fit),
        [each for each in splits if (chosen["split"] == each).any()],
        {value: int(counts[value]) for value in sorted(values) if value not in numbers},
        missing,
        int(taught.sum()),
    )


def _plain(name: str) -> str:
    return shared.spelled(name).strip()


def _write(draft: Path, reader: Reader, matched: _Matched, what: str) -> dict[str, Any]:
    """Measure, and fill the files of the artifact."""
    import numpy as np
    import pandas as pd

    from fashionprobe.training.calibration import calibration, expected_calibration_error
    from fashionprobe.training.scores import score

    items, data = matched.data.items, matched.data
    with progress.bar(total=len(items), unit="image", description="evaluate") as bar:
        guesses = reader.read(data, matched.splits, bar.update)
    found = score(guesses.shares, items["number"].to_numpy(), reader.names)
    predictions = pd.concat([items[["id", "split"]], found.predictions], axis=1)
    bins = error = None
    if reader.sure:
        right = (found.predictions["true"] == found.predictions["predicted"]).to_numpy()
        bins = calibration(np.clip(guesses.shares.max(axis=1), 0, 1), right)
        error = expected_calibration_error(bins)
        bins.to_csv(draft / "calibration.csv", index=False, float_format="%.6f")
    else:
        predictions = predictions.drop(columns=["probability", "rank"])
    predictions.to_csv(draft / "predictions.csv", index=False, float_format="%.6f")
    found.per_class.to_csv(draft / "per_class.csv", index=False, float_format="%.6f")
    found.pairs.to_csv(draft / "confused_pairs.csv", index=False, float_format="%.6f")
    found.confusion.rename_axis("true / predicted").to_csv(draft / "confusion.csv")
    _unknown(matched.unknown, reader).to_csv(draft / "unknown_classes.csv", index=False)
    _by_reader(guesses, found, items["number"].to_numpy()).to_csv(
        draft / "scores.csv", index=False, float_format="%.6f"
    )
    differences = _differences(found, reader.own)
    differences.to_csv(draft / "differences.csv", index=False, float_format="%.6f")
    figures = Figures(draft)
    _draw(figures, found, bins, error, f"{data.label} of {data.records.path.name}")
    worst = found.pairs.iloc[0] if len(found.pairs) else None
    return {
        "dataset": data.records.path.name, "label": data.label, "what": what, "images": found.images,
        "accuracy": found.top_1, "low": found.low, "high": found.high, "macro_f1": found.macro_f1,
        "top_5": found.top_5 if what == "classifier" else None, "calibration_error": error,
        # The last split is that of the images that took no part in training or choosing.
        "own": differences.iloc[-1].to_dict() if len(differences) else None,
        "worst": None if worst is None else [worst["true"], worst["predicted"], int(worst["images"])],
        "unknown": matched.unknown, "missing": matched.missing, "learned": matched.learned, "figures": figures.notes,
    }  # fmt: skip


def _by_reader(guesses: Guesses, found: "Scores", truth: Any) -> "pd.DataFrame":
    """Return one row per reader: of an embedding each k and the nearest mean, else the one there is."""
    import numpy as np
    import pandas as pd

    from fashionprobe.intervals import wilson

    if not guesses.by_reader:
        columns = ("images", "top_1", "low", "high", "top_5", "macro_f1")
        return pd.DataFrame([{name: getattr(found, name) for name in columns}]).rename(columns={"top_1": "accuracy"})
    rows = []
    for (name, k), predicted in guesses.by_reader.items():
        right = int((predicted == truth).sum())
        low, high = wilson(np.array([right]), np.array([len(truth)]))
        rows.append({
            "classifier": name, "k": k, "images": len(truth), "accuracy": right / len(truth), "low": low[0],
            "high": high[0],
        })  # fmt: skip
    return pd.DataFrame(rows)


def _differences(found: "Scores", own: Mapping[str, Mapping[str, Any]]) -> "pd.DataFrame":
    """Compare with what the run got right on its own val and test images: accuracy here less accuracy there."""
    import pandas as pd

    from fashionprobe.intervals import newcombe

    rows = []
    for split in [name for name in ("val", "test") if name in own]:
        images, accuracy = own[split]["images"], own[split]["accuracy"]
        low, high = newcombe(
            round(found.top_1 * found.images), found.images, round(accuracy * images), images
        )  # fmt: skip
        rows.append({
            "split": split, "images": images, "accuracy": accuracy, "accuracy_here": found.top_1,
            "difference": found.top_1 - accuracy, "low": low, "high": high,
        })  # fmt: skip
    return pd.DataFrame(rows, columns=[
        "split", "images", "accuracy", "accuracy_here", "difference", "low", "high",
    ])  # fmt: skip


def _unknown(unknown: Mapping[str, int], reader: Reader) -> "pd.DataFrame":
    """List the classes that are not known, each with the known one of the most similar name."""
    import pandas as pd

    rows = [(name, count, nearest(name, reader.numbers) or "") for name, count in unknown.items()]
    return pd.DataFrame(rows, columns=["class", "images", "similar_name"])


def _draw(figures: Figures, found: "Scores", bins: "pd.DataFrame | None", error: float | None, title: str) -> None:
    from fashionprobe.plots.calibration import reliability
    from fashionprobe.plots.per_class import best_and_worst, confused_pairs, confusion

    # Classes that are neither there nor predicted would be empty rows and columns.
    table = found.confusion
    shown = (table.sum(axis=1) + table.sum(axis=0) > 0).to_numpy()
    figures.add(
        "confusion", confusion(table.loc[shown, shown], title=title), "Confusion",
        f"True and predicted classes of {found.images} images.",
    )  # fmt: skip
    figures.add(
        "confused_pairs", confused_pairs(found.pairs, title=title), "Confused pairs",
        "The classes that are most often taken for each other.",
    )  # fmt: skip
    figures.add(
        "best_and_worst", best_and_worst(found.per_class, title=title), "Best and worst classes",
        "F1, precision and recall of the best and the worst classes.",
    )  # fmt: skip
    if bins is not None and error is not None:
        figures.add(
            "reliability", reliability(bins, error=error, title=title), "Reliability",
            "Accuracy by confidence, in 15 bins; below the dotted line it says more than it knows. The expected "
            f"calibration error is the mean distance from that line: {error:.3f} (Guo et al. 2017).",
        )  # fmt: skip


def _result(artifact: Artifact) -> Evaluation:
    facts = artifact.facts
    name = facts["dataset"]
    if unknown := facts["unknown"]:
        some = ", ".join(sorted(unknown, key=lambda each: -unknown[each])[:5])
        log.info(
            "%d classes of %s are not known to the run; their %d images are left out: %s%s (unknown_classes.csv)",
            len(unknown), name, sum(unknown.values()), some, ", ..." if len(unknown) > 5 else "",
        )  # fmt: skip
    if facts["missing"]:
        log.info("%d images without a %s left out", facts["missing"], facts["label"])
    if facts["learned"]:
        remedy = "Measure tags by fashionprobe fill." if facts["what"] == "tags" else "Pass --split val,test."
        log.warning(
            "%d of these %d images are those that it learned from: figures on them are too good. %s",
            facts["learned"], facts["images"], remedy,
        )  # fmt: skip
    own, worst, error = facts["own"], facts["worst"], facts["calibration_error"]
    beside = ""
    if own:
        beside = (
            f", against {own['accuracy']:.3f} on {own['images']} {own['split']} images of its own (difference "
            f"{own['difference']:+.3f}, {own['low']:+.3f} to {own['high']:+.3f})"
        )
    look = "Look at confusion.png" + (
        f": {worst[0]} is taken for {worst[1]} most often ({worst[2]} times)" if worst else ""
    )
    calibrated = "" if error is None else f"; and at reliability.png: calibration error {error:.3f}"
    log.info(
        "%s: accuracy %.3f (%.3f to %.3f) on %d images of %s%s. %s%s.", artifact.outcome, facts["accuracy"],
        facts["low"], facts["high"], facts["images"], name, beside, look, calibrated,
    )  # fmt: skip
    return Evaluation(
        artifact.path, facts["images"], facts["accuracy"], facts["low"], facts["high"], facts["top_5"], error,
        own["difference"] if own else None, unknown, facts["missing"], reused=artifact.reused,
    )  # fmt: skip
