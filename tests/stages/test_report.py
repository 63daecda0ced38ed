import re
import shutil
from pathlib import Path

import pytest

from fashionprobe.errors import UserError
from fashionprobe.stages import activations, classify, extract, ingest, report


@pytest.fixture
def garments_copy(garments_root, tmp_path) -> Path:
    """A copy of `garments_root` that a test may write into; it is the working folder of `command`."""
    shutil.copytree(garments_root, tmp_path, dirs_exist_ok=True)
    return tmp_path


def of(root: Path, **arguments):
    return report(tfrecords_root=str(root / "tfrecords"), runs_root=str(root / "runs"), **arguments)


def test_page_needs_no_other_file(garments_copy):
    made = of(garments_copy, run="small", samples=2)
    assert made.page == garments_copy / "runs/small/report/report.html"
    page = made.page.read_text(encoding="utf-8")
    assert "colour" in page and "pattern" in page
    # Namespaces and links for the reader are no loading of anything.
    assert (
        re.findall(r"""(?:src|srcset)\s*=\s*["'](?!data:|#)[^"']*|url\((?!["']?(?:data:|#))[^)]*|@import""", page) == []
    )
    assert "<script src" not in page and '<link rel="stylesheet"' not in page
    assert "data:image/" in page


def test_reuse_and_refusal(command, garments_copy):
    words = ("report", "--run", "small", "--samples", 1)
    assert command(*words)[1] == "wrote runs/small/report/report.html. Open it in a browser.\n"
    assert command(*words)[1] == "reused runs/small/report/report.html. Open it in a browser.\n"
    code, _, err = command("report", "--run", "small", "--samples", 2)
    assert (code, err.count("\n")) == (2, 1)
    assert "(samples: 1 -> 2). Pass --overwrite" in err


def test_several_runs_side_by_side(garments_copy, model_path, empty_figures):
    roots = {"tfrecords_root": str(garments_copy / "tfrecords"), "runs_root": str(garments_copy / "runs")}
    other = extract(dataset="small", run="other", backbone=str(model_path), size=16, **roots)
    answers = classify(run=other, label="colour", runs_root=roots["runs_root"])
    made = report(run=[answers, "small"], title="Two <runs>", **roots)
    assert made.path == garments_copy / "runs/other/report"
    page = made.page.read_text(encoding="utf-8")
    assert "Two &lt;runs&gt;" in page and "Two <runs>" not in page
    sections = made.path / "manifest.json"
    assert sections.read_text().count('"run": "small"') == 2
    assert of(garments_copy, run="other,small", title="Two <runs>").reused


def test_without_the_records_there_are_no_samples(garments_copy):
    shutil.rmtree(garments_copy / "tfrecords")
    page = of(garments_copy, run="small").page.read_text(encoding="utf-8")
    assert "The record set is gone" in page


def test_descriptors_newer_than_the_classification(garments_copy, model_path):
    roots = {"tfrecords_root": str(garments_copy / "tfrecords"), "runs_root": str(garments_copy / "runs")}
    extract(dataset="small", backbone=str(model_path), size=16, overwrite=True, **roots)
    with pytest.raises(UserError, match=r"made from the descriptors beside it.*classify again with --overwrite"):
        of(garments_copy, run="small")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--run no", "fashionprobe extract --dataset DATASET --run no"),
        ("--run small,no", "`runs/no/extract` must be a finished artifact"),
        ("--run ,", "`run` is missing: pass a name, or several as a,b."),
        ("--run small --samples -1", "`samples` must be an int in the range [0, inf). Received: -1."),
    ],
)
def test_bad_arguments_are_one_line_and_write_nothing(command, garments_copy, options, message):
    code, out, err = command("report", *options.split())
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err
    assert not (garments_copy / "runs/small/report").exists()


def test_stages_pass_their_results_on(tmp_path, model_path, empty_figures):
    """The chain of a script: each stage takes what the one before returned."""
    runs = str(tmp_path / "runs")
    extracted = extract(
        dataset=ingest(dataset="g", source="garments", count=60, size=32, tfrecords_root=str(tmp_path / "data")),
        backbone=str(model_path), size=32, run="chain", runs_root=runs,
    )  # fmt: skip
    classified = classify(run=extracted, label="pattern")
    page = report(run=classified, samples=0, tfrecords_root=str(tmp_path / "data"))
    assert page.page == tmp_path / "runs/chain/report/report.html"
    assert page.page.is_file()


def test_a_run_that_was_only_looked_at(garments_copy, model_path, empty_figures):
    looked = activations(
        dataset="small", run="looked", backbone=str(model_path), size=32, samples=2,
        runs_root=str(garments_copy / "runs"), tfrecords_root=str(garments_copy / "tfrecords"),
    )  # fmt: skip
    page = of(garments_copy, run=looked).page.read_text(encoding="utf-8")
    assert "On this page: inside the network." in page and "At a glance" not in page
    assert page.count('<figure class="exhibit">') == 4 and "Silent channels by depth" in page


def test_figures_of_other_stages_stand_behind_the_answers(garments_copy, model_path):
    of(garments_copy, run="small", samples=0)
    arguments = {"backbone": str(model_path), "size": 32, "samples": 2, "runs_root": str(garments_copy / "runs")}
    looked = activations(dataset="small", tfrecords_root=str(garments_copy / "tfrecords"), **arguments)
    with pytest.raises(UserError, match=r"inputs?|activations of small"):
        of(garments_copy, run="small", samples=0)
    page = of(garments_copy, run=looked, samples=0, overwrite=True).page.read_text(encoding="utf-8")
    assert page.index("At a glance") < page.index("Inside the network") < page.index("Make this report again")


def test_linear_probes_and_controls_are_on_the_page(garments_copy, command, model_path):
    words = ("extract", "--dataset", "small", "--size", 16, "--backbone", model_path)
    assert command(*words, "--weights", "random", "--run", "untrained")[0] == 0
    classified = ("classify", "--run", "small", "--label", "colour", "--linear", "--control", "untrained")
    assert command(*classified, "--overwrite")[0] == 0
    page = of(garments_copy, run="small", samples=0).page.read_text(encoding="utf-8")
    assert re.search(r"colour is best read at block \d by (a linear probe|\d+-NN|nearest mean)", page)
    assert "by a linear probe" in page and "its selectivity is" in page
    assert "the same network with random weights reaches" in page
    assert "The linear probe is a logistic regression" in page
    for row in ("linear probe", "linear probe, shuffled labels", "linear probe, random weights"):
        assert f'<th scope="row">{row}</th>' in page
    assert "Dashed curves are the same network with random weights." in page
    assert "run untrained" in page


def test_without_linear_probes_the_page_does_not_speak_of_them(garments_copy):
    page = of(garments_copy, run="small", samples=0).page.read_text(encoding="utf-8")
    assert "linear probe" not in page
    assert "and nothing was trained on them" in page
