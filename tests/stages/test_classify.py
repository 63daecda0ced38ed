import csv
import json
import os
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from described_runs import described_run

from fashionprobe.attributes import reduce as reduction
from fashionprobe.errors import UserError
from fashionprobe.stages import classify


@pytest.fixture
def run(tmp_path) -> Path:
    """A run whose block 2 knows the colour and whose block 1 knows nothing; some colours are missing, one is rare."""
    random = np.random.default_rng(0)
    colours = ["red"] * 20 + ["blue"] * 20 + ["teal"] * 3 + [""] * 7
    centres = {"red": 0.0, "blue": 5.0, "teal": 10.0, "": 20.0}
    knows = np.array([centres[colour] for colour in colours])[:, None] + random.normal(0, 0.1, (50, 4))
    labels = {"colour": colours, "fabric/weave": ["plain", "twill"] * 25, "one": "same"}
    return described_run(tmp_path, labels, {1: random.normal(size=(50, 3)), 2: knows})


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def of(run: Path, **arguments):
    return classify(run="r", runs_root=str(run.parent.parent), **arguments)


def test_the_best_block_is_found_and_the_files_are_as_promised(run):
    made = of(run, label="colour", min_images=5, neighbours=[2, 1])
    (answer,) = made.answers
    assert (answer.label, answer.block, answer.classifier, answer.parameter) == (
        "colour",
        2,
        "nearest_mean",
        "euclidean",
    )
    assert (answer.accuracy_mean, answer.accuracy_std) == (1.0, 0.0)
    assert made.path == run.parent / "classify"
    assert os.fspath(made) == str(made.path)
    figures = {f"{kind}_colour.{end}" for kind in ("accuracy", "confusion", "per_class") for end in ("svg", "png")}
    tables = {"accuracy.csv", "confusion_colour.csv", "per_class_colour.csv", "manifest.json"}
    assert {path.name for path in made.path.iterdir()} >= figures | tables


def test_columns_of_the_tables(run):
    folder = of(run, label="colour", min_images=5, neighbours=[1, 2], folds=4).path
    rows = table(folder / "accuracy.csv")
    assert list(rows[0]) == ["label", "block", "classifier", "parameter", "accuracy_mean", "accuracy_std", "folds",
                             "images"]  # fmt: skip
    found = [(row["block"], row["classifier"], row["parameter"]) for row in rows]
    kinds = [("nearest_mean", "euclidean"), ("nearest_mean", "cosine"), ("knn", "1"), ("knn", "2")]
    assert found == [(block, *kind) for block in "12" for kind in kinds]
    assert {(row["label"], row["folds"], row["images"]) for row in rows} == {("colour", "4", "40")}
    confusion = table(folder / "confusion_colour.csv")
    assert confusion == [
        {"true / predicted": "blue", "blue": "20", "red": "0"},
        {"true / predicted": "red", "blue": "0", "red": "20"},
    ]


def test_rows_without_the_label_and_rare_classes_are_left_out_and_counted(command, run, tmp_path):
    code, out, _ = command("classify", "--run", "r", "--label", "colour", "--min-images", 5)
    assert code == 0
    assert out == (
        "accuracy by block: the best classifier of each, mean ± standard deviation over the folds\n"
        "block  colour\n"
        "1      0.500 ± 0.158\n"
        "2      1.000 ± 0.000\n"
        "colour: 7 images without this label left out\n"
        "colour: 1 rare classes left out (3 images)\n"
        "colour is best read at block 2: 1.000 ± 0.000 (nearest_mean euclidean)\n"
        "wrote runs/r/classify. Next: fashionprobe report --run r\n"
    )
    best = json.loads((tmp_path / "runs/r/classify/manifest.json").read_text())["facts"]["best"]["colour"]
    assert (best["missing"], best["left_out"], best["images"]) == (7, {"teal": 3}, 40)


def test_several_labels_with_names_that_are_no_file_names(run):
    made = of(run, label="colour,fabric/weave,colour", min_images=5)
    assert [answer.label for answer in made.answers] == ["colour", "fabric/weave"]
    assert (made.path / "confusion_fabric_weave.csv").is_file()


def test_reuse_and_refusal(command, run, empty_figures):
    words = ("classify", "--run", "r", "--min-images", 5, "--label")
    assert command(*words, "colour", "--neighbours", "2,1,2")[0] == 0
    _, out, _ = command(*words, "colour", "--neighbours", "1,2")
    assert out.endswith("reused runs/r/classify. Next: fashionprobe report --run r\n")
    assert command(*words, "colour", "--neighbours", 4)[::2] == (2, (
        "fashionprobe: error: `runs/r/classify` must be made by the same arguments. Received: an artifact that differs "
        "(neighbours: [1, 2] -> [4]). Pass --overwrite to replace it, or move it away to keep it.\n"
    ))  # fmt: skip
    # Both ways out work.
    assert "wrote" in command(*words, "colour", "--neighbours", 4, "--overwrite")[1]
    Path("runs/r/classify").rename("runs/r/classify_4")
    assert "wrote" in command(*words, "colour", "--neighbours", 1)[1]


def test_the_table_by_block_is_printed(command, run, empty_figures):
    words = ("classify", "--run", "r", "--min-images", 5, "--neighbours", "1,2", "--label", "colour,fabric/weave")
    for verb in ("wrote", "reused"):
        said = command(*words)[1].splitlines()
        assert said[0] == "accuracy by block: the best classifier of each, mean ± standard deviation over the folds"
        assert said[1].split() == ["block", "colour", "fabric/weave"]
        table = pd.read_csv("runs/r/classify/accuracy.csv")
        best = table.groupby(["block", "label"])["accuracy_mean"].max()
        for line, block in zip(said[2:4], (1, 2), strict=True):
            assert re.fullmatch(r"\d +\d\.\d{3} ± \d\.\d{3} +\d\.\d{3} ± \d\.\d{3}", line)
            cells = line.replace("±", "").split()
            assert cells[0] == str(block)
            assert float(cells[1]) == pytest.approx(best[block, "colour"], abs=6e-4)
            assert float(cells[3]) == pytest.approx(best[block, "fabric/weave"], abs=6e-4)
        assert any(line.startswith("colour is best read at block ") for line in said[4:])
        assert said[-1] == f"{verb} runs/r/classify. Next: fashionprobe report --run r"


def test_seed_decides_the_folds(run, empty_figures):
    first = of(run, label="fabric/weave", seed=3)
    text = (first.path / "accuracy.csv").read_text()
    of(run, label="fabric/weave", seed=4, overwrite=True)
    assert (first.path / "accuracy.csv").read_text() != text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--label ,", "`label` is missing: pass a name, or several as a,b."),
        ("--label colur", "`label` must be a label column: colour, fabric/weave, one. Received: colur. "
         "Did you mean 'colour'?"),
        ("--label split", "`label` must be a label column"),
        ("--label colour", "whose classes all have 5 images or more, one per fold. Received: 1 with fewer: teal (3). "
         "Leave them out with --min-images 5, or pass --folds 3."),
        ("--label colour --min-images 21", "`label` must be a column with a class of 21 images or more. Received: "
         "colour, whose largest class has 20. Lower --min-images, or choose another column."),
        ("--label one", "must be a column with two classes or more. Received: one class: ['same']"),
        ("--label colour --folds 1", "`folds` must be an int in the range [2, inf). Received: 1."),
        ("--label colour --seed -1", "`seed` must be an int in the range [0, 2**32)"),
        ("--label colour --min-images 5 --neighbours 0", "`neighbours` must be an int in the range [1, inf)"),
        ("--label colour --min-images 5 --neighbours []", "`neighbours` must be numbers in 1 to"),
        ("--label colour --min-images 5 --neighbours 99", "`neighbours` must be numbers in 1 to"),
        ("--label colour --run no", "fashionprobe extract --dataset DATASET --run no"),
        ("--label colour --run a.b", "`run` must be a name of letters"),
    ],
)  # fmt: skip
def test_bad_arguments_are_one_line_and_write_nothing(command, run, options, message):
    words = options.split()
    code, out, err = command("classify", *words, *([] if "--run" in words else ["--run", "r"]))
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err
    assert [path.name for path in run.parent.glob("[!.]*")] == ["extract"]


def test_damaged_descriptors(command, run):
    (run / "block1.npy").write_bytes(b"")
    code, _, err = command("classify", "--run", "r", "--label", "colour")
    assert (code, err.count("\n")) == (2, 1)
    assert "block1.npy` must be as the stage wrote it. Received: a missing or cut file. Make it again" in err


def test_results_are_what_extract_returned(garments_root):
    from fashionprobe.stages.extract import Descriptors

    descriptors = Descriptors(garments_root / "runs/small/extract", 60, (1, 2), 0.0, reused=True)
    assert classify(run=descriptors, label=["colour", "pattern"]).reused


def test_errors_are_user_errors_for_scripts(run):
    with pytest.raises(UserError, match="Did you mean 'colour'"):
        of(run, label="Colour1")


@pytest.fixture
def umap(monkeypatch):
    """Stand in for UMAP, which compiles for ten seconds: keep the first channels."""

    def first_channels(known, dimensions, *, seed):
        take = lambda values: np.ldexp(values, -known.exponent)[:, :dimensions]  # noqa: E731
        return SimpleNamespace(points=known.values[:, :dimensions], transform=take)

    monkeypatch.setattr(reduction, "reduce", first_channels)


@pytest.fixture
def no_figures(monkeypatch):
    """Leave out the tables and figures of each label, which other tests look at and which take seconds."""
    # By this name the package `stages` holds the function.
    monkeypatch.setattr(sys.modules["fashionprobe.stages.classify"], "_write_label", lambda *_: None)


def test_reduced_spaces_have_a_table_and_figures_of_their_own(run, umap, no_figures, caplog):
    caplog.set_level("INFO", "fashionprobe")
    arguments = {"label": "colour,fabric/weave", "min_images": 5, "neighbours": [1, 4]}
    plain = of(run, **arguments)
    accuracy = (plain.path / "accuracy.csv").read_text()
    made = of(run, **arguments, dimensions=[2, 3], overwrite=True)
    assert (made.path / "accuracy.csv").read_text() == accuracy
    rows = table(made.path / "reduced.csv")
    assert list(rows[0]) == ["label", "block", "dimensions", "classifier", "parameter", "accuracy_mean",
                             "accuracy_std", "folds", "images"]  # fmt: skip
    keys = list(dict.fromkeys((row["label"], row["block"], row["dimensions"]) for row in rows))
    # Block 1 has three channels, so three dimensions are all of it; block 2 has four.
    spaces = [("1", "2"), ("1", "3"), ("2", "2"), ("2", "3"), ("2", "4")]
    assert keys == [(label, *space) for label in ("colour", "fabric/weave") for space in spaces]
    original = [row for row in rows if (row["block"], row["dimensions"]) in (("1", "3"), ("2", "4"))]
    assert [{**row, "dimensions": ""} for row in original] == [
        {**row, "dimensions": ""} for row in table(made.path / "accuracy.csv")
    ]
    facts = json.loads((made.path / "manifest.json").read_text())["facts"]
    assert (facts["reduced"]["colour"]["block"], facts["reduced"]["colour"]["dimensions"]) == (2, 2)
    assert [each["file"] for each in facts["figures"]] == ["dimensions_colour.png", "dimensions_fabric_weave.png"]
    assert all((made.path / each["file"]).is_file() for each in facts["figures"])
    assert "4-NN after UMAP" in facts["figures"][0]["caption"]
    assert "colour in 2 dimensions: 1.000 ± 0.000 at block 2 (nearest_mean euclidean)" in caplog.messages


def test_without_dimensions_there_is_no_umap(run, no_figures, monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", None)
    made = of(run, label="colour", min_images=5, normalization="none")
    manifest = json.loads((made.path / "manifest.json").read_text())
    assert set(manifest["arguments"]) == {"label", "folds", "neighbours", "min_images", "seed"}
    assert set(manifest["facts"]) == {"best"}
    assert not (made.path / "reduced.csv").exists()
    with pytest.raises(UserError, match=r"normalization: null -> \"l2\""):
        of(run, label="colour", min_images=5, normalization="l2")


def test_dimensions_that_reduce_nothing(command, run):
    code, _, err = command("classify", "--run", "r", "--label", "fabric/weave", "--dimensions", "2,4")
    assert (code, err.count("\n")) == (2, 1)
    assert "`dimensions` must be numbers in 1 to 3. Received: [2, 4]. There must be more channels" in err


def test_the_defaults_fit_a_small_set_and_what_was_asked_for_is_refused(tmp_path, no_figures):
    colours = np.array(["red", "blue"]).repeat(7)
    run = described_run(tmp_path, {"colour": colours}, {1: np.random.default_rng(0).normal(size=(14, 3))})
    made = classify(run="r", label="colour", runs_root=str(run.parent.parent))
    with (made.path / "accuracy.csv").open(encoding="utf-8") as file:
        tried = {row["parameter"] for row in csv.DictReader(file) if row["classifier"] == "knn"}
    assert tried == {"1", "2", "4", "8"}
    with pytest.raises(UserError, match=r"`neighbours` must be numbers in 1 to 11. Received: \[16\]"):
        classify(run="r", label="colour", neighbours=16, runs_root=str(run.parent.parent), overwrite=True)


def test_default_folds_fit_a_set_of_small_classes(tmp_path, command, empty_figures):
    random = np.random.default_rng(0)
    described_run(tmp_path, {"colour": ["red", "blue", "green"] * 4}, {1: random.normal(size=(12, 5))})
    for words in (("classify",), ("choose",), ("profile",)):
        code, out, err = command(*words, "--run", "r", "--label", "colour")
        assert (code, err) == (0, "")
        fewer = 2 if words == ("choose",) else 4
        assert out.splitlines()[0] == f"{fewer} folds in place of 5: no class has images enough for more."
        manifest = json.loads((tmp_path / f"runs/r/{words[0]}/manifest.json").read_text())
        assert manifest["arguments"]["folds"] == fewer
    code, _, err = command("classify", "--run", "r", "--label", "colour", "--folds", 5, "--overwrite")
    assert code == 2
    assert "Pass --folds 4 or less." in err


@pytest.fixture
def pair(tmp_path) -> Path:
    """A run `r` that knows the colour in block 2, and a run `untrained` of random weights that knows it in neither."""
    random = np.random.default_rng(0)
    labels = {"colour": np.repeat(["red", "blue"], 20).tolist(), "weave": ["plain", "twill"] * 20}
    noise = {block: random.normal(size=(40, 4)) for block in (1, 2)}
    knows = noise[2] + 9 * (np.arange(40) < 20)[:, None]
    described_run(tmp_path, labels, noise, name="untrained", backbone="small", weights="random, seed 0")
    return described_run(tmp_path, labels, {1: noise[1], 2: knows}, backbone="small", weights="imagenet")


def test_linear_probes_have_a_table_a_figure_and_a_sentence(command, pair):
    code, out, _ = command("classify", "--run", "r", "--label", "colour,weave", "--linear")
    assert code == 0
    folder = pair.parent / "classify"
    probed = table(folder / "linear.csv")
    assert list(probed[0]) == ["label", "block", "C", "accuracy_mean", "accuracy_std", "control_mean", "control_std",
                               "selectivity", "inner_folds", "folds", "images"]  # fmt: skip
    assert [(row["label"], row["block"]) for row in probed] == [("colour", "1"), ("colour", "2"), ("weave", "1"),
                                                                ("weave", "2")]  # fmt: skip
    for row in probed:
        assert float(row["selectivity"]) == pytest.approx(float(row["accuracy_mean"]) - float(row["control_mean"]))
    rows = [row for row in table(folder / "accuracy.csv") if row["classifier"] == "linear"]
    assert [(row["label"], row["block"], row["parameter"]) for row in rows] == [
        (row["label"], row["block"], "nested") for row in probed
    ]
    assert [float(row["accuracy_mean"]) for row in rows] == [float(row["accuracy_mean"]) for row in probed]
    assert {path.name for path in folder.glob("readers_*")} == {
        f"readers_{label}.{end}" for label in ("colour", "weave") for end in ("png", "svg")
    }
    assert not (folder / "control.csv").exists()
    lines = out.splitlines()
    assert lines[0] == "colour: accuracy by block and reader, mean ± standard deviation over the folds"
    assert re.split(r"  +", lines[1]) == ["block", "linear probe", "best k-NN", "nearest mean", "shuffled labels",
                                          "selectivity"]  # fmt: skip
    cells = re.split(r"  +", lines[3])
    control = float(probed[1]["control_mean"])
    assert cells == ["2", *["1.000 ± 0.000"] * 3, f"{control:.3f}", f"{1 - control:.3f}"]
    # Of equal readers the one without training comes first.
    assert "colour is best read at block 2 by nearest mean with euclidean distance: 1.000 ± 0.000; at block 2 " \
           "by a linear probe: 1.000 ± 0.000" in lines  # fmt: skip


def test_a_linear_probe_changes_nothing_else(pair):
    plain = of(pair, label="colour,weave")
    before = {path.name: path.read_bytes() for path in plain.path.glob("*.csv")}
    manifest = json.loads((plain.path / "manifest.json").read_text())
    assert "linear" not in manifest["arguments"]
    assert set(manifest["inputs"]) == {"extract"}
    assert set(manifest["facts"]) == {"best"}
    made = of(pair, label="colour,weave", linear=True, overwrite=True)
    rows = (made.path / "accuracy.csv").read_text().splitlines()
    assert "\n".join(row for row in rows if ",linear," not in row) == before["accuracy.csv"].decode().strip()
    assert json.loads((made.path / "manifest.json").read_text())["arguments"]["linear"] is True


def test_a_linear_probe_is_another_recipe_and_is_reused(command, pair):
    words = ("classify", "--run", "r", "--label", "colour")
    assert command(*words)[0] == 0
    assert command(*words, "--linear")[0] == 2
    first = command(*words, "--linear", "--overwrite")[1]
    assert command(*words, "--linear")[1] == first.replace("wrote", "reused")


def test_the_network_with_random_weights_is_read_in_the_same_folds(command, pair):
    # In the made-up run all images of block 1 are nearly the same, as random weights can have it.
    flat = np.ones((40, 4)) + np.arange(40)[:, None] * 1e-7
    labels = {"colour": np.repeat(["red", "blue"], 20).tolist(), "weave": ["plain", "twill"] * 20}
    described_run(pair.parents[2], labels, {1: flat, 2: flat}, name="flat", backbone="small", weights="random")
    words = ("classify", "--run", "r", "--label", "colour", "--linear", "--control")
    assert command(*words, "flat")[0] == 0
    code, out, _ = command(*words, "untrained", "--overwrite")
    assert code == 0
    control = [row for row in table(pair.parent / "classify/control.csv") if row["classifier"] == "linear"]
    assert [row["block"] for row in control] == ["1", "2"]
    lines = [re.split(r"  +", line) for line in out.splitlines()]
    assert lines[1][-1] == "random weights"
    assert [lines[2][-1], lines[3][-1]] == [f"{float(row['accuracy_mean']):.3f}" for row in control]
    # Block 1 is the same in both networks, so one reading of it is the other.
    assert lines[2][1].startswith(lines[2][-1])
    manifest = json.loads((pair.parent / "classify/manifest.json").read_text())
    assert manifest["facts"]["control"] == "untrained"
    assert set(manifest["inputs"]) == {"extract", "control"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ids": "{}.png"}, "`control` must be a run of the same images and labels as r. Received: other, whose ids "
         "differ. Make it by fashionprobe extract --weights random, with the other arguments of the run."),
        ({"colour": ["blue", *["red"] * 19, *["blue"] * 20]}, "Received: other, whose colour differs."),
        ({"weights": "imagenet"}, "`control` must be a run whose network has random weights. Received: other, with "
         "weights imagenet."),
        ({"backbone": "large"}, "must be a run of small, blocks 1, 2. Received: other, of large, blocks 1, 2."),
        ({"blocks": (1,)}, "`control` must be a run of small, blocks 1, 2. Received: other, of small, blocks 1."),
    ],
)  # fmt: skip
def test_a_control_of_another_kind_is_refused(command, pair, changes, message):
    labels = {"colour": changes.get("colour", np.repeat(["red", "blue"], 20).tolist())}
    blocks = {block: np.zeros((40, 4)) for block in changes.get("blocks", (1, 2))}
    facts = {"backbone": "small", "weights": "random", **{key: changes[key] for key in ("ids", "backbone", "weights")
                                                          if key in changes}}  # fmt: skip
    described_run(pair.parents[2], labels, blocks, name="other", **facts)
    code, out, err = command("classify", "--run", "r", "--label", "colour", "--linear", "--control", "other")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err
    assert not (pair.parent / "classify").exists()


def test_a_control_needs_the_linear_probe(command, pair):
    code, _, err = command("classify", "--run", "r", "--label", "colour", "--control", "untrained")
    assert (code, err) == (
        2, "fashionprobe: error: `linear` is missing: `control` is a control of the linear probe. Pass --linear.\n"
    )  # fmt: skip


def test_few_inner_folds_are_said(command, tmp_path):
    random = np.random.default_rng(0)
    described_run(tmp_path, {"colour": ["red"] * 20 + ["blue"] * 4}, {1: random.normal(size=(24, 3))})
    words = ("classify", "--run", "r", "--label", "colour", "--linear", "--folds", 2, "--neighbours", 1)
    said = "colour: the regularization was chosen in 2 inner folds: a class is too small for 3."
    assert said in command(*words)[1].splitlines()
    described_run(tmp_path, {"colour": ["red"] * 20 + ["blue"] * 2}, {1: random.normal(size=(22, 3))}, name="s")
    words = ("classify", "--run", "s", *words[3:])
    said = "colour: the regularization was chosen without inner folds, as C = 1: a class is too small for 3."
    assert said in command(*words)[1].splitlines()


def test_reduced_spaces_stay_without_the_linear_probe(pair, umap, no_figures):
    made = of(pair, label="colour", neighbours=[1, 4], dimensions=[2], linear=True)
    assert {row["classifier"] for row in table(made.path / "reduced.csv")} == {"nearest_mean", "knn"}
