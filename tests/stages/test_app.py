import socket

import pytest

from fashionprobe.errors import UserError
from fashionprobe.stages import app
from fashionprobe.stages.app import parts


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
    ):  # fmt: skip
        with pytest.raises(UserError, match=words):
            make(place)


def test_a_port_that_is_taken_is_named(command, tmp_path):
    (tmp_path / "runs" / "empty").mkdir(parents=True)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, _, error = command("app", "--run", "empty", "--port", port)
    assert code == 2 and f"`port` must be free on 127.0.0.1. Received: {port}" in error
