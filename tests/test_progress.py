import io
import logging
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


def test_bars_within_tell_a_watcher_how_far_they_are_and_bars_outside_do_not():
    told = []
    with progress.watched(lambda *each: told.append(each)):
        with progress.bar(total=10, done=4, unit="image", description="extract") as bar:
            bar.update(3)
            bar.update()
    with progress.bar(total=3, unit="image", description="ingest") as bar:
        bar.update(3)
    assert told == [("extract", 7, 10), ("extract", 8, 10)]


def test_a_bar_is_hidden_where_only_warnings_are_logged(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("sys.stderr", Terminal())
    for level, hidden in ((logging.WARNING, True), (logging.INFO, False), (logging.NOTSET, False)):
        monkeypatch.setattr(logging.getLogger("fashionprobe"), "level", level)
        with progress.bar(total=1, unit="image", description="stage") as shown:
            assert bool(shown.disable) is hidden
