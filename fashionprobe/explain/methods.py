"""The methods that explain an image, by name, with the options of each."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from fashionprobe.errors import UserError, unknown_name

if TYPE_CHECKING:
    import keras

    from fashionprobe.explain.explained_model import ExplainFunction
    from fashionprobe.explain.targets import Target

MAPS = ("cam", "grad_cam", "percentile_cam", "grad_cam_plus_plus", "score_cam", "layer_cam", "occlusion")
"""Methods that return one number a place, (batch, rows, columns)."""

PIXELS = (
    "gradient", "deconvnet", "guided_backpropagation", "guided_grad_cam", "smooth_grad", "integrated_gradients",
)  # fmt: skip
"""Methods that return one number per pixel and colour, signed, (batch, height, width, channels)."""

LAYERED = ("grad_cam", "percentile_cam", "grad_cam_plus_plus", "score_cam", "layer_cam", "guided_grad_cam")
"""Methods that look at the feature map of a layer."""

IN_PORTIONS = ("score_cam", "occlusion", "smooth_grad", "integrated_gradients")
"""Methods that look at many changed copies of an image, a batch of them at a time."""

OF_CLASSES = ("cam", "layer_cam")
"""Methods that explain nothing but a class."""

SIGNED = ("deconvnet", "guided_backpropagation", "guided_grad_cam")
"""Methods that are shown as pictures of signed colours, not as strength."""

METHODS = (*MAPS, *PIXELS)
"""All of them that explain any network."""

ATTENTION = ("attention_rollout",)
"""Methods for networks of tokens that attend to each other, such as vision transformers; they return maps."""

TITLES = {
    "cam": "CAM", "grad_cam": "Grad-CAM", "grad_cam_plus_plus": "Grad-CAM++", "score_cam": "Score-CAM",
    "layer_cam": "Layer-CAM", "guided_grad_cam": "guided Grad-CAM", "smooth_grad": "SmoothGrad",
}  # fmt: skip


def title(name: str) -> str:
    """Return the name of a method as a person writes it, such as "Grad-CAM" or "percentile CAM 90"."""
    return TITLES.get(name, name.replace("_", " ").replace("cam", "CAM"))


def windows_for(size: Sequence[int]) -> list[int]:
    """Return the windows of occlusion in pixels for images of a size: an eighth and a quarter of the shorter side."""
    return [max(1, min(size) // 8), max(1, min(size) // 4)]


def quick_options(name: str, size: Sequence[int]) -> dict[str, Any]:
    """Return options with which a method does not keep a person waiting.

    Args:
        name: The method.
        size: (height, width) of the images in pixels.
    """
    options = {
        "score_cam": {"channels": 32}, "smooth_grad": {"samples": 8, "seed": 0}, "integrated_gradients": {"steps": 16},
        "occlusion": {"windows": windows_for(size), "seed": 0},
    }  # fmt: skip
    return options.get(name, {})


def check_methods(names: Sequence[str], *, of_channel: bool) -> None:
    """Check names of methods, without importing the methods.

    Args:
        names: The names, or "all" alone.
        of_channel: Whether a channel is explained, and not a class.

    Raises:
        UserError: If there is no such method, or it explains nothing but classes and a channel is to be explained.
    """
    for name in names if list(names) != ["all"] else ():
        if name not in (*METHODS, *ATTENTION):
            raise unknown_name(
                "method", name, ["all", *METHODS, *ATTENTION], listing="`fashionprobe see --help` lists them all."
            )
        if of_channel and name in (*OF_CLASSES, *ATTENTION):
            others = ", ".join(other for other in METHODS if other not in OF_CLASSES)
            raise UserError("method", expected=f"one that can explain other than a class: {others}", received=name)


def explainer(
    name: str, model: "keras.Model", *, layer: str | None = None, target: "Target" = None, **options: Any
) -> "ExplainFunction":
    """Make a method for a model.

    Args:
        name: One of `METHODS` or `ATTENTION`.
        model: The model; pixels as it takes them.
        layer: The layer whose feature map the method looks at; None for the last one. Ignored by methods without.
        target: What is explained; None for a class.
        options: Further keyword arguments of the method.

    Returns:
        The method, compiled once a shape.

    Raises:
        UserError: If there is no such method, or it explains nothing but classes and the target is not a class.
    """
    check_methods([name], of_channel=target is not None)
    arguments = {"layer": layer} if name in LAYERED else {}
    arguments |= {} if name in (*OF_CLASSES, *ATTENTION) else {"target": target}
    return _factory(name)(model, **arguments, **options)


def _factory(name: str) -> "Callable[..., ExplainFunction]":
    """Return the function that makes a method for a model."""
    from fashionprobe.explain import attention, backprop, cam, occlusion, score_cam

    modules = {
        "attention_rollout": attention,
        "score_cam": score_cam,
        "occlusion": occlusion,
        **dict.fromkeys(PIXELS, backprop),
    }
    return getattr(modules.get(name, cam), name)
