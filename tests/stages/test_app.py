import socket

import pytest

from fashionprobe.errors import UserError
from fashionprobe.stages import app, extract, ingest
from fashionprobe.stages.app import empty_tabs, parts


def test_without_gradio_the_extra_is_named(command, monkeypatch):
    import importlib.util

    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "gradio" else real(name, *rest)
    )
    code, _, error = command("app", "--run", "x")
    assert code == 2 and "pip install 'fashionprobe[app]'" in error


def test_a_run_that_is_not_there(command):
    code, out, error = command("app", "--run", "nothing")
    assert (code, out) == (2, "") and "which does not exist. Make one first: fashionprobe train" in error


def test_another_interface_demands_a_password(command):
    code, _, error = command("app", "--run", "x", "--host", "0.0.0.0")
    assert (
        code == 2
        and error.count("\n") == 1
        and "`auth` is missing: --host 0.0.0.0 can be reached from other machines" in error
    )


def test_a_name_cannot_lead_out_of_the_runs(tmp_path):
    with pytest.raises(UserError, match=r"`run` must be a name of letters"):
        app(run="../x", runs_root=str(tmp_path))


def test_tabs_say_which_command_makes_what_is_missing(tmp_path):
    (tmp_path / "runs" / "empty").mkdir(parents=True)
    place = parts.Place(tmp_path / "runs" / "empty", None, str(tmp_path))
    for make, words in (
        (parts.marking, "fashionprobe train --dataset DATASET --run empty"),
        (parts.searching, "fashionprobe index --run empty"), (parts.mapping, "fashionprobe reduce --run empty"),
        (parts.judging, "Make it: fashionprobe relevance --run empty"),
    ):  # fmt: skip
        with pytest.raises(UserError, match=words):
            make(place)


def test_an_empty_tab_says_what_it_is_for_and_the_command_to_go_on_with(tmp_path, garments_root, garment_index):
    (tmp_path / "empty").mkdir()
    new = empty_tabs(tmp_path / "empty", "mine")
    assert [*new] == ["mark", "explore", "search", "map", "filters"]
    assert all(words.count(". ") == 2 and words.startswith("Here you ") for words in new.values())
    assert new["mark"].endswith("Next: fashionprobe train --dataset mine --run empty")
    assert {new[tab].partition("fashionprobe ")[2] for tab in ("explore", "search", "map")} == {
        "extract --dataset mine --run empty"
    }
    described = empty_tabs(garments_root / "runs/small", None)
    assert [*described] == ["mark", "search", "map", "filters"]
    assert described["mark"].endswith("fashionprobe train --dataset small --run small --label colour")
    assert described["search"].endswith("fashionprobe index --run small")
    assert described["map"].endswith("fashionprobe wall --run small")
    assert "search" not in empty_tabs(garment_index / "runs/g", None)


def test_a_port_that_is_taken_is_named(command, tmp_path):
    (tmp_path / "runs" / "empty").mkdir(parents=True)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, _, error = command("app", "--run", "empty", "--port", port)
    assert code == 2 and f"`port` must be free on 127.0.0.1. Received: {port}" in error


def test_the_network_that_described_a_run_can_be_explored_by_its_classes(tmp_path):
    roots = {"tfrecords_root": str(tmp_path / "tfrecords"), "runs_root": str(tmp_path / "runs")}
    records = ingest(dataset="g", source="garments", count=50, size=64, tfrecords_root=roots["tfrecords_root"])
    extract(dataset=records, backbone="efficientnet_lite0", size=64, block=1, **roots)
    place = parts.Place(tmp_path / "runs/g", None, roots["tfrecords_root"])
    explored = parts.exploring(place, None)
    assert explored.classifier.classes[985] == "daisy" and explored.label == "colour"
    picture = explored.pictures.picture(explored.some(1, 0)[0])
    guesses = explored.guesses(picture)
    assert len(guesses) == 5 and guesses[0][0] in explored.classifier.classes
    assert explored.seen(picture, "grad_cam", "daisy").shape == (64, 64, 3)


def test_a_run_described_by_a_network_without_classes_says_what_is_missing(garments_root):
    place = parts.Place(garments_root / "runs/small", None, str(garments_root / "tfrecords"))
    with pytest.raises(UserError, match=r"described by tiny.keras, which ends in features. Train one: fashionprobe"):
        parts.exploring(place, None)
