import json
import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fashionprobe.artifacts import Recipe, build
from fashionprobe.errors import UserError
from fashionprobe.records.record_set import open_record_set
from fashionprobe.stages import ingest
from fashionprobe.stages.masks import masks
from fashionprobe.stages.relevance import relevance

FILES = ["relevance.csv", "curve.csv", "l1.csv", "filter_view.csv", "curve", "ranks", "filter_view"]
MASKED = ["expert.csv", "expert", "masked_1", "masked_2", "masked_3"]
AFTER = [
    "changes.csv", "histograms.csv", "changes", "histograms", "relevance_after.csv", "curve_after.csv", "l1_after.csv",
    "curve_after", "kinds.csv", "kinds", "histograms_by_class.csv",
]  # fmt: skip


def names_of(*lists):
    files = [name for each in lists for name in each]
    endings = [f"{name}.{ending}" for name in files if "." not in name for ending in ("svg", "png")]
    return {"manifest.json", *(name for name in files if "." in name), *endings}


def write_classifier(path):
    """Write what `train` would: a network that sees light and dark, and the facts that are read of it."""
    import keras

    keras.utils.set_random_seed(0)
    image = keras.Input((16, 16, 3))
    x = keras.layers.Rescaling(1 / 255)(image)
    x = keras.layers.Conv2D(4, 3, padding="same", activation="relu")(x)
    x = keras.layers.MaxPooling2D()(x)
    x = keras.layers.Conv2D(16, 3, padding="same", activation="relu", name="second")(x)
    x = keras.layers.Dense(2, name="logits")(keras.layers.GlobalAveragePooling2D()(x))
    model = keras.Model(image, keras.layers.Softmax()(x))

    def write(draft):
        model.save(draft / "model.keras")
        return {"classes": ["dark", "light"], "label": "class", "dataset": "two"}

    build(path, Recipe("train", {}), write)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A run `two` with a classifier of dark and light pictures and four masks, and another network with halved weights.

    The run `bare` has the same classifier and nothing else.
    """
    import keras

    root = tmp_path_factory.mktemp("two")
    random = np.random.default_rng(0)
    for split, count in (("train", 12), ("val", 11), ("test", 1)):
        for name, level in (("dark", 60), ("light", 190)):
            (root / "pictures" / split / name).mkdir(parents=True)
            for number in range(count):
                pixels = random.integers(level - 50, level + 50, (16, 16, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(root / "pictures" / split / name / f"{number}.png")
    tfrecords, runs = str(root / "tfrecords"), str(root / "runs")
    records = ingest(dataset="two", source="folder", path=str(root / "pictures"), tfrecords_root=tfrecords)
    for run in ("two", "bare"):
        write_classifier(root / "runs" / run / "train")
    masks(dataset=records, run="two", source="box", box=[0.5, 0, 1, 0.5], samples=4, runs_root=runs)
    model = keras.models.load_model(root / "runs/two/train/model.keras", compile=False)
    kernel, bias = model.get_layer("second").get_weights()
    model.get_layer("second").set_weights([kernel * 0.5, bias * 0.5])
    model.save(root / "after.keras")
    return root


def call(root, runs=None, **options):
    return relevance(**{
        "run": "two", "tfrecords_root": str(root / "tfrecords"), "runs_root": str(runs or root / "runs"),
        "filters": 2, "min_images": 7, **options,
    })  # fmt: skip


def save_small(figure, path):
    """Write figures as `save` does, but in a fifth of the time."""
    figure.savefig(path.with_name(f"{path.name}.png"), dpi=20)
    path.with_name(f"{path.name}.svg").touch()


@pytest.fixture(scope="module", autouse=True)
def quick():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fashionprobe.channels.rankings.TREES", 10)
        patch.setattr("fashionprobe.plots.save.save", save_small)
        yield


@pytest.fixture(scope="module")
def made(root, quick):
    return call(root, after=root / "after.keras")


def maps_of(path, records, size=(16, 16)):
    import keras

    from fashionprobe.records.read import read

    [(images, ids)] = list(read(open_record_set(records), size=size, batch_size=100))
    model = keras.models.load_model(path, compile=False)
    maps = keras.Model(model.input, model.get_layer("second").output)(images).numpy()
    return dict(zip([name.decode() for name in ids.numpy()], maps, strict=True))


def test_the_files_of_the_artifact(made):
    changed = pd.read_csv(made.path / "changes.csv")
    most = changed.loc[changed["inside_change"].abs().sort_values(ascending=False).index, "filter"].head(4)
    shown = [f"filter_{number}" for number in most]
    # One network has all images of one class; the table is there, and there is nothing to compare.
    assert {path.name for path in made.path.iterdir()} - {"errors.csv", "errors.png", "errors.svg"} == names_of(
        FILES, MASKED, AFTER, shown
    )
    assert (made.filters, made.reused) == (16, False)
    assert 1 <= made.enough <= 16
    assert made.accuracy > 0.9


def test_facts_and_the_table_agree(made):
    facts = json.loads((made.path / "manifest.json").read_text())["facts"]
    assert (facts["dataset"], facts["label"], facts["classes"]) == ("two", "class", 2)
    assert (facts["images"], facts["measured_on"], facts["folds"], facts["layer"]) == (48, 24, 0, "second")
    table = pd.read_csv(made.table)
    assert table["rank"].is_monotonic_increasing
    assert table["filter"].head(2).tolist() == facts["most_relevant"]
    assert len([figure for figure in facts["figures"] if figure["file"] != "errors.png"]) == 15
    curve = pd.read_csv(made.path / "curve.csv")
    assert curve.loc[curve["order"] == "ranked", "accuracy"].iloc[-1] == pytest.approx(facts["accuracy"], abs=1e-4)
    assert facts["expert"]["covered"] == 0
    assert (facts["expert"]["masked"], tuple(facts["expert"]["suspicious"])) == (4, made.suspicious)
    assert (made.network, made.reaching) == (facts["network"], facts["reaching"])


def test_the_network_itself_is_measured_on_the_same_images(made, root):
    import keras

    from fashionprobe.records.read import read

    model = keras.models.load_model(root / "runs/two/train/model.keras", compile=False)
    [(images, ids)] = list(read(open_record_set(root / "tfrecords/two"), size=(16, 16), batch_size=100))
    guesses = model.predict(images, verbose=0).argmax(axis=1)
    names = [name.decode() for name in ids.numpy()]
    right = [
        ("light" in name) == bool(guess) for name, guess in zip(names, guesses, strict=True) if "train" not in name
    ]
    assert len(right) == 24 and made.network == pytest.approx(np.mean(right), abs=1e-4)
    curve = pd.read_csv(made.path / "curve.csv")
    layer = curve[(curve["order"] == "softmax") & (curve["accuracy"] >= np.mean(right) - 1e-6)]
    assert made.reaching == layer["filters"].iloc[0]


def test_the_ranking_is_that_of_the_training_images(made, root):
    import keras

    from fashionprobe.channels.rankings import one_filter, standardized

    maps = maps_of(root / "runs/two/train/model.keras", root / "tfrecords/two")
    items = pd.read_csv(root / "tfrecords/two/items.csv", dtype=str)
    items = items[items["split"] == "train"]
    features = np.stack([maps[name].mean(axis=(0, 1)) for name in items["id"]])
    values, _ = standardized(features, features)
    numbers = (items["class"] == "light").to_numpy(int)
    table = pd.read_csv(made.table).sort_values("filter")
    np.testing.assert_allclose(table["one_filter"], one_filter(values, numbers, folds=5, seed=0), atol=1e-5)
    model = keras.models.load_model(root / "runs/two/train/model.keras", compile=False)
    norms = np.linalg.norm(model.get_layer("logits").get_weights()[0], axis=1)
    np.testing.assert_allclose(table["dense_norm"], norms, rtol=1e-4)


def test_masks_and_the_network_after_by_hand(made, root):
    before = maps_of(root / "runs/two/train/model.keras", root / "tfrecords/two")
    after = maps_of(root / "after.keras", root / "tfrecords/two")
    masked = pd.read_csv(root / "runs/two/masks/masks.csv", dtype=str)["id"]
    # The map is 8 x 8, and the mask its lower left quarter.
    inside = np.mean([before[name][4:, :4].mean(axis=(0, 1)) for name in masked], axis=0)
    inside_after = np.mean([after[name][4:, :4].mean(axis=(0, 1)) for name in masked], axis=0)
    whole = np.mean([before[name].mean(axis=(0, 1)) for name in masked], axis=0)
    expert = pd.read_csv(made.path / "expert.csv").sort_values("filter")
    np.testing.assert_allclose(expert["inside"], inside, rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(expert["whole"], whole, rtol=1e-4, atol=1e-7)
    changes = pd.read_csv(made.path / "changes.csv").sort_values("filter")
    means = [np.mean([each[name].mean(axis=(0, 1)) for name in before], axis=0) for each in (before, after)]
    np.testing.assert_allclose(changes["change"], means[1] - means[0], rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(changes["inside_change"], inside_after - inside, rtol=1e-3, atol=1e-6)


def test_each_drawn_image_is_in_its_interval(made, root):
    maps = maps_of(root / "runs/two/train/model.keras", root / "tfrecords/two")
    view = pd.read_csv(made.path / "filter_view.csv", dtype={"id": str}, keep_default_na=False)
    assert view.groupby("filter").size().tolist() == [9] * 16
    assert (view.groupby("filter")["images"].sum() == 48).all()
    assert ((view["id"] == "") == (view["images"] == 0)).all()
    for row in view[view["id"] != ""].itertuples():
        mean = maps[row.id][..., row.filter].mean()
        assert row.low - 1e-4 <= mean <= row.high + 1e-4


def test_the_network_after_is_ranked_by_itself(made, root):
    facts = json.loads((made.path / "manifest.json").read_text())["facts"]
    table = pd.read_csv(made.path / "relevance_after.csv").sort_values("filter", ignore_index=True)
    before = pd.read_csv(made.table).sort_values("filter", ignore_index=True)
    # Halved weights halve each filter, which tells as much as before.
    np.testing.assert_allclose(table["one_filter"], before["one_filter"], atol=1e-6)
    curve = pd.read_csv(made.path / "curve_after.csv")
    last = curve.loc[curve["order"] == "ranked", "accuracy"].iloc[-1]
    assert facts["after"]["accuracy"] == pytest.approx(last, abs=1e-4)
    assert set(facts["after"]) == {"accuracy", "enough", "network", "reaching"}
    by_class = pd.read_csv(made.path / "histograms_by_class.csv")
    assert (by_class.groupby(["filter", "class"])["after"].sum() == 24).all()
    kinds = pd.read_csv(made.path / "kinds.csv").set_index("kind")
    needed = made.reaching or made.enough
    assert kinds["filters"].head(2).tolist() == [needed, 16 - needed]
    change = pd.read_csv(made.path / "changes.csv").set_index("filter")["change"]
    order = pd.read_csv(made.table)["filter"]
    expected = [change[order[:needed]].mean(), change[order[needed:]].mean()]
    np.testing.assert_allclose(kinds["change"].head(2), expected, rtol=1e-3)


def test_verdicts_against_the_ranking(root, tmp_path):
    from fashionprobe.feedback import verdicts
    from fashionprobe.feedback.verdicts import Verdict

    shutil.copytree(root / "runs/bare/train", tmp_path / "runs/bare/train")
    (tmp_path / "v.csv").write_text("filter,relevant\n0,yes\n1,no\n5,no\n0,no\n2,yes\n")
    made = call(root, tmp_path / "runs", run="bare", verdicts=tmp_path / "v.csv")
    manifest = json.loads((made.path / "manifest.json").read_text())
    order = pd.read_csv(made.table)["filter"].tolist()
    best = order[: made.reaching or made.enough]
    table = pd.read_csv(made.path / "verdicts.csv")
    assert table["filter"].tolist() == [0, 1, 2, 5]
    assert table["expert"].tolist() == ["irrelevant", "irrelevant", "relevant", "irrelevant"]
    assert (table["ranking"] == "relevant").tolist() == [number in best for number in (0, 1, 2, 5)]
    scores = pd.read_csv(made.path / "verdict_scores.csv").set_index("verdict")
    assert (scores.loc["relevant", "said"], scores.loc["mean", "filters"]) == (1, 4)
    assert scores.loc["relevant", "precision"] == float(2 in best)
    assert (manifest["facts"]["verdicts"]["said"], manifest["facts"]["verdicts"]["relevant"]) == (4, 1)
    errors = pd.read_csv(made.path / "errors.csv")
    assert manifest["facts"]["errors"]["doubted"] == [0, 1, 5]
    assert len(errors) == 24 and errors["right"].mean() == pytest.approx(made.network, abs=1e-4)
    assert (errors["right"] == (errors["class"] == errors["guess"])).all()
    # The same verdicts, given in the application on this network, are those of the run.
    own = verdicts.file_of(tmp_path / "runs/bare", manifest["weights_sha256"])
    for number in (0, 1, 2, 5):
        verdicts.add(own, 16, Verdict(number, number == 2, author="kim"))
    assert call(root, tmp_path / "runs", run="bare").reused
    verdicts.add(own, 16, Verdict(5, True))
    with pytest.raises(UserError, match=r"an artifact that differs \(verdicts: not the same as then\)"):
        call(root, tmp_path / "runs", run="bare")


def test_the_view_shows_the_filters_that_are_named(root, tmp_path, monkeypatch):
    from fashionprobe.plots import sheets

    shown = []
    real = sheets.contact_sheet
    monkeypatch.setattr(
        sheets, "contact_sheet", lambda rows, **words: shown.append((rows, words)) or real(rows, **words)
    )
    shutil.copytree(root / "runs/bare/train", tmp_path / "runs/bare/train")
    made = call(root, tmp_path / "runs", run="bare", filter=[5, 1], filters=4)
    rows, _ = shown[0]
    assert [row.name.split("\n")[0] for row in rows] == ["filter 1", "filter 5"]
    maps = maps_of(root / "runs/two/train/model.keras", root / "tfrecords/two")
    view = pd.read_csv(made.path / "filter_view.csv", dtype={"id": str}, keep_default_na=False)
    last = view[view["filter"] == 5].iloc[-1]
    strong = maps[last["id"]][..., 5]
    pixels = rows[1].images[-1]
    assert (pixels[strong.repeat(2, 0).repeat(2, 1) == strong.min()] == 0).all() and pixels.any()
    assert json.loads((made.path / "manifest.json").read_text())["arguments"]["filter"] == [1, 5]


def test_it_is_reused_and_depends_on_no_batch_size(made, root):
    assert call(root, after=root / "after.keras", batch_size=7).reused
    with pytest.raises(UserError, match=r"seed: 0 -> 1.*--overwrite"):
        call(root, after=root / "after.keras", seed=1)


def test_one_split_is_measured_in_folds_and_the_log_says_what_to_do_next(root, caplog):
    with caplog.at_level("INFO"):
        found = call(root, run="bare", split="train", batch_size=5)
    facts = json.loads((found.path / "manifest.json").read_text())["facts"]
    assert (facts["images"], facts["measured_on"], facts["folds"]) == (24, 24, 5)
    assert found.suspicious is None
    assert {path.name for path in found.path.iterdir()} == names_of(FILES)
    assert "of 16 filters reach 95 % of the accuracy of all" in caplog.text
    told = f"on 24 images of 2 classes; the network's own {found.network:.3f} takes {found.reaching}. Next: "
    assert f"{told}fashionprobe report --run bare" in caplog.text


def test_masks_of_another_record_set(root, tmp_path):
    shutil.copytree(root / "pictures/train", tmp_path / "pictures")
    again = ingest(dataset="other", source="folder", path=str(tmp_path / "pictures"), tfrecords_root=str(tmp_path))
    shutil.copytree(root / "runs/two", tmp_path / "runs/two")
    with pytest.raises(UserError, match="`masks` must be masks of the record set other as it is now"):
        call(root, tmp_path / "runs", dataset=again, masks="two", overwrite=True)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"label": "clss"}, "`label` must be a label column of two.*Did you mean 'class'"),
        ({"min_images": 13}, r"`label` must be a column with two classes or more of 13 .*\(dark 12, light 12\)"),
        ({"min_images": 6}, r"`min_images` must be an int in the range \[7, inf\)"),
        ({"filters": 0}, "`filters` must be an int"),
        ({"filter": 16, "filters": 4}, r"`filter` must be in the range \[0, 16\) for second. Received: 16"),
        ({"filter": 3, "filters": 9}, "`filters` cannot be combined with --filter. Received: 9"),
        ({"verdicts": "nothing.csv"}, "`nothing.csv` must be a CSV file .* Received: nothing there"),
        ({"outside": "drak"}, "`outside` must be one of: black, dark. Received: drak. Did you mean 'dark'"),
        ({"seed": -1}, "`seed` must be"),
        ({"split": "vall"}, "`split` must be one of.*Did you mean 'val'"),
        ({"after": "nothing.keras"}, "`after` must be a .keras file.* Received: 'nothing.keras', which does not exist"),
        ({"run": "empty"}, "`dataset` is missing: this run has no trained network"),
        ({"masks": "bare"}, "fashionprobe masks --dataset two"),
    ],
)
def test_bad_input(root, changed, message):
    with pytest.raises(UserError, match=message):
        call(root, overwrite=True, **changed)
    assert not (root / "runs/empty").exists()


def test_a_network_without_classes_needs_a_label(root, model_path):
    with pytest.raises(
        UserError, match=r"`label` is missing: this network does not know its classes. Pass .* one of: class"
    ):
        call(root, run="new", dataset=root / "tfrecords/two", backbone=str(model_path), size=16)
    assert not (root / "runs/new").exists()


def test_the_network_after_must_be_another_with_the_same_filters(root, tmp_path):
    import keras

    with pytest.raises(UserError, match="`after` must be another network than before"):
        call(root, after=root / "runs/two/train/model.keras", overwrite=True)
    image = keras.Input((16, 16, 3))
    narrow = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(3, 3)(keras.layers.Rescaling(1 / 255)(image)))
    keras.Model(image, keras.layers.Dense(2)(narrow)).save(tmp_path / "narrow.keras")
    with pytest.raises(UserError, match=r"`after` must be a network with 16 filters .* Received: one with 3"):
        call(root, after=tmp_path / "narrow.keras", overwrite=True)


def test_masks_that_cover_the_whole_map_are_told():
    from fashionprobe.stages.relevance.activity import Inside

    inside, whole = np.array([[1.0, 2.0], [1.0, 2.0]]), np.array([[1.0, 2.0 + 1e-12], [1.0, 2.5]])
    assert Inside(inside, whole, None, {}, np.ones((2, 4, 4), bool), None).covered == 1
