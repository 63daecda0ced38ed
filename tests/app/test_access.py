import pytest

from fashionprobe.app import access
from fashionprobe.errors import UserError


@pytest.fixture
def users(tmp_path):
    path = tmp_path / "users"

    def write(text, mode=0o600):
        path.write_text(text)
        path.chmod(mode)
        return str(path)

    return write


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.8.9.1"])
def test_this_machine_alone_needs_no_password(host):
    assert access.check_access(host, 7860, None, {}).users == ()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.4", "example.org", ""])
def test_another_interface_demands_one(host, users):
    with pytest.raises(UserError, match=r"`auth` is missing: --host .* can be reached from other machines"):
        access.check_access(host, 7860, None, {})
    assert access.check_access(host, 7860, users("kim:long enough\n"), {}).users == (("kim", "long enough"),)
    assert access.check_access(host, 7860, None, {access.ENVIRONMENT: "kim:with:colons"}).users == (
        ("kim", "with:colons"),
    )


def test_several_people_may_come_in(users):
    found = access.check_access("127.0.0.1", 7860, users("kim:password1\n\n lee:password2 \n"), {})
    assert found.users == (("kim", "password1"), ("lee", "password2"))


@pytest.mark.parametrize("text", ["kim", "kim:", ":password", "kim:short"])
def test_a_line_that_is_no_user_and_password_is_refused_and_not_repeated(users, text):
    with pytest.raises(
        UserError, match=r"each password of 8 characters or more. Received: a line that is not so"
    ) as error:
        access.check_access("127.0.0.1", 7860, users(text), {})
    assert text not in str(error.value).split("Received")[1]


def test_a_password_on_the_command_line_is_refused_and_not_repeated():
    with pytest.raises(UserError, match=r"must be the path of a file with a line USER:PASSWORD") as error:
        access.check_access("127.0.0.1", 7860, "kim:topsecret", {})
    assert "topsecret" not in str(error.value)


def test_a_file_that_others_can_read_is_refused(users):
    with pytest.raises(UserError, match=r"must be a file that only you can read.* chmod 600"):
        access.check_access("127.0.0.1", 7860, users("kim:password1", 0o644), {})


def test_a_file_that_is_no_text_is_refused(tmp_path):
    path = tmp_path / "users"
    path.write_bytes(b"\xff\xfe\x00")
    path.chmod(0o600)
    with pytest.raises(UserError, match=r"which is not text"):
        access.check_access("127.0.0.1", 7860, str(path), {})


def test_an_empty_file_lets_nobody_in(users):
    with pytest.raises(UserError, match=r"`auth` is missing: --host 0.0.0.0"):
        access.check_access("0.0.0.0", 7860, users("\n"), {})


TOKEN = "a-token-of-some-length"


def test_a_token_comes_from_a_file_or_from_the_environment(users):
    assert access.check_token("127.0.0.1", 8000, None, {}).token == ""
    assert access.check_token("0.0.0.0", 8000, users(f"{TOKEN}\n"), {}).token == TOKEN
    found = access.check_token("0.0.0.0", 8000, None, {access.TOKEN: TOKEN})
    assert found.token == TOKEN and TOKEN not in repr(found)


@pytest.mark.parametrize("text", ["", "short", "sixteen letters and spaces", "sechzehn-zeichen-ü"])
def test_a_token_that_no_header_holds_or_that_is_guessed_soon_is_refused_and_not_repeated(users, text):
    with pytest.raises(UserError, match=r"one token of 16 characters or more.*secrets.token_urlsafe") as error:
        access.check_token("127.0.0.1", 8000, users(text), {})
    assert not text or text not in str(error.value)


@pytest.mark.parametrize("host", ["0.0.0.0", "example.org", ""])
def test_another_interface_demands_a_token(host):
    with pytest.raises(UserError, match=r"`token_file` is missing: --host .* can be reached from other machines"):
        access.check_token(host, 8000, None, {})


def test_an_address_of_six_parts_stands_in_brackets():
    assert access.Access("::1", 80).url == "http://[::1]:80"


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_a_port_is_a_port(port):
    with pytest.raises(UserError, match=r"`port` must be in 1 to 65535"):
        access.check_access("127.0.0.1", port, None, {})


def test_the_server_is_told_to_share_nothing(tmp_path):
    told = access.options(access.Access(), tmp_path)
    assert told["share"] is told["mcp_server"] is told["enable_monitoring"] is told["run_history"] is False
    assert told["allowed_paths"] == [] and told["blocked_paths"] == [str(tmp_path.resolve())] and told["strict_cors"]
    assert told["server_name"] == "127.0.0.1" and told["max_file_size"] == 20 * 2**20 and told["auth"] is None
    assert access.OFF["GRADIO_ANALYTICS_ENABLED"] == "False"
