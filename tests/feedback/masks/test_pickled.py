import builtins
import collections
import os
import pickle

import numpy as np
import pytest

from fashionprobe.errors import UserError
from fashionprobe.feedback.masks.pickled import read_pickle

MASK = np.array([[0, 1, 1], [0, 0, 1]], bool)


def write(path, content, protocol=pickle.DEFAULT_PROTOCOL):
    path.write_bytes(pickle.dumps(content, protocol))
    return path


@pytest.mark.parametrize("protocol", range(6))
def test_every_protocol_and_kind_of_array(tmp_path, protocol):
    content = collections.OrderedDict({
        "gun/B1": MASK,
        7: {"mask": MASK.astype(np.uint8) * 255, "heatmap": np.ones((2, 3)), "author": "kim", "seen": {1, 2}},
        np.str_("f"): np.asfortranarray(MASK.astype(np.float32)),
        "big endian": MASK.astype(">i4"),
        np.int64(3): MASK[..., None],
    })  # fmt: skip
    found = read_pickle(write(tmp_path / "m.pkl", content, protocol))
    assert [name for name, _ in found] == ["gun/B1", "7", "f", "big endian", "3"]
    for _, mask in found:
        assert mask.dtype == bool and np.array_equal(mask, MASK)


def test_numpy_1_wrote_other_names(tmp_path):
    path = write(tmp_path / "m.pkl", {"a": MASK}, protocol=2)
    new = path.read_bytes()
    old = new.replace(b"cnumpy._core.", b"cnumpy.core.")
    assert (old != new) == (np.__version__ >= "2")
    for each in (old, old.replace(b"cnumpy.core.", b"cnumpy._core.")):
        path.write_bytes(each)
        assert np.array_equal(read_pickle(path)[0][1], MASK)


def test_python_2_wrote_bytes_as_text(tmp_path):
    path = tmp_path / "m.pkl"
    path.write_bytes(
        b"\x80\x02}U\x01acnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01K\x01K\x02"
        b"\x86cnumpy\ndtype\nU\x02b1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U\x02"
        b"\x01\x00tbs."
    )
    ((name, mask),) = read_pickle(path)
    assert name == "a" and mask.tolist() == [[True, False]]


class Calls:
    """Calls a function while it is read."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("place", ["value", "key", "inside"])
def test_no_code_of_a_pickle_runs(tmp_path, place):
    target = tmp_path / "broken_in"
    evil = Calls(os.mkdir, str(target))
    content = {"value": {"a": evil}, "key": {evil: MASK}, "inside": {"a": {"mask": MASK, "x": [evil]}}}[place]
    path = write(tmp_path / "m.pkl", content)
    with pytest.raises(UserError, match=r"a pickled dictionary.*Received: one that wants to use (posix|nt)\.mkdir"):
        read_pickle(path)
    assert not target.exists()
    pickle.loads(path.read_bytes())  # the attack is a real one
    assert target.exists()


@pytest.mark.parametrize("function", [eval, getattr, builtins.__import__, np.load, np.frombuffer, pickle.loads])
def test_no_other_function_is_known(tmp_path, function):
    path = write(tmp_path / "m.pkl", {"a": Calls(function, "1", "2")})
    with pytest.raises(UserError, match=r"one that wants to use \w+"):
        read_pickle(path)


def test_a_pickle_cannot_change_what_reads_it(tmp_path):
    # BUILD sets attributes of an object: here of the function that stands for `numpy.dtype`.
    path = tmp_path / "m.pkl"
    path.write_bytes(b"\x80\x02cnumpy\ndtype\nN}X\x08\x00\x00\x00__name__X\x04\x00\x00\x00evils\x86b.")
    with pytest.raises(UserError, match=r"Received: a \w+"):
        read_pickle(path)
    assert np.array_equal(read_pickle(write(path, {"a": MASK}))[0][1], MASK)


@pytest.mark.parametrize(
    ("content", "received"),
    [
        ([MASK], "a list"),
        ({"a": [[0, 1]]}, "a list for image a"),
        ({"a": {"masks": MASK}}, "a NoneType for image a"),
        ({"a": MASK[0]}, r"bool \[3\] for image a"),
        ({"a": np.zeros((0, 3))}, r"float64 \[0, 3\] for image a"),
        ({"a": MASK.astype(np.uint8) * 7}, "the values 0, 7 for image a"),
        ({"a": np.array([[None]])}, "an array of 'O8'"),
        ({"a": np.zeros((2, 2), complex)}, "an array of 'c16'"),
    ],
)
def test_what_is_no_mask_is_refused(tmp_path, content, received):
    with pytest.raises(UserError, match=rf"Received: {received}\."):
        read_pickle(write(tmp_path / "m.pkl", content))


def test_what_is_no_pickle_is_refused(tmp_path):
    path = tmp_path / "m.pkl"
    with pytest.raises(UserError, match=r"which is not a file"):
        read_pickle(path)
    for damaged in (b"", b"hello", pickle.dumps({"a": MASK})[:-20]):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match=r"m\.pkl` must be a pickled.*a file that cannot be read"):
            read_pickle(path)
