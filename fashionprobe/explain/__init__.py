"""See what a trained network looks at: a method is made for a Keras model, then called with images.

    explainer = GradCAM(model)
    explainer.heatmap(images)

`heatmaps.heatmap`, `overlay` and the rest take arrays; the model is never changed.
"""

from typing import TYPE_CHECKING

from fashionprobe.lazy import names_of

if TYPE_CHECKING:
    from fashionprobe.explain.adversarial import fast_gradient_sign
    from fashionprobe.explain.explainers import (
        CAM,
        AttentionRollout,
        Deconvnet,
        Deletion,
        Explainer,
        GradCAM,
        GradCAMPlusPlus,
        Gradient,
        GuidedBackpropagation,
        GuidedGradCAM,
        Insertion,
        IntegratedGradients,
        LayerCAM,
        Occlusion,
        PercentileCAM,
        ScoreCAM,
        SmoothGrad,
    )
    from fashionprobe.explain.faithfulness import randomization
    from fashionprobe.explain.inputs_outputs import functional
    from fashionprobe.explain.maximization.dream import dream
    from fashionprobe.explain.maximization.invert import invert
    from fashionprobe.explain.maximization.maximize import maximize
    from fashionprobe.explain.segmentation import segment
    from fashionprobe.explain.targets import Channel, Neuron, Similarity
    from fashionprobe.plots.overlays import overlay

__all__ = [
    "CAM",
    "AttentionRollout",
    "Channel",
    "Deconvnet",
    "Deletion",
    "Explainer",
    "GradCAM",
    "GradCAMPlusPlus",
    "Gradient",
    "GuidedBackpropagation",
    "GuidedGradCAM",
    "Insertion",
    "IntegratedGradients",
    "LayerCAM",
    "Neuron",
    "Occlusion",
    "PercentileCAM",
    "ScoreCAM",
    "Similarity",
    "SmoothGrad",
    "dream",
    "fast_gradient_sign",
    "functional",
    "invert",
    "maximize",
    "overlay",
    "randomization",
    "segment",
]

__getattr__, __dir__ = names_of(__name__)
