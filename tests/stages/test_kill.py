"""SIGKILL at any moment: the same command then finishes, writes nothing twice and leaves the same bytes."""

import json
import multiprocessing
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fashionprobe import cli
from fashionprobe.artifacts import COMMITTED

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL"),
]


@pytest.fixture(scope="module")
def start() -> Callable[..., multiprocessing.Process]:
    """Start the command line in a process of its own, forked from one that has imported TensorFlow already."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["fashionprobe.cli", "tensorflow", "keras", "pandas", "fashionprobe.records.pack"])

    def run(*words: object) -> multiprocessing.Process:
        process = context.Process(target=cli.main, args=([str(word) for word in words],))
        process.start()
        return process

    return run


def kill_when(process: multiprocessing.Process, moment: Callable[[], bool]) -> bool:
    """Kill the process at this moment; return whether it was still running."""
    while process.is_alive() and not moment():
        time.sleep(0.001)
    alive = process.is_alive()
    if alive:
        os.kill(process.pid, signal.SIGKILL)
    process.join()
    return alive


def finish(process: multiprocessing.Process) -> None:
    process.join(120)
    assert process.exitcode == 0


def content(folder: Path) -> dict[str, bytes | dict]:
    """Return the files of an artifact, and its manifest without the part that may differ."""
    files: dict[str, bytes | dict] = {path.name: path.read_bytes() for path in folder.iterdir()}
    manifest = json.loads(files["manifest.json"])
    del manifest["run"]
    return files | {"manifest.json": manifest}


def identities(folder: Path, pattern: str) -> dict[str, tuple[int, int]]:
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in folder.glob(pattern)}


def draft_of(root: Path) -> Path | None:
    return next(root.glob("incomplete.*"), None) if root.exists() else None


INGEST = ("ingest", "--dataset", "x", "--source", "garments", "--count", 120, "--size", 96, "--shard-size", 10,
          "--threads", 2, "--tfrecords-root")  # fmt: skip


@pytest.fixture(scope="module")
def undisturbed(start, tmp_path_factory) -> dict[str, bytes | dict]:
    root = tmp_path_factory.mktemp("undisturbed")
    finish(start(*INGEST, root))
    return content(root / "x")


def notes(root: Path) -> int:
    draft = draft_of(root)
    return len(list(draft.glob(".*.json"))) if draft else 0


MOMENTS = {
    "folder made": lambda root: draft_of(root) is not None,
    "first shard begun": lambda root: draft_of(root) is not None and any(draft_of(root).glob(".*.part")),
    "first shard finished": lambda root: notes(root) >= 1,
    "last shard finished": lambda root: notes(root) >= 13,
    "finished": lambda root: (root / "x").exists(),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_ingest_killed_at_a_named_moment(start, undisturbed, tmp_path, moment):
    kill_when(start(*INGEST, tmp_path), lambda: MOMENTS[moment](tmp_path))
    check_ingest_goes_on(start, undisturbed, tmp_path)


@pytest.mark.parametrize("seed", range(3))
def test_ingest_killed_at_any_moment(start, undisturbed, tmp_path, seed):
    process, end = start(*INGEST, tmp_path), time.monotonic() + random.Random(seed).uniform(0.1, 1.5)
    kill_when(process, lambda: time.monotonic() > end)
    check_ingest_goes_on(start, undisturbed, tmp_path)


def check_ingest_goes_on(start, undisturbed: dict, root: Path) -> None:
    draft = draft_of(root)
    finished = {}
    if draft:
        assert not (root / "x").exists()
        done = {path.name[1:].removesuffix(".json") for path in draft.glob(".*.tfrecord.json")}
        finished = {name: mark for name, mark in identities(draft, "*.tfrecord").items() if name in done}
    finish(start(*INGEST, root))
    assert content(root / "x") == undisturbed
    assert identities(root / "x", "*.tfrecord").items() >= finished.items()
    assert draft_of(root) is None


@pytest.fixture(scope="module")
def records(start, tmp_path_factory) -> Path:
    """Enough images for several commits."""
    root = tmp_path_factory.mktemp("records")
    finish(start("ingest", "--dataset", "many", "--source", "garments", "--count", 1100, "--size", 16,
                 "--tfrecords-root", root))  # fmt: skip
    return root


@pytest.fixture(scope="module")
def extraction(records, model_path) -> tuple[object, ...]:
    return ("extract", "--dataset", "many", "--backbone", model_path, "--size", 48, "--tfrecords-root", records,
            "--runs-root")  # fmt: skip


@pytest.fixture(scope="module")
def descriptors(start, extraction, tmp_path_factory) -> dict[str, bytes | dict]:
    root = tmp_path_factory.mktemp("runs")
    finish(start(*extraction, root))
    return content(root / "many/extract")


def committed(root: Path) -> int:
    draft = draft_of(root / "many")
    try:
        return json.loads((draft / COMMITTED).read_text())["rows"] if draft else 0
    except FileNotFoundError:
        return 0


@pytest.mark.parametrize("rows", [0, 512])
def test_extract_killed_after_some_rows(start, extraction, descriptors, tmp_path, rows):
    killed = kill_when(
        start(*extraction, tmp_path), lambda: draft_of(tmp_path / "many") is not None and committed(tmp_path) >= rows
    )
    done = committed(tmp_path)
    finish(start(*extraction, tmp_path))
    made = tmp_path / "many/extract"
    assert content(made) == descriptors
    resumed = json.loads((made / "manifest.json").read_text())["run"]["settings"]["rows_resumed"]
    assert not killed or resumed == done >= rows


@pytest.mark.parametrize("seed", range(2))
def test_extract_killed_at_any_moment(start, extraction, descriptors, tmp_path, seed):
    process, end = start(*extraction, tmp_path), time.monotonic() + random.Random(seed).uniform(0.1, 3)
    kill_when(process, lambda: time.monotonic() > end)
    finish(start(*extraction, tmp_path))
    assert content(tmp_path / "many/extract") == descriptors
    assert draft_of(tmp_path / "many") is None


def test_two_processes_at_once(start, undisturbed, tmp_path):
    """One of them does the work, the other is sent away; what is there in the end is whole."""
    both = [start(*INGEST, tmp_path) for _ in range(2)]
    for process in both:
        finish(process)
    assert content(tmp_path / "x") == undisturbed


def test_ctrl_c_ends_soon_and_leaves_what_is_done(start, undisturbed, tmp_path):
    process = start(*INGEST, tmp_path)
    while process.is_alive() and not notes(tmp_path):
        time.sleep(0.001)
    os.kill(process.pid, signal.SIGINT)
    process.join(20)
    assert process.exitcode == 0
    check_ingest_goes_on(start, undisturbed, tmp_path)
