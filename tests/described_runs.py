"""Made-up runs: descriptors that a test invents, on disk as `extract` would have written them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from fashionprobe.artifacts import Recipe, build


def described_run(
    folder: Path,
    labels: Mapping[str, Sequence[str] | str],
    blocks: Mapping[int, np.ndarray],
    ids: str = "{}.jpg",
    name: str = "r",
    **facts: str,
) -> Path:
    """Write a run, `r` unless it is named, below `folder/runs` and return the folder of its descriptors."""
    count = len(next(iter(blocks.values())))

    def write(draft: Path) -> dict:
        items = {"row": range(count), "id": [ids.format(row) for row in range(count)], **labels, "split": "train"}
        pd.DataFrame(items).to_csv(draft / "items.csv", index=False)
        for block, matrix in blocks.items():
            np.save(draft / f"block{block}.npy", matrix.astype(np.float32))
        return {"blocks": {str(block): {} for block in blocks}, "dataset": "made-up", **facts}

    return build(folder / f"runs/{name}/extract", Recipe("extract", facts, {"records": "none"}), write).path
