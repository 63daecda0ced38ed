"""Several poolings in one run, and blocks read together, from extract to tag."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fashionprobe.errors import UserError
from fashionprobe.inputs.descriptors import read_descriptors
from fashionprobe.stages import attribute, choose, classify, extract, index, ingest, search, tag

WAYS = ["mean", "mean_std", "mean@foreground", "mean_std@foreground"]


def roots(root):
    return {"tfrecords_root": str(root / "tfrecords"), "runs_root": str(root / "runs")}


@pytest.fixture(scope="module")
def original(tmp_path_factory, model_path):
    """Sixty garments, five of them before noise, described by four poolings as `many` and by the mean as `plain`."""
    root, random = tmp_path_factory.mktemp("poolings"), np.random.default_rng(0)
    for number in range(60):
        name, pixels = "ab"[number % 2], np.full((32, 32, 3), 250, np.uint8)
        if number < 5:
            pixels[:] = random.integers(0, 256, pixels.shape)
        pixels[6:26, 8:24] = (200, 30, 40) if name == "a" else (30, 60, 180)
        pixels[8:24:4, 8:24] = random.integers(0, 256, 3)
        (root / "pictures" / name).mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(root / "pictures" / name / f"{number}.png")
    records = ingest(dataset="x", source="folder", path=str(root / "pictures"), tfrecords_root=str(root / "tfrecords"))
    same = {"dataset": records, "backbone": str(model_path), "size": 32, "batch_size": 16, **roots(root)}
    extract(run="plain", **same)
    extract(run="many", pool=["mean", "mean_std"], region=["whole", "foreground"], **same)
    return root


@pytest.fixture
def world(original, tmp_path):
    shutil.copytree(original, tmp_path, dirs_exist_ok=True)
    return tmp_path


def test_the_first_pooling_is_what_a_plain_run_has(original):
    for block in (1, 2):
        plain, many = (np.load(original / f"runs/{run}/extract/block{block}.npy") for run in ("plain", "many"))
        np.testing.assert_array_equal(plain, many)
    assert not list((original / "runs/plain/extract").glob("*-*"))
    assert "poolings" not in (original / "runs/plain/extract/manifest.json").read_text()


def test_each_pooling_has_a_file_and_the_foreground_is_told(original):
    folder = original / "runs/many/extract"
    assert {path.name for path in folder.glob("*.npy")} == {
        "foreground.npy",
        *(f"block{block}{end}.npy" for block in (1, 2) for end in ("", "-mean_std", "-mean-foreground",
                                                                   "-mean_std-foreground")),
    }  # fmt: skip
    facts = json.loads((folder / "manifest.json").read_text())["facts"]
    assert (facts["poolings"], facts["whole_images"]) == (WAYS, 5)
    ids = pd.read_csv(folder / "items.csv", dtype=str)["id"]
    shares = np.load(folder / "foreground.npy")[:, 0]
    noisy = ids.str.extract(r"(\d+)\.png")[0].astype(int) < 5
    np.testing.assert_allclose(shares[~noisy], 20 * 16 / 32**2)
    assert (shares[noisy] == 1).all()


def test_a_source_is_the_columns_of_its_blocks(original):
    described = read_descriptors(original / "runs/many")
    folder = original / "runs/many/extract"
    found = described.source("1+2/mean_std@foreground")[:]
    parts = [np.load(folder / f"block{block}-mean_std-foreground.npy") for block in (1, 2)]
    np.testing.assert_array_equal(found, np.hstack(parts))
    assert described.choose_source("2/mean") == 2
    with pytest.raises(UserError, match=r"a pooling that was extracted: mean, .* Received: gem\. Run fashionprobe"):
        described.choose_source("2/gem")
    with pytest.raises(UserError, match=r"among those that were extracted: 1, 2\. Received: 3"):
        described.choose_source("1+3")


def test_it_says_how_many_images_have_no_plain_ground(world, model_path, caplog):
    caplog.set_level("INFO")
    extract(dataset="x", run="again", region="foreground", backbone=str(model_path), size=32, **roots(world))
    assert (
        "5 of 60 images have no plain ground, or nothing before it: their foreground is the whole image" in caplog.text
    )


def test_choose_compares_poolings_and_joined_blocks(world, caplog):
    caplog.set_level("INFO")
    found = choose(run="many", label="class", join="1+2", neighbours=1, folds=3, runs_root=str(world / "runs"))
    table = pd.read_csv(found.path / "ablation.csv", dtype=str)
    singles = [f"{block}{way}" for way in ("", "/mean_std", "/mean@foreground", "/mean_std@foreground")
               for block in ("1", "2", "1+2")]  # fmt: skip
    assert list(dict.fromkeys(table["block"])) == singles
    assert set(table["normalization"]) == {"none", "l2", "standard", "whiten", "sqrt", "sqrt_whiten"}
    assert (
        "1+2/mean_std@foreground" in caplog.text
        and "Next: fashionprobe index --run many --groups class=" in caplog.text
    )
    assert (found.path / "ablation_class.png").is_file()


@pytest.fixture
def indexed(world):
    index(run="many", groups=["class=1+2/mean_std@foreground:whiten", "other=2:sqrt"], labels="class=class",
          thumbnails=False, **roots(world))  # fmt: skip
    return world


def test_a_picture_of_the_set_is_found_by_its_file(indexed):
    path = next(iter(sorted((indexed / "pictures/a").glob("1?.png"))))
    found = search(run="many", image=str(path), by="class", top=3, include_query=True, **roots(indexed))
    assert found.ids[0] == f"a/{path.name}" and found.distances[0] < 1e-3
    answers = {each.group: each for each in tag(run="many", image=str(path), **roots(indexed))}
    assert answers["class"].nearest == "a"


def test_an_added_class_outlives_the_index(indexed):
    paths = [str(path) for path in sorted((indexed / "pictures/b").glob("*.png"))[:3]]
    attribute.add(run="many", name="blue", group="class", images=paths, **roots(indexed))
    index(run="many", groups="class=2/mean@foreground", labels="class=class", thumbnails=False, overwrite=True,
          **roots(indexed))  # fmt: skip
    [answer] = tag(run="many", image=paths[0], **roots(indexed))
    assert answer.nearest in ("b", "blue")


@pytest.mark.parametrize(("arguments", "message"), [
    ({"pool": "men"}, r"`pool` must be one of: mean, mean_std, max, gem\. Received: men\. Did you mean 'mean'\?"),
    ({"region": "front"}, r"`region` must be one of: whole, foreground, centre\. Received: front"),
])  # fmt: skip
def test_a_wrong_pooling_is_refused(world, model_path, arguments, message):
    with pytest.raises(UserError, match=message):
        extract(dataset="x", run="new", backbone=str(model_path), size=32, **arguments, **roots(world))


def test_classify_reads_joined_blocks_each_normalized_by_itself(world, caplog):
    from sklearn.neighbors import KNeighborsClassifier

    def nearer_first(distances):
        return np.tile(1 + 1e-3 * 0.5 ** np.arange(distances.shape[1]), (len(distances), 1))

    from fashionprobe.attributes.folds import assign_folds, identical
    from fashionprobe.attributes.normalization import fit

    caplog.set_level("INFO")
    made = classify(run="many", label="class", join=["1+2", "2/mean@foreground"], normalization="whiten", folds=3,
                    neighbours=4, runs_root=str(world / "runs"))  # fmt: skip
    table = pd.read_csv(made.path / "joined.csv", dtype={"parameter": str})
    assert list(dict.fromkeys(table["block"])) == ["1+2", "2/mean@foreground"]
    described = read_descriptors(world / "runs/many")
    first, second = (np.array(described.matrix(block)) for block in (1, 2))
    numbers = np.unique(described.items["class"], return_inverse=True)[1]
    folds = assign_folds(numbers, folds=3, seed=0, same=identical(first))
    scores = []
    for fold in range(3):
        train, test = folds != fold, folds == fold
        normalize = fit("whiten", np.hstack([first, second])[train], widths=(first.shape[1], second.shape[1]))
        known, asked = (normalize(np.hstack([first, second])[rows]) for rows in (train, test))
        scores.append(
            KNeighborsClassifier(4, weights=nearer_first).fit(known, numbers[train]).score(asked, numbers[test])
        )
    row = table[(table["block"] == "1+2") & (table["classifier"] == "knn")].iloc[0]
    assert row["accuracy_mean"] == pytest.approx(np.mean(scores), abs=1e-6)
    assert "joined blocks and other poolings:" in caplog.messages
    with pytest.raises(UserError, match="`join` must be a block such as"):
        classify(run="many", label="class", join="1-2", runs_root=str(world / "runs"))
