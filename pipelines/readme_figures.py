"""Are the README's figures of colour, pattern and the small classifier those that its commands give today?

Reads the figures off the README, runs the stages that its commands run, in a temporary folder, and prints one beside
the other. Exits with 1 where a figure differs by more than the README rounds. Two and a half minutes on two cores.

    python pipelines/readme_figures.py --path fashion_products.zip
    python pipelines/readme_figures.py --path fashion_products.zip --backbone my_mobilenet.keras

Not covered are processor times, the shares of "none of these", and what takes longer: fine-tuning and `mini` from
random weights (listed as not run), `mini`'s own table, letters, X-rays and embeddings.
"""

import json
import re
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
import yaml

from fashionprobe.cli import script
from fashionprobe.stages import choose, classify, extract, ingest, reduce, retrieve, train
from fashionprobe.stages.extract import Descriptors

ROOT = Path(__file__).resolve().parent.parent
T = TypeVar("T")

FINDS, USES, TRAINS = "What it finds", "Use what it knows", "Train a classifier"
HONEST = ("accuracy", "low", "high")
SPREAD = ("deviation over the folds", ("low", "high"))
EXPECT = re.compile(r"(colour|pattern)(?:\s+is\s+read)?\s+with\s+(\d\.\d+)\s+\((\d\.\d+)\s+to\s+(\d\.\d+)\)")
DEVIATION = re.compile(r"deviation\s+over\s+the\s+folds\s+is\s+(\d\.\d+)\s+to\s+(\d\.\d+)")

TOLERANCES = {
    "random weights": (0.03, "other versions of Keras draw other weights"),
    "AMI": (0.03, "UMAP's maps differ between platforms, whatever the seed"),
    "kaggle_small.yaml": (0.01, "threads add up in any order, and training multiplies the difference"),
}
"""By how much, beyond rounding, a figure with a random part may differ, and why; by a word of its row's heading."""

Key = tuple[str, str, str]
"""Section, row and column."""


def main(*, path: str, backbone: str = "mobilenet", readme: str = str(ROOT / "README.md")) -> None:
    """Compare the figures.

    Args:
        path: Folder or zip file of the catalogue.
        backbone: A name of keras.applications, or the path of a .keras file.
        readme: The file whose figures are compared.
    """
    stated = read(Path(readme).read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as folder:
        # A fresh folder: artifacts of yesterday's code would be reused.
        today = measure(path, backbone, {"tfrecords_root": f"{folder}/tfrecords", "runs_root": f"{folder}/runs"})
    lines, wrong = compare(stated, today)
    print("\n".join(lines))
    if wrong:
        sys.exit(1)


def read(text: str) -> dict[Key, str]:
    """Return the figures of the README's three sections as they are written there."""
    figures: dict[Key, str] = {}
    for section in (FINDS, USES, TRAINS):
        body = re.split(r"^## ", text.partition(f"## {section}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]
        header: list[str] = []
        for line in body.splitlines():
            cells = [cell.strip(" *`") for cell in line.strip("|").split("|")] if line.startswith("|") else []
            for column, cell in zip(header[1:], cells[1:], strict=False):
                numbers = re.findall(r"\d\.\d+", cell)
                ends = [", low", ", high"] if len(numbers) == 2 else [""]
                figures |= {(section, cells[0], column + end): n for end, n in zip(ends, numbers, strict=False)}
            header = header or cells if cells else []
        if section == FINDS and (found := DEVIATION.search(body)):
            figures |= _row(section, *SPREAD, found.groups())
        if section == USES:
            for label, *numbers in EXPECT.findall(body):
                figures |= _row(section, f"{label}, to expect", HONEST, numbers)
    return figures


def measure(path: str, backbone: str, roots: dict[str, str]) -> dict[Key, float]:
    """Return what the commands of the README give, by the keys of `read`."""
    figures: dict[Key, float] = {}
    deviations: list[float] = []
    sets = {"colour": ("baseColour", "colour, 10 classes"), "pattern": ("pattern", "pattern, 4 classes")}
    for name, (label, row) in sets.items():
        records = ingest(
            dataset=name, source="kaggle", path=path, tfrecords_root=roots["tfrecords_root"], **_config(name)
        )
        described = extract(dataset=records, backbone=backbone, runs_root=roots["runs_root"])
        runs = {row: described}
        if name == "pattern":
            runs["pattern, random weights"] = extract(
                dataset=records, run="random", backbone=backbone, weights="random", runs_root=roots["runs_root"]
            )
        for title, run in runs.items():
            table = classify(run=run, label=label).path / "accuracy.csv"
            figures |= _blocks(FINDS, title, table, "accuracy_mean", classifier="knn", parameter="4")
            deviations += _highest(table, "accuracy_std", classifier="knn", parameter="4").tolist()
        figures |= _uses(name, label, described, roots)
    figures |= _row(FINDS, *SPREAD, (min(deviations), max(deviations)))
    return figures | _classifier(path, backbone, roots)


def _uses(name: str, label: str, run: Descriptors, roots: dict[str, str]) -> dict[Key, float]:
    """Return the figures of the second table, and what `choose` says to expect."""
    chosen = choose(run=run, label=label)
    (pick,) = chosen.picks
    found = retrieve(run=run, label=label, tfrecords_root=roots["tfrecords_root"]).path / "retrieval.csv"
    clusters = reduce(run=run, label=label, tfrecords_root=roots["tfrecords_root"]).table
    tried = chosen.path / "ablation.csv"
    return (
        _blocks(USES, f"{name}, best reader, descriptors as they are", tried, "accuracy_mean", normalization="none")
        | _blocks(USES, f"{name}, best reader, whitened", tried, "accuracy_mean", normalization="whiten")
        | _blocks(USES, f"{name}, precision@10", found, "precision_mean", normalization="none")
        | _blocks(USES, f"{name}, precision@10, whitened", found, "precision_mean", normalization="whiten")
        | _blocks(USES, f"{name}, clusters against classes, AMI", clusters, "ami")
        | _row(USES, f"{name}, to expect", HONEST, (pick.accuracy, pick.low, pick.high))
    )


def _classifier(path: str, backbone: str, roots: dict[str, str]) -> dict[Key, float]:
    records = ingest(
        dataset="kaggle", source="kaggle", path=path, split=[85, 15, 0], tfrecords_root=roots["tfrecords_root"]
    )
    options: dict[str, Any] = _config("kaggle_small") | {"backbone": backbone}
    trained = train(dataset=records, runs_root=roots["runs_root"], **options)
    scores = json.loads((trained.path / "manifest.json").read_text(encoding="utf-8"))["facts"]["scores"]["val"]
    columns = ("validation top-1", "95 % interval, low", "95 % interval, high", "top-5")
    values = [scores[name] for name in ("top_1", "low", "high", "top_5")]
    return _row(TRAINS, "kaggle_small.yaml", columns, values)


def compare(stated: dict[Key, str], today: dict[Key, float]) -> tuple[list[str], int]:
    """Return a line for each figure, and how many differ or are not in the README."""
    lines, wrong = [f"{'':64} README  today"], 0
    for key, text in stated.items():
        name = ", ".join(key[1:])
        if key not in today:
            lines.append(f"{name:64} {text:7} not run")
            continue
        digits = len(text.partition(".")[2])
        tolerance, why = next((given for word, given in TOLERANCES.items() if word in key[1]), (0.0, ""))
        difference = abs(today[key] - float(text))
        rounding = 0.5 * 10**-digits + 1e-9
        if difference <= rounding:
            verdict = "equal"
        elif difference <= rounding + tolerance:
            verdict = f"within {tolerance}: {why}"
        else:
            verdict, wrong = "DIFFERS", wrong + 1
        lines.append(f"{name:64} {text:7} {today[key]:.{digits + 1}f}  {verdict}")
    for key in today.keys() - stated.keys():
        lines.append(f"{', '.join(key[1:]):64} {'none':7} {today[key]:.4f}  NOT IN THE README")
        wrong += 1
    return lines, wrong


def _config(name: str) -> dict[str, Any]:
    return yaml.safe_load((ROOT / "configs" / f"{name}.yaml").read_text(encoding="utf-8"))


def _row(section: str, row: str, columns: Iterable[str], values: Iterable[T]) -> dict[Key, T]:
    return {(section, row, column): value for column, value in zip(columns, values, strict=True)}


def _highest(table: Path, column: str, **only: str) -> pd.Series:
    """Return the highest value of each block, among the rows of a stage's table that are asked for."""
    rows = pd.read_csv(table, dtype=dict.fromkeys(only, str), keep_default_na=False)
    for name, value in only.items():
        rows = rows[rows[name] == value]
    return rows.groupby("block")[column].max()


def _blocks(section: str, row: str, table: Path, column: str, **only: str) -> dict[Key, float]:
    values = _highest(table, column, **only)
    return _row(section, row, [f"block {block}" for block in values.index], values)


if __name__ == "__main__":
    sys.exit(script(main))
