import base64
import io
import json
import re

import numpy as np
import pytest
from PIL import Image

from fashionprobe.artifacts import Artifact
from fashionprobe.plots import style
from fashionprobe.plots.save import note
from fashionprobe.report.exhibits import exhibit, exhibits, gallery
from fashionprobe.report.points import SHAPES, THUMBNAILS, points_table


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


@pytest.fixture
def scattered(tmp_path):
    """Two plots of the same three images, one of which has no thumbnail."""
    looks = [{"name": "<red>", "color": "#FF0000", "marker": "s", "count": 2},
             {"name": "blue", "color": "#0000FF", "marker": "o", "count": 1}]  # fmt: skip
    lines = [("<red>", "cluster 0", "a&b.jpg"), ("<red>", "cluster 0", "b.jpg"), ("blue", "in no cluster", "c.jpg")]
    points = np.array([[0.0, 0.0], [4.0, 2.0], [2.0, 1.0]])
    table = points_table(points, looks, np.array([0, 0, 1]), lines, np.array([5, 6, 9]))
    for name in ("one", "two"):
        (tmp_path / f"{name}.json").write_text(json.dumps({**table, "name": name}))
    (tmp_path / THUMBNAILS).write_text(json.dumps({"5": "AAAA", "9": "BBBB"}))
    figures = [note(f"{name}.png", f"Plot <{name}>", "C.", points=f"{name}.json") for name in ("one", "two")]
    return Artifact(tmp_path, {"facts": {"figures": figures}})


def test_points_keep_their_places_on_one_scale(scattered):
    one, _ = exhibits(scattered)
    left, right, middle = one.points.dots
    # Twice as wide as high: the width fills the square, and up is up.
    assert (right.x - left.x, left.y - right.y) == (568, 284)
    assert (middle.x, middle.y) == ((left.x + right.x) / 2, (left.y + right.y) / 2)
    assert min(dot.y for dot in one.points.dots) > one.points.strip
    assert [dot.color for dot in one.points.dots] == ["#FF0000", "#FF0000", "#0000FF"]
    assert left.shape == right.shape != middle.shape
    assert [bool(dot.picture) for dot in one.points.dots] == [True, False, True]


def test_each_point_holds_what_it_shows_and_each_thumbnail_is_in_the_page_once(scattered):
    page = gallery(exhibits(scattered), title="T", lead="L", facts={}, command="c")
    assert page.count("data:image/jpeg;base64,AAAA") == page.count("data:image/jpeg;base64,BBBB") == 1
    dots = re.findall(r'<g class="dot" tabindex="0".*?</g></g>', page)
    assert len(dots) == 6
    (kept,) = re.findall(r'<image id="([^"]+)"[^>]*AAAA', page)
    assert [f'<use href="#{kept}"' in dot for dot in dots] == [True, False, False] * 2
    for words in ("&lt;red&gt;", "cluster 0", "a&amp;b.jpg"):
        assert words in dots[0]
    assert "<red>" not in page and "<script" not in page
    # Each link that skips the points leads to what follows them.
    for anchor in re.findall(r'class="skip" href="#([^"]+)"', page):
        assert page.count(f'<ul id="{anchor}"') == 1
    assert re.findall(r"""(?:src|href)\s*=\s*["'](?!data:|#)[^"']*""", page) == []


def test_without_thumbnails_there_are_words_alone(scattered):
    (scattered.path / THUMBNAILS).unlink()
    page = gallery(exhibits(scattered), title="T", lead="L", facts={}, command="c")
    assert "<use" not in page and "<image" not in page
    assert page.count('class="dot"') == 6


def test_points_cannot_point_out_of_their_folder(scattered, tmp_path):
    (tmp_path / "inside").mkdir()
    figures = [note("one.png", "t", "c", points="../one.json")]
    with pytest.raises(FileNotFoundError):
        exhibits(Artifact(tmp_path / "inside", {"facts": {"figures": figures}}))


def test_every_marker_of_the_plots_has_a_shape():
    assert len({SHAPES[marker] for marker in (*style.MARKERS, ".")}) == 8
