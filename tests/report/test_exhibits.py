import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from fashionprobe.artifacts import Artifact
from fashionprobe.report.exhibits import exhibit, exhibits, gallery, note


@pytest.fixture
def made(tmp_path):
    for name, width in (("small.png", 100), ("wide.png", 3000)):
        Image.fromarray(np.zeros((200, width, 3), np.uint8)).save(tmp_path / name)
    figures = [note("small.png", "A <title>", "What it shows."), note("wide.png", "Wide", "More.")]
    return Artifact(tmp_path, {"facts": {"figures": figures}})


def test_figures_in_their_order_and_no_wider_than_a_screen(made):
    found = exhibits(made)
    assert [(each.title, each.width, each.height) for each in found] == [("A <title>", 64, 128), ("Wide", 1920, 128)]
    sizes = []
    for each in found:
        kind, _, data = each.source.partition(",")
        assert kind == "data:image/jpeg;base64"
        with Image.open(io.BytesIO(base64.b64decode(data))) as picture:
            sizes.append(picture.size)
    assert sizes == [(100, 200), (1400, 93)]
    assert len(exhibits(made, most=1)) == 1


def test_a_stage_without_figures(tmp_path):
    assert exhibits(Artifact(tmp_path, {"facts": {}})) == []


def test_the_page_needs_no_other_file_and_escapes_names(made):
    words = {"title": "T <b>", "lead": "L", "facts": {"network": "<i>"}, "command": "fashionprobe see --images 'a b'"}
    page = gallery(exhibits(made), **words)
    assert page.startswith("<!DOCTYPE html>")
    assert "A &lt;title&gt;" in page and "<title>T &lt;b&gt;</title>" in page and "&lt;i&gt;" in page
    assert re.findall(r"""(?:src|href)\s*=\s*["'](?!data:|#)[^"']*|<script""", page) == []
    assert page == gallery(exhibits(made), **words)


def test_transparency_and_palettes(tmp_path):
    Image.new("P", (4, 4)).save(tmp_path / "p.png")
    assert exhibit(tmp_path / "p.png", note("p.png", "t", "c")).width == 3


def test_a_manifest_cannot_point_out_of_its_folder(made, tmp_path):
    (tmp_path / "inside").mkdir()
    Image.new("RGB", (4, 4)).save(tmp_path / "inside" / "x.png")
    found = Artifact(tmp_path / "inside", {"facts": {"figures": [note("../small.png", "t", "c")]}})
    with pytest.raises(FileNotFoundError):
        exhibits(found)
