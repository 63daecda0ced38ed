"""The archive: what is not whole, too large or too deep is refused before anything is parsed or unpacked."""

import json
import tracemalloc
import zipfile

import pytest
from keras_files import HONEST, WEIGHTS, write

from fashionprobe.errors import UserError
from fashionprobe.kerasfile import archive


def refusal(path) -> str:
    with pytest.raises(UserError) as caught:
        archive.read(path)
    assert str(caught.value).isprintable()
    return str(caught.value)


def test_an_honest_file(tmp_path):
    found = archive.read(write(tmp_path / "a.keras", HONEST))
    assert found.config == HONEST
    assert found.weights_bytes == len(WEIGHTS)


@pytest.mark.parametrize("data", [b"", b"no archive", b"PK\x03\x04" + b"\0" * 50])
def test_no_archive(tmp_path, data):
    (tmp_path / "a.keras").write_bytes(data)
    assert refusal(tmp_path / "a.keras") == (
        "`backbone` must be a .keras file, as `model.save` of Keras 3 writes it. "
        f"Received: '{tmp_path}/a.keras', which is damaged, or not a .keras file."
    )


def test_a_cut_file(tmp_path):
    whole = write(tmp_path / "a.keras", HONEST).read_bytes()
    (tmp_path / "a.keras").write_bytes(whole[: len(whole) // 2])
    assert "which is damaged" in refusal(tmp_path / "a.keras")


def test_a_member_is_missing_or_there_twice(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.keras", "w") as file:
        file.writestr("config.json", json.dumps(HONEST))
    assert "an archive without model.weights.h5" in refusal(tmp_path / "a.keras")
    write(tmp_path / "a.keras", HONEST)
    with zipfile.ZipFile(tmp_path / "a.keras", "a") as file, pytest.warns(UserWarning, match="Duplicate name"):
        file.writestr("config.json", "{}")
    assert "an archive of 4 members" in refusal(tmp_path / "a.keras")


@pytest.mark.parametrize("text", ["[1]", "null", "nothing", "{", '{"a": ' + "9" * 5000 + "}", "\xff"])
def test_a_configuration_that_is_none(tmp_path, text):
    assert "config.json" in refusal(write(tmp_path / "a.keras", text.encode("latin1")))


def test_a_configuration_of_gigabytes_is_not_unpacked(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.keras", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("model.weights.h5", WEIGHTS)
        with file.open("config.json", "w") as member:
            for _ in range(65):
                member.write(b" " * 2**20)
    tracemalloc.start()
    assert "whose config.json unpacks to 68,157,440 bytes" in refusal(tmp_path / "a.keras")
    assert tracemalloc.get_traced_memory()[1] < 5e6
    tracemalloc.stop()


@pytest.mark.parametrize("depth", [101, 5_000, 100_000])
def test_a_configuration_that_is_too_deep(tmp_path, depth):
    text = '{"a": ' * depth + "1" + "}" * depth
    assert "is nested" in refusal(write(tmp_path / "a.keras", text))
    assert archive.read(write(tmp_path / "b.keras", '{"a": ' * 90 + "1" + "}" * 90))


def test_an_encrypted_configuration(tmp_path):
    path = write(tmp_path / "a.keras", HONEST)
    data = bytearray(path.read_bytes())
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        start = -1
        while (start := data.find(mark, start + 1)) >= 0:
            data[start + place] |= 1
    path.write_bytes(data)
    assert "config.json cannot be read" in refusal(path)
