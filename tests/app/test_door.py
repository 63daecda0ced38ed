"""Who may come in: the server as another machine sees it, without a browser."""

import http.cookiejar
import urllib.error
import urllib.parse
import urllib.request
from types import SimpleNamespace

import pytest
from app_runs import Server

pytest.importorskip("gradio", reason="the extra app is not installed")


def ask(visitor, address, data=None):
    """Return the status and the text of an answer."""
    try:
        with visitor.open(address, data, timeout=20) as answer:
            return answer.status, answer.read().decode(errors="replace")
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode(errors="replace")


@pytest.mark.slow
def test_nothing_is_to_be_had_without_the_password_and_ctrl_c_ends_it_well(tmp_path):
    run = tmp_path / "runs" / "empty"
    run.mkdir(parents=True)
    (run / "secret.txt").write_text("a secret")
    server = Server(run, environment={"FASHIONPROBE_AUTH": "kim:long enough"}).start()
    stranger = urllib.request.build_opener()
    for address in ("config", "gradio_api/info", f"gradio_api/file={run}/secret.txt", "gradio_api/queue/status"):
        status, text = ask(stranger, f"{server.url}{address}")
        assert status in (401, 403, 404) and "components" not in text and "a secret" not in text
    assert ask(stranger, f"{server.url}gradio_api/component_server", b"{}")[0] == 401
    known = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()))
    for password, status in (("wrong", 400), ("long enough", 200)):
        form = urllib.parse.urlencode({"username": "kim", "password": password}).encode()
        assert ask(known, f"{server.url}login", form)[0] == status
    status, text = ask(known, f"{server.url}config")
    # Of an empty run each tab says which command comes next.
    assert status == 200 and all(f"fashionprobe {command}" in text for command in ("train", "extract"))
    assert ask(known, f"{server.url}gradio_api/file={run}/secret.txt")[0] == 403
    assert server.stop() == 0


def test_a_mask_has_the_name_of_who_logged_in():
    import getpass

    from fashionprobe.app.tabs.mark import _user

    server = SimpleNamespace(tokens={"t1": "kim"})
    for cookies, name in (
        ({"access-token-unsecure-x": "t1"}, "kim"), ({"access-token-x": "t1"}, "kim"),
        ({"access-token-x": "forged"}, getpass.getuser()), ({"other": "t1"}, getpass.getuser()),
    ):  # fmt: skip
        assert _user(SimpleNamespace(app=server, cookies=cookies)) == name
    assert _user(SimpleNamespace(cookies={})) == getpass.getuser()
