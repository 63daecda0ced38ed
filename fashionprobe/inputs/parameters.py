"""What the parameters of stages mean and which values they may have: one text and one range a name, for all stages.

The decorator `stage` fills the texts into the docstrings, which `help` and `--help` show, and checks the ranges.
"""

import inspect
import re
import textwrap
from collections.abc import Mapping
from numbers import Real
from typing import Any

from fashionprobe.errors import UserError

TEXTS = {
    "augment": "Random changes to training images, as flip,shift,zoom,rotate,brightness,contrast,hue,"
    "saturation or some of them.",
    "backbone": "efficientnet_lite0, mini, resnet50, any other name of keras.applications, the path of a .keras file, "
    "or hub:PRESET of KerasHub; with random weights also residual, sketch, symbol, vgg_residual, "
    "vgg_plain, light_model, light, light_bn, resnet18 or resnet34.",
    "batch_size": "Images per batch.",
    "block": "Block number, or several as 1,4.",
    "dataset": "Name of the record set; in a script also what `ingest` returned.",
    "class_names": "Names of the network's classes: a file with one per line, a JSON list, or imagenet. Default: those "
    "that `train` noted, or ImageNet's for its classifiers.",
    "decay": "Then keep the learning rate, or lower it to 0 along half a cosine.",
    "dropout": "Share of the descriptor that is left out at random in training.",
    "epochs": "Passes over the train split.",
    "fit": "How images are brought to `size`: keep the aspect ratio and pad with white, or stretch.",
    "folds": "Number of stratified folds.",
    "freeze": "Keep the weights of blocks 1 to this one; 0 trains all, the deepest block trains the head alone.",
    "group": "Group of the index, such as colour or pattern.",
    "id_column": "For a table: the column with each photo's id, such as a SKU. Default: id, or else the file.",
    "image_column": "For a table: the column with each photo's file. Default: one called image, file, path or alike.",
    "label": "Label column, or several as colour,pattern.",
    "learning_rate": "Highest learning rate.",
    "metric": "Distance between descriptors: euclidean (squared in the loss of `embed`) or cosine.",
    "min_images": "Leave out classes with fewer images than this.",
    "name": "Name of the class.",
    "noise_samples": "For smooth_grad: noisy copies per image.",
    "normalization": "What is done to the descriptors first: none, l2 (unit length), standard (each channel to "
    "deviation 1), whiten (decorrelated, then unit length), sqrt (signed square root, then unit length) or "
    "sqrt_whiten.",
    "optimizer": "adam, or sgd with Nesterov momentum 0.9.",
    "overwrite": "Replace a result that was made with other arguments.",
    "percentile": "For percentile_cam: which percentiles of the gradient. Default: 50 and 90.",
    "precision": "Type of the network's arithmetic; bfloat16 and float16 are mixed precision.",
    "preprocessing": "How the weights expect the pixels: none is [0, 255], tf is [-1, 1], caffe is BGR less the "
    "ImageNet mean, torch is scaled by the ImageNet mean and deviation. auto is right for named backbones and for "
    "what `train` and `embed` wrote.",
    "rare": 'Leave rare classes out, or merge them into a class "other".',
    "run": "Name of the run, the folder runs/NAME; in a script also what an earlier stage returned.",
    "runs_root": "Folder that holds the runs.",
    "samples": "Number of images drawn from the dataset.",
    "score_channels": "For score_cam: how many channels to try, those that vary most.",
    "seed": "Seed of all random draws, such as samples, folds, noise and random weights.",
    "size": "Height and width in pixels of the network's input, as 224 (a square) or 224,160.",
    "split": "Which of train, val and test. Default: all.",
    "taps": "Names of the layers that end block 1, 2, ... Default: known for named backbones, else found.",
    "tfrecords_root": "Folder that holds the record sets.",
    "trust": "Open a .keras file even if it holds more than Keras layers: its code then runs with your rights.",
    "warmup": "Epochs over which the learning rate rises from 0.",
    "weight_decay": "Decoupled weight decay of kernels (AdamW).",
    "weights": "pretrained, imagenet, random, or the path of a weights file; for resnet18, resnet34 and resnet50 also "
    "a .pth of torchvision.",
    "windows": "For occlusion: heights of the square windows in pixels; strides are half of them. Default: an eighth "
    "and a quarter of the image.",
    "xla": "Compile with XLA.",
}
"""Descriptions of what several stages take; a docstring that says something else goes first."""

DEFAULTS = {
    "backbone": "Default: the network that `train` wrote into this run, if there is one, else resnet50.",
    "block": "Default: all.",
    "epochs": "Default: those of the embedding.",
    "folds": "Default: 5, or fewer where classes are too small.",
    "run": "Default: the name of the record set.",
    "size": "Default: the backbone's own, or 224.",
}
"""What None stands for, where a stage has it as the default."""

_NAMES = {
    "[0, inf)": "blur channel easy_epochs freeze hidden jitter l2 randomization total_variation warmup weight_decay",
    "[1, inf)": "batch_size check_every classes_per_batch count curve_steps dimension dimensions dropped epochs "
    "every features fillings filters images iterations loss_every masked min_images neighbours noise_samples octaves "
    "pairs per_class queries random samples score_channels seeds shard_size steps threads top trials triplets",
    "[2, inf)": "bins folds mask_count min_cluster_size",
    "[8, inf)": "cell",
    "(0, inf)": "learning_rate",
    "(0, 1]": "coverage share",
    "[0, 1)": "dropout label_smoothing small_contribution small_norm",
    "[0, 255)": "near_copies",
    "[0, 2**32)": "other_seed seed",
}
RANGES = {name: interval for interval, names in _NAMES.items() for name in names.split()}
"""Ranges of numbers, alone or in lists; the decorator of a stage names those that are others there."""


def check(name: str, value: Any, interval: str, kind: Any) -> None:
    """Check that a number, or each of a list, is in an interval; text, truth values and None are other people's.

    Args:
        name: Name of the argument.
        value: What was given.
        interval: A range such as "[1, inf)".
        kind: The annotation, which says whether the number is whole.

    Raises:
        UserError: If it is outside, or not a number.

    Example:
        >>> check("folds", [2, 5], "[2, inf)", int)
    """
    for number in value if isinstance(value, list | tuple) else [value]:
        if isinstance(number, Real) and not isinstance(number, bool) and not _within(number, interval):
            noun = "a number" if "float" in str(kind) else "an int"
            raise UserError(name, expected=f"{noun} in the range {interval}", received=number)


def _within(number: Any, interval: str) -> bool:
    low, high = (_number(end) for end in interval[1:-1].split(", "))
    inside = low <= number <= high
    return inside and not (number == low and interval[0] == "(") and not (number == high and interval[-1] == ")")


def _number(text: str) -> float:
    base, _, power = text.partition("**")
    return float(base) ** int(power or 1)


def documented(doc: str, parameters: Mapping[str, inspect.Parameter]) -> str:
    """Return the docstring of a stage with all its parameters described, in their order.

    Args:
        doc: The docstring, whose `Args:` hold what is said of this stage alone.
        parameters: The parameters by name; those without a text of their own get the shared one.
    """
    doc = inspect.cleandoc(doc)
    own, lines = described(doc), []
    for name, parameter in parameters.items():
        text = own.get(name) or _shared(name, parameter)
        lines += textwrap.wrap(
            f"{name}: {text}", 112, initial_indent=" " * 4, subsequent_indent=" " * 8, break_on_hyphens=False
        )
    sections = re.search(r"^(Args|Returns|Raises):", doc, re.MULTILINE)
    start = sections.start() if sections else len(doc)
    after = doc[start:].partition("\n\n")[2] if doc.startswith("Args:", start) else doc[start:]
    return "\n".join([doc[:start].rstrip(), "", "Args:", *lines, "", after])


def described(doc: str) -> dict[str, str]:
    r"""Return the descriptions of the parameters in a docstring, each on one line.

    Example:
        >>> described("Do it.\n\nArgs:\n    size: Height\n        and width.\n\nReturns:\n    It.")
        {'size': 'Height and width.'}
    """
    section = f"{doc}\n\n".partition("\nArgs:\n")[2].partition("\n\n")[0]
    entries = re.findall(r"^    (\w+): (.*(?:\n {5,}.*)*)", section, re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in entries}


def _shared(name: str, parameter: inspect.Parameter) -> str:
    ending = DEFAULTS.get(name, "") if parameter.default is None else ""
    return f"{TEXTS[name]} {ending}".strip()
