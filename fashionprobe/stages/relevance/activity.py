"""What the filters of the last feature map do on the images that `relevance` looks at, and inside the masks."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import fashionprobe.inputs.arguments as shared
from fashionprobe.errors import UserError
from fashionprobe.inputs.network import LoadedNetwork, NetworkSpec
from fashionprobe.records.record_set import RecordSet

if TYPE_CHECKING:
    import numpy as np

    from fashionprobe.channels.filters import Filters
    from fashionprobe.inputs.masks import Masks
    from fashionprobe.records.stream import Stream

MIN_EVALUATED = 20
"""Images of val and test together below which folds are made of all images."""


@dataclass(frozen=True)
class ImageSubset:
    """Some images of a stream.

    Attributes:
        stream: The stream.
        rows: Their rows in it, ascending.
    """

    stream: "Stream"
    rows: "np.ndarray"

    def __len__(self) -> int:
        return len(self.rows)

    def column(self, name: str) -> "np.ndarray":
        """Return a column of `items.csv`, text (images,)."""
        return self.stream.items[name].to_numpy(str)[self.rows]

    def some(self, places: "list[int] | np.ndarray") -> "ImageSubset":
        """Return the images at these places, in stored order."""
        import numpy as np

        return ImageSubset(self.stream, self.rows[np.sort(places)])

    def batches(self, description: str) -> "Iterator[tuple[int, np.ndarray]]":
        """Yield the place of the first image of each batch, and the batch, float32 (batch, height, width, 3)."""
        import numpy as np

        wanted = np.isin(np.arange(len(self.stream.items)), self.rows)
        read, yielded = 0, 0
        waiting: list[np.ndarray] = []
        for batch in self.stream.batches(description):
            waiting += list(batch[wanted[read : read + len(batch)]])
            read += len(batch)
            is_last = read > self.rows[-1]
            while len(waiting) >= self.stream.batch_size or (waiting and is_last):
                ready = waiting[: self.stream.batch_size]
                del waiting[: len(ready)]
                yield yielded, np.stack(ready)
                yielded += len(ready)
            if is_last:
                return


def choose(
    records: RecordSet,
    splits: list[str] | None,
    *,
    samples: int,
    size: tuple[int, int],
    fit: Literal["pad", "stretch"],
    batch_size: int,
    seed: int,
) -> ImageSubset:
    """Draw images of some splits at random."""
    import numpy as np

    from fashionprobe.records.stream import Stream

    items, found = records.in_splits(splits, least=2)
    rows = np.random.default_rng(seed).choice(len(items), min(samples, len(items)), replace=False)
    return ImageSubset(Stream(records, items, found, size, fit, batch_size), np.sort(rows))


@dataclass(frozen=True, kw_only=True)
class RelevanceStudy:
    """What one run of this stage looks at.

    Attributes:
        opened: The network.
        dataset: Name of the record set.
        found: The filters of its last feature map.
        after: Those of the network after a refit; None without.
        corrected: That network; None without.
        images: The images, each of a class.
        label: The label column.
        filters: Number of filters shown.
        chosen: The filters shown in place of the most relevant; empty for those.
        outside: What becomes of the parts of an image where a filter is not active.
        seed: The seed.
    """

    opened: LoadedNetwork
    dataset: str
    found: "Filters"
    after: "Filters | None"
    corrected: LoadedNetwork | None
    images: ImageSubset
    label: str
    filters: int
    chosen: tuple[int, ...]
    outside: Literal["black", "dark"]
    seed: int


@dataclass(frozen=True)
class Activity:
    """Mean activations over whole maps.

    Attributes:
        features: float32 (images, filters).
        after: The same in the network after the refit; None without.
        guesses: Name of the class that the network gives each image, text (images,); None where it does not know the
            classes of the label.
        guesses_after: The same of the network after the refit.
    """

    features: "np.ndarray"
    after: "np.ndarray | None"
    guesses: "np.ndarray | None" = None
    guesses_after: "np.ndarray | None" = None


@dataclass(frozen=True)
class Inside:
    """Mean activations of masked images.

    Attributes:
        inside: Inside the mask, float64 (masked images, filters).
        whole: Over the whole map, float64 (masked images, filters).
        inside_after: Inside the mask in the network after the refit; None without.
        shown: A few of the images: row, and pixels uint8 (height, width, 3).
        masks: The masks as the network sees them, bool (masked images, height, width).
        images: The masked images.
    """

    inside: "np.ndarray"
    whole: "np.ndarray"
    inside_after: "np.ndarray | None"
    shown: "dict[int, np.ndarray]"
    masks: "np.ndarray"
    images: ImageSubset

    @property
    def covered(self) -> int:
        """How many masks cover the whole map, so that they tell no filter from another."""
        import numpy as np

        return int(np.isclose(self.inside, self.whole, rtol=1e-9, atol=0).all(axis=1).sum())


def after_file(after: shared.Place | None) -> Path | None:
    """Return the file of the network after the refit, given that or its folder.

    Raises:
        UserError: If it is not there, or not a `.keras` file.
    """
    if after is None:
        return None
    path = Path(after)
    path = path / "model.keras" if path.is_dir() else path
    if not path.is_file() or path.suffix != ".keras":
        received = f"{str(path)!r}" + ("" if path.is_file() else ", which does not exist")
        raise UserError(
            "after", expected="a .keras file, such as runs/RUN/refit/model.keras", received=received,
            remedy="Make one: fashionprobe refit --run RUN ...",
        )  # fmt: skip
    return path


def open_after(spec: NetworkSpec, opened: LoadedNetwork) -> LoadedNetwork:
    """Open the network after the refit at the size of the first."""
    second = replace(spec, size=opened.backbone.size).open(classifier=False)
    if second.backbone.weights_sha256 == opened.backbone.weights_sha256:
        received = f"{spec.backbone}, with the same weights"
        raise UserError("after", expected="another network than before", received=received)
    return second


def of_classes(images: ImageSubset, label: str, min_images: int) -> ImageSubset:
    """Leave out images of rare classes and without a class; what is learned from decides what is rare."""
    import numpy as np

    labels = images.column(label)
    known = learned_from(images) & (labels != "")
    classes, counts = np.unique(labels[known], return_counts=True)
    kept = classes[counts >= min_images]
    if len(kept) < 2:
        listed = ", ".join(f"{name} {count}" for name, count in list(zip(classes, counts, strict=True))[:5]) or "none"
        raise UserError(
            "label", expected=f"a column with two classes or more of {min_images} images to learn from",
            received=f"{label}, of which {len(images)} images were drawn ({listed})",
            remedy="Draw more with --samples, take more splits, or lower --min-images.",
        )  # fmt: skip
    return images.some(np.flatnonzero(np.isin(labels, kept)))


def masked_images(masks: "Masks", like: "Stream") -> ImageSubset:
    """Return the masked images in stored order.

    Args:
        masks: The masks.
        like: A stream of the same records, of the size that is wanted.
    """
    import numpy as np

    items, splits = like.records.in_splits(list(dict.fromkeys(masks.splits)))
    rows = np.flatnonzero(items["id"].isin(masks.ids))
    return ImageSubset(replace(like, items=items, splits=splits), rows)


def look(job: RelevanceStudy) -> Activity:
    """Read all images once."""
    import numpy as np

    labels = set(job.images.column(job.label))
    looks = [_Look(job.found, _classes(job.opened, labels))]
    if job.after and job.corrected:
        known = job.corrected.classes or job.opened.classes
        looks.append(_Look(job.after, _classes(replace(job.corrected, classes=known), labels)))
    for _, pixels in job.images.batches("relevance, images"):
        for look in looks:
            look.add(pixels)
    means = [np.concatenate(look.means) for look in looks]
    guesses = [np.concatenate(look.guesses) if look.guesses else None for look in looks]
    return Activity(means[0], means[1] if len(looks) > 1 else None, guesses[0], guesses[1] if len(looks) > 1 else None)


class _Look:
    """What one network does on the images, batch by batch.

    Args:
        filters: Its filters.
        classes: Names of its classes; None where they are not asked for.
    """

    def __init__(self, filters: "Filters", classes: "np.ndarray | None") -> None:
        self.filters, self.classes = filters, classes
        self.means: list[np.ndarray] = []
        self.guesses: list[np.ndarray] = []

    def add(self, pixels: "np.ndarray") -> None:
        if self.classes is None:
            maps = self.filters.maps(pixels)
        else:
            maps, scores = self.filters.answers(pixels)
            self.guesses.append(self.classes[scores.argmax(axis=1)])
        self.means.append(maps.mean(axis=(1, 2)))


def _classes(opened: LoadedNetwork, labels: set[str]) -> "np.ndarray | None":
    """Return the names of a classifier's classes, where those of the label are among them."""
    import numpy as np

    names = [shared.spelled(name) for name in opened.classes or ()]
    fits = opened.is_classifier and labels <= set(names) and opened.model.output_shape[-1] == len(names)
    return np.array(names) if fits else None


def look_inside(job: RelevanceStudy, masks: "Masks", images: ImageSubset, *, shown: int = 3) -> Inside:
    """Read the masked images once.

    Args:
        job: What is looked at.
        masks: The masks.
        images: The masked images, in stored order.
        shown: Images that are kept to be shown, drawn at random.
    """
    import numpy as np

    from fashionprobe.channels.filters import inside_masks

    by_name = dict(zip(masks.ids, masks.fitted(images.stream.size, images.stream.fit), strict=True))
    fitted = np.stack([by_name[name] for name in images.column("id")])
    random = np.random.default_rng(job.seed)
    kept = set(random.choice(len(fitted), min(shown, len(fitted)), replace=False).tolist())
    inside, whole, after, pictures = [], [], [], {}
    for start, pixels in images.batches("relevance, masked images"):
        part = fitted[start : start + len(pixels)]
        first, second = inside_masks(job.found.maps(pixels), part)
        inside.append(first)
        whole.append(second)
        if job.after:
            after.append(inside_masks(job.after.maps(pixels), part)[0])
        pictures |= {row: as_bytes(pixels[row - start]) for row in kept if start <= row < start + len(pixels)}
    return Inside(
        np.concatenate(inside), np.concatenate(whole), np.concatenate(after) if after else None,
        dict(sorted(pictures.items())), fitted, images,
    )  # fmt: skip


def learned_from(images: ImageSubset) -> "np.ndarray":
    """Tell which images rankings and classifiers learn from: those of train, bool (images,).

    All are, and are measured on too, in folds, where there are none of train or too few others.
    """
    import numpy as np

    is_train = images.column("split") == "train"
    is_split = is_train.any() and np.sum(~is_train) >= MIN_EVALUATED
    return is_train if is_split else np.ones(len(is_train), bool)


def measured_on(images: ImageSubset) -> "np.ndarray":
    """Tell which images the accuracies are measured on, bool (images,): those not learned from; in folds, all."""
    import numpy as np

    learned = learned_from(images)
    return np.ones(len(learned), bool) if learned.all() else ~learned


def own_accuracy(job: RelevanceStudy, guesses: "np.ndarray | None") -> float | None:
    """Return the accuracy of a whole network on the images that the classifiers are measured on."""
    if guesses is None:
        return None
    measured = measured_on(job.images)
    return float((guesses[measured] == job.images.column(job.label)[measured]).mean())


def as_bytes(pixels: "np.ndarray") -> "np.ndarray":
    """Return an image as uint8."""
    import numpy as np

    return np.rint(np.clip(pixels, 0, 255)).astype(np.uint8)
