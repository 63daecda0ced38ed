"""Stage `dissect`: drawn garments -> which colour, pattern or part the units of each block detect."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import fashionprobe.inputs.arguments as shared
from fashionprobe.artifacts import Artifact, Recipe, Result, build, child
from fashionprobe.errors import UserError
from fashionprobe.inputs.network import LoadedNetwork, NetworkSpec
from fashionprobe.plots.save import Figures
from fashionprobe.records.record_set import RecordSet

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from fashionprobe.channels.dissection import Dissection
    from fashionprobe.records.stream import Stream

log = logging.getLogger(__name__)

GIVEN, RANDOM = "as given", "random weights"

SHOWN, LOOKED_AT, ACROSS = 8, 24, 6
"""Concepts whose best unit is drawn; the first images of each; and those of them where the unit is most active."""


@dataclass(frozen=True)
class DissectedUnits(Result):
    """What units detect, on disk.

    Attributes:
        table: One row per network, block and concept, `concepts.csv`.
        units: One row per network, block and unit, `units.csv`.
        blocks: The blocks.
        detectors: Number of concepts with a detector, by block.
        random_detectors: The same of random weights; empty without them.
    """

    table: Path
    units: Path
    blocks: tuple[int, ...]
    detectors: tuple[int, ...]
    random_detectors: tuple[int, ...]


@dataclass(frozen=True)
class _Job:
    """All that decides what is found."""

    source: "Stream"
    drawn: dict[str, Any]
    networks: dict[str, LoadedNetwork]
    blocks: list[int]
    quantile: float
    least: float

    def masks(self) -> "Iterator[np.ndarray]":
        """Draw the masks of the images again, batch by batch."""
        from fashionprobe.records.sources.garments import concept_masks

        names = self.source.items["id"].tolist()
        for start in range(0, len(names), self.source.batch_size):
            yield concept_masks(names[start : start + self.source.batch_size], **self.drawn)


@shared.stage(quantile="(0, 1)", min_iou="[0, 1)")
def dissect(
    *,
    dataset: shared.Place,
    run: str | None = None,
    backbone: str | None = None,
    weights: str = "pretrained",
    block: int | list[int] | None = None,
    taps: list[str] | str | None = None,
    preprocessing: Literal["auto", "none", "tf", "caffe", "torch"] = "auto",
    size: int | list[int] | None = None,
    split: list[str] | str | None = None,
    quantile: float = 0.005,
    min_iou: float = 0.04,
    random_weights: bool = True,
    batch_size: int = 32,
    seed: int = 0,
    trust: bool = False,
    overwrite: bool = False,
    tfrecords_root: str = "tfrecords",
    runs_root: str = "runs",
) -> DissectedUnits:
    """Find which concept each channel of some blocks detects.

    Network dissection (Bau et al. 2017): a unit is active where its map is among the highest half per cent of all that
    it answers, and the active pixels are compared with those of each concept. It takes drawn garments, whose colours,
    patterns and parts are known to the pixel (`ingest --source garments`). The records are read twice for each network.

    Args:
        quantile: Share of all places at which a unit is active.
        min_iou: A unit whose best concept has a higher intersection over union is a detector of it.
        random_weights: Whether the same network with random weights is dissected as well, and shown beside it.

    Returns:
        What the units detect: paths and counts.

    Raises:
        UserError: If an argument does not fit, or the record set does not hold drawn garments.
        OSError: If the disk is full or the folder may not be written.

    Example:
        fashionprobe dissect --dataset drawn --backbone efficientnet_lite0
    """
    records_path = shared.records_path(dataset, tfrecords_root)
    folder = child(runs_root, records_path.name if run is None else run, argument="run")
    spec = NetworkSpec.of(folder, backbone, weights, taps, preprocessing, size, seed, trust)
    spec.check(shared.numbers(block) or [])
    records = shared.open_records(dataset, tfrecords_root)
    drawn = _drawn(records)
    items, splits = records.in_splits(shared.listed("split", split))

    from fashionprobe.backbones import devices
    from fashionprobe.records.stream import Stream

    networks = {GIVEN: spec.open(classifier=False)}
    if random_weights and weights != "random":
        networks[RANDOM] = replace(spec, weights="random").open(classifier=False)
    opened = networks[GIVEN]
    loaded = opened.backbone
    if drawn["size"][0] * loaded.size[1] != drawn["size"][1] * loaded.size[0]:
        raise UserError(
            "size", expected="of the shape of the drawn garments, {} x {} pixels".format(*drawn["size"]),
            received="{} x {}".format(*loaded.size),
        )  # fmt: skip
    blocks = loaded.choose_blocks(shared.numbers(block))
    source = Stream(records, items, splits, loaded.size, "pad", batch_size)
    job = _Job(source, drawn, networks, blocks, quantile, min_iou)
    arguments = {
        **opened.arguments(), "layers": opened.places([loaded.taps[each - 1] for each in blocks]), "block": blocks,
        "split": splits, "quantile": quantile, "min_iou": min_iou, "random_weights": RANDOM in networks, "seed": seed,
    }  # fmt: skip
    artifact = build(
        folder / "dissect",
        Recipe("dissect", arguments, {"records": records.fingerprint}, loaded.weights_sha256),
        lambda draft: _write(draft, job),
        overwrite=overwrite,
        settings={"batch_size": batch_size, "device": devices.name()},
    )
    return _result(artifact)


def _drawn(records: RecordSet) -> dict[str, Any]:
    """Return how the garments of a record set were drawn."""
    made = records.manifest["arguments"]
    if made.get("source") != "garments":
        raise UserError(
            "dataset", expected="drawn garments, whose parts are known to the pixel",
            received=f"{records.path.name}, of source {made.get('source')}",
            remedy="Make some: fashionprobe ingest --source garments --dataset drawn --count 300.",
        )  # fmt: skip
    return {"count": made["count"], "size": tuple(made["size"]), "seed": made["seed"]}


def _write(draft: Path, job: _Job) -> dict[str, Any]:
    """Dissect the networks, and fill the files of the artifact."""
    import pandas as pd

    from fashionprobe.channels.dissection import dissect as compute
    from fashionprobe.plots.dissection import best_iou, detectors_by_block
    from fashionprobe.records.sources.garments import CONCEPTS

    found: dict[str, list[Dissection]] = {}
    for name, network in job.networks.items():
        passes = iter((f"{name}: thresholds", f"{name}: concepts"))
        layers = [network.backbone.taps[block - 1] for block in job.blocks]
        found[name] = compute(
            network.model, layers, lambda passes=passes: job.source.batches(next(passes)), job.masks,
            count=len(job.source.items), quantile=job.quantile,
        )  # fmt: skip
    units = pd.concat([_units(name, block, each) for name, block, each in _each(found, job)], ignore_index=True)
    concepts = pd.concat([_concepts(name, block, each) for name, block, each in _each(found, job)], ignore_index=True)
    counts = pd.DataFrame([
        {"network": name, "block": block, "units": len(each.iou), "detectors": len(each.detected(job.least))}
        for name, block, each in _each(found, job)
    ])  # fmt: skip
    for file, table in (("units", units), ("concepts", concepts), ("detectors", counts)):
        table.to_csv(draft / f"{file}.csv", index=False, float_format="%.6g")
    figures, network = Figures(draft), job.networks[GIVEN].backbone.name
    figures.add(
        "detectors", detectors_by_block(counts, least=job.least, concepts=len(CONCEPTS), title=network),
        "Concepts with a detector, by block",
        "How many colours, patterns and parts are the best concept of some unit, with an intersection over union above "
        f"{job.least:g} (network dissection). Random weights show what the architecture alone does.",
    )  # fmt: skip
    figures.add(
        "best_iou", best_iou(concepts, title=network), "How well the best unit finds each concept",
        "Intersection over union of the active pixels of the best unit with those of the concept, over all images.",
    )  # fmt: skip
    _draw_units(figures, job, concepts, found[GIVEN])
    by_network = counts.groupby("network")["detectors"].apply(list).to_dict()
    return {
        "dataset": job.source.records.path.name, "rows": len(job.source.items), "backbone": network,
        "blocks": job.blocks, "concepts": len(CONCEPTS), "detectors": by_network, "figures": figures.notes,
    }  # fmt: skip


def _each(found: "dict[str, list[Dissection]]", job: _Job) -> "Iterator[tuple[str, int, Dissection]]":
    for name, of_network in found.items():
        for block, each in zip(job.blocks, of_network, strict=True):
            yield name, block, each


def _units(network: str, block: int, found: "Dissection") -> "pd.DataFrame":
    """Return the best concept of each unit."""
    import pandas as pd

    from fashionprobe.records.sources.garments import CONCEPTS

    names = [list(CONCEPTS)[concept] for concept in found.best]
    return pd.DataFrame({
        "network": network, "block": block, "channel": range(len(found.iou)), "threshold": found.thresholds,
        "kind": [CONCEPTS[name] for name in names], "concept": names, "iou": found.iou.max(axis=1),
    })  # fmt: skip


def _concepts(network: str, block: int, found: "Dissection") -> "pd.DataFrame":
    """Return the best unit of each concept."""
    import pandas as pd

    from fashionprobe.records.sources.garments import CONCEPTS

    return pd.DataFrame({
        "network": network, "block": block, "kind": list(CONCEPTS.values()), "concept": list(CONCEPTS),
        "channel": found.iou.argmax(axis=0), "iou": found.iou.max(axis=0),
    })  # fmt: skip


def _draw_units(figures: Figures, job: _Job, concepts: "pd.DataFrame", found: "list[Dissection]") -> None:
    """Draw the units that find a concept best, with their active pixels outlined in images that hold it."""
    import numpy as np

    from fashionprobe.channels.dissection import enlarged
    from fashionprobe.explain.activations import activations
    from fashionprobe.plots.overlays import outlined
    from fashionprobe.plots.sheets import Row, contact_sheet
    from fashionprobe.records.sources.garments import CONCEPTS

    best = concepts[concepts["network"] == GIVEN].sort_values("iou", ascending=False, kind="stable")
    best = best.drop_duplicates("concept").head(SHOWN)
    names, items = list(CONCEPTS), job.source.items
    held: dict[str, list[int]] = {name: [] for name in best["concept"]}
    done = 0
    for masks in job.masks():
        for name, rows in held.items():
            inside = masks[..., names.index(name)].any(axis=(1, 2))
            rows += [done + int(row) for row in np.flatnonzero(inside)][: LOOKED_AT - len(rows)]
        done += len(masks)
        if all(len(rows) == LOOKED_AT for rows in held.values()):
            break
    pictures = job.source.pictures({row for rows in held.values() for row in rows})
    network, sheet = job.networks[GIVEN], []
    forward = activations(network.model, [each.layer for each in found])
    for row in best.to_dict("records"):
        depth, channel = job.blocks.index(row["block"]), int(row["channel"])
        images = np.stack([pictures[place] for place in held[row["concept"]]])
        maps = forward(images)[depth].numpy()[..., channel : channel + 1]
        limit = found[depth].thresholds[channel]
        active = np.stack([enlarged(each, images.shape[1:3])[..., 0] > limit for each in maps])
        order = np.argsort(-active.sum(axis=(1, 2)), kind="stable")[:ACROSS]
        shown = [outlined(images[place].round().clip(0, 255).astype(np.uint8), active[place]) for place in order]
        name = f"{row['concept']} {row['iou']:.2f}\nblock {row['block']}\nchannel {channel}"
        sheet.append(Row(name, shown, [str(items["id"].iloc[held[row["concept"]][place]]) for place in order]))
    title = f"Units of {network.backbone.name} that find a concept best"
    remark = "Orange: where the unit is active, in images that hold the concept. The number is the intersection over"
    figures.add("units", contact_sheet(sheet, title=title, remark=f"{remark} union over all images."),
                "The best units", "Where the units that find a concept best are active.")  # fmt: skip


def _result(artifact: Artifact) -> DissectedUnits:
    facts, path = artifact.facts, artifact.path
    given, random = facts["detectors"][GIVEN], facts["detectors"].get(RANDOM, [])
    log.info(
        "%s: concepts with a detector, of %d: %s%s. Next: fashionprobe report --run %s", artifact.outcome,
        facts["concepts"],
        ", ".join(f"block {block} {count}" for block, count in zip(facts["blocks"], given, strict=True)),
        f"; random weights {', '.join(map(str, random))}" if random else "", path.parent.name,
    )  # fmt: skip
    return DissectedUnits(
        path, path / "concepts.csv", path / "units.csv", tuple(facts["blocks"]), tuple(given), tuple(random),
        reused=artifact.reused,
    )  # fmt: skip
