"""Files as torch writes them, without torch: its two formats, spelled out by hand."""

import io
import pickle
import struct
import zipfile

import numpy as np

KINDS = {"f4": "FloatStorage", "f8": "DoubleStorage", "f2": "HalfStorage", "i8": "LongStorage"}


def text(value):
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def number(value):
    return b"J" + struct.pack("<i", value)


def numbers(values):
    return b"(" + b"".join(map(number, values)) + b"t"


def tensor(array, key, *, strides=None, shape=None, offset=0, call="torch._utils\n_rebuild_tensor_v2", legacy=False):
    """Return the instructions that build a tensor on the storage `key`."""
    kind = KINDS[array.dtype.str[1:]]
    shape = array.shape if shape is None else shape
    strides = [step // array.itemsize for step in array.strides] if strides is None else strides
    storage = b"(" + text("storage") + f"ctorch\n{kind}\n".encode() + text(key) + text("cpu") + number(array.size)
    storage += (b"N" if legacy else b"") + b"tQ"
    return (
        f"c{call}\n".encode() + b"(" + storage + number(offset) + numbers(shape) + numbers(strides)
        + b"\x89ccollections\nOrderedDict\n)RtR"
    )  # fmt: skip


def state(entries):
    """Return the pickle of a state dict, given names and instructions."""
    items = b"".join(text(name) + built for name, built in entries.items())
    return b"\x80\x02ccollections\nOrderedDict\n)R(" + items + b"u" + b"}" + text("_metadata") + b"}sb" + b"."


def zipped(arrays, *, pickled=None, compression=zipfile.ZIP_STORED, byteorder=b"little"):
    """Return a file of today's format."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        built = {name: tensor(array, str(key)) for key, (name, array) in enumerate(arrays.items())}
        archive.writestr("net/data.pkl", state(built) if pickled is None else pickled)
        archive.writestr("net/byteorder", byteorder)
        for key, array in enumerate(arrays.values()):
            archive.writestr(f"net/data/{key}", np.ascontiguousarray(array).tobytes())
    return buffer.getvalue()


def legacy(arrays, *, pickled=None, magic=0x1950A86A20F9469CFC6C):
    """Return a file of the format before torch 1.6; arrays that are transposed stay so, as strided views."""
    head = pickle.dumps(magic, 2) + pickle.dumps(1001, 2) + pickle.dumps({"little_endian": True}, 2)
    built = {name: tensor(array, str(key), legacy=True) for key, (name, array) in enumerate(arrays.items())}
    body = state(built) if pickled is None else pickled
    keys = pickle.dumps([str(key) for key in range(len(arrays))], 2)
    stored = b"".join(struct.pack("<q", array.size) + array.ravel(order="K").tobytes() for array in arrays.values())
    return head + body + keys + stored
