"""What a `.keras` file may name: nothing else gets past, wherever it stands, and Keras is not even imported for it."""

import json
import subprocess
import sys
from pathlib import Path

import keras
import pytest
from keras import layers
from keras_files import DTYPE, HONEST, REFERENCES, convolution, entry, function, functional, hostile, layer, tensor

from fashionprobe.errors import UserError
from fashionprobe.kerasfile import allowed, shapes

HOSTILE = hostile()
HOSTILE_REFERENCES = list(REFERENCES)


def refusal(config) -> str:
    with pytest.raises(UserError) as caught:
        allowed.clean(config, Path("a.keras"))
    text = str(caught.value)
    assert text.isprintable()
    assert len(text) < 500
    assert text.startswith("`backbone` must be a .keras file of layers, operations and settings of Keras that only ")
    assert text.endswith(allowed.TRUST)
    return text


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_configurations_are_refused(name):
    refusal(HOSTILE[name])


def test_there_are_enough_of_them():
    assert len(HOSTILE) > 250


def test_the_honest_network_is_allowed():
    assert allowed.clean(HONEST, Path("a.keras"))["config"]["layers"] == HONEST["config"]["layers"]


def test_the_entry_and_its_place_are_named():
    text = refusal(HOSTILE["argument-file"])
    assert "Received: 'a.keras', with a reference to keras.utils.get_file as an argument in layer evil." in text
    assert "with keras.src.ops.core.Switch in layer evil." in refusal(HOSTILE["operation-Switch"])


def test_long_names_and_control_characters_do_not_reach_the_message():
    assert "x" * 61 not in refusal(functional(convolution(), layer(entry("x" * 500, "y", {}), "evil", tensor("conv"))))
    text = refusal(functional(convolution(activation=function("builtins", "a\n\x1b[31m"))))
    assert r"a\n\x1b[31m" in text


def test_settings_of_training_are_left_out():
    config = {**HONEST, "compile_config": {"loss": function("builtins", "eval")}}
    inner = {**functional(convolution(), name="inner"), "compile_config": {"optimizer": function("os", "system")}}
    config = {**functional(layer(inner, "inner", tensor("image")), last="inner"), "compile_config": config}
    text = json.dumps(allowed.clean(config, Path("a.keras")))
    assert "compile_config" not in text
    assert "eval" not in text


def test_one_number_for_two_objects_is_refused():
    one, other = {**DTYPE, "shared_object_id": 1}, {**DTYPE, "config": {"name": "float16"}, "shared_object_id": 1}
    assert allowed.clean(functional(convolution(dtype=one), convolution("b", dtype=one)), Path("a.keras"))
    assert "share the number 1" in refusal(functional(convolution(dtype=one), convolution("b", dtype=other)))


def test_a_class_that_this_program_registered_may_be_named():
    own = entry(None, "Own", {"name": "own"}, "strangers>Own")  # pyright: ignore[reportArgumentType]
    config = functional(convolution(), layer(own, "own", tensor("conv")), last="own")
    refusal(config)
    with keras.saving.CustomObjectScope({"strangers>Own": type("Own", (layers.Layer,), {})}):
        assert allowed.clean(config, Path("a.keras"))
    with keras.saving.CustomObjectScope({"strangers>Own": type("Own", (keras.losses.Loss,), {})}):
        refusal(config)


@pytest.mark.parametrize("name", HOSTILE_REFERENCES)
def test_what_a_registered_class_is_given_is_judged_like_all_else(name):
    own = {"name": "own", "inner": [{"value": REFERENCES[name]}]}
    with keras.saving.CustomObjectScope({"strangers>Own": type("Own", (layers.Layer,), {})}):
        for given in (
            {"config": own},
            {"config": {"name": "own"}, "build_config": own},
        ):
            made = {**entry("strangers", "Own", {}, "strangers>Own"), **given}
            refusal(functional(convolution(), layer(made, "own", tensor("conv")), last="own"))


def test_activations_that_are_functions_of_keras():
    for module in ("builtins", "keras.activations", "keras.ops"):
        assert allowed.clean(functional(convolution(activation=function(module, "relu"))), Path("a.keras"))


def test_the_lists_hold_what_keras_has():
    public = set(dir(layers))
    assert public >= allowed.LAYERS
    assert not allowed.LAYERS & {"Lambda", "TFSMLayer", "StringLookup", "IntegerLookup", "TextVectorization"}
    for module, names in {**allowed.OPERATIONS, **allowed.PRIVATE_LAYERS}.items():
        __import__(module)
        assert set(vars(sys.modules[module])) >= names
    known = {**shapes.LAYERS, **dict.fromkeys(allowed.PRIVATE_LAYERS)}
    assert set(shapes.LAYERS) <= allowed.LAYERS, set(known) - allowed.LAYERS
    assert set(shapes.OPERATIONS) <= set().union(*allowed.OPERATIONS.values())


def test_no_operation_on_the_list_takes_a_function():
    import inspect

    for module, names in allowed.OPERATIONS.items():
        for name in names:
            call = inspect.signature(vars(sys.modules[module])[name].call)
            callables = {"f", "fn", "func", "function", "branches", "true_fn", "false_fn", "body", "body_fun", "cond"}
            assert not callables & set(call.parameters), name


def test_keras_is_not_imported_to_judge(tmp_path):
    from keras_files import write

    write(tmp_path / "a.keras", HOSTILE["argument-file"])
    program = (
        "import sys; from pathlib import Path; from fashionprobe.kerasfile import opening\n"
        "try: opening.header(Path('a.keras'))\n"
        "except ValueError: print('keras' in sys.modules or 'tensorflow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
