import json
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fashionprobe.attributes.layouts.grid import scores
from fashionprobe.errors import UserError
from fashionprobe.report.exhibits import exhibits
from fashionprobe.stages import wall


@pytest.fixture
def run(garments_root, tmp_path) -> Path:
    """The descriptors of 60 garments, in a run that tests may write into."""
    shutil.copytree(garments_root / "runs/small/extract", tmp_path / "runs/small/extract")
    return tmp_path / "runs/small"


def of(garments_root: Path, run: Path, **arguments):
    return wall(run="small", runs_root=str(run.parent), tfrecords_root=str(garments_root / "tfrecords"), **arguments)


def test_walls_of_two_blocks(garments_root, run):
    made = of(garments_root, run, block=[2, 1], label="colour", images=50, cell=32, seed=1)
    assert (made.path, os.fspath(made), made.images, made.layout) == (run / "wall", str(run / "wall"), 50, "las")
    names = {"wall_block1.csv", "wall_block1.png", "wall_block2.csv", "wall_block2.png", "scores.csv", "scores.svg",
             "scores.png", "manifest.json"}  # fmt: skip
    assert {path.name for path in made.path.iterdir()} == names
    items = pd.read_csv(run / "extract/items.csv")
    cells = pd.read_csv(made.path / "wall_block2.csv")
    assert cells.columns.tolist() == ["row", "id", "grid_row", "grid_column", "class"]
    assert cells["row"].is_monotonic_increasing and cells["row"].nunique() == 50
    assert cells["id"].tolist() == items["id"][cells["row"]].tolist()
    assert cells["class"].tolist() == items["colour"][cells["row"]].tolist()
    assert not cells.duplicated(["grid_row", "grid_column"]).any()
    assert (cells["grid_row"].max(), cells["grid_column"].max()) <= (6, 7)

    table = pd.read_csv(made.table)
    assert table[["block", "layout"]].to_numpy().tolist() == [
        [block, layout] for block in (1, 2) for layout in ("las", "gridcut", "random")
    ]
    assert set(table["images"]) == {50} and set(table["rows"] * 100 + table["columns"]) == {708}
    descriptors = np.load(run / "extract/block2.npy")[cells["row"]]
    layout = {"las": (cells["grid_row"] * 8 + cells["grid_column"]).to_numpy()}
    (found,) = scores(descriptors, layout, 7, 8, classes=cells["class"].to_numpy(str)).to_dict("records")
    for name in ("neighbours", "dpq", "same_class"):
        assert found[name] == pytest.approx(table.set_index(["block", "layout"]).loc[(2, "las"), name], abs=1e-6)
        assert found[name] == pytest.approx(getattr(made.laid[1], name), abs=1e-6)
    by_layout = table.groupby("layout")[["neighbours", "dpq"]].min()
    assert (by_layout.loc[["las", "gridcut"]] > by_layout.loc["random"] + 0.1).all(axis=None)

    with Image.open(made.path / "wall_block1.png") as picture:
        # 8 cells of 32 pixels, frames and gaps are less wide than a legend needs.
        assert picture.width == 510
    manifest = json.loads((made.path / "manifest.json").read_text())
    figures = [(each["file"], each.get("zoom", False)) for each in manifest["facts"]["figures"]]
    assert figures == [("wall_block1.png", True), ("wall_block2.png", True), ("scores.png", False)]
    again = of(garments_root, run, block=[1, 2], label="colour", images=50, cell=32, seed=1)
    assert again.reused and again.laid == made.laid


def test_the_deepest_block_without_label_and_what_is_said(garments_root, run, command):
    words = (
        "wall",
        "--run",
        "small",
        "--layout",
        "gridcut",
        "--images",
        16,
        "--tfrecords-root",
        garments_root / "tfrecords",
    )
    code, out, _ = command(*words)
    facts = json.loads((run / "wall/manifest.json").read_text())["facts"]
    (laid,), (chance,) = facts["laid"], facts["random"]
    assert code == 0
    assert out == (
        f"wrote runs/small/wall: 16 images on 4 x 4 cells by gridcut, block 2: {laid['neighbours']:.0%} of the "
        f"pictures beside a picture are among its 8 nearest (by chance {chance['neighbours']:.0%}), "
        f"DPQ16 {laid['dpq']:.3f}. Next: fashionprobe report --run small\n"
    )
    assert laid["same_class"] is None
    assert pd.read_csv(run / "wall/scores.csv")["layout"].tolist() == ["gridcut", "las", "random"]
    assert pd.read_csv(run / "wall/wall_block2.csv")["class"].isna().all()
    assert command(*words[:-2], "--seed", 2)[0] == 2


def test_identical_descriptors_and_normalizations(garments_root, run, caplog):
    np.save(run / "extract/block1.npy", np.ones_like(np.load(run / "extract/block1.npy")))
    with caplog.at_level("INFO"):
        made = of(garments_root, run, block=1, images=9, normalization="whiten")
    assert (made.laid[0].dpq, made.laid[0].neighbours) == (None, None)
    assert "all descriptors are the same, so there is nothing to keep" in caplog.text
    assert not (made.path / "scores.png").exists()
    assert len(exhibits_of(made)) == 1


def exhibits_of(made) -> list:
    from fashionprobe.artifacts import load

    return exhibits(load(made.path, stage="wall", remedy=""))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"label": "colur"}, r"`label` must be a label column: .*Did you mean 'colour'"),
        ({"images": 3}, r"`images` must be an int in the range \[4, inf\). Received: 3"),
        ({"block": 7}, r"`block` must be among those that were extracted: 1, 2. Received: 7"),
        ({"layout": "lass"}, r"`layout` must be one of: las, gridcut. Received: lass. Did you mean 'las'"),
        ({"normalization": "l3"}, r"`normalization` must be one of: .*Received: l3"),
        ({"cell": 1}, r"`cell` must be an int in the range \[8, inf\)"),
        ({"seed": -1}, r"`seed` must be an int"),
        ({"label": "one"}, r"`label` must be a column with 4 images or more. Received: 3. Leave --label out"),
        ({"tfrecords_root": "none"}, r"the record set 'small' that was described. Received: none"),
    ],
)
def test_wrong_arguments_write_nothing(garments_root, run, arguments, message):
    items = pd.read_csv(run / "extract/items.csv", dtype=str, keep_default_na=False)
    items["one"] = ["same"] * 3 + [""] * (len(items) - 3)
    manifest = json.loads((run / "extract/manifest.json").read_text())
    items.to_csv(run / "extract/items.csv", index=False)
    manifest["files"]["items.csv"]["size"] = (run / "extract/items.csv").stat().st_size
    (run / "extract/manifest.json").write_text(json.dumps(manifest))
    right = {"run": "small", "runs_root": str(run.parent), "tfrecords_root": str(garments_root / "tfrecords")}
    with pytest.raises(UserError, match=message):
        wall(**right | arguments)
    assert [path.name for path in run.glob("[!.]*")] == ["extract"]


def test_descriptors_that_are_not_finite(garments_root, run):
    broken = np.load(run / "extract/block2.npy")
    broken[5, 0] = np.nan
    np.save(run / "extract/block2.npy", broken)
    with pytest.raises(UserError, match=r"must be descriptors of finite values. Received: NaN or infinity for image"):
        of(garments_root, run)
    assert not (run / "wall").exists()


def test_layouts_are_compared_with_a_umap(garments_root, run, monkeypatch):
    # UMAP itself has its own tests; here the plane is made of two channels.
    monkeypatch.setattr(
        "fashionprobe.attributes.reduce.reduce",
        lambda points, dimensions, *, seed: SimpleNamespace(points=points[:, :dimensions]),
    )
    made = of(garments_root, run, block=2, images=40, cell=32, compare=True)
    manifest = json.loads((made.path / "manifest.json").read_text())
    assert manifest["arguments"]["compare"] is True
    assert "layouts_block2.png" in {each["file"] for each in manifest["facts"]["figures"]}
