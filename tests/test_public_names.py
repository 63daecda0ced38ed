"""The faces of the package: what a notebook imports, and the README's first example."""

import importlib
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

README = Path(__file__).parents[1] / "README.md"
FACES = ("fashionprobe", *(f"fashionprobe.{room}" for room in ("explain", "attributes", "feedback", "siamese")))


def run(program: str) -> str:
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout


def test_each_public_name_is_there_complete_by_tab_and_documented():
    """One process for all faces, in which none is in use before its names are listed."""
    program = (
        "import importlib\n"
        f"faces = [importlib.import_module(name) for name in {FACES}]\n"
        "for face in faces:\n"
        "    assert set(face.__all__) <= set(dir(face)), face\n"
        "for face in faces:\n"
        "    for name in face.__all__:\n"
        "        found = getattr(face, name)\n"
        "        assert callable(found) and found.__doc__, name\n"
        "        assert found.__name__ in (name, name.removesuffix('_backbone')), name\n"
        "    names = {}\n"
        "    exec(f'from {face.__name__} import *', names)\n"
        "    assert set(face.__all__) <= set(names), face\n"
        "    print(face.__name__)\n"
    )
    assert run(program).splitlines() == list(FACES)


@pytest.mark.parametrize("face", FACES)
def test_no_public_name_is_that_of_a_module(face):
    """Python binds a module to its package when it is imported, and would hide the name."""
    package = importlib.import_module(face)
    assert not set(package.__all__) & {module.name for module in pkgutil.iter_modules(package.__path__)}


@pytest.mark.parametrize("face", FACES)
def test_a_face_is_light_until_it_is_used(face):
    heavy = ("tensorflow", "keras", "numpy", "pandas", "matplotlib", "sklearn")
    program = f"import sys, {face} as face; dir(face); print([name for name in {heavy} if name in sys.modules])"
    assert run(program) == "[]\n"


def test_import_takes_less_than_a_tenth_of_a_second():
    program = "import time; start = time.perf_counter(); import fashionprobe; print(time.perf_counter() - start)"
    assert min(float(run(program)) for _ in range(3)) < 0.1


def test_what_is_asked_for_by_name_alone_is_imported():
    program = "import sys; from fashionprobe.feedback import ranges; print('tensorflow' in sys.modules)"
    assert run(program) == "False\n"


def test_the_example_of_the_readme_makes_an_overlay(tmp_path, monkeypatch):
    examples = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    example = next(each for each in examples if "GradCAM" in each)
    assert len([line for line in example.splitlines() if line.strip()]) <= 7
    networks = importlib.import_module("networks")
    (tmp_path / "runs/kaggle/train").mkdir(parents=True)
    networks.build("dense").save(tmp_path / "runs/kaggle/train/model.keras")
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "shirt.jpg")
    monkeypatch.chdir(tmp_path)
    exec(example, {})
    overlay = np.asarray(Image.open(tmp_path / "overlay.png"))
    assert overlay.shape == (16, 16, 3)
    assert np.ptp(overlay.astype(int), axis=-1).max() > 30
