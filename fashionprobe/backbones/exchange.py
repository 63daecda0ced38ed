"""Networks in the formats of other tools: ONNX, SavedModel and TensorFlow Lite, written, and read back by these tools.

All three hold the whole computation from RGB pixels to named outputs, and take any number of images.
"""

import json
import logging
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from fashionprobe.errors import UserError
from fashionprobe.quiet import native_stderr_held

INPUT = "images"
"""Name of the input in all formats."""

FILES = {"onnx": "model.onnx", "savedmodel": "model", "tflite": "model.tflite"}
"""What each format is written as; a SavedModel is a folder."""

OPSET = 17
"""Version of ONNX's operators: ONNX Runtime has them since 1.12, of May 2022."""

Network = Callable[[tf.Tensor], dict[str, tf.Tensor]]
Run = Callable[[np.ndarray], dict[str, np.ndarray]]


def write(
    format: str, network: Network, size: tuple[int, int], folder: Path, notes: Mapping[str, Any],
    *, model: keras.Model | None = None,
) -> Path:  # fmt: skip
    """Write a network as a file, or a folder, of `FILES`.

    Args:
        format: "onnx", "savedmodel" or "tflite".
        network: Takes images, float32 (batch, *size, 3), RGB in [0, 255], and returns its outputs by name.
        size: (height, width) of the images in pixels.
        folder: Where to write it.
        notes: What a reader of the file should know. ONNX holds them, as text or JSON; the other two have no place.
        model: The Keras model that holds the weights, where they are not constants.

    Returns:
        The path of the file or folder.

    Raises:
        UserError: If the format has no operator for a part of the network.
    """
    traced = tf.function(network, input_signature=[tf.TensorSpec((None, *size, 3), tf.float32, name=INPUT)])
    path = folder / FILES[format]
    if format == "onnx":
        _write_onnx(traced, path, notes)
    elif format == "savedmodel":
        _write_savedmodel(traced, path, model)
    else:
        _write_tflite(traced, path)
    return path


def reader(format: str, path: Path) -> Run:
    """Open a written network with the library that its format is for.

    Args:
        format: As for `write`.
        path: What `write` returned.

    Returns:
        A function from images, float32 (batch, height, width, 3), to the outputs by name.
    """
    if format == "onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        names = [output.name for output in session.get_outputs()]
        return lambda images: dict(zip(names, map(np.asarray, session.run(names, {INPUT: images})), strict=True))
    if format == "savedmodel":
        loaded: Any = tf.saved_model.load(str(path))
        signature = loaded.signatures["serving_default"]
        # The loaded model owns the variables: without it they would be gone when the signature is called.
        return lambda images: {
            name: each.numpy() for name, each in signature(**{INPUT: tf.constant(images)}).items() if loaded
        }
    with _quiet():
        runner = tf.lite.Interpreter(model_path=str(path)).get_signature_runner()

    def run(images: np.ndarray) -> dict[str, np.ndarray]:
        with _quiet():
            return runner(**{INPUT: images})

    return run


def _write_onnx(traced: Any, path: Path, notes: Mapping[str, Any]) -> None:
    import onnx
    import tf2onnx

    with _quiet():
        model, _ = tf2onnx.convert.from_function(traced, input_signature=traced.input_signature, opset=OPSET)
    unknown = sorted({node.op_type for node in model.graph.node if node.domain not in ("", "ai.onnx", "ai.onnx.ml")})
    if unknown:
        raise _refused("onnx", f"operators that it lacks: {', '.join(unknown)}")
    for value in (*model.graph.input, *model.graph.output):
        # tf2onnx calls each size that is not fixed by a number of its own.
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    texts = {name: each if isinstance(each, str) else json.dumps(each, ensure_ascii=False)
             for name, each in notes.items()}  # fmt: skip
    onnx.helper.set_model_props(model, texts)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def _write_savedmodel(traced: Any, path: Path, model: keras.Model | None = None) -> None:
    module: Any = tf.Module()
    module.serve, module.model = traced, model
    with _quiet():
        tf.saved_model.save(module, str(path), signatures={"serving_default": traced})


def _write_tflite(traced: Any, path: Path) -> None:
    # By way of a SavedModel: the names of inputs and outputs come from its signature. Its variables would become
    # variables that nothing sets: they are frozen into constants.
    passing = path.with_name(".savedmodel")
    with _quiet():
        constant = _frozen(traced)
    _write_savedmodel(constant, passing)
    try:
        with _quiet():
            path.write_bytes(tf.lite.TFLiteConverter.from_saved_model(str(passing)).convert())
    except Exception as error:
        if type(error).__name__ != "ConverterError":
            raise
        raise _refused("tflite", "operators that it lacks") from error
    finally:
        shutil.rmtree(passing, ignore_errors=True)


def _frozen(traced: Any) -> Any:
    """Return the same function with constants in place of variables."""
    function = traced.get_concrete_function()
    names, frozen = sorted(function.structured_outputs), convert_variables_to_constants_v2(function)
    return tf.function(
        lambda images: dict(zip(names, tf.nest.flatten(frozen(images)), strict=True)),
        input_signature=traced.input_signature,
    )


def _refused(format: str, why: str) -> UserError:
    return UserError(
        "format", expected="one that has all operators of this network",
        received=f"{format}, and the network has {why}", remedy="savedmodel takes all networks.",
    )  # fmt: skip


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the converters from talking: hints at other packages, deprecations of TensorFlow's own, progress."""
    before, handlers = logging.root.manager.disable, [*logging.root.handlers]
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), native_stderr_held(shown=False):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
        # One of them logs in a way that gives the root logger a handler, which would show each later message twice.
        logging.root.handlers[:] = handlers
