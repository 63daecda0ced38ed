import io
import sys

from fashionprobe import progress


def test_bar_is_quiet_without_a_terminal(capsys):
    with progress.bar(total=3, unit="image", description="ingest") as bar:
        bar.update(3)
    assert capsys.readouterr() == ("", "")


def test_bar_shows_rate_and_rest_on_a_terminal(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    with progress.bar(total=10, done=4, unit="image", description="extract") as bar:
        bar.delay = 0
        bar.update(3)
        bar.refresh()
    assert "extract" in screen.getvalue()
    assert "7/10" in screen.getvalue()
