"""The methods that explain an image, as classes: made for a model, then called with images.

Each stands on the function of its name in `cam`, `score_cam`, `occlusion` or `backprop`, and gives the same maps.
"""

import copy
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import keras
import numpy as np
import tensorflow as tf

from fashionprobe.errors import UserError
from fashionprobe.explain import methods, score_cam
from fashionprobe.explain.backprop import check_count
from fashionprobe.explain.cam import open_at
from fashionprobe.explain.explained_model import Classes, ExplainFunction, check_images, flat
from fashionprobe.explain.faithfulness import Baseline, Curve, deletion, insertion
from fashionprobe.explain.heatmaps import heatmap
from fashionprobe.explain.occlusion import WINDOWS, Score
from fashionprobe.explain.targets import Channel, Metric, Neuron, Similarity, Target

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Images = np.ndarray | tf.Tensor | tf.data.Dataset | Iterable[Any]
"""A batch of images, float (batch, height, width, channels), values as the model takes them; or a `tf.data.Dataset` or
any other iterable of such batches, of which those that come as (images, labels) are taken without the labels."""


class Explainer:
    """A method made for one model, which is not changed. Sequential and nested models work; a softmax is taken off.

    Calling it gives the raw maps, `heatmap` brings them to the size of the image and to [0, 1], `plot` draws them. It
    is compiled once per shape of the images.

    Attributes:
        model: The model as it is explained: flat, with the layers of the user's.
        layer: Name of the layer whose feature map the method looks at; None for methods without.
        target: What is explained; None for the score of a class.
        batch_size: Images, or changed copies of them, that go through the network at once.
        options: The options of the method.
    """

    method: ClassVar[str]

    def __init__(
        self, model: keras.Model, layer: str | keras.Layer | None, target: Target, batch_size: int, **options: Any
    ) -> None:
        check_count("batch_size", batch_size)
        self.target, self.batch_size, self.options = target, batch_size, options
        self.model, self.layer = self._open(model, layer)
        self._explain = self._made(target)

    def _made(self, target: Target) -> ExplainFunction:
        """Return the method for a target."""
        portions = {"batch_size": self.batch_size} if self.method in methods.IN_PORTIONS else {}
        return methods.explainer(
            self.method, self.model, layer=self.layer, target=target, **self.options, **portions
        )  # fmt: skip

    def __call__(self, images: Images, classes: Classes = None) -> np.ndarray:
        """Explain images.

        Args:
            images: A batch (batch, height, width, channels), a `tf.data.Dataset` or another iterable of batches.
            classes: Which class is explained: None for the top one of each image, one number for all images, or one per
                image. Left out when the target is not a class.

        Returns:
            The raw maps, float32: (images, rows, columns) at the resolution of the layer (for occlusion, that of the
            images), or (images, height, width, channels) for the methods that go back to the pixels.

        Raises:
            UserError: If the images or the classes do not fit the model.
        """
        return _joined([raw for _, raw in self._portions(images, classes)])

    def heatmap(self, images: Images, classes: Classes = None) -> np.ndarray:
        """Explain images at their size.

        Args:
            images: As for a call.
            classes: As for a call.

        Returns:
            float32 (images, height, width) in [0, 1]: 1 where the method sees most, in each image.

        Raises:
            UserError: If the images or the classes do not fit the model.
        """
        return _joined([heatmap(raw, pixels.shape[1:3]) for pixels, raw in self._portions(images, classes)])

    def pair(
        self, images: np.ndarray | tf.Tensor, others: np.ndarray | tf.Tensor, metric: Metric = "cosine"
    ) -> tuple[np.ndarray, np.ndarray]:
        """Explain in both images of each pair why a network that embeds images finds them alike.

        Each is explained with the `Similarity` to the other one as target, whatever the target of this explainer is.

        Args:
            images: float (pairs, height, width, channels); or a single one of them, for all others.
            others: The same.
            metric: How alike two embeddings are: "cosine", "dot" or "euclidean".

        Returns:
            The heatmaps of `images` and those of `others`, each float32 (pairs, height, width) in [0, 1].

        Raises:
            UserError: If the images do not fit the model or each other, it ends in no embedding, or the method
                explains nothing but classes.
        """
        both = [np.asarray(check_images(self.model, each)) for each in (images, others)]
        count = max(map(len, both))
        if any(len(each) not in (1, count) for each in both):
            raise UserError("others", expected=f"{len(both[0])} images, or one", received=len(both[1]))
        first, second = (np.repeat(each, count, axis=0) if len(each) < count else each for each in both)
        return self._compared(second, metric).heatmap(first), self._compared(first, metric).heatmap(second)

    def _compared(self, others: np.ndarray, metric: Metric) -> "Explainer":
        """Return this explainer with the similarity to other images as its target."""
        compared = copy.copy(self)
        compared.target = Similarity(others, metric)
        compared._explain = compared._made(compared.target)
        return compared

    def plot(self, images: Images, classes: Classes = None, *, count: int = 8) -> "Figure":
        """Draw images, each beside what the method sees in it.

        Args:
            images: As for a call.
            classes: As for a call.
            count: How many are drawn: the first ones; the others are not explained.

        Returns:
            The figure; it is not shown, a notebook does that.

        Raises:
            UserError: If the images or the classes do not fit the model.
        """
        from fashionprobe.plots.overlays import as_rgb, explained, picture

        check_count("count", count)
        shown: list[tuple[str, np.ndarray]] = []
        for pixels, raw in self._portions(images, classes):
            for image, said, relevance in zip(pixels, raw, heatmap(raw, pixels.shape[1:3]), strict=True):
                rgb = as_rgb(image)
                seen = picture(rgb, said, relevance, signed=self.method in methods.SIGNED)
                shown += [(f"image {len(shown) // 2 + 1}", rgb), (methods.title(self.method), seen)]
            if len(shown) >= 2 * count:
                break
        return explained(
            shown[0][1], shown[1 : 2 * count], title=self._explained(), columns=2,
            scale="relevance, each picture by itself",
        )  # fmt: skip

    def __repr__(self) -> str:
        at = f" at {self.layer!r}" if self.layer else ""
        options = "".join(f", {name}={value!r}" for name, value in self.options.items())
        return f"<{type(self).__name__} of {self._explained()} in {self.model.name!r}{at}{options}>"

    def _open(self, model: keras.Model, layer: str | keras.Layer | None) -> tuple[keras.Model, str | None]:
        """Return the flat model and the name of the layer; a nested model is copied here, once."""
        if self.method not in methods.LAYERED:
            return flat(model), None
        network, name = open_at(model, layer, self.target)
        return network.model, name

    def _explained(self) -> str:
        """Say what is explained."""
        if isinstance(self.target, Similarity):
            return f"the {self.target.metric} similarity to another image"
        if isinstance(self.target, Channel | Neuron):
            place = f" at ({self.target.row}, {self.target.column})" if isinstance(self.target, Neuron) else ""
            return f"channel {self.target.channel}{place} of {self.target.layer}"
        return "the score of a class" if self.target is None else getattr(self.target, "__name__", "a function")

    def _portions(self, images: Images, classes: Classes) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield images, `batch_size` or fewer at a time, and their raw maps."""
        if classes is None and isinstance(self.target, Similarity):
            count = len(self.target.others)
            classes = np.arange(count) if count > 1 else 0
        numbers, done = np.asarray(-1 if classes is None else classes), 0
        for batch in self._batches(images):
            if numbers.ndim == 1 and len(numbers) < done + len(batch):
                raise self._wrong_count(numbers, f"at least {done + len(batch)}")
            for start in range(0, len(batch), self.batch_size):
                pixels = batch[start : start + self.batch_size]
                some = numbers[done : done + len(pixels)] if numbers.ndim == 1 else classes
                yield pixels, self._explain(pixels, some)
                done += len(pixels)
        if not done:
            raise UserError("images", expected="one batch of images or more", received="none")
        if numbers.ndim == 1 and len(numbers) != done:
            raise self._wrong_count(numbers, str(done))

    def _wrong_count(self, numbers: np.ndarray, images: str) -> UserError:
        received = f"{len(numbers)} for {images} images"
        return UserError("classes", expected="None, an int, or ints, one per image", received=received)

    def _batches(self, images: Any) -> Iterator[np.ndarray]:
        """Yield the batches of whatever holds images, each checked."""
        wanted = len(self.model.input_shape)
        if isinstance(images, keras.utils.PyDataset):
            sequence: Any = images
            images = (sequence[place] for place in range(len(sequence)))
        elif not _holds_batches(images, wanted):
            images = [images]
        for batch in images:
            pixels = batch[0] if isinstance(batch, tuple) else batch
            if isinstance(images, tf.data.Dataset) and len(pixels.shape) == wanted - 1:
                raise UserError(
                    "images", expected="a dataset of batches", received=f"one of single images, {list(pixels.shape)}",
                    remedy="Batch it: dataset.batch(32).",
                )  # fmt: skip
            yield np.asarray(check_images(self.model, pixels))


def _holds_batches(images: Any, rank: int) -> bool:
    """Tell an iterable of batches from one batch; whatever is neither is left to the check of one batch."""
    if isinstance(images, list | tuple):
        return bool(images) and (isinstance(images[0], tuple) or len(getattr(images[0], "shape", ())) == rank)
    return isinstance(images, Iterable) and not hasattr(images, "shape") and not isinstance(images, str | bytes | dict)


def _joined(parts: Sequence[np.ndarray]) -> np.ndarray:
    if any(part.shape[1:] != parts[0].shape[1:] for part in parts):
        raise UserError(
            "images", expected="batches of one size", received=" and ".join({str(part.shape[1:]) for part in parts}),
            remedy="Call the explainer for each batch.",
        )  # fmt: skip
    return np.concatenate(parts)


class CAM(Explainer):
    """Class activation map: the feature map before the pooling, weighted with the dense layer's kernel.

    Args:
        model: A classifier that ends in GlobalAveragePooling2D and one Dense layer.
        relu: Whether negative values become 0.
        batch_size: Images that go through the network at once.

    Raises:
        UserError: If the model ends in anything else.

    Reference:
        Zhou et al., "Learning Deep Features for Discriminative Localization", 2016.
    """

    method = "cam"

    def __init__(self, model: keras.Model, *, relu: bool = True, batch_size: int = 32) -> None:
        super().__init__(model, None, None, batch_size, relu=relu)


class GradCAM(Explainer):
    """Grad-CAM: each channel of a feature map is weighted with the mean over space of the score's gradient.

    Args:
        model: The classifier, or any network for a target that is not a class.
        layer: A layer with a feature map, or its name; the last one that leads to the target by default.
        target: What is explained: a `Channel`, `Neuron`, `Similarity` or function; the score of a class by default.
        relu: Whether negative values become 0.
        batch_size: Images that go through the network at once.

    Raises:
        UserError: If there is no such layer, it has no space, or the target does not depend on it.

    Reference:
        Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-Based Localization", 2017.
    """

    method = "grad_cam"

    def __init__(
        self, model: keras.Model, layer: str | keras.Layer | None = None, *, target: Target = None, relu: bool = True,
        batch_size: int = 32,
    ) -> None:  # fmt: skip
        super().__init__(model, layer, target, batch_size, relu=relu)


class GradCAMPlusPlus(GradCAM):
    """Grad-CAM++: each place of a channel counts on its own, so that several objects of a class all show.

    Args:
        model: The classifier, or any network for a target that is not a class.
        layer: A layer with a feature map, or its name; the last one that leads to the target by default.
        target: What is explained: a `Channel`, `Neuron`, `Similarity` or function; the score of a class by default.
        relu: Whether negative values become 0.
        batch_size: Images that go through the network at once.

    Raises:
        UserError: If there is no such layer, it has no space, or the target does not depend on it.

    Reference:
        Chattopadhay et al., "Grad-CAM++: Improved Visual Explanations for Deep Convolutional Networks", 2018.
    """

    method = "grad_cam_plus_plus"


class PercentileCAM(Explainer):
    """Percentile CAM: like Grad-CAM, but with a percentile over space of the gradient in place of its mean.

    Args:
        model: The classifier, or any network for a target that is not a class.
        layer: A layer with a feature map, or its name; the last one that leads to the target by default.
        percentile: From 0 to 100; 50 is the median, 90 is laxer.
        target: What is explained: a `Channel`, `Neuron`, `Similarity` or function; the score of a class by default.
        relu: Whether negative values become 0.
        batch_size: Images that go through the network at once.

    Raises:
        UserError: If the percentile is out of range, there is no such layer, or the target does not depend on it.
    """

    method = "percentile_cam"

    def __init__(
        self, model: keras.Model, layer: str | keras.Layer | None = None, *, percentile: float = 50,
        target: Target = None, relu: bool = True, batch_size: int = 32,
    ) -> None:  # fmt: skip
        super().__init__(model, layer, target, batch_size, q=percentile, relu=relu)


class ScoreCAM(Explainer):
    """Score-CAM: each channel is weighted by the probability that is left when the image is seen through it.

    Args:
        model: The classifier, or any network for a target that is not a class.
        layer: A layer with a feature map, or its name; the last one that leads to the target by default.
        channels: How many channels of each image are used, those of the greatest variance; all by default.
        weights: "probability", as in the paper's section 3.2, or "softmax" over the channels, as in its algorithm 1.
        target: A `Channel`, `Neuron`, `Similarity` or function to explain; the probability of a class by default.
        batch_size: Images seen through a channel that go through the network at once.

    Raises:
        UserError: If there is no such layer, it has no space, or an option is out of range.

    Reference:
        Wang et al., "Score-CAM: Score-Weighted Visual Explanations for Convolutional Neural Networks", 2020.
    """

    method = "score_cam"

    def __init__(
        self, model: keras.Model, layer: str | keras.Layer | None = None, *, channels: int | None = None,
        weights: score_cam.Weights = "probability", target: Target = None, batch_size: int = 16,
    ) -> None:  # fmt: skip
        super().__init__(model, layer, target, batch_size, channels=channels, weights=weights)

    def _open(self, model: keras.Model, layer: str | keras.Layer | None) -> tuple[keras.Model, str]:
        network, name, _ = score_cam.open_any(model, layer, self.target)
        return network.model, name


class LayerCAM(Explainer):
    """Layer-CAM: each value of the feature map is weighted with its own positive gradient; works at early layers.

    Args:
        model: The classifier.
        layer: A layer with a feature map, or its name; the last one that leads to the scores by default.
        batch_size: Images that go through the network at once.

    Raises:
        UserError: If there is no such layer, it has no space, or the scores do not depend on it.

    Reference:
        Jiang et al., "LayerCAM: Exploring Hierarchical Class Activation Maps for Localization", 2021.
    """

    method = "layer_cam"

    def __init__(
        self, model: keras.Model, layer: str | keras.Layer | None = None, *, batch_size: int = 32
    ) -> None:  # fmt: skip
        super().__init__(model, layer, None, batch_size)


class AttentionRollout(Explainer):
    """Attention rollout: which patches the tokens of a vision transformer have taken in, whatever the class.

    Args:
        model: A network with `MultiHeadAttention` layers, whose tokens are patches of the image.
        batch_size: Images that go through the network at once.

    Raises:
        UserError: If the model has no such layers; when called, if its tokens are not patches in a grid.

    Reference:
        Abnar and Zuidema, "Quantifying Attention Flow in Transformers", ACL 2020.
    """

    method = "attention_rollout"

    def __init__(self, model: keras.Model, *, batch_size: int = 32) -> None:
        super().__init__(model, None, None, batch_size)

    def _explained(self) -> str:
        return "the attention"


class Occlusion(Explainer):
    """Occlusion: windows of the image are filled with noise one by one; high where the target needs what is there.

    Args:
        model: The classifier, or any network for a target that is not a class.
        windows: Sides of the square windows: below 1 a share of the image's shorter side, else pixels.
        strides: Steps between the windows of each size, in the same units; half the window by default.
        mean: Mean of the Gaussian noise, as a share of `value_range`.
        deviation: Standard deviation of the noise, in the same unit.
        value_range: Least and greatest value of images as the model takes them.
        seed: Seed of the noise.
        score: "probability", or "output" for the rule of the visualization report: the sum of 1 / s over the windows,
            s the output of the last layer before any softmax.
        target: A `Channel`, `Neuron`, `Similarity` or function to explain; the probability of a class by default.
        batch_size: Hidden images that go through the network at once.

    Raises:
        UserError: If an option is out of range, or the model or the target cannot be explained.

    Reference:
        Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks", 2014, section 4.2.
    """

    method = "occlusion"

    def __init__(
        self, model: keras.Model, *, windows: Sequence[float] = WINDOWS, strides: Sequence[float] | None = None,
        mean: float = 0.5, deviation: float = 0.1, value_range: tuple[float, float] = (0.0, 255.0), seed: int = 0,
        score: Score = "probability", target: Target = None, batch_size: int = 16,
    ) -> None:  # fmt: skip
        super().__init__(
            model, None, target, batch_size, windows=windows, strides=strides, mean=mean, deviation=deviation,
            value_range=value_range, seed=seed, score=score,
        )  # fmt: skip


class Gradient(Explainer):
    """Gradient: how much the score grows with each value of the image, with its sign.

    Args:
        model: The classifier, or any network for a target that is not a class.
        target: What is explained: a `Channel`, `Neuron`, `Similarity` or function; the score of a class by default.
        batch_size: Images that go through the network at once.

    Raises:
        UserError: If the model or the target cannot be explained.

    Reference:
        Simonyan et al., "Deep Inside Convolutional Networks: Visualising Image Classification Models", 2014.
    """

    method = "gradient"

    def __init__(self, model: keras.Model, *, target: Target = None, batch_size: int = 32) -> None:
        super().__init__(model, None, target, batch_size)


class Deconvnet(Gradient):
    """Deconvnet: like the gradient, but each ReLU hands down what is positive in what comes from above.

    Args:
        model: A network with a ReLU.
        target: What is explained: a `Channel`, `Neuron`, `Similarity` or function; the score of a class by default.
        batch_size: Images that go through the network at once.

    Raises:
        UserError: If the model has no ReLU, or it or the target cannot be explained.

    Reference:
        Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks", 2014.
    """

    method = "deconvnet"


class GuidedBackpropagation(Gradient):
    """Guided backpropagation: the gradient that each ReLU hands down only where it and its own output are positive.

    Args:
        model: A network with a ReLU.
        target: What is explained: a `Channel`, `Neuron`, `Similarity` or function; the score of a class by default.
        batch_size: Images that go through the network at once.

    Raises:
        UserError: If the model has no ReLU, or it or the target cannot be explained.

    Reference:
        Springenberg et al., "Striving for Simplicity: The All Convolutional Net", 2015.
    """

    method = "guided_backpropagation"


class GuidedGradCAM(Explainer):
    """Guided Grad-CAM: guided backpropagation times Grad-CAM.

    Args:
        model: A network with a ReLU.
        layer: The layer of Grad-CAM, or its name; the last one with a feature map by default.
        target: What is explained: a `Channel`, `Neuron`, `Similarity` or function; the score of a class by default.
        batch_size: Images that go through the network at once.

    Raises:
        UserError: If the model has no ReLU or no such layer, or it or the target cannot be explained.

    Reference:
        Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-Based Localization", 2017.
    """

    method = "guided_grad_cam"

    def __init__(
        self, model: keras.Model, layer: str | keras.Layer | None = None, *, target: Target = None, batch_size: int = 32
    ) -> None:
        super().__init__(model, layer, target, batch_size)


class SmoothGrad(Explainer):
    """SmoothGrad: the mean gradient over copies of the image with Gaussian noise.

    Args:
        model: The classifier, or any network for a target that is not a class.
        samples: Noisy copies of each image.
        deviation: Standard deviation of the noise, as a share of the image's own range.
        seed: Which noise, 0 to 2**31 - 1; an image gets the same in whatever batch it comes.
        target: What is explained: a `Channel`, `Neuron`, `Similarity` or function; the score of a class by default.
        batch_size: Copies that go through the network at once.

    Raises:
        UserError: If an argument is out of range, or the model or the target cannot be explained.

    Reference:
        Smilkov et al., "SmoothGrad: removing noise by adding noise", 2017.
    """

    method = "smooth_grad"

    def __init__(
        self, model: keras.Model, *, samples: int = 25, deviation: float = 0.15, seed: int = 0, target: Target = None,
        batch_size: int = 4,
    ) -> None:  # fmt: skip
        super().__init__(model, None, target, batch_size, samples=samples, deviation=deviation, seed=seed)


class IntegratedGradients(Explainer):
    """Integrated gradients: (x - b) times the mean gradient on the straight line from a baseline b to the image x.

    Args:
        model: The classifier, or any network for a target that is not a class.
        steps: Points on the line; doubled, three times at most, where the values miss the difference of the scores.
        baseline: An image without information: one value for all pixels, or an array that fits (height, width,
            channels).
        target: What is explained: a `Channel`, `Neuron`, `Similarity` or function; the score of a class by default.
        batch_size: Points that go through the network at once.

    Raises:
        UserError: If an argument is out of range, or the model or the target cannot be explained.

    Reference:
        Sundararajan et al., "Axiomatic Attribution for Deep Networks", 2017.
    """

    method = "integrated_gradients"

    def __init__(
        self, model: keras.Model, *, steps: int = 50, baseline: float | np.ndarray = 0.0, target: Target = None,
        batch_size: int = 4,
    ) -> None:  # fmt: skip
        super().__init__(model, None, target, batch_size, steps=steps, baseline=baseline)


class Deletion:
    """The deletion curve of heatmaps: pixels are erased, the most relevant ones first. Less area is more faithful.

    Args:
        model: The classifier, or any network for a target that is not a class.
        steps: Steps from the whole image to nothing of it.
        baseline: What stands where pixels are erased: "mean", "blur", one value, or an image.
        target: A `Channel`, `Neuron`, `Similarity` or function to explain; the probability of a class by default.
        batch_size: Changed images that go through the network at once.

    Raises:
        UserError: If an argument is out of range, or the model or the target cannot be explained.

    Reference:
        Petsiuk et al., "RISE: Randomized Input Sampling for Explanation of Black-box Models", 2018.
    """

    def __init__(
        self, model: keras.Model, *, steps: int = 50, baseline: Baseline = "mean", target: Target = None,
        batch_size: int = 8,
    ) -> None:  # fmt: skip
        self._set(deletion, model, steps, baseline, target, batch_size)

    def __call__(self, images: np.ndarray | tf.Tensor, heatmaps: np.ndarray, classes: Classes = None) -> Curve:
        """Measure heatmaps.

        Args:
            images: float (batch, height, width, channels), values as the model takes them.
            heatmaps: float (batch, height, width), any range; high is relevant. `Explainer.heatmap` gives such.
            classes: Which class; the top one of each whole image by default.

        Returns:
            One curve per image, and the area under it.

        Raises:
            UserError: If the images, the heatmaps or the classes do not fit.
        """
        return self._measure(images, heatmaps, classes)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} for {self._name!r}, steps={self.steps}, baseline={self.baseline!r}>"

    def _set(
        self, factory: Any, model: keras.Model, steps: int, baseline: Baseline, target: Target, batch_size: int
    ) -> None:
        self._name, self.steps, self.baseline = getattr(model, "name", ""), steps, baseline
        self._measure = factory(model, steps=steps, baseline=baseline, batch_size=batch_size, target=target)


class Insertion(Deletion):
    """The insertion curve of heatmaps: pixels are put into a baseline, the most relevant ones first. More is better.

    Args:
        model: The classifier, or any network for a target that is not a class.
        steps: Steps from the baseline to the whole image.
        baseline: What stands where pixels are not yet put in: "blur", "mean", one value, or an image.
        target: A `Channel`, `Neuron`, `Similarity` or function to explain; the probability of a class by default.
        batch_size: Changed images that go through the network at once.

    Raises:
        UserError: If an argument is out of range, or the model or the target cannot be explained.

    Reference:
        Petsiuk et al., "RISE: Randomized Input Sampling for Explanation of Black-box Models", 2018.
    """

    def __init__(
        self, model: keras.Model, *, steps: int = 50, baseline: Baseline = "blur", target: Target = None,
        batch_size: int = 8,
    ) -> None:  # fmt: skip
        self._set(insertion, model, steps, baseline, target, batch_size)
