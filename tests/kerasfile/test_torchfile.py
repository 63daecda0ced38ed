import pickle
import pickletools
import tracemalloc
import zipfile

import numpy as np
import pytest
import torch_files

from fashionprobe.errors import UserError
from fashionprobe.kerasfile import torchfile

FORMATS = {"zip": torch_files.zipped, "legacy": torch_files.legacy}


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    return {
        "conv.weight": rng.normal(size=(4, 3, 2, 2)).astype(np.float32),
        # A view whose strides are not those of its shape.
        "fc.weight": rng.normal(size=(5, 7)).astype(np.float32).T,
        "bn.num_batches_tracked": np.array(9, np.int64),
        "half": rng.normal(size=3).astype(np.float16),
    }


def write(tmp_path, data):
    path = tmp_path / "net.pth"
    path.write_bytes(data)
    return path


def refusal(tmp_path, data):
    with pytest.raises(UserError, match="must be a state dict of torch: tensors by name, and nothing else") as caught:
        torchfile.read(write(tmp_path, data))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_legacy_file_is_read_with_the_strides_of_its_tensors(tmp_path, arrays):
    found = torchfile.read(write(tmp_path, torch_files.legacy(arrays)))
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


def test_a_zip_is_read(tmp_path, arrays):
    arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    found = torchfile.read(write(tmp_path, torch_files.zipped(arrays)))
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)


def test_a_checkpoint_of_data_parallel_training_is_unwrapped(tmp_path):
    array = np.arange(3, dtype=np.float32)
    inner = torch_files.state({"module.fc.bias": torch_files.tensor(array, "0")})[2:-1]
    outer = b"\x80\x02}" + torch_files.text("state_dict") + inner + b"s."
    found = torchfile.read(write(tmp_path, torch_files.zipped({"x": array}, pickled=outer)))
    np.testing.assert_array_equal(found["fc.bias"], array)


def test_a_tensor_may_begin_within_its_storage(tmp_path):
    array = np.arange(6, dtype=np.float32)
    pickled = torch_files.state({"a": torch_files.tensor(array, "0", shape=(2, 2), strides=(2, 1), offset=2)})
    found = torchfile.read(write(tmp_path, torch_files.zipped({"a": array}, pickled=pickled)))
    np.testing.assert_array_equal(found["a"], [[2, 3], [4, 5]])


def _entry(**options):
    return torch_files.state({"a": torch_files.tensor(np.arange(6, dtype=np.float32), "0", **options)})


TUPLES = b")" + b"".join(b"q" + bytes([n]) + b"h" + bytes([n]) + b"\x86" for n in range(60))
HOSTILE = {
    "a call of os.system": (b"\x80\x02cos\nsystem\n" + torch_files.text("a") + b"\x85R.", "the name os.system"),
    "a class of torch": (b"\x80\x02ctorch.nn\nLinear\n)R.", "the name torch.nn.Linear"),
    "a storage that is called": (b"\x80\x02ctorch\nFloatStorage\n)R.", "a call of torch.FloatStorage"),
    "an object of a class": (b"\x80\x02ccollections\nOrderedDict\n)\x81.", "the instruction NEWOBJ"),
    "the state of a function": (b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n}b.", "the instruction BUILD"),
    "an instance": (b"(ios\nsystem\n.", "the instruction INST"),
    "an extension": (b"\x80\x02\x82\x01.", "the instruction EXT1"),
    "keys whose hash takes for ever": (b"\x80\x02}" + TUPLES + b"Ns.", "damaged"),
    "a place in the memo far away": (b"\x80\x02Nr\xff\xff\xff\x7fj\xff\xff\xff\x7f.", "damaged"),
    "no end": (b"\x80\x02}", "damaged"),
    "an empty stack": (b"\x80\x02R.", "damaged"),
    "no dict": (b"\x80\x02K\x01.", "damaged"),
    "a tensor out of its storage": (_entry(strides=(7,)), "damaged"),
    "a tensor before its storage": (_entry(offset=-1), "damaged"),
    "strides that go back": (_entry(strides=(-1,), offset=5), "damaged"),
    "a tensor far larger than its storage": (_entry(shape=(2**30, 2**30), strides=(0, 0)), "damaged"),
    "a shape without strides": (_entry(shape=(2, 3), strides=(1,)), "damaged"),
    "a newline in a name": (b"\x80\x02c" + b"a" * 99 + b"\nb\n.", "the name"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("kind", FORMATS)
def test_a_pickle_that_is_more_than_tensors_is_refused_and_nothing_of_it_runs(tmp_path, monkeypatch, name, kind):
    pickled, why = HOSTILE[name]
    for machine in ("loads", "load", "Unpickler"):
        monkeypatch.setattr(pickle, machine, None)
    monkeypatch.setattr("os.system", None)
    data = FORMATS[kind]({"a": np.arange(6, dtype=np.float32)}, pickled=pickled)
    tracemalloc.start()
    said = refusal(tmp_path, data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert why in said
    assert peak < 64 * 2**20


def test_the_hostile_pickles_are_what_they_say():
    # So that they are refused for what they hold, and not for a slip of this file.
    for name in (
        "a call of os.system",
        "a class of torch",
        "the state of a function",
        "keys whose hash takes for ever",
    ):
        assert [*pickletools.genops(HOSTILE[name][0])][-1][0].name == "STOP"


@pytest.mark.parametrize(("data", "why"), [
    (b"", "damaged"),
    (b"not torch", "damaged"),
    (torch_files.legacy({"a": np.zeros(3, np.float32)}, magic=1), "damaged"),
    (torch_files.legacy({"a": np.zeros(3, np.float32)})[:-4], "damaged"),
    (torch_files.zipped({}), "without a single tensor"),
    (torch_files.zipped({"a": np.zeros(3, np.float32)}, byteorder=b"big"), "damaged"),
    (torch_files.zipped({"a": np.zeros(3, np.float32)}, compression=zipfile.ZIP_DEFLATED), "damaged"),
])  # fmt: skip
def test_a_damaged_file_is_refused(tmp_path, data, why):
    assert why in refusal(tmp_path, data)
