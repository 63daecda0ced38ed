"""Who may come in: the server as another machine sees it, without a browser."""

import http.cookiejar
import json
import urllib.error
import urllib.parse
import urllib.request

import pytest
from app_runs import Server

from fashionprobe.feedback import marks

pytest.importorskip("gradio", reason="the extra app is not installed")


@pytest.fixture(scope="module")
def server(copied):
    running = Server(copied, environment={"FASHIONPROBE_AUTH": "kim:long enough"}).start()
    yield running
    running.kill()  # where no test has stopped it


def ask(visitor, address, data=None, kind="application/json", **headers):
    """Return the status and the text of an answer."""
    request = urllib.request.Request(address, data=data, headers={"Content-Type": kind, **headers})
    try:
        with visitor.open(request, timeout=20) as answer:
            return answer.status, answer.read().decode(errors="replace")
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode(errors="replace")


def visitor():
    return urllib.request.build_opener(urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()))


def save(someone, server, component, note):
    data = {"item": 0, "mask": "", "note": note, "base": "", "settles": []}
    body = {"data": data, "fn_name": "save", "component_id": component, "session_hash": "x"}
    return ask(someone, f"{server.url}gradio_api/component_server", json.dumps(body).encode())


def test_nothing_is_to_be_had_without_the_password_and_masks_have_the_name_of_who_drew_them(server, copied):
    stranger = visitor()
    for address in (
        "config",
        "gradio_api/info",
        f"gradio_api/file={copied}/train/model.keras",
        "gradio_api/queue/status",
    ):
        status, text = ask(stranger, f"{server.url}{address}")
        assert status in (401, 403, 404) and "components" not in text
    assert save(stranger, server, 1, "mine")[0] == 401
    for password, status in (("wrong", 400), ("long enough", 200)):
        form = urllib.parse.urlencode({"username": "kim", "password": password}).encode()
        known = visitor()
        assert ask(known, f"{server.url}login", form, "application/x-www-form-urlencoded")[0] == status
    config = json.loads(ask(known, f"{server.url}config")[1])
    surface = next(each["id"] for each in config["components"] if each["props"].get("elem_id") == "fp-mark")
    status, text = save(known, server, surface, "by hand")
    assert status == 200 and json.loads(text)["note"] == "by hand"
    (mark,) = marks.load_all(copied / "marks")
    assert (mark.now.author, mark.now.note) == ("kim", "by hand")


def test_uploads_are_limited(server):
    someone = visitor()
    form = urllib.parse.urlencode({"username": "kim", "password": "long enough"}).encode()
    ask(someone, f"{server.url}login", form, "application/x-www-form-urlencoded")

    def upload(size):
        head = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n'
        body = head + b"\0" * size + b"\r\n--x--\r\n"
        return ask(someone, f"{server.url}gradio_api/upload", body, "multipart/form-data; boundary=x")[0]

    assert upload(1000) == 200 and upload(21 * 2**20) == 413


def test_another_sites_page_cannot_save_a_mask(server, copied):
    someone = visitor()
    form = urllib.parse.urlencode({"username": "kim", "password": "long enough"}).encode()
    own = server.url.rstrip("/")
    assert (
        ask(someone, f"{server.url}login", form, "application/x-www-form-urlencoded", Origin="https://evil.example")[0]
        == 403
    )
    assert ask(someone, f"{server.url}login", form, "application/x-www-form-urlencoded", Origin="null")[0] == 403
    assert ask(someone, f"{server.url}login", form, "application/x-www-form-urlencoded", Origin=own)[0] == 200


def test_a_file_that_was_not_uploaded_is_not_read(server, tmp_path):
    """What the page would send with a picture that was uploaded, with the path of another file."""
    someone = visitor()
    form = urllib.parse.urlencode({"username": "kim", "password": "long enough"}).encode()
    ask(someone, f"{server.url}login", form, "application/x-www-form-urlencoded")
    config = json.loads(ask(someone, f"{server.url}config")[1])
    upload = next(each["id"] for each in config["components"] if each["props"].get("elem_id") == "fp-upload")
    function = next(each for each in config["dependencies"] if each["inputs"][:1] == [upload])
    secret = tmp_path / "secret.png"
    secret.write_bytes(b"secret")
    data = [{"path": str(secret), "meta": {"_type": "gradio.FileData"}}, *[None] * (len(function["inputs"]) - 1)]
    body = {"data": data, "fn_index": function["id"], "session_hash": "stranger", "event_data": None}
    assert ask(someone, f"{server.url}gradio_api/queue/join", json.dumps(body).encode())[0] == 200
    with someone.open(f"{server.url}gradio_api/queue/data?session_hash=stranger", timeout=20) as stream:
        told = next(line for line in stream if b"process_completed" in line)
    answer = json.loads(told.removeprefix(b"data: "))
    assert answer["success"] is False and b"data:image" not in told


def test_a_page_of_another_name_gets_no_answer(server):
    assert ask(visitor(), server.url, Host="evil.example")[0] == 400


def test_ctrl_c_ends_it_well(server):
    assert server.stop() == 0
