import pytest


def test_whole_chain(command, tmp_path):
    code, out, err = command("demo", "--count", 50, "--size", 32)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].startswith("wrote tfrecords/demo: 50 images")
    assert lines[1].startswith("wrote runs/demo/extract: 50 images")
    assert lines[-1] == "wrote runs/demo/report/report.html. Open it in a browser."
    assert (tmp_path / "runs/demo/report/report.html").is_file()


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
