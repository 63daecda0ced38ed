"""Stage `converge`: records -> whether the channels of two networks, or of two blocks, respond to the same."""

import logging
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import fashionprobe.inputs.arguments as shared
from fashionprobe.artifacts import Artifact, Recipe, Result, build, child
from fashionprobe.errors import missing
from fashionprobe.inputs.network import NetworkSpec
from fashionprobe.plots.save import Figures

if TYPE_CHECKING:
    from fashionprobe.backbones import Backbone
    from fashionprobe.channels.convergent import Correlations, Pairs
    from fashionprobe.channels.top_images import TopImages
    from fashionprobe.records.stream import Stream

log = logging.getLogger(__name__)

SHEET = 4
"""Images of each channel of a pair that is drawn."""


@dataclass(frozen=True)
class Convergence(Result):
    """Matched channels on disk.

    Attributes:
        pairs: The pairs of both matchings, `pairs.csv`.
        bipartite: Mean correlation of the pairs matched one to one, silent channels left out.
        semi_matching: Mean correlation of the channels with their best partners, silent channels left out.
    """

    pairs: Path
    bipartite: float
    semi_matching: float


@dataclass(frozen=True)
class _Side:
    """One of the two layers."""

    backbone: "Backbone"
    block: int

    @property
    def layer(self) -> str:
        return self.backbone.taps[self.block - 1]

    @property
    def name(self) -> str:
        return f"{self.backbone.name} ({self.backbone.weights}), block {self.block}"

    def arguments(self) -> dict[str, Any]:
        names = [layer.name for layer in self.backbone.model.layers]
        return {
            "backbone": self.backbone.name, "tap": names.index(self.layer), "block": self.block,
            "preprocessing": asdict(self.backbone.preprocessing),
        }  # fmt: skip


@shared.stage
def converge(
    *,
    dataset: shared.Place,
    run: str | None = None,
    backbone: str | None = None,
    weights: str = "pretrained",
    block: int | None = None,
    taps: list[str] | str | None = None,
    preprocessing: Literal["auto", "none", "tf", "caffe", "torch"] = "auto",
    other_backbone: str | None = None,
    other_weights: str | None = None,
    other_block: int | None = None,
    other_taps: list[str] | str | None = None,
    other_preprocessing: Literal["auto", "none", "tf", "caffe", "torch"] = "auto",
    size: int | list[int] | None = None,
    fit: Literal["pad", "stretch"] = "pad",
    split: list[str] | str | None = None,
    pool: Literal["auto", "never", "always"] = "auto",
    pairs: int = 4,
    batch_size: int = 32,
    seed: int = 0,
    other_seed: int = 1,
    trust: bool = False,
    overwrite: bool = False,
    tfrecords_root: str = "tfrecords",
    runs_root: str = "runs",
) -> Convergence:
    """Match the channels of two networks, or of two blocks.

    They are matched by the correlation of their activations.

    Args:
        block: Block number. Default: the last.
        other_backbone: The network to compare with. Default: the same.
        other_weights: Its weights. Default: the same, or pretrained for another network.
        other_block: Its block. Default: the same number, or the last for another network.
        other_taps: Its taps.
        other_preprocessing: What its weights expect of the pixels.
        size: Height and width in pixels of the input of both. Default: the first backbone's own.
        pool: Correlate over all places of the feature maps (never), over their means (always), or over places where the
            maps have the same size (auto).
        pairs: Best pairs drawn, and as many of the worst.
        other_seed: Seed of random weights of the network to compare with.

    Returns:
        The comparison: paths and headline numbers.

    Raises:
        UserError: If an argument does not fit, nothing differs between the two, or the records are missing or damaged.
        OSError: If the disk is full or the folder may not be written.

    Example:
        fashionprobe converge --run kaggle --dataset kaggle --other-weights random
    """
    records_path = shared.records_path(dataset, tfrecords_root)
    folder = child(runs_root, records_path.name if run is None else run, argument="run")
    spec = NetworkSpec.of(folder, backbone, weights, taps, preprocessing, size, seed, trust)
    spec.check([block])
    is_same = other_backbone in (None, backbone)
    other_spec = NetworkSpec.of(
        folder, other_backbone or backbone, other_weights or (weights if is_same else "pretrained"),
        other_taps or (taps if is_same else None),
        preprocessing if is_same and other_preprocessing == "auto" else other_preprocessing, size, other_seed, trust,
    )  # fmt: skip
    if other_backbone is not None:
        other_spec.check([other_block])
    records = shared.open_records(dataset, tfrecords_root)

    items, splits = records.in_splits(shared.listed("split", split), least=2)

    from fashionprobe.backbones import devices
    from fashionprobe.records.stream import Stream

    loaded = spec.load()
    other = replace(other_spec, size=loaded.size).load()
    sides = (_side("block", loaded, block), _side("other_block", other, other_block or (block if is_same else None)))
    if loaded.weights_sha256 == other.weights_sha256 and sides[0].layer == sides[1].layer:
        raise missing(
            "other_backbone", f"{sides[0].name} would be compared with itself",
            "Pass --other-backbone, --other-weights or --other-block.",
        )  # fmt: skip
    recipe = Recipe(
        "converge",
        {
            "first": sides[0].arguments(), "second": sides[1].arguments(), "second_weights": other.weights_sha256,
            "size": loaded.size, "fit": fit, "split": splits, "pool": pool, "pairs": pairs,
        },
        {"records": records.fingerprint},
        loaded.weights_sha256,
    )  # fmt: skip
    stream = Stream(records, items, splits, loaded.size, fit, batch_size)
    artifact = build(
        folder / "converge",
        recipe,
        lambda draft: _write(draft, stream, sides, pool, pairs),
        overwrite=overwrite,
        settings={"batch_size": batch_size, "device": devices.name()},
    )
    return _result(artifact)


def _side(argument: str, backbone: "Backbone", block: int | None) -> _Side:
    return _Side(backbone, backbone.choose_blocks(None if block is None else [block], argument, remedy="")[-1])


def _write(
    draft: Path, stream: "Stream", sides: tuple[_Side, _Side], pool: Literal["auto", "never", "always"], pairs: int
) -> dict[str, Any]:
    """Compute, and fill the files of the artifact."""
    import numpy as np
    import pandas as pd

    from fashionprobe import backbones
    from fashionprobe.channels.convergent import bipartite, correlate, semi_matching
    from fashionprobe.channels.top_images import top_images

    models = [backbones.on_pixels(side.backbone) for side in sides]
    layers = [side.layer for side in sides]
    found = correlate(models[0], layers[0], models[1], layers[1], stream.batches("correlate"), pool=pool)
    np.save(draft / "correlation.npy", found.between)
    np.save(draft / "correlation_within.npy", found.first)
    np.save(draft / "correlation_within_other.npy", found.second)
    matchings = {"bipartite": bipartite(found.between), "semi": semi_matching(found.between)}
    tables = [
        pd.DataFrame({
            "matching": name, "channel": match.channels, "other": match.others, "correlation": match.correlations,
            "alive": found.alive[match.channels] & found.other_alive[match.others],
        })
        for name, match in matchings.items()
    ]  # fmt: skip
    pd.concat(tables, ignore_index=True).to_csv(draft / "pairs.csv", index=False, float_format="%.6f")
    statistics = [
        pd.DataFrame({"side": side, "channel": np.arange(len(mean)), "mean": mean, "deviation": deviation})
        for side, mean, deviation in (
            ("first", found.means, found.deviations), ("second", found.other_means, found.other_deviations),
        )
    ]  # fmt: skip
    pd.concat(statistics).to_csv(draft / "channels.csv", index=False, float_format="%.6g")
    figures = Figures(draft)
    _draw_correlations(figures, found, matchings, sides)
    tops = [
        top_images(model, [layer], stream.batches("top images"), count=SHEET)[layer]
        for model, layer in zip(models, layers, strict=True)
    ]
    _draw_pairs(figures, stream, found, matchings["bipartite"], tops, sides, pairs)
    means = {
        name: round(float(table.loc[table["alive"], "correlation"].mean()), 6) if table["alive"].any() else 0.0
        for name, table in zip(matchings, tables, strict=True)
    }
    return {
        "dataset": stream.records.path.name,
        "rows": len(stream.items),
        "first": sides[0].name,
        "second": sides[1].name,
        "channels": list(found.between.shape),
        "silent": [int((~found.alive).sum()), int((~found.other_alive).sum())],
        "pooled": found.pooled,
        "samples": found.samples,
        "mean_correlation": means,
        "figures": figures.notes,
    }


def _draw_correlations(
    figures: Figures, found: "Correlations", matchings: "dict[str, Pairs]", sides: tuple[_Side, _Side]
) -> None:
    """Draw how alike matched channels are, and the correlation of every channel with every other."""
    from fashionprobe.plots.convergent import (
        channel_statistics,
        correlation_matrices,
        matched_correlations,
        within_matrices,
    )

    names = (sides[0].name, sides[1].name)
    both = " and ".join(names)
    one, semi = matchings["bipartite"], matchings["semi"]
    alive = [found.alive[match.channels] & found.other_alive[match.others] for match in (one, semi)]
    curves = [match.correlations[kept] for match, kept in zip((one, semi), alive, strict=True)]
    if all(len(curve) for curve in curves):
        title = "How alike matched channels are"
        figures.add(
            "matched_correlations", matched_correlations(*curves, names=names, title=title), title,
            f"How alike the channels of {both} are, matched one to one and with the best partner of each.",
        )  # fmt: skip
    title = f"Correlation of channels over {found.samples} " + ("images" if found.pooled else "places")
    figures.add(
        "correlation", correlation_matrices(found.between, one.channels, one.others, names=names, title=title),
        "Correlation of channels",
        f"Correlation of every channel with every other, of {both}, before and after the channels were matched.",
    )  # fmt: skip
    title = "Correlation of channels within each layer"
    figures.add(
        "correlation_within", within_matrices((found.first, found.second), names=names, title=title), title,
        f"Correlation of the channels of {both}, each among themselves.",
    )  # fmt: skip
    title = "Mean and deviation of each channel"
    of_pairs = channel_statistics(
        (found.means, found.other_means), (found.deviations, found.other_deviations), one.channels, one.others,
        names=names, title=title,
    )  # fmt: skip
    figures.add(
        "channels", of_pairs, title, f"Mean and standard deviation of matched channels of {both}, one dot per pair. "
        "Alike channels may differ in scale: correlation does not see it.",
    )  # fmt: skip


def _draw_pairs(
    figures: Figures,
    stream: "Stream",
    found: "Correlations",
    match: "Pairs",
    tops: "list[TopImages]",
    sides: tuple[_Side, _Side],
    count: int,
) -> None:
    """Draw the best and the worst pairs of channels that are not silent, each with its top images."""
    import numpy as np

    from fashionprobe.plots.sheets import Row, contact_sheet

    alive = np.nonzero(found.alive[match.channels] & found.other_alive[match.others])[0]
    chosen = {"best": alive[:count], "worst": alive[::-1][:count]}
    drawn = np.unique(np.concatenate(list(chosen.values())))
    numbers = np.concatenate([tops[0].images[match.channels[drawn]], tops[1].images[match.others[drawn]]])
    pictures = stream.pictures({int(row) for row in numbers.ravel()})
    for kind, places in chosen.items():
        rows = []
        for place in places:
            one, other = int(match.channels[place]), int(match.others[place])
            images, captions = [], []
            for top, channel in zip(tops, (one, other), strict=True):
                images += [np.rint(pictures[int(row)]).astype(np.uint8) for row in top.images[channel]]
                captions += [f"{value:.3g}" for value in top.values[channel]]
            rows.append(Row(f"channel {one}\nwith {other}\nr = {match.correlations[place]:.2f}", images, captions))
        if rows:
            shown = tops[0].images.shape[1]
            remark = (
                f"First {shown} pictures of a row: what activates the channel of {sides[0].name}, most. The others:"
            )
            remark += f" its partner of {sides[1].name}. Captions: the peak of the activation."
            title = f"The {kind} matched pairs of channels"
            figures.add(
                f"{kind}_pairs", contact_sheet(rows, title=title, remark=remark), f"The {kind} matched pairs",
                "Matched channels, each with the images that activate it most: first those of one network, then its "
                "partner's.",
            )  # fmt: skip


def _result(artifact: Artifact) -> Convergence:
    facts = artifact.facts
    one, semi = (facts["mean_correlation"][name] for name in ("bipartite", "semi"))
    log.info(
        "%s: %s with %s, mean correlation %.3f one to one, %.3f with the best partner, over %d %s. "
        "Next: fashionprobe report --run %s",
        artifact.outcome, facts["first"], facts["second"], one, semi,
        facts["samples"], "images" if facts["pooled"] else "places", artifact.path.parent.name,
    )  # fmt: skip
    return Convergence(artifact.path, artifact.path / "pairs.csv", one, semi, reused=artifact.reused)
