"""The methods that explain an image, by name, with the options of each."""

from typing import Any

import keras

from fashionprobe.errors import UserError, unknown_name
from fashionprobe.explain import backprop, cam, occlusion, score_cam
from fashionprobe.explain.network import Explainer
from fashionprobe.explain.targets import Target

MAPS = ("cam", "grad_cam", "percentile_cam", "grad_cam_plus_plus", "score_cam", "layer_cam", "occlusion")
"""Methods that return one number a place, (batch, rows, columns)."""

PIXELS = (
    "gradient", "deconvnet", "guided_backpropagation", "guided_grad_cam", "smooth_grad", "integrated_gradients",
)  # fmt: skip
"""Methods that return one number a pixel and colour, signed, (batch, height, width, channels)."""

LAYERED = ("grad_cam", "percentile_cam", "grad_cam_plus_plus", "score_cam", "layer_cam", "guided_grad_cam")
"""Methods that look at the feature map of a layer."""

OF_CLASSES = ("cam", "layer_cam")
"""Methods that explain nothing but a class."""

FACTORIES = {
    "cam": cam.cam,
    "grad_cam": cam.grad_cam,
    "percentile_cam": cam.percentile_cam,
    "grad_cam_plus_plus": cam.grad_cam_plus_plus,
    "score_cam": score_cam.score_cam,
    "layer_cam": cam.layer_cam,
    "occlusion": occlusion.occlusion,
    "gradient": backprop.gradient,
    "deconvnet": backprop.deconvnet,
    "guided_backpropagation": backprop.guided_backpropagation,
    "guided_grad_cam": backprop.guided_grad_cam,
    "smooth_grad": backprop.smooth_grad,
    "integrated_gradients": backprop.integrated_gradients,
}
"""The function that makes each method for a model."""


def explainer(
    name: str, model: keras.Model, *, layer: str | None = None, target: Target = None, **options: Any
) -> Explainer:
    """Make a method for a model.

    Args:
        name: One of `MAPS` or `PIXELS`.
        model: The model; pixels as it takes them.
        layer: The layer whose feature map the method looks at; None for the last one. Ignored by methods without.
        target: What is explained; None for a class.
        options: Further keyword arguments of the method.

    Returns:
        The method, compiled once a shape.

    Raises:
        UserError: If there is no such method, or it explains nothing but classes and the target is none.
    """
    if name not in FACTORIES:
        raise unknown_name("method", name, FACTORIES, listing="`fashionprobe see --help` lists them all.")
    if target is not None and name in OF_CLASSES:
        others = ", ".join(other for other in FACTORIES if other not in OF_CLASSES)
        raise UserError("method", expected=f"one that can explain a channel: {others}", received=name)
    arguments = {"layer": layer} if name in LAYERED else {}
    arguments |= {} if name in OF_CLASSES else {"target": target}
    return FACTORIES[name](model, **arguments, **options)
