import io
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import matplotlib as mpl
import pytest
from PIL import Image

from fashionprobe.plots.accuracy_by_block import accuracy_by_block
from fashionprobe.plots.per_class import per_class
from fashionprobe.plots.save import png, save, svg


def test_both_files_are_written_beside_each_other(tmp_path, accuracy):
    paths = save(accuracy_by_block(accuracy), tmp_path / "colour.block1")
    assert [path.name for path in paths] == ["colour.block1.svg", "colour.block1.png"]
    assert sorted(tmp_path.iterdir()) == sorted(paths)


def test_a_figure_is_laid_out_once_for_both_files(tmp_path, accuracy, monkeypatch):
    alone, figure = accuracy_by_block(accuracy), accuracy_by_block(accuracy)
    svg(alone)
    engine, runs = figure.get_layout_engine(), []
    execute = engine.execute
    monkeypatch.setattr(engine, "execute", lambda figure: (runs.append(figure), execute(figure)))
    save(figure, tmp_path / "figure")
    assert len(runs) == 1
    for one, other in zip(alone.axes, figure.axes, strict=True):
        assert one.get_position().bounds == pytest.approx(other.get_position().bounds, abs=0.005)


def test_the_same_figure_gives_the_same_bytes(tmp_path, accuracy):
    first = save(accuracy_by_block(accuracy, chance=0.5), tmp_path / "first")
    second = save(accuracy_by_block(accuracy, chance=0.5), tmp_path / "second")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_neither_date_nor_version_is_in_the_files(accuracy):
    figure = accuracy_by_block(accuracy)
    assert b"dc:date" not in svg(figure)
    assert mpl.__version__.encode() not in svg(figure)
    picture = Image.open(io.BytesIO(png(figure)))
    assert not {"Software", "Creation Time"} & set(picture.info)


def test_png_has_150_dots_per_inch(accuracy):
    figure = accuracy_by_block(accuracy)
    width, height = figure.get_size_inches()
    assert Image.open(io.BytesIO(png(figure))).size == (int(width * 150), int(height * 150))


@pytest.mark.parametrize("name", ["チェック", "سادة", "हिन्दी", "$5 & 10$", "<b>", "a\x00b\nc", "😀", "\ud800"])
def test_any_class_name_can_be_saved(tmp_path, classes, name):
    table = classes(2)
    table["class"] = [name, "plain"]
    for path in save(per_class(table, title=name), tmp_path / "figure"):
        assert path.stat().st_size > 0


def test_letters_that_our_font_lacks_stay_text(classes):
    table = classes(1)
    table["class"] = ["チェック"]
    assert "チェック" in svg(per_class(table)).decode()
    # With letters that the font has, outlines replace the text.
    assert b"<text" not in svg(per_class(classes(1)))


def test_threads_do_not_disturb_each_other_or_the_settings(accuracy):
    before = dict(mpl.rcParams)
    with ThreadPoolExecutor(4) as pool:
        files = list(pool.map(lambda _: svg(accuracy_by_block(accuracy)), range(8)))
    assert len(set(files)) == 1
    assert dict(mpl.rcParams) == before


def test_importing_the_figures_imports_no_matplotlib():
    code = (
        "import sys, fashionprobe.plots.accuracy_by_block, fashionprobe.plots.per_class, fashionprobe.plots.per_class, "
        "fashionprobe.plots.training, fashionprobe.plots.per_class, fashionprobe.plots.per_class, "
        "fashionprobe.plots.save, fashionprobe.report.render; sys.exit('matplotlib' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_drawing_never_imports_pyplot(accuracy):
    code = (
        "import sys, pandas, fashionprobe.plots.accuracy_by_block as a, fashionprobe.plots.save as s; "
        "t = pandas.DataFrame({'label': ['x'], 'block': [1], 'classifier': ['knn'], 'parameter': ['4'], "
        "'accuracy_mean': [0.5], 'accuracy_std': [0.1]}); "
        "s.svg(a.accuracy_by_block(t)); sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
