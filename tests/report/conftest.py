"""Hand-made sections for the report."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import pandas as pd
import pytest

from fashionprobe.report.section import Section


@pytest.fixture(scope="session")
def section() -> Callable[..., Section]:
    """Make a section from the 4-NN accuracy of its blocks; 1-NN is 0.1 less everywhere."""

    def build(
        means: Sequence[float],
        *,
        std: float = 0.02,
        label: str = "colour",
        classes: Sequence[str] = ("check", "plain"),
        **changes: object,
    ) -> Section:
        rows = [
            (label, block, "knn", parameter, mean - loss, std, 5, 40)
            for parameter, loss in (("1", 0.1), ("4", 0.0))
            for block, mean in enumerate(means, 1)
        ]
        columns = [
            "label",
            "block",
            "classifier",
            "parameter",
            "accuracy_mean",
            "accuracy_std",
            "folds",
            "images",
        ]
        confusion = pd.DataFrame(1, index=list(classes), columns=list(classes))
        confusion.iloc[0, -1] = 7
        per_class = pd.DataFrame(
            {"class": list(classes), "images": 20, "correct": 15, "accuracy": 0.75, "low": 0.53, "high": 0.89}
        )
        fields = {
            "run": "imagenet",
            "dataset": "shirts",
            "label": label,
            "images": 1040,
            "missing": 0,
            "folds": 5,
            "accuracy": pd.DataFrame(rows, columns=columns),
            "per_class": per_class,
            "confusion": confusion,
            "best_block": max(range(len(means)), key=lambda place: means[place]) + 1,
            "best_classifier": "knn",
            "best_parameter": "4",
        }
        return Section(**{**fields, **changes})

    return build


@pytest.fixture(scope="session")
def probed(section: Callable[..., Section]) -> Callable[..., Section]:
    """Make a section that has linear probes, too: their accuracy by block; shuffled labels score 0.5 everywhere."""

    def build(means: Sequence[float], linear: Sequence[float], *, std: float = 0.02, **changes: object) -> Section:
        plain = section(means, std=std, **changes)
        rows = plain.accuracy.head(len(means)).assign(classifier="linear", parameter="nested", accuracy_mean=linear)
        controls = {"control_mean": 0.5, "control_std": 0.03, "selectivity": [mean - 0.5 for mean in linear]}
        fields = {
            "accuracy": pd.concat([plain.accuracy, rows], ignore_index=True),
            "linear": pd.DataFrame({"label": plain.label, "block": rows["block"], **controls}),
        }
        if max(linear) > max(means):
            fields |= {"best_classifier": "linear", "best_parameter": "nested"}
            fields["best_block"] = max(range(len(linear)), key=lambda place: linear[place]) + 1
        return replace(plain, **fields)

    return build
