"""Hand-made tables for the figures."""

from collections.abc import Callable

import pandas as pd
import pytest


@pytest.fixture
def accuracy() -> pd.DataFrame:
    """Two blocks, three classifiers, in an order that is not the reading order."""
    rows = [
        ("nearest_mean", "cosine", 2, 0.5, 0.05),
        ("nearest_mean", "cosine", 1, 0.4, 0.04),
        ("knn", "16", 1, 0.6, 0.01),
        ("knn", "16", 2, 0.7, 0.02),
        ("knn", "4", 1, 0.65, 0.03),
        ("knn", "4", 2, 0.75, 0.04),
    ]
    table = pd.DataFrame(rows, columns=["classifier", "parameter", "block", "accuracy_mean", "accuracy_std"])
    return table.assign(label="colour", folds=5, images=100)


@pytest.fixture
def classes() -> Callable[[int], pd.DataFrame]:
    """Make a per-class table of any size: class i has i of 100 correct."""

    def build(count: int) -> pd.DataFrame:
        correct = pd.Series(range(count))
        share = correct / 100
        return pd.DataFrame(
            {
                "class": [f"class {place}" for place in range(count)],
                "images": 100,
                "correct": correct,
                "accuracy": share,
                "low": (share - 0.1).clip(0),
                "high": share + 0.1,
            }
        )

    return build
