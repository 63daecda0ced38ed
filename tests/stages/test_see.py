import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fashionprobe.errors import UserError
from fashionprobe.stages import see


@pytest.fixture
def trained_copy(trained, tmp_path):
    """A copy of it that a test may write into; it is the working folder of `command`."""
    import shutil

    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    return tmp_path


def of(root, **arguments):
    return see(tfrecords_root=str(root / "tfrecords"), runs_root=str(root / "runs"), **arguments)


@pytest.mark.slow
def test_all_methods_of_a_sample(trained_copy):
    made = of(
        trained_copy, dataset="g", samples=3, method="all", score_channels=4, noise_samples=2, steps=4, windows=[8, 16]
    )
    assert (made.images, made.path) == (3, trained_copy / "runs/g/see")
    assert {"cam", "percentile_cam_50", "percentile_cam_90", "smooth_grad", "integrated_gradients"} <= set(made.methods)
    items = pd.read_csv(made.path / "items.csv")
    assert list(items["image"]) == [1, 2, 3]
    assert items["probability"].between(0, 1).all() and (items["explained"] == items["top"]).all()
    classes = json.loads((trained_copy / "runs/g/train/manifest.json").read_text())["facts"]["classes"]
    assert set(items["explained"]) <= set(classes) and set(items["true"]) <= set(classes)
    for number in (1, 2, 3):
        raw = np.load(made.path / f"image_{number:03d}.npz", allow_pickle=False)
        assert set(raw) == set(made.methods)
        assert raw["grad_cam"].shape == (16, 16) and raw["occlusion"].shape == (32, 32)
        assert raw["gradient"].shape == (32, 32, 3)
        for method in made.methods:
            assert np.isfinite(raw[method]).all()
            with Image.open(made.path / f"image_{number:03d}_{method}.png") as picture:
                assert picture.size == (32, 32)
        assert (made.path / f"image_{number:03d}.svg").is_file()
    page = made.page.read_text(encoding="utf-8")
    assert page.count("<figure") == 3 and "fashionprobe see --dataset g --samples 3 --method all" in page


def test_files_and_a_class_by_name(trained_copy, command):
    classes = json.loads((trained_copy / "runs/g/train/manifest.json").read_text())["facts"]["classes"]
    for name in ("a b.png", "c.png"):
        Image.effect_noise((40, 30), 80).convert("RGB").save(trained_copy / name)
    words = ("see", "--run", "g", "--images", "a b.png", "c.png", "--target", classes[1], "--method", "grad_cam")
    code, out, err = command(*words)
    assert (code, err) == (0, "")
    assert out == "wrote runs/g/see: 2 images by grad_cam. Open runs/g/see/gallery.html in a browser.\n"
    items = pd.read_csv(trained_copy / "runs/g/see/items.csv")
    assert list(items["id"]) == ["a b.png", "c.png"] and set(items["explained"]) == {classes[1]}
    page = (trained_copy / "runs/g/see/gallery.html").read_text(encoding="utf-8")
    assert f"fashionprobe see --run g --images &#39;a b.png&#39; c.png --method grad_cam --target {classes[1]}" in page
    assert command(*words)[1].startswith("reused runs/g/see")
    Image.effect_noise((40, 30), 90).convert("RGB").save(trained_copy / "c.png")
    code, _, err = command(*words)
    assert code == 2 and "image 2" in err and "--overwrite" in err


def test_the_true_class(trained_copy):
    made = of(trained_copy, dataset="g", samples=4, target="true", method="grad_cam")
    items = pd.read_csv(made.path / "items.csv")
    assert (items["explained"] == items["true"]).all()


def test_a_channel_of_a_network_without_classes(trained_copy, model_path):
    made = of(trained_copy, run="c", dataset="g", samples=2, backbone=str(model_path), size=32, block=2, channel=3)
    assert made.methods == ("guided_backpropagation", "gradient")
    assert set(pd.read_csv(made.path / "items.csv")["explained"]) == {"channel 3 of second"}


@pytest.mark.slow
def test_the_same_twice(trained_copy):
    arguments = {"dataset": "g", "samples": 2, "method": "smooth_grad,occlusion", "noise_samples": 3, "windows": [8]}
    one = of(trained_copy, run="g", **arguments)
    kept = {path.name: path.read_bytes() for path in one.path.glob("image_*.png")}
    import shutil

    shutil.rmtree(one.path)
    two = of(trained_copy, run="g", batch_size=1, **arguments)
    assert {path.name: path.read_bytes() for path in two.path.glob("image_*.png")} == kept


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "`images` or `dataset` must be given, and only one of them. Received: none of them"),
        ({"images": ["no.png"]}, "`images` must be image files. Received: 'no.png', which does not exist"),
        ({"dataset": "g", "method": "gradcam"}, "`method` must be one of 15 names.*Did you mean 'grad_cam'"),
        ({"dataset": "g", "layer": "secnd"}, "`layer` must be a layer of .*such as second.*Received: secnd"),
        ({"dataset": "g", "layer": "logits", "method": "grad_cam"}, "one with a feature map"),
        ({"dataset": "g", "block": 9}, r"`block` must be in 1 to \d for model.keras. Received: 9"),
        ({"dataset": "g", "block": 1, "layer": "first"}, "`block` cannot be combined with --layer"),
        ({"dataset": "g", "channel": 3}, "`block` is missing: --channel needs"),
        ({"dataset": "g", "channel": 3, "block": [1, 2]}, "a single one with --channel. Received: 1, 2"),
        ({"dataset": "g", "channel": 3, "neuron": [1, 2, 3], "block": 2}, "`channel` cannot be combined with --neuron"),
        ({"dataset": "g", "neuron": [1, 2], "block": 2}, "`neuron` must be channel, row and column, each from 0"),
        ({"dataset": "g", "neuron": [1, 2, 16], "block": 2}, "must be channel, row and column below 16, 16 and 16"),
        ({"dataset": "g", "channel": 99, "block": 2}, r"`channel` must be in the range \[0, 16\)"),
        ({"dataset": "g", "target": "shirt"}, "`target` must be one of .*Received: shirt.*manifest.json"),
        ({"dataset": "g", "target": "99"}, "`target` must be .*Received: 99"),
        ({"dataset": "g", "samples": 0}, "`samples` must be an int in the range"),
        ({"dataset": "g", "split": "test"}, "`split` must be a split with images"),
        ({"dataset": "g", "method": "cam", "channel": 1, "block": 1}, "`method` must be one that can explain"),
        ({"pair": ["a.png"]}, "`pair` must be two image files, as a.jpg b.jpg. Received: 'a.png', which is no file"),
        ({"pair": [__file__]}, "`pair` must be two image files, as a.jpg b.jpg. Received: 1"),
        ({"pair": [__file__] * 2, "dataset": "g"}, "`pair` cannot be combined with --dataset"),
        ({"pair": [__file__] * 2, "target": "3"}, "`target` cannot be combined with --pair"),
        ({"pair": [__file__] * 2}, "a network that embeds images.*Received: model.keras, which ends in classes"),
    ],
)  # fmt: skip
def test_bad_input_is_refused_before_anything_is_written(trained, arguments, message):
    with pytest.raises(UserError, match=message):
        of(trained, run="g", **arguments)
    assert not (trained / "runs/g/see").exists()


def test_a_backbone_without_classes_says_what_to_do(trained, model_path):
    with pytest.raises(UserError, match=r"`backbone` must be a classifier.*ends in features.*--block 5 --channel 0"):
        of(trained, run="x", dataset="g", backbone=str(model_path), size=32)


def test_the_true_class_of_a_file_is_not_known(trained, tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "x.png")
    with pytest.raises(UserError, match="Received: true, for images without labels"):
        of(trained, run="g", images=[str(tmp_path / "x.png")], target="true")


def smooth_classifier(folder):
    """A classifier without a ReLU, which guided backpropagation and CAM have nothing to say about."""
    import keras

    keras.utils.set_random_seed(0)
    image = keras.Input((32, 32, 3))
    x = keras.layers.Rescaling(1 / 255)(image)
    x = keras.layers.Conv2D(4, 3, padding="same", activation="gelu", name="first")(x)
    x = keras.layers.MaxPooling2D()(x)
    x = keras.layers.Conv2D(5, 3, padding="same", activation="gelu", name="second")(x)
    keras.Model(image, keras.layers.Dense(3, "softmax")(keras.layers.Flatten()(x))).save(folder / "smooth.keras")
    Image.effect_noise((40, 30), 80).convert("RGB").save(folder / "a.png")


@pytest.mark.slow
def test_default_methods_that_do_not_apply_are_left_out_and_named(tmp_path, command):
    smooth_classifier(tmp_path)
    words = ("see", "--backbone", "smooth.keras", "--images", "a.png")
    code, out, err = command(*words)
    assert (code, err) == (0, "")
    assert out.splitlines()[0] == (
        "Left out, for they do not fit smooth.keras: guided backpropagation. --method guided_backpropagation says why."
    )
    assert set(np.load(tmp_path / "runs/see/see/image_001.npz")) == {"grad_cam"}
    code, _, err = command(*words, "--method", "guided_backpropagation", "--overwrite")
    assert code == 2
    assert "`model` must be a network with a ReLU" in err
    code, out, _ = command(
        *words, "--method", "all", "--overwrite", "--score-channels", 2, "--noise-samples", 2, "--steps", 4
    )
    assert code == 0
    assert "smooth.keras: CAM, deconvnet, guided backpropagation, guided Grad-CAM. --method cam says why." in out


def test_a_channel_of_a_network_without_a_relu(tmp_path, command):
    smooth_classifier(tmp_path)
    code, out, _ = command("see", "--backbone", "smooth.keras", "--images", "a.png", "--block", 2, "--channel", 1)
    assert code == 0
    assert "guided backpropagation" in out.splitlines()[0]
    assert set(np.load(tmp_path / "runs/see/see/image_001.npz")) == {"gradient"}


def test_faithfulness_leaves_out_what_does_not_apply(tmp_path, command, empty_figures):
    smooth_classifier(tmp_path)
    code, out, _ = command(
        "faithfulness", "--backbone", "smooth.keras", "--images", "a.png", "--curve-steps", 3, "--randomization", 0
    )
    assert code == 0
    assert out.startswith("Left out, for they do not fit smooth.keras: guided backpropagation.")
    table = pd.read_csv(tmp_path / "runs/see/faithfulness/faithfulness.csv")
    assert set(table["method"]) == {"grad_cam", "gradient", "random"}


def test_a_model_of_keras_in_place_of_its_path():
    import keras

    model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten()])
    with pytest.raises(UserError, match=r"Received: Sequential. Save it first, model.save\('net.keras'\)"):
        see(backbone=model, images="a.png")


def test_several_targets_side_by_side(trained_copy):
    classes = json.loads((trained_copy / "runs/g/train/manifest.json").read_text())["facts"]["classes"]
    made = of(
        trained_copy, dataset="g", samples=2, target=[classes[0], "top", classes[1], "0"],
        method=["grad_cam", "gradient"],
    )  # fmt: skip
    items = pd.read_csv(made.path / "items.csv")
    # The first class was named twice.
    assert list(items["image"]) == [1, 1, 1, 2, 2, 2]
    assert list(items["explained"][[0, 2, 3, 5]]) == [classes[0], classes[1], classes[0], classes[1]]
    assert (items["explained"] == items["top"])[[1, 4]].all()
    assert json.loads((made.path / "manifest.json").read_text())["arguments"]["target"] == ["0", "top", "1"]
    for number in (1, 2):
        raw = np.load(made.path / f"image_{number:03d}.npz")
        assert set(raw) == {f"{method}_{each}" for method in made.methods for each in ("class0", "top", "class1")}
        alone = of(trained_copy, run="alone", dataset="g", samples=2, target=classes[1], method="gradient",
                   backbone=str(trained_copy / "runs/g/train/model.keras"), overwrite=True)  # fmt: skip
        single = np.load(alone.path / f"image_{number:03d}.npz")
        np.testing.assert_allclose(raw["gradient_class1"], single["gradient"], atol=1e-6)
        assert (made.path / f"image_{number:03d}_grad_cam_class1.png").is_file()


def test_names_of_ones_own_for_a_network_of_ones_own(trained_copy, tmp_path):
    names = tmp_path / "names.txt"
    names.write_text("\n".join(f"colour {number}" for number in range(10)))
    model = tmp_path / "mine.keras"
    model.write_bytes((trained_copy / "runs/g/train/model.keras").read_bytes())
    classes = json.loads((trained_copy / "runs/g/train/manifest.json").read_text())["facts"]["classes"]
    names.write_text("\n".join(f"colour {number}" for number in range(len(classes))))
    made = of(trained_copy, run="mine", dataset="g", samples=1, backbone=str(model), class_names=str(names),
              target="colour 1", method="grad_cam")  # fmt: skip
    assert set(pd.read_csv(made.path / "items.csv")["explained"]) == {"colour 1"}
    with pytest.raises(UserError, match=r"Received: colour 99\. Did you mean .*names\.txt lists them all"):
        of(trained_copy, run="mine", dataset="g", samples=1, backbone=str(model), class_names=str(names),
           target="colour 99", method="grad_cam")  # fmt: skip


def test_both_scores_of_occlusion(trained_copy):
    made = of(trained_copy, dataset="g", samples=1, method="occlusion", windows=8)
    assert made.methods == ("occlusion",)
    assert json.loads((made.path / "manifest.json").read_text())["arguments"]["methods"] == {
        "occlusion": {"windows": [8], "seed": 0}
    }
    alone = np.load(made.path / "image_001.npz")["occlusion"]
    made = of(trained_copy, dataset="g", samples=1, method="occlusion", windows=8,
              occlusion_score=["probability", "output"], overwrite=True)  # fmt: skip
    assert made.methods == ("occlusion", "occlusion_output")
    raw = np.load(made.path / "image_001.npz")
    np.testing.assert_array_equal(raw["occlusion"], alone)
    # The corner is under one window, the middle under four.
    assert raw["occlusion_output"][0, 0] < raw["occlusion_output"][16, 16]
    with pytest.raises(UserError, match=r"`occlusion_score` must be one of: probability, output. Received: logit"):
        of(trained_copy, dataset="g", method="occlusion", occlusion_score="logit")


def test_several_layers_side_by_side(trained_copy, monkeypatch):
    from fashionprobe.plots import overlays

    drawn, explained = [], overlays.explained
    monkeypatch.setattr(
        overlays, "explained",
        lambda image, panels, **options: drawn.append(([name for name, _ in panels], options))
        or explained(image, panels, **options),
    )  # fmt: skip
    method = ["grad_cam", "gradient", "guided_grad_cam"]
    made = of(trained_copy, dataset="g", samples=1, block=[1, 2], method=method)
    assert made.methods == (
        "grad_cam_block1", "grad_cam_block2", "guided_grad_cam_block1", "guided_grad_cam_block2", "gradient"
    )  # fmt: skip
    headings, options = drawn[0]
    assert headings == ["block 1", "block 2", "guided Grad-CAM", "block 1", "block 2", "image", "gradient"]
    assert (options["columns"], options["name"]) == (3, "Grad-CAM")
    raw = np.load(made.path / "image_001.npz")
    # Each is what a run of that layer alone draws, whose recipe and files are the same as before.
    for block in (1, 2):
        alone = of(trained_copy, run="alone", dataset="g", samples=1, block=block, method=method, overwrite=True,
                   backbone=str(trained_copy / "runs/g/train/model.keras"))  # fmt: skip
        assert alone.methods == tuple(method)
        single = np.load(alone.path / "image_001.npz")
        for name in ("grad_cam", "guided_grad_cam"):
            np.testing.assert_allclose(raw[f"{name}_block{block}"], single[name], atol=1e-6)
    made = of(trained_copy, dataset="g", samples=1, layer=["first", "second"], method="grad_cam", target=["0", "1"],
              overwrite=True)  # fmt: skip
    assert set(np.load(made.path / "image_001.npz")) == {
        f"grad_cam_{layer}_class{number}" for layer in ("first", "second") for number in (0, 1)
    }


def test_one_neuron(trained_copy):
    import keras

    model = trained_copy / "runs/g/train/model.keras"
    Image.effect_noise((32, 32), 80).convert("RGB").save(trained_copy / "noise.png")
    pixels = np.asarray(Image.open(trained_copy / "noise.png"), np.float32)[None]
    network = keras.models.load_model(model)
    answers = keras.Model(network.input, network.get_layer("second").output)(pixels).numpy()[0, 0, 15]
    # One that is not silent there: the gradient of a ReLU at 0 is 0.
    channel = int(answers.argmax())
    made = of(trained_copy, run="n", images=[str(trained_copy / "noise.png")], block=2, neuron=[channel, 0, 15],
              method="gradient", backbone=str(model))  # fmt: skip
    assert set(pd.read_csv(made.path / "items.csv")["explained"]) == {f"channel {channel} at (0, 15) of second"}
    gradient = np.load(made.path / "image_001.npz")["gradient"]
    # It sees no pixel beyond its receptive field, in the upper right corner.
    assert np.abs(gradient[:8, 24:]).max() > 0
    assert not gradient[16:].any() and not gradient[:, :16].any()


def test_what_maps_point_at_is_cut_out(trained_copy):
    from fashionprobe.explain.heatmaps import heatmap
    from fashionprobe.explain.segmentation import segment

    Image.effect_noise((32, 32), 80).convert("RGB").save(trained_copy / "noise.png")
    image = np.asarray(Image.open(trained_copy / "noise.png"))
    model = str(trained_copy / "runs/g/train/model.keras")
    made = of(trained_copy, run="cut", images=[str(trained_copy / "noise.png")], backbone=model, segment=True,
              method=["grad_cam", "gradient"])  # fmt: skip
    raw = np.load(made.path / "image_001.npz")["grad_cam"]
    with Image.open(made.path / "image_001_grad_cam_segment.png") as mask:
        np.testing.assert_array_equal(np.asarray(mask), segment(image, heatmap(raw[None], (32, 32))[0]))
    assert (made.path / "image_001_segments.png").is_file()
    assert not (made.path / "image_001_gradient_segment.png").exists()
    assert json.loads((made.path / "manifest.json").read_text())["arguments"]["segment"] is True


@pytest.mark.parametrize("pooled", [True, False])
def test_what_makes_a_pair_alike(pooled, tmp_path, command):
    import keras

    from fashionprobe.explain import GradCAM
    from fashionprobe.explain.heatmaps import heatmap

    image = keras.Input((16, 16, 3))
    maps = keras.layers.Conv2D(4, 3, strides=2, activation="relu", name="conv")(keras.layers.Rescaling(1 / 255)(image))
    average = keras.layers.GlobalAveragePooling2D()
    model = keras.Model(image, average(maps) if pooled else maps)
    (tmp_path / "runs/g/embed").mkdir(parents=True)
    model.save(tmp_path / "runs/g/embed/model.keras")
    pixels = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), np.uint8)
    for name, each in zip("ab", pixels, strict=True):
        Image.fromarray(each).save(tmp_path / f"{name}.png")
    arguments = ("--pair", tmp_path / "a.png", tmp_path / "b.png", "--method", "grad_cam")
    code, out, err = command("see", "--run", "g", *arguments, "--runs-root", tmp_path / "runs")
    assert code == 0, out + err
    folder = tmp_path / "runs/g/see"
    # The embedding of the run, compared by hand.
    embedded = np.asarray(average(keras.Model(image, maps)(pixels.astype(np.float32))))
    unit = embedded / np.linalg.norm(embedded, axis=1, keepdims=True)
    items = pd.read_csv(folder / "items.csv")
    np.testing.assert_allclose(items["cosine"], [unit[0] @ unit[1]] * 2, atol=1e-5)
    assert items["explained"].tolist() == ["likeness to b.png", "likeness to a.png"]
    of_a, of_b = GradCAM(keras.Model(image, average(maps))).pair(pixels[:1], pixels[1:])
    for number, expected in ((1, of_a[0]), (2, of_b[0])):
        raw = np.load(folder / f"image_{number:03d}.npz")["grad_cam"]
        np.testing.assert_allclose(heatmap(raw[None], (16, 16))[0], expected, atol=1e-4)
    assert {path.name for path in folder.glob("*.svg")} == {"pair.svg"}
