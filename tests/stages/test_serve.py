"""The HTTP service, by a process of its own and plain requests, with a token; what is cheaper without one, in here."""

import io
import json
import shutil
import socket
import struct
import urllib.error
import urllib.request
import zlib
from http.client import HTTPConnection

import numpy as np
import pandas as pd
import pytest
from app_runs import Server
from PIL import Image

from fashionprobe import Searcher, __version__
from fashionprobe.app.data_uris import MAX_UPLOADED
from fashionprobe.stages import serve
from fashionprobe.stages.serve import open_service

TOKEN = "a-token-of-some-length"
PARTS = "----parts"


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)


@pytest.fixture(scope="module")
def place(garment_index, trained, tmp_path_factory):
    """The run `g` with an index, and with a classifier that was trained on the same kind of garments."""
    root = tmp_path_factory.mktemp("serve")
    shutil.copytree(garment_index, root, dirs_exist_ok=True)
    shutil.copytree(trained / "runs/g/train", root / "runs/g/train")
    return root


@pytest.fixture(scope="module")
def server(place):
    """The service."""
    started = Server(place / "runs/g", command="serve", environment={"FASHIONPROBE_TOKEN": TOKEN}).start()
    yield started
    started.kill()


@pytest.fixture(scope="module")
def ask(server):
    """Ask it: a path, the bytes of a picture or None, and fields."""

    def asked(path, image=None, *, headers=None, name="shirt.png", **fields):
        data = None
        told = {"Authorization": f"Bearer {TOKEN}"} | (headers or {})
        if image is not None or fields:
            data = multipart(image, name, fields)
            told["Content-Type"] = f"multipart/form-data; boundary={PARTS}"
        request = urllib.request.Request(server.url + path, data, {k: v for k, v in told.items() if v is not None})
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return Answer(answer.status, answer.headers, answer.read())
        except urllib.error.HTTPError as error:
            return Answer(error.code, error.headers, error.read())

    return asked


def multipart(image, name, fields):
    body = b"".join(
        f'--{PARTS}\r\nContent-Disposition: form-data; name="{field}"\r\n\r\n{value}\r\n'.encode()
        for field, value in fields.items()
    )
    if image is not None:
        head = f'--{PARTS}\r\nContent-Disposition: form-data; name="image"; filename="{name}"\r\n'
        body += head.encode() + b"Content-Type: application/octet-stream\r\n\r\n" + image + b"\r\n"
    return body + f"--{PARTS}--\r\n".encode()


def png(width, height):
    """A PNG file whose header says so, and that holds nothing."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


@pytest.fixture(scope="module")
def shirt(place):
    return (place / "shirt.png").read_bytes()


@pytest.fixture(scope="module")
def searcher(place):
    return Searcher("g", runs_root=str(place / "runs"), tfrecords_root=str(place / "tfrecords"))


def test_it_says_that_it_is_up(ask):
    answer = ask("healthz")
    assert answer.status == 200 and answer.json == {"version": __version__, "images": 60}


def test_it_finds_what_the_searcher_finds(ask, shirt, searcher):
    expected = searcher.search(shirt, by="colour", top=5).assign(query="shirt.png")
    answer = ask("search", shirt, by="colour", top=5)
    assert answer.status == 200 and [row["rank"] for row in answer.json] == [1, 2, 3, 4, 5]
    pd.testing.assert_frame_equal(pd.DataFrame(answer.json), expected, atol=1e-6)


def test_an_id_a_filter_and_the_query_itself(ask, searcher):
    first, pattern = searcher.index.items[["id", "pattern"]].iloc[0]
    found = ask("search", id=first, top=9, where=f"pattern == '{pattern}'").json
    assert found and {row["pattern"] for row in found} == {pattern} and {row["query"] for row in found} == {first}
    assert first not in [row["id"] for row in ask("search", id=first).json]
    assert ask("search", id=first, include_query="true").json[0]["id"] == first
    assert ask("search", id=first, where="pattern == 'none of them'").json == []


def test_a_form_without_parts_does_as_well(server, searcher):
    first = searcher.index.items["id"].iloc[0]
    request = urllib.request.Request(
        f"{server.url}search", f"id={first}&top=2".encode(), {"Authorization": f"bearer {TOKEN}"}
    )
    with urllib.request.urlopen(request) as answer:
        assert len(json.load(answer)) == 2


@pytest.mark.parametrize(
    ("fields", "status", "words"),
    [
        ({"id": "nothing"}, 404, "`id` must be the id of an image of the index"),
        ({"top": 3}, 422, "`image` or `id` must be given, and only one of them. Received: none of them."),
        ({"id": "x", "by": "colr"}, 422, "Did you mean 'colour'?"),
        ({"id": "x", "top": 0}, 422, "`top` does not fit: input should be greater than or equal to 1."),
        ({"id": "x", "top": "many"}, 422, "`top` does not fit: input should be a valid integer"),
        ({"id": "x", "where": "price <"}, 422, "`where` must be a pandas query"),
        ({"id": "x", "where": "@open('x')"}, 422, "without '@' and '__'"),
    ],
)
def test_what_does_not_fit_is_a_sentence(ask, fields, status, words):
    answer = ask("search", **fields)
    assert answer.status == status and words in answer.json["detail"]


@pytest.mark.parametrize("path", ["search", "tag", "explain"])
def test_a_file_that_is_not_a_picture(ask, shirt, path):
    assert ask(path, b"no picture").json["detail"].startswith("`image` must be an image file: JPEG, PNG")
    broken = ask(path, shirt[:-200])
    assert broken.status == 422 and "image" in broken.json["detail"]
    assert ask(path, b"").status == 422
    assert ask("tag", top=2).json["detail"] == "`image` does not fit: field required."


def test_what_is_too_large(ask, server):
    whole = ask("tag", bytes(MAX_UPLOADED + 1))
    assert (whole.status, whole.json["detail"]) == (
        413, "`image` must be a file of 20 MB or less. Received: 20 MB. Make it smaller first.",
    )  # fmt: skip
    pixels = ask("search", png(10_000, 5_001))
    assert pixels.status == 413 and "a picture of 50,000,000 pixels or less" in pixels.json["detail"]
    for chunked in (False, True):
        connection = HTTPConnection("127.0.0.1", server.port, timeout=30)
        head = {"Authorization": f"Bearer {TOKEN}", "Content-Type": f"multipart/form-data; boundary={PARTS}"}
        if not chunked:
            # Answered by its length alone: nothing of it is ever sent.
            connection.putrequest("POST", "/tag")
            for each in (head | {"Content-Length": str(10**12)}).items():
                connection.putheader(*each)
            connection.endheaders()
        else:
            body = (multipart(bytes(2**20), "x", {})[:-20] for _ in range(22))
            connection.request("POST", "/tag", body, head, encode_chunked=True)
        answer = connection.getresponse()
        assert answer.status == 413 and b"20 MB or less" in answer.read()
        connection.close()


def test_without_the_token_nothing_is_told(ask, shirt):
    for shown in (None, "Bearer no", f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN}x"):
        for path, image in (("healthz", None), ("openapi.json", None), ("tag", shirt)):
            answer = ask(path, image, headers={"Authorization": shown})
            assert answer.status == 401 and answer.headers["WWW-Authenticate"] == "Bearer"


def test_pages_of_other_sites_are_refused(ask):
    assert ask("search", id="x", headers={"Origin": "http://example.org"}).status == 403
    assert ask("healthz", headers={"Host": "example.org"}).status == 400


def test_it_tags_as_the_searcher_does(ask, shirt, searcher):
    expected = searcher.tag(shirt).assign(image="shirt.png")
    found = pd.DataFrame(ask("tag", shirt).json)
    assert [*found.columns] == [*expected.columns] and found["group"].tolist() == ["colour", "pattern"]
    assert found["nearest"].tolist() == expected["nearest"].tolist()
    np.testing.assert_allclose(found["distance"], expected["distance"], atol=1e-6)


def test_it_explains(ask, shirt, place):
    classes = json.loads((place / "runs/g/train/manifest.json").read_text())["facts"]["classes"]
    answer = ask("explain", shirt)
    assert answer.status == 200 and answer.headers["Content-Type"] == "image/png"
    seen = np.asarray(Image.open(io.BytesIO(answer.body)))
    assert seen.shape == (32, 32, 3) and answer.headers["X-Class"] in classes
    assert 1 / len(classes) <= float(answer.headers["X-Probability"]) <= 1
    other = next(name for name in classes if name != answer.headers["X-Class"])
    again = ask("explain", shirt, **{"class": other})
    assert again.headers["X-Class"] == other and again.body != answer.body
    wrong = ask("explain", shirt, **{"class": f"{other}z"})
    assert wrong.status == 422 and f"Did you mean '{other}'?" in wrong.json["detail"]


def test_it_is_described(ask):
    described = ask("openapi.json").json
    assert {*described["paths"]} == {"/search", "/tag", "/explain", "/healthz"}
    assert described["components"]["securitySchemes"]["HTTPBearer"]["scheme"] == "bearer"
    hit = described["components"]["schemas"]["Hit"]
    assert hit["example"]["rank"] == 1 and all("description" in each for each in hit["properties"].values())
    for path in described["paths"].values():
        for method in path.values():
            assert method["summary"] and "401" in method["responses"]


def test_a_run_without_a_classifier_says_so(garment_index, shirt):
    from fastapi import HTTPException, UploadFile

    from fashionprobe.app.access import Access
    from fashionprobe.app.endpoints import application

    service = open_service(
        garment_index / "runs/g", backbone=None, trust=False, tfrecords_root=str(garment_index / "tfrecords")
    )
    app = application(service, Access())
    endpoints = {route.path: route.endpoint for route in app.routes if hasattr(route, "endpoint")}
    with pytest.raises(HTTPException, match=r"which ends in features. Train one: fashionprobe train") as error:
        endpoints["/explain"](UploadFile(io.BytesIO(shirt)))
    assert error.value.status_code == 404
    # Where everybody on this machine may ask, no token is spoken of.
    assert "securitySchemes" not in app.openapi()["components"] and "401" not in json.dumps(app.openapi())


def test_ctrl_c_ends_it_quietly(server, ask):
    assert ask("healthz").status == 200
    assert server.stop() == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--host 0.0.0.0", "`token_file` is missing: --host 0.0.0.0 can be reached from other machines."),
        ("--token-file nothing", "`token_file` must be the path of a file with a token."),
        ("--token-file open", "must be a file that only you can read. Received: open. chmod 600 open"),
        ("--token-file short", "must be a file with one token of 16 characters or more"),
        ("--port 0", "`port` must be in 1 to 65535. Received: 0."),
        ("", "Make it first: fashionprobe index --run x"),
    ],
)
def test_bad_options_are_a_line(command, tmp_path, monkeypatch, options, words):
    monkeypatch.delenv("FASHIONPROBE_TOKEN", raising=False)
    for name, text, mode in (("open", TOKEN, 0o644), ("short", "short", 0o600)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(mode)
    code, out, error = command("serve", "--run", "x", *options.split())
    assert (code, out) == (2, "") and words in error and error.count("\n") == 1


def test_a_port_that_is_taken_is_a_line(command):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        code, _, error = command("serve", "--run", "x", "--port", taken.getsockname()[1])
    assert code == 2 and "`port` must be free on 127.0.0.1" in error and error.count("\n") == 1


def test_a_stage_like_any_other(tmp_path):
    with pytest.raises(ValueError, match="`run` must be a name of letters"):
        serve(run="../x", runs_root=str(tmp_path))
