"""The page of the documents' figures: every cell has a figure or a reason, and figures come from artifacts."""

import importlib.util
import re
from pathlib import Path

import pandas as pd
import pytest
import yaml

from fashionprobe.cli.commands import COMMANDS

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("reproduction", ROOT / "pipelines" / "reproduction.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def given():
    return yaml.safe_load((ROOT / "docs" / "reproduction.yaml").read_text(encoding="utf-8"))


def rows(given):
    return [row for part in given["rows"] for row in part["items"]]


def test_every_row_has_a_figure_of_ours_or_a_reason(given):
    for row in rows(given):
        assert {"where", "what", "theirs", "command"} <= set(row), row["where"]
        assert ("ours" in row and "data" in row) != bool(row.get("why")), row["what"]


def test_the_commands_are_commands(given):
    for row in rows(given):
        for line in re.split(";|,(?= [a-z])", row["command"]):
            words = line.split()
            if words[0] not in ("as", "python", "make", "-") and not words[0].endswith(".png"):
                assert words[0] in COMMANDS, line
    for line in (*given["make"]["offline"], *given["make"]["fashion_mnist"]):
        assert line.split()[0] in COMMANDS


def test_figures_are_read_off_artifacts_and_what_is_not_there_has_a_reason(script, tmp_path):
    (tmp_path / "runs/a/classify").mkdir(parents=True)
    table = pd.DataFrame(
        {"block": [1, 2, 2], "k": ["1", "1", "2"], "mean": [0.5, 0.25, 1.2e-5], "std": [0.1, 0.2, 0.0]}
    )
    table.to_csv(tmp_path / "runs/a/classify/t.csv", index=False)
    part = {"document": "D", "items": [
        {"where": "T 1", "what": "w", "theirs": ".9", "command": "c",
         "ours": "a/classify/t.csv | block == 2 | mean | std", "data": "few; fewer"},
        {"where": "T 2", "what": "w", "theirs": ".8", "command": "c", "ours": "b/none.csv | | mean", "data": "few"},
        {"where": "T 3", "what": "w", "theirs": ".7", "command": "c", "why": "a picture"},
    ]}  # fmt: skip
    page = script.section(part, {"few": "100 images"}, tmp_path / "runs").splitlines()
    assert page[-3] == "| T 1 | w | .9 | .250 ± .200, 1.20e-05 ± .000 | 100 images; fewer | `c` |"
    assert page[-2] == "| T 2 | w | .8 | - | Not run on this machine. 100 images | `c` |"
    assert page[-1] == "| T 3 | w | .7 | - | a picture | `c` |"


def test_both_directions_show_points_with_intervals(script, tmp_path):
    (tmp_path / "xray_thesis").mkdir()
    pd.DataFrame({
        "method": ["Base", "PASA"], "seeds": [8, 8], "test_mean": [0.45, 0.6], "test_std": [0.02, 0.05],
        "points": [0.0, 15.0], "points_low": [0.0, 11.2], "points_high": [0.0, 18.8],
    }).to_csv(tmp_path / "xray_thesis/methods.csv", index=False)  # fmt: skip
    page = script.both_directions(tmp_path)
    assert "over 8 networks" in page and "| PASA | .600 ± .050 | +15.0 | +11.2 to +18.8 |" in page


def test_the_page_that_is_kept_has_no_empty_cell():
    page = (ROOT / "docs" / "reproduction.md").read_text(encoding="utf-8")
    for line in page.splitlines():
        if line.startswith("| ") and "where | what" not in line:
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            if len(cells) == 6:
                where, what, theirs, found, why, command = cells
                assert where and what and theirs and command and (found != "-" or why), line
