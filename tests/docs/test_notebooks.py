"""The notebooks run, cell by cell, in a process of their own."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

NOTEBOOKS = sorted((Path(__file__).parents[2] / "docs/notebooks").glob("*.ipynb"))


def cells(path):
    found = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in found if cell["cell_type"] == "code"]


def test_a_plain_model_is_seen_and_corrected_in_forty_lines():
    lines = [line for cell in cells(NOTEBOOKS[0]) for line in cell.splitlines() if line.strip()]
    assert NOTEBOOKS[0].name == "see_and_correct.ipynb"
    assert len(lines) <= 40


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path, tmp_path):
    script = "import matplotlib; matplotlib.use('agg')\n" + "\n".join(cells(path))
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "without marks" in done.stdout
