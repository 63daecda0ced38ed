"""What `import fashionprobe` alone gives: rooms and their modules by name, each imported when it is asked for."""

import subprocess
import sys

import pytest

import fashionprobe


@pytest.mark.slow
@pytest.mark.parametrize(
    "path",
    ["explain.cam", "explain.faithfulness", "attributes.index", "feedback.losses", "siamese.losses", "backbones"],
)
def test_modules_are_there_without_an_import_of_their_own(path):
    program = f"import fashionprobe; print(fashionprobe.{path}.__name__)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == f"fashionprobe.{path}\n"


def test_tab_completion_knows_them():
    assert {"explain", "stages", "feedback", "backbones"} <= set(dir(fashionprobe))
    assert {"cam", "occlusion", "targets"} <= set(dir(fashionprobe.explain))


def test_nothing_heavy_is_imported():
    program = (
        "import fashionprobe, sys; dir(fashionprobe.explain); "
        "print([name for name in ('tensorflow', 'keras', 'numpy', 'pandas', 'matplotlib') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_what_is_not_there():
    with pytest.raises(AttributeError, match=r"module 'fashionprobe\.explain' has no attribute 'nosuch'"):
        _ = fashionprobe.explain.nosuch
