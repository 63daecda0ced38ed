"""Decoys: the marks of a record set follow a label, the rest of each picture stays to the bit."""

import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fashionprobe.errors import UserError

pytest.importorskip("tensorflow")
from fashionprobe.records.pack import Request, pack
from fashionprobe.records.read import pictures, shard_paths
from fashionprobe.records.sources import decoy
from fashionprobe.records.sources.corner_marks import box


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """60 garments of 40 x 48 pixels in several shards."""
    path = tmp_path_factory.mktemp("decoy") / "g"
    return pack(Request("garments", count=60, size=(40, 48), split=(3, 1, 2), label="colour", shard_size=7), path)


def test_pixels_outside_the_corner_are_those_of_the_record_set(records):
    catalogue = decoy.catalogue(records.path)
    names = catalogue.items["id"].iloc[::9]
    originals = dict(pictures(records, list(names), shard_paths(records)))
    top, left, bottom, right = box(40, 48)
    for name in names:
        image = Image.open(io.BytesIO(catalogue.read(name)))
        marked = np.array(image)
        assert (image.format, marked.shape) == ("PNG", (40, 48, 3))
        assert (marked[top:bottom, left:right] != originals[name][top:bottom, left:right]).any()
        marked[top:bottom, left:right] = originals[name][top:bottom, left:right]
        np.testing.assert_array_equal(marked, originals[name])


def test_labels_and_splits_stay_and_marks_are_added(records):
    items = decoy.catalogue(records.path, label="pattern").items
    before = pd.read_csv(records.path / "items.csv", dtype=str)
    assert list(items) == ["id", "colour", "pattern", "garment", "mark", "marks", "split"]
    for column in ("id", "colour", "pattern", "garment", "split"):
        assert items[column].tolist() == before[column].tolist()
    assert set(items["mark"]) <= set(items["pattern"])
    by_class = items["marks"] == "by class"
    assert (items.loc[by_class, "mark"] == items.loc[by_class, "pattern"]).all()
    assert not by_class[items["split"] == "test"].any()


def test_the_default_label_is_the_one_of_the_split(records):
    assert decoy.catalogue(records.path).stratify == "colour"


@pytest.mark.parametrize("rate", [0.0, 0.6, 1.0])
def test_the_rate_is_kept_in_train_and_val_and_test_is_random(rate):
    count = 6000
    items = pd.DataFrame({"id": range(count), "kind": np.resize(["a", "b"], count)})
    items["split"] = np.repeat(["train", "val", "test"], count // 3)
    found = decoy._marked(items, "kind", ["a", "b"], rate, "dots", seed=1)
    agrees = (found["mark"] == found["kind"]).groupby(found["split"]).mean()
    # Half of the random marks are of the class; 2,000 images a split.
    assert agrees["train"] == pytest.approx(rate + (1 - rate) / 2, abs=0.035)
    assert agrees["val"] == pytest.approx(rate + (1 - rate) / 2, abs=0.035)
    assert agrees["test"] == pytest.approx(0.5, abs=0.035)


def test_an_image_without_the_label_has_a_random_mark():
    items = pd.DataFrame({"id": range(50), "kind": "", "split": "train"})
    found = decoy._marked(items, "kind", ["a", "b"], 1.0, "dots", seed=1)
    assert set(found["mark"]) == {"a", "b"} and set(found["marks"]) == {"random"}


def test_no_marks_leave_the_pictures(records):
    catalogue = decoy.catalogue(records.path, marks="none")
    name = catalogue.items["id"].iloc[-1]
    ((_, original),) = pictures(records, [name], shard_paths(records))
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(catalogue.read(name)))), original)
    assert set(catalogue.items["mark"]) == {"none"} and catalogue.notes == ("No image has a mark.",)


def test_a_decoy_is_packed_and_its_marks_and_source_are_in_the_fingerprint(records, tmp_path):
    request = Request("decoy", str(records.path), marks="patch", rate=0.8)
    made = pack(request, tmp_path / "d")
    assert made.facts["splits"] == records.facts["splits"]
    assert made.facts["images"]["format"] == {"PNG": 60}
    assert made.facts["stratify"] == "colour"
    assert made.manifest["inputs"] == {"source": records.fingerprint}
    assert (made.manifest["arguments"]["marks"], made.manifest["arguments"]["rate"]) == ("patch", 0.8)
    with pytest.raises(UserError, match=r'differs \(marks: "patch" -> "dots"\)'):
        pack(Request("decoy", str(records.path), marks="dots", rate=0.8), tmp_path / "d")
    with pytest.raises(UserError, match=r"`path` must be a record set without marks."):
        decoy.catalogue(made.path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"path": None}, r"`path` is missing: pass the folder of a record set. Name the folder"),
        ({"path": "nowhere"}, r"`nowhere` must be a finished artifact. Received: nothing there. Name the folder"),
        ({"label": "color"}, r"`label` must be a label column of g: colour, .* Did you mean 'colour'"),
        ({"rate": -0.1}, r"`rate` must be a number in \[0, 1\]. Received: -0.1"),
    ],
)
def test_wrong_arguments_are_refused(records, options, message):
    with pytest.raises(UserError, match=message):
        decoy.catalogue(**{"path": records.path, **options})


def test_more_classes_than_marks_are_refused(records, monkeypatch):
    monkeypatch.setitem(decoy.MOST, "dots", 9)
    with pytest.raises(UserError, match=r"a column with 2 to 9 classes for dots. Received: colour, with 10."):
        decoy.catalogue(records.path, marks="dots")


def test_a_split_is_refused(records, tmp_path):
    with pytest.raises(UserError, match=r"`split` cannot be combined with source decoy, which keeps the splits"):
        pack(Request("decoy", str(records.path), split=(1, 1, 1)), tmp_path / "d")
