import pandas as pd
import pytest

from fashionprobe.errors import UserError
from fashionprobe.training.classes import choose


def items(**counts: tuple[int, int, int]) -> pd.DataFrame:
    """One row an image; for each class how many are in train, val and test."""
    rows = [
        {"kind": "" if name == "none" else name, "split": split}
        for name, numbers in counts.items()
        for split, number in zip(("train", "val", "test"), numbers, strict=True)
        for _ in range(number)
    ]
    return pd.DataFrame(rows)


def test_rare_classes_are_dropped_and_counted():
    table = items(shirt=(8, 2, 0), coat=(3, 1, 1), cap=(3, 1, 0), tie=(9, 0, 1), hat=(0, 9, 0), none=(3, 1, 0))
    found = choose(table, "kind", min_images=5)
    assert found.names == ("coat", "shirt")
    assert found.numbers == {"coat": 0, "shirt": 1}
    assert found.rare == {"cap": 4, "hat": 9, "tie": 10}
    assert (found.merged, found.missing, found.label) == (False, 4, "kind")


def test_rare_classes_are_merged_into_other():
    table = items(shirt=(8, 2, 0), cap=(1, 1, 0), tie=(2, 0, 0))
    found = choose(table, "kind", min_images=5, rare="merge")
    assert found.names == ("other", "shirt")
    assert found.numbers == {"cap": 0, "shirt": 1, "tie": 0}
    assert (found.rare, found.merged) == ({"cap": 2, "tie": 2}, True)


def test_a_class_named_other_takes_the_rare_ones():
    found = choose(items(other=(8, 2, 0), cap=(1, 1, 0), shirt=(8, 2, 0)), "kind", min_images=5, rare="merge")
    assert found.numbers == {"cap": 0, "other": 0, "shirt": 1}


def test_nothing_rare_merges_nothing():
    found = choose(items(a=(2, 1, 0), b=(2, 1, 0)), "kind", rare="merge")
    assert (found.names, found.merged, found.rare) == (("a", "b"), False, {})


@pytest.mark.parametrize(
    ("table", "received"),
    [
        (items(a=(5, 5, 0)), "kind, with one class, a (0 rarer than 2 images or missing in train or val)"),
        (items(a=(5, 5, 0), b=(5, 0, 0)), "kind, with one class, a (1 rarer than 2 images or missing in train or val)"),
        (items(none=(5, 5, 0)), "kind, with none (0 rarer than 2 images or missing in train or val)"),
    ],
)
def test_fewer_than_two_classes_are_refused(table, received):
    with pytest.raises(UserError) as caught:
        choose(table, "kind")
    assert str(caught.value) == (
        "`label` must be a column with two classes or more that have images in train and in val. "
        f"Received: {received}. Choose another column, lower --min-images, or ingest with another --split."
    )
