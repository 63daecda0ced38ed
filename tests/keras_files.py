"""`.keras` files as a stranger might write them: an honest network, and the places and ways in which one may lie."""

import copy
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np


def entry(module: str, name: str, config: Any, registered: str | None = None) -> dict[str, Any]:
    return {"module": module, "class_name": name, "config": config, "registered_name": registered}


def tensor(layer: str) -> dict[str, Any]:
    history = {"shape": [None, 16, 16, 3], "dtype": "float32", "keras_history": [layer, 0, 0]}
    return {"class_name": "__keras_tensor__", "config": history}


def layer(entry: dict[str, Any], name: str, *arguments: Any, **options: Any) -> dict[str, Any]:
    return {**entry, "name": name, "inbound_nodes": [{"args": list(arguments), "kwargs": options}]}


DTYPE = entry("keras", "DTypePolicy", {"name": "float32"})
IMAGE = {
    **entry("keras.layers", "InputLayer", {"batch_shape": [None, 16, 16, 3], "dtype": "float32", "name": "image"}),
    "name": "image", "inbound_nodes": [],
}  # fmt: skip


def convolution(name: str = "conv", filters: int = 4, source: str = "image", **config: Any) -> dict[str, Any]:
    settings = {"name": name, "filters": filters, "kernel_size": [3, 3], "strides": [1, 1], "padding": "same", **config}
    return layer(entry("keras.layers", "Conv2D", settings), name, tensor(source))


def functional(*layers: dict[str, Any], last: str = "conv", name: str = "net") -> dict[str, Any]:
    config = {
        "name": name, "trainable": True, "layers": [IMAGE, *layers], "input_layers": [["image", 0, 0]],
        "output_layers": [[last, 0, 0]],
    }  # fmt: skip
    return entry("keras.src.models.functional", "Functional", config, "Functional")


HONEST = functional(convolution())


def weights(**layers: list[np.ndarray]) -> bytes:
    file = io.BytesIO()
    with h5py.File(file, "w") as opened:
        for name, arrays in layers.items():
            for place, array in enumerate(arrays):
                opened.create_dataset(f"layers/{name}/vars/{place}", data=array)
    return file.getvalue()


WEIGHTS = weights(conv2d=[np.ones((3, 3, 3, 4), np.float32), np.zeros(4, np.float32)])


def write(path: Path, config: Any, data: bytes = WEIGHTS, compression: int = zipfile.ZIP_STORED) -> Path:
    """Write the archive; a text is written as it is."""
    text = config if isinstance(config, str | bytes) else json.dumps(config)
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("metadata.json", "{}")
        archive.writestr("config.json", text)
        archive.writestr("model.weights.h5", data)
    return path


def function(module: str, name: str) -> dict[str, Any]:
    return entry(module, "function", name, name)


REFERENCES: dict[str, Any] = {
    "file": function("keras.utils", "get_file"),
    "save": function("keras.saving", "save_model"),
    "builtin": function("builtins", "eval"),
    "saved-model": entry("keras.layers", "TFSMLayer", {"filepath": "elsewhere"}),
    "class": function("keras.layers", "TFSMLayer"),
    "vocabulary": entry("keras.layers", "StringLookup", {"vocabulary": "/etc/passwd"}),
    "lambda-layer": entry("keras.layers", "Lambda", {"function": {"class_name": "__lambda__", "config": {}}}),
    "lambda": {"class_name": "__lambda__", "config": {"value": "eJw="}},
    "typespec": {
        "class_name": "__typespec__", "spec_name": "TensorSpec", "module": "tensorflow", "config": [[1], "float32"],
        "registered_name": None,
    },
    "editor": entry("keras.src.saving.file_editor", "KerasFileEditor", {"filepath": "x.keras"}),
    "system": entry("os", "system", {"command": "touch marker"}, "os>system"),
    "loss": entry("fashionprobe.feedback.losses", "PASA", {}, "fashionprobe>PASA"),
    "older": {"class_name": "Conv2D", "config": {"filters": 1}},
    "renamed": entry("keras.layers", "Conv2D", {"filters": 1}, "os>system"),
}  # fmt: skip
"""What a file may name that it must not."""


def _operation(name: str, module: str = "core") -> dict[str, Any]:
    return entry(f"keras.src.ops.{module}", name, {"name": "evil"}, name)


def _evil(reference: Any) -> dict[str, dict[str, Any]]:
    """Return a network for each place where a reference may stand."""
    inner = functional(convolution(activation=reference), name="inner")
    add = _operation("Add", "numpy")
    sequential = entry("keras", "Sequential", {"name": "inner", "layers": [IMAGE, convolution(activation=reference)]})
    shared = {**DTYPE, "shared_object_id": 7}
    return {
        "graph": functional(convolution(), layer(_named(reference), "evil", tensor("conv")), last="evil"),
        "argument": functional(convolution(), layer(add, "evil", tensor("conv"), reference), last="evil"),
        "deep-argument": functional(
            convolution(), layer(add, "evil", tensor("conv"), [1, {"a": [reference]}]), last="evil"
        ),
        "keyword": functional(convolution(), layer(add, "evil", tensor("conv"), x2=reference), last="evil"),
        "layer-argument": functional({
            **convolution(), "inbound_nodes": [{"args": [tensor("image")], "kwargs": {"mask": reference}}],
        }),
        "operation-config": functional(
            convolution(), layer({**add, "config": {"name": "evil", "dtype": reference}}, "evil", tensor("conv"), 1),
            last="evil",
        ),
        "activation": functional(convolution(activation=reference)),
        "initializer": functional(convolution(kernel_initializer=reference)),
        "initializer-config": functional(
            convolution(kernel_initializer=entry("keras.initializers", "Constant", {"value": reference}))
        ),
        "dtype": functional(convolution(dtype=reference)),
        "dtype-map": functional(convolution(
            dtype=entry("keras.dtype_policies", "DTypePolicyMap", {"policy_map": {"conv": reference}})
        )),
        "shared": functional(convolution("first", dtype=shared), convolution(source="first", dtype={
            **shared, "config": {"name": reference},
        })),
        "build": functional({**convolution(), "build_config": {"input_shape": reference}}),
        "nested": functional(layer(inner, "inner", tensor("image")), last="inner"),
        "nested-sequential": functional(layer(sequential, "inner", tensor("image")), last="inner"),
        "wrapped": functional(layer(
            entry("keras.layers", "TimeDistributed", {"name": "evil", "layer": reference}), "evil", tensor("image")
        ), last="evil"),
        "cell": functional(layer(
            entry("keras.layers", "RNN", {"name": "evil", "cell": reference}), "evil", tensor("image")
        ), last="evil"),
        "pipeline": functional(layer(
            entry("keras.layers", "Pipeline", {"name": "evil", "layers": [reference]}), "evil", tensor("image")
        ), last="evil"),
        "input": functional() | {"config": {
            **functional(convolution())["config"], "layers": [{**IMAGE, "config": {"dtype": reference}}, convolution()],
        }},
        "extra": functional(convolution()) | {"config": {**HONEST["config"], "callbacks": [reference]}},
    }  # fmt: skip


def _named(reference: Any) -> dict[str, Any]:
    """Return a reference with a name of its own, as a layer in a graph has one."""
    named = copy.deepcopy(reference)
    if isinstance(named.get("config"), dict):
        named["config"] = {"name": "evil", **named["config"]}
    return named


FUNCTIONAL_OPERATIONS = ("Switch", "Cond", "Map", "Scan", "WhileLoop", "ForiLoop", "VectorizedMap", "AssociativeScan")
"""The operations of Keras that call what they are given."""


def hostile() -> dict[str, dict[str, Any]]:
    """Return configurations by what is wrong with them: every reference in every place, and every calling operation."""
    found = {
        f"{place}-{name}": config
        for name, reference in REFERENCES.items()
        for place, config in _evil(reference).items()
    }
    for name in FUNCTIONAL_OPERATIONS:
        arguments = [0, [REFERENCES["file"]], "x", "http://nowhere.invalid/x"]
        found[f"operation-{name}"] = functional(
            convolution(), layer(_operation(name), "evil", tensor("conv"), *arguments), last="evil"
        )
    add = _operation("Add", "numpy")
    found["text"] = functional(convolution(), layer(add, "evil", tensor("conv"), "fashionprobe>PASA"), last="evil")
    return found
