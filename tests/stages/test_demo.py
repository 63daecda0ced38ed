import pytest

from fashionprobe.stages.app import empty_tabs


def test_whole_chain(command, tmp_path):
    code, out, err = command("demo", "--count", 50, "--size", 32)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].startswith("wrote tfrecords/demo: 50 images")
    for run in ("demo", "demo-random", "demo-mini"):
        assert any(line.startswith(f"wrote runs/{run}/extract: 50 images") for line in lines)
    assert lines[-1] == "wrote runs/demo/report/report.html. Open it in a browser."
    # What the application shows of it: all tabs but those that need a classifier.
    assert [*empty_tabs(tmp_path / "runs/demo", None)] == ["mark", "filters"]
    page = (tmp_path / "runs/demo/report/report.html").read_text(encoding="utf-8")
    assert "efficientnet_lite0, trained on ImageNet, knows of garments that it never saw" in page
    # The answer, then what the network sees, then what it finds, then the details.
    headings = ["At a glance", "Runs compared", "What the network looks at", "Finding similar images"]
    places = [page.index(heading) for heading in headings] + [page.index('id="section-1"')]
    assert places == sorted(places)
    # Whichever network reads them best, the sentence on top is about the one that never saw them.
    lead = page[page.index('<p class="lead">') :].partition("</p>")[0]
    assert "of run demo" in lead and "of run demo-" not in lead


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--count 49", "`count` must be an int in the range [50, inf). Received: 49."),
        ("--size 31", "`size` must be an int in the range [32, inf). Received: 31."),
    ],
)
def test_too_few_or_too_small_is_said_before_anything_is_written(command, tmp_path, options, message):
    code, out, err = command("demo", *options.split())
    assert (code, out, err) == (2, "", f"fashionprobe: error: {message}\n")
    assert list(tmp_path.iterdir()) == []
