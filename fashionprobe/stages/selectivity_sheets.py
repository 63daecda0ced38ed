"""The sheets of stage `selectivity`: neuron features, and the images that activate channels most."""

from typing import TYPE_CHECKING, Any

from fashionprobe.plots.save import Figures

if TYPE_CHECKING:
    import numpy as np

    from fashionprobe.channels.selectivity import Selectivity
    from fashionprobe.records.stream import Stream

SHEET = 8
"""Pictures in a row of a sheet."""

MASKED = 4
"""Channels of each block whose top images are drawn with their masks."""

TOP_CLASSES = 3
"""Classes that a caption names at most."""


def draw(
    figures: Figures, model: Any, source: "Stream", network: str, results: "dict[int, Selectivity]", features: int
) -> None:
    """Draw the neuron features of chosen channels, and the top images of some, masked.

    Args:
        figures: The figures that the sheets join, the deepest block first.
        model: The network with its preprocessing in front.
        source: The images that the results are about.
        network: Its name, for the titles.
        results: What was found, by block.
        features: Neuron features drawn a block.
    """
    from fashionprobe.plots.sheets import Row, contact_sheet

    chosen = {block: _chosen(found, features) for block, found in results.items()}
    wanted = {
        int(row)
        for block, found in results.items()
        for channel in _some(chosen[block])
        for row in found.top.images[channel, :SHEET]
    }
    pictures = source.pictures(wanted)
    for block, found in reversed(results.items()):
        if not chosen[block]:
            continue
        height, width = found.field.size
        remark = "Each is the mean of the crops that activate the channel most, weighted by activation; receptive field"
        remark += f" {height} x {width} pixels, at most the image. The number is the index."
        rows = []
        for name, channels in chosen[block].items():
            for start in range(0, len(channels), SHEET):
                some = channels[start : start + SHEET]
                images = [pixels(found.features[channel]) for channel in some]
                rows.append(Row(name.replace(" ", "\n"), images, [_caption(found, name, channel) for channel in some]))
        title = f"Neuron features of {network}, block {block}"
        figures.add(
            f"neuron_features_block{block}", contact_sheet(rows, title=title, remark=remark),
            f"Neuron features of block {block}",
            "What activates a channel most, on average: the mean of its strongest crops.",
        )  # fmt: skip
        rows = [row for channel in _some(chosen[block]) for row in _masked(model, found, channel, pictures)]
        remark = "Second rows: only the pixels stay where the channel is at least half as active as its strongest peak"
        remark += " in the data set. Captions: the peak of the activation."
        title = f"Images that activate channels of {network}, block {block}, most"
        figures.add(
            f"top_images_block{block}", contact_sheet(rows, title=title, remark=remark),
            f"Top images of block {block}",
            "The images that activate a channel most, and below each the places where the channel is active.",
        )  # fmt: skip


def _chosen(found: "Selectivity", features: int) -> dict[str, list[int]]:
    """Return the channels to draw: half by class index, half by colour index, no channel twice."""
    import numpy as np

    orders = {"highest class index": found.class_index, "highest colour index": found.colour_index}
    taken: list[int] = []
    chosen: dict[str, list[int]] = {}
    for (name, index), count in zip(orders.items(), (-(-features // 2), features // 2), strict=True):
        # Of channels with the same index the most active come first.
        order = np.lexsort((-found.top.values[:, 0], -np.nan_to_num(index, nan=-np.inf)))
        fitting = [int(channel) for channel in order if np.isfinite(index[channel]) and channel not in taken][:count]
        taken += fitting
        if fitting:
            chosen[name] = fitting
    return chosen


def _some(chosen: dict[str, list[int]]) -> list[int]:
    """Return the channels whose top images are drawn: the first of each kind in turn."""
    most = max((len(channels) for channels in chosen.values()), default=0)
    mixed = [channels[place] for place in range(most) for channels in chosen.values() if place < len(channels)]
    return mixed[:MASKED]


def _caption(found: "Selectivity", kind: str, channel: int) -> str:
    if kind == "highest class index":
        return f"channel {channel}\n{found.classes[channel][0][0]}\n{found.class_index[channel]:.2f}"
    return f"channel {channel}\ncolour {found.colour_index[channel]:.2f}"


def _masked(model: Any, found: "Selectivity", channel: int, pictures: "dict[int, np.ndarray]") -> list[Any]:
    """Return two rows of a sheet: the images that activate a channel most, and what the channel sees of them."""
    import numpy as np

    from fashionprobe.channels.top_images import channel_mask
    from fashionprobe.plots.sheets import Row

    values = found.top.values[channel, :SHEET]
    values = values[values > 0]
    images = np.stack([pictures[int(row)] for row in found.top.images[channel, : len(values)]])
    masked = channel_mask(model, found.layer, channel, images, threshold=float(values[0]) / 2)
    name = "\n".join(
        [f"channel {channel}", *(f"{share:.0%} {name}" for name, share in found.classes[channel][:TOP_CLASSES])]
    )
    return [
        Row(name, list(pixels(images)), [f"{value:.3g}" for value in values]),
        Row("masked", list(pixels(masked)), [""] * len(values)),
    ]


def pixels(images: "np.ndarray") -> "np.ndarray":
    """Return images as whole numbers, uint8."""
    import numpy as np

    return np.clip(np.rint(images), 0, 255).astype(np.uint8)
