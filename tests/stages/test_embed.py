import json
import os
import shutil
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fashionprobe.errors import UserError
from fashionprobe.inputs.embedding import open_embedding
from fashionprobe.siamese.evaluate import silhouette_nearest_point
from fashionprobe.stages import classify, embed, extract, index, ingest, retrieve, tune, unseen

SMALL = {"per_class": 4, "epochs": 2, "steps": 6, "neighbours": [3, 1], "dimension": 2}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A record set `letters` of drawn letters, and an embedding of their classes in the run `e`."""
    root = tmp_path_factory.mktemp("letters")
    ingest(
        dataset="letters", source="symbols", count=90, size=28, marks="none", split=[60, 0, 30],
        tfrecords_root=str(root / "tfrecords"),
    )  # fmt: skip
    return root


def call(root, run="e", **arguments):
    given = {"dataset": "letters", "run": run, **SMALL, **arguments}
    if "per_class" not in arguments and {"batch_size", "triplets"} & set(arguments):
        del given["per_class"]
    return embed(**given, tfrecords_root=str(root / "tfrecords"), runs_root=str(root / "runs"))


@pytest.fixture(scope="module")
def made(root):
    return call(root, epochs=12)


def roots(root):
    return {"tfrecords_root": str(root / "tfrecords"), "runs_root": str(root / "runs")}


def test_what_is_written_agrees(root, made):
    table = pd.read_csv(made.path / "evaluation.csv")
    assert set(table["split"]) == {"train", "test"} and set(table["k"]) == {3, 1, 0}
    first = table.query("split == 'test' and k == 3").iloc[0]
    assert made.accuracy == pytest.approx(first["accuracy"], abs=1e-6)
    counts = pd.read_csv(made.path / "confusion_test.csv", index_col=0).to_numpy()
    assert counts.sum() == first["images"] and counts.trace() / counts.sum() == pytest.approx(made.accuracy, abs=1e-6)
    history = pd.read_csv(made.path / "history.csv")
    assert list(history.columns) == ["epoch", "learning_rate", "active", "loss", "spread", "margin"]
    for name in ("training", "map_train", "map_test", "confusion_train", "confusion_test"):
        assert (made.path / f"{name}.png").is_file() and (made.path / f"{name}.svg").is_file()
    places = pd.read_csv(made.path / "map.csv")
    assert len(places) == sum(json.loads((made.path / "manifest.json").read_text())["facts"]["images"].values())


def test_the_scores_hold_the_headline_numbers_and_the_loss(root, made):
    table = pd.read_csv(made.path / "evaluation.csv").set_index(["split", "classifier", "k"])
    scores = pd.read_csv(made.path / "scores.csv").set_index("split")
    assert list(scores.index) == ["train", "test"]
    for split in scores.index:
        assert scores.loc[split, "knn_auc"] == pytest.approx(table.loc[(split, "knn", 3), "auc"], abs=1e-6)
        assert scores.loc[split, "mean_auc"] == pytest.approx(table.loc[(split, "nearest_mean", 0), "auc"], abs=1e-6)
        places = pd.read_csv(made.path / "map.csv").query(f"split == '{split}'")
        numbers = np.unique(places["class"], return_inverse=True)[1]
        found = silhouette_nearest_point(places[["x", "y"]].to_numpy(), numbers)
        assert scores.loc[split, "silhouette_nearest_point"] == pytest.approx(found, abs=1e-4)
        job = open_embedding(made.path.parent, str(root / "tfrecords")).job
        loss = job.measured(places[["x", "y"]].to_numpy(np.float32), numbers)
        assert scores.loc[split, "loss"] == pytest.approx(loss, rel=1e-3)
    assert made.auc == pytest.approx(scores.loc["test", "knn_auc"], abs=1e-6)
    assert made.silhouette == pytest.approx(scores.loc["test", "silhouette"], abs=1e-6)


def test_noting_the_loss_changes_no_weight(root, empty_figures):
    random = {"mining": "batch_hard", "batch_size": 25, "epochs": 2, "augment": "flip,shift"}
    plain, noted = (call(root, run=run, **random, loss_every=every) for run, every in (("plain", None), ("noted", 2)))
    weights = [keras.models.load_model(each.model, compile=False).get_weights() for each in (plain, noted)]
    for first, second in zip(*weights, strict=True):
        np.testing.assert_array_equal(first, second)
    pd.testing.assert_frame_equal(*(pd.read_csv(each.path / "map.csv") for each in (plain, noted)))
    losses = pd.read_csv(noted.path / "losses.csv")
    assert list(losses.columns) == ["epoch", "batch", "loss", "test_loss"], "val is empty"
    assert losses["batch"].tolist() == [2, 4, 6, 8, 10, 12] and not (plain.path / "losses.csv").exists()
    scores = pd.read_csv(noted.path / "scores.csv").set_index("split")
    assert losses["test_loss"].iloc[-1] == pytest.approx(scores.loc["test", "loss"], rel=1e-4)
    assert (noted.path / "losses.png").is_file()


def test_batches_of_any_images_are_one_pass_and_opened_again(root, empty_figures):
    made = call(root, run="any", mining="batch_hard", batch_size=25, steps=None, epochs=2)
    given = json.loads((made.path / "manifest.json").read_text())["arguments"]
    assert given["batch_size"] == 25 and given["steps"] is None and "triplets" not in given
    job = open_embedding(root / "runs/any", str(root / "tfrecords")).job
    assert job.drawn(job.numbers(), 0).shape == (3, 25)
    assert json.loads(json.dumps(job.arguments())) | {"neighbours": [3, 1]} == given


def test_triplets_are_counted(root, empty_figures):
    made = call(root, run="thirty-two", mining="random", triplets=32, steps=None, epochs=1)
    job = open_embedding(made.path.parent, str(root / "tfrecords")).job
    assert job.drawn(job.numbers(), 0).shape == (2, 96)


def test_what_came_later_is_not_in_a_recipe_without_it(made):
    given = json.loads((made.path / "manifest.json").read_text())["arguments"]
    assert not {"batch_size", "triplets", "loss_every"} & set(given) and given["steps"] == 6


def test_it_learns(made):
    assert made.accuracy > 0.5, "chance is a third"
    history = pd.read_csv(made.path / "history.csv")
    assert history["loss"].iloc[-1] < history["loss"].iloc[0]


@pytest.mark.slow
def test_the_embedding_serves_other_stages_like_any_block(root, made, caplog):
    extracted = extract(dataset="letters", run="e", backbone=str(made.model), block=[4, 5], **roots(root))
    points = np.load(extracted.path / "block5.npy")
    assert points.shape[1] == 2
    items = pd.read_csv(extracted.path / "items.csv")
    places = pd.read_csv(made.path / "map.csv")
    assert list(items["id"]) == list(places["id"])
    np.testing.assert_allclose(points, places[["x", "y"]], rtol=1e-3, atol=1e-4)
    answers = classify(run="e", label="class", folds=3, runs_root=str(root / "runs"))
    assert {answer.block for answer in answers.answers} <= {4, 5}
    assert "The network was trained on 60 of these 90 images" in caplog.text
    assert index(run="e", groups=["class=5"], **roots(root)).path.is_dir()
    assert retrieve(run="e", label="class", block=5, queries=9, **roots(root)).path.is_dir()


def test_images_that_it_never_saw_are_measured_without_a_warning(root, made, caplog, empty_figures):
    extract(dataset="letters", run="others", backbone=str(made.model), block=5, split="val,test", **roots(root))
    classify(run="others", label="class", folds=3, runs_root=str(root / "runs"))
    assert "was trained on" not in caplog.text


def test_the_saved_network_is_the_one_that_was_measured(made):
    model = keras.models.load_model(made.model, compile=False)
    assert model.output_shape == (None, 2) and model.layers[-1].name == "embedding"


def test_it_is_reused_and_another_is_refused(root, made):
    assert call(root, epochs=12).reused
    with pytest.raises(UserError, match=r"margin"):
        call(root, epochs=12, margin=2.0)


@pytest.mark.slow
def test_the_seed_gives_the_same_twice(root, made, empty_figures):
    again = call(root, run="again", epochs=12)
    pd.testing.assert_frame_equal(pd.read_csv(again.path / "map.csv"), pd.read_csv(made.path / "map.csv"))


@pytest.mark.slow
def test_more_dimensions_are_drawn_by_umap(root, caplog):
    with caplog.at_level("INFO"):
        found = call(root, run="wide", dimension=4, mining="batch_hard", unit_norm=True, margin=0.3, margin_end=0.6)
    history = pd.read_csv(found.path / "history.csv")
    assert history["margin"].iloc[0] == pytest.approx(0.3) and history["margin"].iloc[1] > 0.3
    assert pd.read_csv(found.path / "map.csv")[["x", "y"]].notna().all(axis=None)
    assert "4 dimensions, 3-NN" in caplog.text
    assert f"--backbone {found.model} --block 5" in caplog.text


def test_a_collapse_is_named(root, empty_figures, caplog):
    with caplog.at_level("WARNING"):
        found = call(
            root, run="flat", backbone="light", mining="batch_hard", epochs=1, steps=30, margin=1.0, learning_rate=3e-2
        )
    assert found.states == {"collapsed": 1}
    assert "the embedding has collapsed" in caplog.text and "--mining semi_hard" in caplog.text


@pytest.mark.slow
def test_drawn_triplets_and_a_cosine(root, empty_figures):
    found = call(root, run="drawn", mining="random", metric="cosine", margin="soft")
    assert 0 <= found.accuracy <= 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dataset": "lettres"}, r"fashionprobe ingest --dataset lettres"),
        ({"label": "clas"}, r"Did you mean 'class'\?"),
        ({"per_class": 500}, r"`per_class` must be in 2 to \d+, the images of the smallest class. Received: 500"),
        ({"classes_per_batch": 4}, r"`classes_per_batch` must be in 2 to 3"),
        ({"min_images": 5000}, r"`label` must be a column with two classes or more that have images in train"),
        ({"dimension": 513}, r"`dimension` must be an int in the range \[2, 512\]"),
        ({"margin": "hard"}, r"`margin` must be a number above 0, or soft. Received: hard"),
        ({"margin": 2.0, "margin_end": 1.0}, r"`margin_end` must be a number of `margin` \(2.0\) or more"),
        ({"batch_size": 1}, r"`batch_size` must be an int in the range \[2, inf\). Received: 1"),
        (
            {"mining": "random", "batch_size": 64},
            r"`batch_size` cannot be combined with --mining random. Received: 64. Pass --triplets",
        ),
        ({"triplets": 32}, r"`triplets` cannot be combined with --mining semi_hard.*--mining random\."),
        (
            {"per_class": 4, "batch_size": 64},
            r"`per_class` cannot be combined with --batch-size. Received: 4. Leave `per_class` out",
        ),
        ({"per_class": 4, "mining": "random", "triplets": 32}, r"`per_class` cannot be combined with --triplets"),
        ({"neighbours": 1000}, r"`neighbours` must be numbers in 1 to"),
        ({"backbone": "lite"}, r"Did you mean 'light'\?"),
        ({"learning_rate": 0.0}, r"`learning_rate` must be a number in the range \(0, inf\)"),
        ({"backbone": "light", "freeze": 5}, r"`freeze` must be in 0 to 4, the blocks of light"),
        ({"weights": "imagenet"}, r"`weights` must be 'random' or a path for light_bn"),
        ({"learning_rate": 1e30, "optimizer": "sgd"}, r"`learning_rate` 1e\+30 made the loss NaN or infinite"),
    ],
)
def test_bad_arguments(root, arguments, message):
    with pytest.raises(UserError, match=message):
        call(root, run="bad", **arguments)
    assert not (root / "runs/bad/embed").exists()


@pytest.mark.slow
def test_images_of_differing_sizes_are_fitted(tmp_path, root, empty_figures):
    from PIL import Image

    rng = np.random.default_rng(0)
    for number in range(24):
        name = tmp_path / "photos" / ("dark" if number % 2 else "pale") / f"{number}.png"
        name.parent.mkdir(parents=True, exist_ok=True)
        shape = (20 + number, 50 - number)
        Image.fromarray((rng.uniform(0, 90, shape) + 160 * (number % 2 == 0)).astype(np.uint8)).save(name)
    ingest(
        dataset="photos", source="folder", path=str(tmp_path / "photos"), split=[16, 0, 8],
        tfrecords_root=str(tmp_path / "tfrecords"),
    )  # fmt: skip
    found = embed(dataset="photos", run="p", **{**SMALL, "epochs": 1}, augment="flip,zoom", **roots(tmp_path))
    assert "augment" not in str([layer.name for layer in keras.models.load_model(found.model, compile=False).layers])


@pytest.mark.slow
def test_a_killed_training_goes_on_and_ends_the_same(root, made, tmp_path, empty_figures):
    """A real process, killed once it has done an epoch."""
    shutil.copytree(root / "tfrecords", tmp_path / "tfrecords")
    words = [sys.executable, "-m", "fashionprobe", "embed", "--dataset", "letters", "--run", "e", "--per-class", "4"]
    words += ["--epochs", "12", "--steps", "6", "--neighbours", "3,1", "--dimension", "2"]
    started = subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 300
    while started.poll() is None and time.monotonic() < deadline:
        kept = list((tmp_path / "runs/e").glob("incomplete.embed.*/history.csv"))
        if kept and len(kept[0].read_text().splitlines()) > 3:
            os.kill(started.pid, signal.SIGKILL)
            break
        time.sleep(0.01)
    started.wait()
    assert started.returncode == -signal.SIGKILL
    call(tmp_path, epochs=12)
    pd.testing.assert_frame_equal(
        pd.read_csv(tmp_path / "runs/e/embed/history.csv"), pd.read_csv(made.path / "history.csv")
    )


def test_each_class_is_left_out_in_turn(root, made, caplog):
    with caplog.at_level("INFO"):
        found = unseen(run="e", seeds=2, epochs=1, classes="xi", **roots(root))
    table = pd.read_csv(found.path / "unseen.csv")
    assert list(table["seen"]) == [False, False, True, True] and set(table["class"]) == {"xi"}
    assert table["seed"].tolist() == [0, 1, 0, 1]
    assert found.auc["xi"] == pytest.approx(table.query("`class` == 'xi' and not seen")["auc"].mean(), abs=1e-5)
    assert table["auc"].between(0, 1).all() and (found.path / "unseen.png").is_file()
    assert "AUC of classes that were never seen" in caplog.text
    with pytest.raises(UserError, match=r"Did you mean 'zeta'\?"):
        unseen(run="e", classes="zetta", **roots(root))


def test_a_search_finds_values_without_the_test_images(root, made, caplog):
    pytest.importorskip("optuna")
    with caplog.at_level("INFO"):
        found = tune(run="e", trials=2, folds=2, epochs=1, dimension=[2, 3], neighbours=1, **roots(root))
    table = pd.read_csv(found.path / "trials.csv")
    assert len(table) == 2 and found.accuracy == pytest.approx(table["mean"].max(), abs=1e-5)
    assert set(found.best) == {"margin", "learning_rate", "dimension"}
    assert "--overwrite" in caplog.text and (found.path / "trials.png").is_file()


def test_a_grid_measures_each_point_and_says_what_losses_cannot_tell(root, made, caplog):
    given = {"run": "e", "grid": True, "folds": 2, "epochs": 1, "neighbours": 1, "overwrite": True, **roots(root)}
    with caplog.at_level("INFO"):
        found = tune(objective="loss", margin=[0.5, 0.001], dimension=[2], **given)
    table = pd.read_csv(found.path / "grid.csv")
    assert table[["margin", "dimension"]].to_numpy().tolist() == [[0.5, 2], [0.001, 2]]
    assert set(table["learning_rate"]) == {3e-3} and (table[["loss_std", "accuracy_std"]] >= 0).all(axis=None)
    least = table.loc[table["loss"].idxmin()]
    assert found.loss == pytest.approx(least["loss"]) and found.best["margin"] == least["margin"] == 0.001
    assert f"least loss {least['loss']:.3g} with --margin 0.001 --learning-rate 0.003 --dimension" in caplog.text
    assert "it cannot compare points of different margins" in caplog.text and (found.path / "grid.png").is_file()
    caplog.clear()
    with caplog.at_level("INFO"):
        found = tune(learning_rate=[0.001, 0.01], **given)
    table = pd.read_csv(found.path / "grid.csv")
    assert len(table) == 2 and found.accuracy == pytest.approx(table["accuracy"].max())
    assert "different margins" not in caplog.text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"grid": True, "margin": [0.1, -1.0]}, r"`margin` must be a number above 0, or soft. Received: -1.0"),
        ({"grid": True, "learning_rate": [0.1, 0.0]}, r"`learning_rate` must be a number in the range \(0, inf\)"),
        ({"grid": True, "dimension": [2, 1]}, r"`dimension` must be an int in the range \[2, 512\]. Received: 1"),
        ({"grid": True, "trials": 5}, r"`trials` cannot be combined with --grid"),
        ({"objective": "loss"}, r"`objective` must be accuracy for a search over ranges. Received: loss. Pass --grid"),
        (
            {"grid": True, "objective": "loss", "folds": 12},
            r"`folds` must be \d+ or fewer, for a loss needs two classes",
        ),
        ({"run": "nothing"}, r"fashionprobe embed --dataset DATASET --run nothing"),
        ({"margin": [2.0, 1.0]}, r"`margin` must be two numbers above 0, the lower first"),
        ({"learning_rate": 0.1}, r"`learning_rate` must be two numbers above 0"),
        ({"dimension": [2, 1000]}, r"`dimension` must be an int in the range \[2, 512\]"),
        ({"folds": 1}, r"`folds` must be an int in the range \[2, inf\)"),
    ],
)
def test_bad_searches(root, made, arguments, message):
    with pytest.raises(UserError, match=message):
        tune(**{"run": "e", **arguments}, **roots(root))


@pytest.fixture(scope="module")
def rare(tmp_path_factory):
    """Classes of 40, 15, 4 and 1 images, of which train has 3 of the third and the only one of the fourth."""
    root, random = tmp_path_factory.mktemp("rare"), np.random.default_rng(0)
    for name, count in (("a", 40), ("b", 15), ("c", 4), ("d", 1)):
        (root / "rare" / name).mkdir(parents=True)
        for number in range(count):
            pixels = random.integers(0, 256, (32, 32, 3), np.uint8)
            Image.fromarray(pixels).save(root / "rare" / name / f"{number}.png")
    ingest(dataset="rare", source="folder", path=str(root / "rare"), tfrecords_root=str(root / "tfrecords"))
    return root


def rarely(root, **arguments):
    given = {"dataset": "rare", "run": "r", "backbone": "light", "size": 32, "epochs": 1, "steps": 2, "dimension": 2}
    return embed(**given | arguments, **roots(root))


@pytest.mark.slow
def test_rare_classes_are_counted_on_train_and_the_default_fits_the_smallest(rare, empty_figures):
    made = rarely(rare)
    manifest = json.loads((made.path / "manifest.json").read_text())
    assert manifest["facts"]["classes"] == ["a", "b", "c"]
    assert manifest["arguments"]["per_class"] == 3
    assert rarely(rare, per_class=3).reused


@pytest.mark.slow
@pytest.mark.parametrize(
    ("asked", "advice"),
    [
        ({"per_class": 8}, {"per_class": 3}), ({"per_class": 8}, {"per_class": 8, "min_images": 8}),
        ({"per_class": 1}, {"per_class": 2}),
    ],
)  # fmt: skip
def test_the_advice_works(rare, empty_figures, asked, advice):
    with pytest.raises(UserError) as caught:
        rarely(rare, run="other", **asked)
    (name, value), *_ = sorted(set(advice.items()) - set(asked.items()))
    assert f"--{name.replace('_', '-')} {value}." in str(caught.value)
    rarely(rare, run="other", overwrite=True, **asked | advice)
