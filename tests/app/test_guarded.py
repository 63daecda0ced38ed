"""What the server answers to requests that no page sends: 4xx, and nothing that they made up."""

import http.client

import pytest
from app_runs import Server

pytest.importorskip("gradio", reason="the extra app is not installed")
FORM = {"content-type": "multipart/form-data; boundary=B"}
JSON = {"content-type": "application/json"}
API = "/gradio_api"


def part(disposition):
    return f"--B\r\nContent-Disposition: {disposition}\r\nContent-Type: image/png\r\n\r\nx\r\n--B--\r\n".encode()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    run = tmp_path_factory.mktemp("root") / "runs" / "empty"
    run.mkdir(parents=True)
    running = Server(run).start()
    yield running
    running.kill()


@pytest.fixture
def ask(server):
    """Return a function that sends one request and returns status, headers and text of the answer."""

    def ask(method, path, headers=None, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read().decode(errors="replace")
        finally:
            connection.close()

    return ask


@pytest.mark.parametrize(("method", "path", "headers", "body"), [
    ("POST", f"{API}/upload", FORM, part('form-data; name="files"')),
    ("POST", f"{API}/upload", FORM, part("form-data")),
    ("POST", f"{API}/upload", FORM, b"nothing of the kind"),
    ("POST", f"{API}/upload", JSON, b"{}"),
    ("GET", f"{API}/proxy=%00", {}, None),
    ("GET", f"{API}/proxy=http://127.0.0.1:1/", {}, None),
    ("GET", f"{API}/file=%00", {}, None),
    ("GET", "/%00", {}, None),
    ("GET", "/static/" + "a" * 6000, {}, None),
    ("POST", f"{API}/queue/join", JSON, b'{"fn_index":99999,"data":[],"session_hash":"a"}'),
    ("POST", f"{API}/queue/join", JSON, b'{"fn_index":NaN,"data":[],"session_hash":"a"}'),
    ("POST", f"{API}/queue/join", JSON, b"[" * 100_000),
    ("POST", f"{API}/queue/join", {**JSON, "origin": "http://["}, b"{}"),
    ("POST", f"{API}/component_server", JSON, b'{"session_hash":"a","component_id":99999,"fn_name":"x","data":[]}'),
    ("POST", f"{API}/component_server", FORM, part('form-data; name="data"')),
    ("POST", f"{API}/run/%00", JSON, b'{"data":[]}'),
    ("POST", f"{API}/api/predict", JSON, b'{"data":[],"fn_index":99999}'),
    ("POST", f"{API}/call/x", JSON, b'{"data":[]}'),
    ("GET", f"{API}/dev/reload", {}, None),
])  # fmt: skip
def test_what_cannot_be_read_is_the_fault_of_who_asks(ask, method, path, headers, body):
    status, answered, _ = ask(method, path, headers, body)
    assert 400 <= status < 500
    assert answered["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("headers", [
    {"x-forwarded-host": "evil.example"}, {"x-forwarded-proto": "https"}, {"x-gradio-server": "http://evil.example"},
    {"forwarded": "host=evil.example;proto=https"}, {"x-forwarded-prefix": "/evil.example"},
    {"x-forwarded-host": "evil.example", "x-forwarded-proto": "https", "x-forwarded-for": "6.6.6.6"},
], ids=lambda headers: "+".join(headers))  # fmt: skip
@pytest.mark.parametrize("path", ["/", "/config"])
def test_the_page_takes_its_address_from_no_forged_header(ask, server, path, headers):
    status, _, text = ask("GET", path, headers)
    assert status == 200
    assert f"http://127.0.0.1:{server.port}" in text
    assert "evil.example" not in text and "https://127.0.0.1" not in text


def test_the_page_may_not_be_framed_and_loads_nothing_from_elsewhere(ask):
    _, headers, _ = ask("GET", "/")
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    policy = dict(each.strip().split(" ", 1) for each in headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["object-src"] == "'none'"
    assert "http" not in headers["content-security-policy"]
