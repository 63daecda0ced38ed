"""Added classes on disk: whole or not at all, of any name, never unpickled."""

import json
import subprocess
import sys

import numpy as np
import pytest

from fashionprobe.attributes import added_classes
from fashionprobe.attributes.added_classes import AddedClass
from fashionprobe.errors import UserError


def made(name="check", group="pattern", value=1.0, weights="w" * 64):
    blocks = {1: np.full((3, 2), value, np.float32), 4: np.zeros((3, 5), np.float32)}
    return AddedClass(group, name, ("a.jpg", "b.jpg", "c.jpg"), weights, blocks)


@pytest.mark.parametrize("name", ["check", "日本 é", "../up", "a/b", "a" * 300, "CON", "x.npz"])
def test_any_name_comes_back_and_stays_in_the_folder(tmp_path, name):
    path = added_classes.save(tmp_path / "s", made(name))
    assert path.parent == tmp_path / "s"
    (found,), removed = added_classes.read(tmp_path / "s")
    assert (found.name, found.group, found.ids, removed) == (name, "pattern", ("a.jpg", "b.jpg", "c.jpg"), set())
    assert found.descriptors[1].tolist() == [[1.0, 1.0]] * 3
    assert sorted(found.descriptors) == [1, 4]


def test_names_that_look_alike_are_kept_apart(tmp_path):
    for name in ("a b", "a_b", "a/b"):
        added_classes.save(tmp_path, made(name))
    assert [each.name for each in added_classes.read(tmp_path)[0]] == ["a b", "a/b", "a_b"]


def test_replaced_and_removed_and_added_again(tmp_path):
    added_classes.save(tmp_path, made(value=1))
    added_classes.save(tmp_path, made(value=2))
    assert added_classes.read(tmp_path)[0][0].descriptors[1][0, 0] == 2
    added_classes.remove(tmp_path, "pattern", "check")
    added_classes.remove(tmp_path, "colour", "Red")
    assert added_classes.read(tmp_path) == ([], {("pattern", "check"), ("colour", "Red")})
    added_classes.save(tmp_path, made(value=3))
    added, removed = added_classes.read(tmp_path)
    assert [each.name for each in added] == ["check"]
    assert removed == {("colour", "Red")}


def test_what_a_killed_writer_left_is_not_read(tmp_path):
    added_classes.save(tmp_path, made())
    (tmp_path / ".pattern.x.npz.123.part").write_bytes(b"half")
    assert len(added_classes.read(tmp_path)[0]) == 1


def test_a_process_killed_while_it_adds_loses_nothing(tmp_path):
    added_classes.save(tmp_path, made(value=1))
    script = (
        "import os, signal, numpy\n"
        "from fashionprobe.attributes import added_classes\n"
        "os.replace = lambda *names: os.kill(os.getpid(), signal.SIGKILL)\n"
        "added = added_classes.AddedClass('pattern', 'check', ('x',), 'w' * 64, {1: numpy.zeros((1, 2), 'f4')})\n"
        f"added_classes.save(__import__('pathlib').Path({str(tmp_path)!r}), added)\n"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == -9
    assert len(list(tmp_path.iterdir())) == 2
    (found,), _ = added_classes.read(tmp_path)
    assert found.descriptors[1][0, 0] == 1
    added_classes.save(tmp_path, made(value=2))
    assert added_classes.read(tmp_path)[0][0].descriptors[1][0, 0] == 2


def test_no_folder_is_no_class(tmp_path):
    assert added_classes.read(tmp_path / "none") == ([], set())


def test_another_network_or_block_is_refused():
    added = made()
    assert added_classes.learned_from(added, 4, "w" * 64).shape == (3, 5)
    with pytest.raises(UserError, match=r"described by the network of the index \(vvvvvvvvvvvv\).*another network"):
        added_classes.learned_from(added, 4, "v" * 64)
    with pytest.raises(UserError, match=r"described at block 2. Received: one of block 1, 4"):
        added_classes.learned_from(added, 2, "w" * 64)


def test_values_that_are_not_finite_are_refused(tmp_path):
    added = made()
    added.descriptors[4][1, 2] = np.nan
    with pytest.raises(UserError, match=r"descriptors of block 4.*NaN or infinity for image b.jpg"):
        added_classes.save(tmp_path, added)
    assert not list(tmp_path.iterdir())


def test_a_file_of_another_version_and_a_damaged_one(tmp_path):
    path = added_classes.save(tmp_path, made())
    whole = path.read_bytes()
    path.write_bytes(whole[:-30])
    with pytest.raises(UserError, match=r"a class as it was written.*a damaged file"):
        added_classes.read(tmp_path)
    np.savez(path, allow_pickle=False, note=np.array(json.dumps({"format": 99})))
    with pytest.raises(UserError, match=r"a class of format 1. Received: format 99"):
        added_classes.read(tmp_path)


def test_a_pickle_is_not_opened(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (pytest.fail, ("unpickled",))

    np.savez(tmp_path / "pattern.x.npz", note=np.array(Bomb(), object))
    with pytest.raises(UserError, match="a damaged file"):
        added_classes.read(tmp_path)
