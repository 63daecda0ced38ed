"""The README's figures against those of today, on a small README of the same headings."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]

README = """# name

## What it finds

| | block 1 | block 2 |
|---|---|---|
| colour, 10 classes | **0.67** | 0.39 |
| pattern, random weights | 0.44 | 0.47 |

The standard deviation
over the folds is 0.01 to 0.05.

## Use what it knows

| | block 1 | block 2 |
|---|---|---|
| colour, clusters against classes, AMI | **0.35** | 0.13 |

then colour is read with 0.72 (0.69 to
0.75) and pattern with 0.79 (0.76 to 0.82).

## Train a classifier

| config | what is trained | validation top-1 | 95 % interval | CPU minutes |
|---|---|---|---|---|
| `kaggle_small.yaml` | head, 30 epochs | 0.865 | 0.848 to 0.880 | 3 |

## Your network

| | block 1 |
|---|---|
| colour, 10 classes | 0.99 |
"""

COLOUR = ("What it finds", "colour, 10 classes", "block 2")
RANDOM = ("What it finds", "pattern, random weights", "block 1")
TOP_1 = ("Train a classifier", "kaggle_small.yaml", "validation top-1")


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("readme_figures", ROOT / "pipelines/readme_figures.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def compared(script, monkeypatch, tmp_path, capsys):
    """Compare the small README with what its figures are, changed so; return the exit code and what is printed."""
    path = tmp_path / "README.md"
    path.write_text(README)

    def run(changed=(), readme=README):
        path.write_text(readme)
        today = {key: float(text) for key, text in script.read(README).items()} | dict(changed)
        monkeypatch.setattr(script, "measure", lambda *arguments: today)
        code = 0
        try:
            script.main(path="catalogue.zip", readme=str(path))
        except SystemExit as stop:
            code = stop.code
        return code, capsys.readouterr().out.splitlines()

    return run


def test_figures_are_read_by_section_row_and_column(script):
    assert script.read(README) == {
        ("What it finds", "colour, 10 classes", "block 1"): "0.67",
        ("What it finds", "colour, 10 classes", "block 2"): "0.39",
        ("What it finds", "pattern, random weights", "block 1"): "0.44",
        ("What it finds", "pattern, random weights", "block 2"): "0.47",
        ("What it finds", "deviation over the folds", "low"): "0.01",
        ("What it finds", "deviation over the folds", "high"): "0.05",
        ("Use what it knows", "colour, clusters against classes, AMI", "block 1"): "0.35",
        ("Use what it knows", "colour, clusters against classes, AMI", "block 2"): "0.13",
        ("Use what it knows", "colour, to expect", "accuracy"): "0.72",
        ("Use what it knows", "colour, to expect", "low"): "0.69",
        ("Use what it knows", "colour, to expect", "high"): "0.75",
        ("Use what it knows", "pattern, to expect", "accuracy"): "0.79",
        ("Use what it knows", "pattern, to expect", "low"): "0.76",
        ("Use what it knows", "pattern, to expect", "high"): "0.82",
        ("Train a classifier", "kaggle_small.yaml", "validation top-1"): "0.865",
        ("Train a classifier", "kaggle_small.yaml", "95 % interval, low"): "0.848",
        ("Train a classifier", "kaggle_small.yaml", "95 % interval, high"): "0.880",
    }


def test_figures_that_agree_to_the_readmes_digits_pass(compared):
    code, lines = compared({COLOUR: 0.3949, TOP_1: 0.8646})
    assert code == 0
    assert all(line.endswith("equal") for line in lines[1:])
    assert any(line.split() == ["colour,", "10", "classes,", "block", "2", "0.39", "0.395", "equal"] for line in lines)


@pytest.mark.parametrize("key, value", [(COLOUR, 0.3952), (RANDOM, 0.476), (TOP_1, 0.8541)])
def test_a_figure_that_differs_fails_and_is_named(compared, key, value):
    code, lines = compared({key: value})
    assert code == 1
    (line,) = [line for line in lines if "DIFFERS" in line]
    assert line.startswith(", ".join(key[1:]))


@pytest.mark.parametrize("key, value", [(RANDOM, 0.474), (TOP_1, 0.8559)])
def test_a_figure_with_a_random_part_may_differ_by_its_tolerance(compared, key, value):
    code, lines = compared({key: value})
    assert code == 0
    (line,) = [line for line in lines if line.startswith(", ".join(key[1:]))]
    assert "within" in line


def test_a_figure_that_the_readme_no_longer_has_fails(compared):
    code, lines = compared(readme=README.replace("colour, 10 classes", "colours"))
    assert code == 1
    assert sum("NOT IN THE README" in line for line in lines) == 2
    assert sum("not run" in line for line in lines) == 2


def test_the_readme_has_the_rows_that_are_measured(script):
    """A heading that is changed in the README alone would show after minutes only."""
    rows = {key[:2] for key in script.read((ROOT / "README.md").read_text(encoding="utf-8"))}
    attributes = ("best reader, descriptors as they are", "best reader, whitened", "precision@10")
    attributes += ("precision@10, whitened", "clusters against classes, AMI", "to expect")
    assert rows >= {
        *((script.FINDS, row) for row in ("colour, 10 classes", "pattern, 4 classes", "pattern, random weights")),
        (script.FINDS, "deviation over the folds"),
        *((script.USES, f"{name}, {row}") for name in ("colour", "pattern") for row in attributes),
        (script.TRAINS, "kaggle_small.yaml"),
    }
