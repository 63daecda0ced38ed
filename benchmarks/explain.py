"""What an explanation costs: ratios to one compiled forward pass of the same batch, and the memory above the model.

Every method and its peer take turns with the forward pass in this process, and the table shows the median over the
rounds of the ratio within a round, so that a load that comes and goes meets both alike. The peak of memory is measured
in a process of its own for each method. ResNet50 with random weights: what it has learned does not change the cost.

Run it with `python benchmarks/explain.py`; it takes about fifteen minutes on two cores. What counts are the ratios.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

LAYER = "conv5_block3_out"
WINDOWS, MAPS = 49, 10
TARGETS = {
    "Grad-CAM": 1.15, "gradient": 2.3, "guided backpropagation": 2.3, "deconvnet": 2.3,
    f"occlusion, a window of {WINDOWS}": 1.0, f"Score-CAM, {MAPS} maps": 1.1 * (MAPS + 1),
}  # fmt: skip
LITE0 = 1.05
"""Upper bound for Grad-CAM on efficientnet_lite0."""

PEAK = 300
"""Megabytes above the model that a method may take at batch 8."""


def methods(model) -> dict[str, tuple[Callable, int]]:
    """Return each method as a function of the images, and by how much its time is divided."""
    from fashionprobe.explain import backprop, cam, occlusion, score_cam

    side = 224 // 7
    return {
        "Grad-CAM": (cam.grad_cam(model, LAYER), 1),
        "gradient": (backprop.gradient(model), 1),
        "guided backpropagation": (backprop.guided_backpropagation(model), 1),
        "deconvnet": (backprop.deconvnet(model), 1),
        f"occlusion, a window of {WINDOWS}": (occlusion.occlusion(model, windows=(side,), strides=(side,)), WINDOWS),
        f"Score-CAM, {MAPS} maps": (score_cam.score_cam(model, LAYER, channels=MAPS), 1),
    }


def peers(model) -> dict[str, Callable]:
    """Return what tf-keras-vis does for the same, as functions of the images."""
    import tensorflow as tf
    from tf_keras_vis.gradcam import Gradcam
    from tf_keras_vis.saliency import Saliency
    from tf_keras_vis.scorecam import Scorecam

    def score(output):
        return tf.reduce_max(output, axis=-1)

    plain = {"seek_penultimate_conv_layer": False, "penultimate_layer": LAYER}
    makers: tuple[Any, ...] = (Gradcam, Saliency, Scorecam)
    gradcam, saliency, scorecam = (make(model, clone=False) for make in makers)
    return {
        "Grad-CAM": lambda images: gradcam(score, images, **plain),
        "gradient": lambda images: saliency(score, images, keepdims=True),
        f"Score-CAM, {MAPS} maps": lambda images: scorecam(score, images, max_N=MAPS, **plain),
    }


def build(batch: int):
    """Return ResNet50, its compiled forward pass, and a batch of noise."""
    import keras
    import numpy as np
    import tensorflow as tf

    options: dict[str, Any] = {"weights": None, "classifier_activation": None}
    model = keras.applications.ResNet50(**options)
    images = np.random.default_rng(0).random((batch, 224, 224, 3), dtype=np.float32) * 255
    forward = tf.function(lambda pixels: model(pixels, training=False))
    return model, lambda: forward(tf.constant(images)).numpy(), images


def of_lite0(batch: int, rounds: int) -> float:
    """Return the ratio of Grad-CAM on the ImageNet network that comes by pip, trained weights and all."""
    import numpy as np
    import tensorflow as tf

    from fashionprobe import backbones
    from fashionprobe.explain.cam import grad_cam

    model = backbones.on_pixels(backbones.load("efficientnet_lite0", classifier=True))
    images = np.random.default_rng(0).random((batch, 224, 224, 3), dtype=np.float32) * 255
    forward = tf.function(lambda pixels: model(pixels, training=False))
    explain = grad_cam(model)
    return ratio(lambda: forward(tf.constant(images)).numpy(), lambda: explain(images), 1, rounds)


def seconds(call: Callable) -> float:
    """Return how long a call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def ratio(forward: Callable, call: Callable, divide: int, rounds: int) -> float:
    """Return the median ratio of a call to the forward passes just before and after it."""
    call()
    found = []
    for _ in range(rounds):
        before, taken, after = seconds(forward), seconds(call), seconds(forward)
        found.append(taken / divide / ((before + after) / 2))
    return statistics.median(found)


def resident(field: str) -> float:
    """Return a line of this process' memory figures, in MB."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) / 1024


def measure_peak(name: str, batch: int) -> None:
    """Print the peak memory of one method above a process that holds the model and its images."""
    model, _, images = build(batch)
    before = resident("VmRSS")
    call = (lambda: peers(model)[name[5:]](images)) if name.startswith("peer ") else None
    (call or (lambda: methods(model)[name][0](images)))()
    print(resident("VmHWM") - before)


def peak(name: str, batch: int) -> float:
    """Return the peak memory of one method, measured in a process of its own, in MB."""
    command = [sys.executable, __file__, "--peak", name, "--batch", str(batch)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1])


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=8, help="images a batch (default: 8)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds (default: 5)")
    parser.add_argument("--peak", help=argparse.SUPPRESS)
    options = parser.parse_args()
    warnings.filterwarnings("ignore", message="The structure of `inputs`")
    import keras

    # The Score-CAM of tf-keras-vis calls `predict`, which would draw bars.
    keras.utils.disable_interactive_logging()
    if options.peak:
        return measure_peak(options.peak, options.batch)
    model, forward, images = build(options.batch)
    forward()
    theirs = peers(model)
    print(f"ResNet50, 224 px, batch {options.batch}; forward pass {seconds(forward):.2f} s")
    print(f"{'method':28} {'ratio':>7} {'target':>7}  {'peak MB':>8}   {'tf-keras-vis':>12} {'peak MB':>8}")
    for name, (explain, divide) in methods(model).items():
        long = divide > 1 or name.startswith("Score")
        found = ratio(forward, lambda explain=explain: explain(images), divide, 2 if long else options.rounds)
        line = f"{name:28} {found:7.2f} {TARGETS[name]:7.2f}  {peak(name, options.batch):8.0f}"
        if name in theirs:
            peer = ratio(forward, lambda name=name: theirs[name](images), 1, 2)
            line += f"   {peer:12.2f} {peak(f'peer {name}', options.batch):8.0f}"
        print(line, flush=True)
    print(f"{'Grad-CAM, efficientnet_lite0':28} {of_lite0(options.batch, options.rounds):7.2f} {LITE0:7.2f}")
    print(f"Targets are upper bounds; of the peak above the model {PEAK} MB.")


if __name__ == "__main__":
    main()
