"""What a network would take: refused from the file's header, without Keras, before anything is built."""

import itertools
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from keras_files import HONEST, IMAGE, convolution, entry, functional, layer, tensor, write

from fashionprobe.errors import UserError
from fashionprobe.kerasfile import allowed, opening, sizes
from fashionprobe.kerasfile.archive import Header


def dense(units, source="conv"):
    return layer(entry("keras.layers", "Dense", {"name": "dense", "units": units}), "dense", tensor(source))


def sized(kind, source="conv", module="keras.layers", arguments=(), **config):
    registered = kind if module != "keras.layers" else None
    return layer(entry(module, kind, {"name": "big", **config}, registered), "big", tensor(source), *arguments)


def image(*sides):
    return {**IMAGE, "config": {**IMAGE["config"], "batch_shape": [None, *sides, 3]}}


def with_image(first, *layers, last):
    config = functional(*layers, last=last)
    config["config"]["layers"][0] = first
    return config


NUMPY = "keras.src.ops.numpy"
LARGE = {
    "dense": functional(convolution(), dense(10**8), last="dense"),
    "dense-of-few": functional(convolution(filters=1), dense(10**8), last="dense"),
    "filters": functional(convolution(filters=50_000_000)),
    "kernel": functional(convolution(kernel_size=[20_000, 20_000])),
    "input": with_image(image(100_000, 100_000), convolution(), last="conv"),
    "upsampling": functional(convolution(), sized("UpSampling2D", size=[10_000, 10_000]), last="big"),
    "padding": functional(convolution(), sized("ZeroPadding2D", padding=[[0, 10**6], [0, 10**6]]), last="big"),
    "resizing": functional(convolution(), sized("Resizing", height=10**6, width=10**6), last="big"),
    "tile": functional(convolution(), sized("Tile", module=NUMPY, repeats=[1, 10**5, 10**5, 1]), last="big"),
    "repeat": functional(convolution(), sized("Repeat", module=NUMPY, repeats=10**9, axis=1), last="big"),
    "pad": functional(
        convolution(), sized("Pad", module=NUMPY, pad_width=[[0, 0], [0, 10**6], [0, 10**6], [0, 0]]), last="big"
    ),
    "resize": functional(convolution(), sized("Resize", module="keras.src.ops.image", size=[10**6, 10**6]), last="big"),
    "broadcast": functional(
        convolution(), sized("BroadcastTo", module=NUMPY, shape=[1, 10**5, 10**5, 4]), last="big"
    ),
    "transposed": functional(
        convolution(), sized("Conv2DTranspose", filters=4, kernel_size=[2, 2], strides=[9999, 9999]), last="big"
    ),
    "embedding": functional(convolution(), sized("Embedding", input_dim=10**9, output_dim=10**3), last="big"),
    "build": functional({**convolution(), "build_config": {"input_shape": [None, 16, 16, 10**9]}}),
    "wrapped": functional(
        convolution(),
        sized("TimeDistributed", layer=entry("keras.layers", "Dense", {"units": 10**9, "name": "inner"})), last="big",
    ),
}  # fmt: skip


def inner(units=10**9, **more):
    return {**entry("keras.layers", "Dense", {"units": units, "name": "inner"}), **more}


LARGE |= {
    "inner-network": functional(convolution(), sized("TimeDistributed", layer=functional(
        convolution(), dense(10**8), last="dense", name="inner",
    )), last="big"),
    "maps-for-each-time": functional(convolution(), sized("TimeDistributed", layer=entry(
        "keras.layers", "UpSampling1D", {"size": 10**6, "name": "inner"},
    )), last="big"),
    "backward": functional(convolution(), sized(
        "Bidirectional", layer=inner(1), backward_layer=inner(),
    ), last="big"),
    "pipeline": functional(convolution(), sized("Pipeline", layers=[inner()]), last="big"),
    "activation": functional(convolution(activation=inner(build_config={"input_shape": [None, 4]}))),
    "cell": functional(convolution(), sized("LSTMCell", units=10**8), last="big"),
    "adapter": functional(convolution(), {**dense(4), "config": {"units": 4, "lora_rank": 10**9}}, last="dense"),
    "second-input": functional(convolution(), {
        **sized("MultiHeadAttention", num_heads=8, key_dim=10**4),
        "build_config": {"shapes_dict": {"query_shape": [None, 4, 4], "value_shape": [None, 4, 10**6]}},
    }, last="big"),
    "negative-beside": functional(
        convolution(), layer(entry("keras.layers", "Dense", {"units": -(10**9)}), "less", tensor("conv")),
        dense(10**8, "less"), last="dense",
    ),
}  # fmt: skip
LARGE["nested"] = functional(layer({**LARGE["upsampling"]}, "inner", tensor("image")), last="inner")


@pytest.mark.parametrize("name", LARGE)
def test_large_networks_are_refused(name, tmp_path):
    with pytest.raises(UserError) as caught:
        opening.header(write(tmp_path / "a.keras", LARGE[name]))
    text = str(caught.value)
    limits = "1,000,000,000 weights, 5,000 layers and 67,108,864 numbers in a feature map"
    assert text.startswith(f"`backbone` must be a network of at most {limits}. Received: '{tmp_path}/a.keras', wh")
    assert "--trust" in text


def test_wrappers_in_wrappers_are_walked_once_each(tmp_path):
    wrapped = inner(3)
    for _ in range(20):
        wrapped = entry("keras.layers", "Bidirectional", {"name": "way", "layer": wrapped, "merge_mode": "sum"})
    way = layer(wrapped, "way", tensor("conv"))
    graph = opening.header(write(tmp_path / "a.keras", functional(convolution(), way, last="way")))
    # Each level doubles the weights, but not the walk: a million of them would take minutes.
    assert graph.weights >= 15 * 2**20


def test_the_layer_and_its_size_are_named(tmp_path):
    with pytest.raises(UserError, match="whose layer big returns 160,000 x 160,000 x 4 numbers for one image"):
        opening.header(write(tmp_path / "a.keras", LARGE["upsampling"]))


def test_too_many_layers(tmp_path):
    names = ["image", *(f"relu{number}" for number in range(5_001))]
    chain = [
        layer(entry("keras.layers", "ReLU", {"name": name}), name, tensor(before))
        for before, name in itertools.pairwise(names)
    ]
    with pytest.raises(UserError, match="which has more"):
        opening.header(write(tmp_path / "a.keras", functional(*chain, last=names[-1])))


def test_weights_that_unpack_to_more_than_the_layers_have(tmp_path):
    config = allowed.clean(HONEST, tmp_path)
    assert sizes.measure(config, Header(tmp_path, config, 10**6))
    with pytest.raises(UserError, match="whose weights unpack to 3,000,000,000 bytes, where its layers have 112 weig"):
        sizes.measure(config, Header(tmp_path, config, 3 * 10**9))


def test_a_loop_in_the_graph_is_refused(tmp_path):
    loop = functional(convolution("one", source="two"), convolution("two", source="one"), last="two")
    with pytest.raises(UserError, match="is connected with none before it"):
        opening.header(write(tmp_path / "a.keras", loop))


def test_an_unknown_size_before_a_layer_with_weights_is_refused(tmp_path):
    odd = sized("GetItem", module=NUMPY, arguments=[{"class_name": "__numpy__", "config": {"value": [True]}}])
    with pytest.raises(UserError, match="whose layer dense does not say how large it is"):
        opening.header(write(tmp_path / "a.keras", functional(convolution(), odd, dense(3, "big"), last="dense")))


def test_open_sides_are_measured_at_224_pixels(tmp_path):
    graph = opening.header(write(tmp_path / "a.keras", with_image(image(None, None), convolution(), last="conv")))
    assert graph.input_shape == (1, 224, 224, 3)
    assert graph.nodes[-1].shape == (1, 224, 224, 4)
    assert graph.weights == 112


@pytest.mark.parametrize("name", ["dense", "input", "upsampling"])
def test_the_command_line_takes_little_time_and_memory(name, tmp_path):
    path = write(tmp_path / "a.keras", LARGE[name])
    words = ["extract", "--dataset", "garments", "--backbone", str(path), "--preprocessing", "none"]

    def limited():
        # Seconds of processor time, and bytes of address space: TensorFlow alone takes more of both.
        resource.setrlimit(resource.RLIMIT_CPU, (2, 2))
        resource.setrlimit(resource.RLIMIT_AS, (500 * 2**20, 500 * 2**20))

    done = subprocess.run(
        [sys.executable, "-m", "fashionprobe", *words], cwd=tmp_path, capture_output=True, text=True,
        preexec_fn=limited, env={"PYTHONPATH": str(Path(__file__).parents[2]), "OPENBLAS_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1
    assert [each.name for each in tmp_path.iterdir()] == ["a.keras"]
