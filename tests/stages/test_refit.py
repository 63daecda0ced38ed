import hashlib
import json
import shutil

import keras
import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest

from fashionprobe.errors import UserError
from fashionprobe.feedback.comparison import Bench
from fashionprobe.feedback.methods import RIVALS
from fashionprobe.stages import ingest, masks, refit, see, train
from fashionprobe.stages.refit import experiment

CORNER = [0.75, 0, 1, 0.25]
CHEAP = ("continued", "misclassified", "head")
"""Rivals that share one compiled step."""


@pytest.fixture(scope="module")
def root(tmp_path_factory, model_path, without_figures):
    """A run `s` with a classifier of drawn letters, and masks of the corner that the marks are in."""
    root = tmp_path_factory.mktemp("letters")
    records = ingest(
        dataset="letters",
        source="symbols",
        count=60,
        size=32,
        split=[60, 20, 20],
        tfrecords_root=str(root / "tfrecords"),
    )
    with without_figures():
        train(
            dataset=records, run="s", backbone=str(model_path), bias=False, size=32, epochs=1,
            tfrecords_root=str(root / "tfrecords"), runs_root=str(root / "runs"),
        )  # fmt: skip
        masks(dataset=records, run="s", source="box", box=CORNER, samples=24, runs_root=str(root / "runs"))
    return root


def call(root, **arguments):
    given = {"run": "s", "rivals": "none", "iterations": 2, "random": 8, "seeds": 1, "check_every": 1, **arguments}
    return refit(**given, tfrecords_root=str(root / "tfrecords"), runs_root=str(root / "runs"))


@pytest.fixture(scope="module")
def refitted(root):
    return call(root, rivals=list(CHEAP), iterations=3, seeds=2, by="marks", check_every=2)


@pytest.fixture
def letters_copy(root, tmp_path, empty_figures):
    """A copy of the folders, to be changed; figures are left empty."""
    shutil.copytree(root, tmp_path / "own", ignore=shutil.ignore_patterns("refit", "*.lock"))
    return tmp_path / "own"


def predicted(root, model):
    """The class of each test image, by the saved network alone; and the truth."""
    from fashionprobe.artifacts import read_manifest
    from fashionprobe.inputs.classifier import open_data, open_trained

    data = open_data(open_trained(root / "runs" / "s"), None, str(root / "tfrecords"))
    test = data.of("test")
    images = [images for images, _ in data.stream(("test",))]
    classes = read_manifest(root / "runs" / "s" / "train", remedy="")["facts"]["classes"]
    right = keras.models.load_model(model, compile=False).predict(np.concatenate(images), verbose=0).argmax(axis=1)
    return right, test["class"].map(classes.index).to_numpy()


def test_every_method_has_a_row_for_each_seed(refitted):
    runs = pd.read_csv(refitted.path / "runs.csv")
    titles = ["Base", "PASA", *(RIVALS[name].title for name in CHEAP)]
    assert list(runs["method"]) == [title for title in titles for _ in range(2)]
    assert list(runs["seed"]) == [0, 1] * len(titles)
    assert {"test: marks random", "test: marks without"} <= set(runs)
    assert runs[["train", "val", "test", "balanced", "macro_f1", "swapped"]].notna().all(axis=None)
    assert runs["swapped"].between(0, 1).all()
    assert not json.loads((refitted.path / "manifest.json").read_text())["facts"]["left_out"]
    table = pd.read_csv(refitted.path / "methods.csv")
    assert list(table["method"]) == titles
    mean = runs.loc[runs["method"] == "PASA", "test"].mean()
    assert table.set_index("method").loc["PASA", "test_mean"] == pytest.approx(mean)
    assert refitted.after == pytest.approx(mean, abs=1e-6)


def test_the_base_is_the_network_as_it_was_trained(root, refitted):
    guess, truth = predicted(root, root / "runs" / "s" / "train" / "model.keras")
    runs = pd.read_csv(refitted.path / "runs.csv")
    base = runs[runs["method"] == "Base"]
    assert base["test"].tolist() == pytest.approx([(guess == truth).mean()] * 2, abs=1e-6)
    assert refitted.before == pytest.approx((guess == truth).mean())
    assert base["p"].tolist() == [1, 1]


def test_the_saved_network_is_the_one_that_was_measured(root, refitted):
    before, truth = predicted(root, root / "runs" / "s" / "train" / "model.keras")
    after, _ = predicted(root, refitted.model)
    facts = json.loads((refitted.path / "manifest.json").read_text())["facts"]
    runs = pd.read_csv(refitted.path / "runs.csv").query("method == 'PASA'").set_index("seed").loc[facts["kept_seed"]]
    better = ((after == truth) & (before != truth)).sum()
    worse = ((after != truth) & (before == truth)).sum()
    assert (runs["better"], runs["worse"]) == (better, worse)
    assert runs["test"] == pytest.approx((after == truth).mean(), abs=1e-6)
    assert runs["p"] == pytest.approx(binomtest(better, better + worse).pvalue if better + worse else 1, abs=1e-6)


def test_the_groups_are_those_of_the_test_images(root, refitted):
    guess, truth = predicted(root, root / "runs" / "s" / "train" / "model.keras")
    items = pd.read_csv(root / "tfrecords" / "letters" / "items.csv")
    marks = items.loc[items["split"] == "test", "marks"].to_numpy()
    base = pd.read_csv(refitted.path / "runs.csv").iloc[0]
    assert base["test: marks random"] == pytest.approx((guess == truth)[marks == "random"].mean(), abs=1e-6)


def test_tables_of_iterations_and_masked_images(refitted):
    iterations = pd.read_csv(refitted.path / "iterations.csv")
    one = iterations[(iterations["method"] == "PASA") & (iterations["seed"] == 0)]
    assert list(one["iteration"]) == [0, 1, 2, 3]
    assert one["val"].notna().tolist() == [True, False, True, True]
    assert one["loss"].to_numpy() == pytest.approx((one["cross_entropy"] + one["penalty"]).to_numpy(), abs=1e-5)
    # The thesis' PASA has no lambda.
    assert set(pd.read_csv(refitted.path / "runs.csv").query("method == 'PASA'")["strength"]) == {1.0}
    masked = pd.read_csv(refitted.path / "masked.csv")
    mine = masked[(masked["method"] == "PASA") & (masked["seed"] == 0)]
    # Of the 24 masked images a fifth chooses the iteration.
    assert mine.groupby("iteration")["id"].nunique().tolist() == [19, 19, 19]
    assert mine["probability"].between(0, 1).all()
    per_class = pd.read_csv(refitted.path / "per_class.csv")
    assert set(per_class["split"]) == {"train", "val", "test"}


def test_figures_are_there(refitted):
    facts = json.loads((refitted.path / "manifest.json").read_text())["facts"]
    names = {each["file"].removesuffix(".png") for each in facts["figures"]}
    assert names == {
        "methods", "refit_curves", "before_after", "heatmaps_by_method", "heatmaps_by_iteration", "confusion",
        "per_class", "pasa",
    }  # fmt: skip
    assert all(
        (refitted.path / f"{name}.svg").is_file() and (refitted.path / f"{name}.png").is_file() for name in names
    )


def test_the_probabilities_of_the_masked_images_by_method(root, refitted):
    table = pd.read_csv(refitted.path / "masked_by_method.csv")
    assert set(table["method"]) == {"Base", "PASA", "Continued training", "Emphasis on errors", "Last layer alone"}
    columns = [name for name in table if name.startswith("p ")]
    assert columns == ["p epsilon", "p xi", "p zeta"]
    np.testing.assert_allclose(table[columns].sum(axis=1), 1, atol=1e-4)
    # The saved network gives the row of the seed that was kept.
    facts = json.loads((refitted.path / "manifest.json").read_text())["facts"]
    mine = table[(table["method"] == "PASA") & (table["seed"] == facts["kept_seed"])]
    of_true = [row[f"p {row['class']}"] for _, row in mine.iterrows()]
    along = pd.read_csv(refitted.path / "masked.csv").query("method == 'PASA' and seed == @facts['kept_seed']")
    kept = pd.read_csv(refitted.path / "runs.csv").query("method == 'PASA' and seed == @facts['kept_seed']")
    last = along[along["iteration"] == kept["iteration"].item()].set_index("id")["probability"]
    np.testing.assert_allclose(of_true, last[mine["id"]], atol=1e-4)


@pytest.mark.slow
def test_the_last_iteration_is_kept_and_no_mask_is_held_back(letters_copy):
    made = call(letters_copy, keep="last", iterations=4)
    runs = pd.read_csv(made.path / "runs.csv").query("method == 'PASA'")
    assert runs["iteration"].tolist() == [4] and runs["swapped"].isna().all()
    masked = pd.read_csv(made.path / "masked.csv").query("method == 'PASA'")
    assert masked.groupby("iteration")["id"].nunique().tolist() == [24] * 5


@pytest.mark.slow
def test_fillings_are_drawn_and_part_of_the_request(letters_copy):
    made = call(letters_copy, loss="ce", replace="noise", fillings=2)
    manifest = json.loads((made.path / "manifest.json").read_text())
    assert "fillings.png" in manifest["files"] and manifest["arguments"]["fillings"] == 2


def test_other_stages_know_the_classes_of_the_corrected_network(root, refitted):
    seen = see(
        dataset="letters", run="corrected", backbone=str(refitted.model), samples=1, method="grad_cam",
        target="zeta", tfrecords_root=str(root / "tfrecords"), runs_root=str(root / "runs"),
    )  # fmt: skip
    assert seen.images == 1


def test_a_finished_refit_is_reused_and_another_is_refused(root, refitted, caplog):
    digest = hashlib.sha256((root / "runs" / "s" / "train" / "model.keras").read_bytes()).hexdigest()
    with caplog.at_level("INFO"):
        again = call(root, rivals=list(CHEAP), iterations=3, seeds=2, by="marks", check_every=2)
    assert again.reused
    assert "PASA takes the accuracy on test from" in caplog.text
    with pytest.raises(UserError, match=r"made by the same arguments.*iterations: 3 -> 4"):
        call(root, rivals=list(CHEAP), iterations=4, seeds=2, by="marks", check_every=2)
    trained = json.loads((root / "runs" / "s" / "train" / "manifest.json").read_text())
    assert trained["files"]["model.keras"]["sha256"] == digest


@pytest.mark.slow
def test_a_killed_refit_goes_on_and_ends_the_same(letters_copy, monkeypatch):
    arguments = {"rivals": "continued", "loss": "pas"}
    whole = call(letters_copy, **arguments)
    expected = pd.read_csv(whole.path / "runs.csv").drop(columns="seconds")
    shutil.rmtree(whole.path)
    calls, run = [], Bench.run

    def killed(self, method, seed, **rest):
        calls.append((method.name, seed))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return run(self, method, seed, **rest)

    monkeypatch.setattr(Bench, "run", killed)
    with pytest.raises(KeyboardInterrupt):
        call(letters_copy, **arguments)
    assert not whole.path.exists()
    call(letters_copy, **arguments)
    assert calls == [("base", 0), ("pas", 0), ("continued", 0), ("continued", 0)]
    pd.testing.assert_frame_equal(pd.read_csv(whole.path / "runs.csv").drop(columns="seconds"), expected)


@pytest.mark.slow
def test_values_are_tried_and_the_best_by_validation_is_taken(letters_copy):
    made = call(letters_copy, lam=[0.5, 2.0], th=0.5, mask_count=[4, 10], masked=2)
    tried = pd.read_csv(made.path / "sweep.csv")
    assert tried[["lam", "masks"]].to_numpy().tolist() == [[0.5, 4], [0.5, 10], [2, 4], [2, 10]]
    assert tried.loc[tried["chosen"], "score"].tolist() == [tried["score"].max()]
    best = tried[tried["chosen"]].iloc[0]
    assert pd.read_csv(made.path / "masked.csv").query("method == 'PASA'")["id"].nunique() == best["masks"]
    assert (made.path / "sweep.png").is_file()


@pytest.mark.slow
def test_a_function_of_the_user_fills_the_regions(letters_copy, monkeypatch):
    (letters_copy / "own_paint.py").write_text("def brighter(image, mask):\n    return 255 - image\n")
    monkeypatch.syspath_prepend(str(letters_copy))
    made = call(letters_copy, loss="ce", replace="function", paint="own_paint:brighter")
    assert made.method == "Own function"


def test_rivals_that_cannot_be_are_left_out_with_the_reason(letters_copy, monkeypatch, caplog):
    monkeypatch.setattr(experiment, "_wrong", lambda experiment, subject, network: [])
    with caplog.at_level("INFO"):
        made = call(letters_copy, rivals="misclassified,continued")
    assert "Emphasis on errors not run: `rivals` misclassified has nothing to learn from" in caplog.text
    assert list(pd.read_csv(made.path / "runs.csv")["method"]) == ["Base", "PASA", "Continued training"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"run": "x"}, r"Make it first: fashionprobe train --dataset DATASET --run x"),
        ({"masks": "x"}, r"Make it first: fashionprobe masks --dataset letters --run x"),
        ({"b": 0.0}, r"`b` must be a number above 0. Received: 0.0"),
        ({"th": [1.0, -1.0]}, r"`th` must be a number above 0. Received: -1.0"),
        ({"lam": -1.0}, r"`lam` must be a number of 0 or more"),
        ({"rivals": "pasta"}, r"Did you mean 'pasa' or 'pas'\?"),
        ({"by": "mrks"}, r"Did you mean 'marks'\?"),
        ({"freeze": 9}, r"`freeze` must be in 0 to 2"),
        ({"mask_count": 400}, r"`masks` must be 400 masks or more of images of the train split"),
        ({"loss": "dropout", "dropped": 64}, r"`dropped` must be in 1 to 15"),
        ({"replace": "function"}, r"`paint` is missing: --replace function needs it"),
        ({"loss": "ce", "replace": "function", "paint": "nowhere:it"}, r"a function that Python can import"),
        ({"dataset": "nothing"}, r"fashionprobe ingest"),
        ({"iterations": 0}, r"`iterations` must be"),
        ({"learning_rate": -1.0}, r"`learning_rate` must be a number in the range \(0, inf\)"),
        ({"learning_rate": 1e39}, r"`learning_rate` must be low enough for a finite loss"),
        ({"augment": "spin"}, r"`augment` must be one of"),
    ],
)  # fmt: skip
def test_bad_arguments(letters_copy, arguments, message):
    with pytest.raises(UserError, match=message):
        call(letters_copy, **arguments)
    assert not (letters_copy / "runs" / "s" / "refit").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda items: items[items["split"] != "val"], r"with train, val and test.*without val"),
        (lambda items: items[(items["split"] != "val") | (items["class"] != "xi")], r"Received: none of xi in one of"),
    ],
)
def test_a_class_or_split_that_is_absent(letters_copy, change, message):
    path = letters_copy / "tfrecords" / "letters" / "items.csv"
    text = change(pd.read_csv(path, dtype=str, keep_default_na=False)).to_csv(index=False)
    manifest = json.loads((path.parent / "manifest.json").read_text())
    path.write_text(text)
    manifest["files"]["items.csv"] = {
        "size": len(text.encode()), "sha256": hashlib.sha256(text.encode()).hexdigest(),
    }  # fmt: skip
    (path.parent / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(UserError, match=message):
        call(letters_copy)


@pytest.mark.slow
def test_a_network_that_reads_several_blocks_says_what_works(letters_copy, model_path):
    train(
        dataset="letters", run="joined", backbone=str(model_path), block=[1, 2], size=32, epochs=1,
        tfrecords_root=str(letters_copy / "tfrecords"), runs_root=str(letters_copy / "runs"),
    )  # fmt: skip
    shutil.copytree(letters_copy / "runs" / "s" / "masks", letters_copy / "runs" / "joined" / "masks")
    message = r"`loss` must be ce, pas, pasa, rrr or a replacement for a network that does not end in Global"
    with pytest.raises(UserError, match=message):
        call(letters_copy, run="joined", loss="rrr_g")
    made = call(letters_copy, run="joined", loss="pasa", rivals="rrr_g")
    assert list(json.loads((made.path / "manifest.json").read_text())["facts"]["left_out"]) == ["RRR-G"]
