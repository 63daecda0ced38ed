"""An index that follows a catalogue: images come, change and go, also while others search and when a process dies."""

import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fashionprobe.errors import UserError
from fashionprobe.inputs.descriptors import read_descriptors
from fashionprobe.inputs.index import open_index
from fashionprobe.stages import extract, index, index_add, index_compact, index_remove, index_status, ingest, search


@pytest.fixture
def root(garment_index, tmp_path) -> Path:
    shutil.copytree(garment_index, tmp_path / "w")
    return tmp_path / "w"


@pytest.fixture
def photo(root) -> str:
    return str(root / "shirt.png")


@pytest.fixture
def other(root) -> str:
    """A picture that is not in the run, as a file."""
    noise(0).save(root / "scarf.png")
    return str(root / "scarf.png")


def noise(seed: int) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), np.uint8)
    return Image.fromarray(pixels).resize((32, 32), Image.Resampling.NEAREST)


def runs(root: Path) -> dict[str, str]:
    return {"run": "g", "runs_root": str(root / "runs")}


def roots(root: Path) -> dict[str, str]:
    return runs(root) | {"tfrecords_root": str(root / "tfrecords")}


def table(root: Path, rows: list[dict], name: str = "new.csv") -> str:
    pd.DataFrame(rows).to_csv(root / name, index=False)
    return str(root / name)


def counts(made) -> tuple[int, int, int, int]:
    return made.images, made.added, made.updated, made.unchanged


def test_images_are_added_without_a_rebuild(root, other):
    before = {path.name: path.stat().st_mtime_ns for path in (root / "runs/g/index").iterdir()}
    assert counts(index_add(images=[other], **runs(root))) == (61, 1, 0, 0)
    assert {name: (root / "runs/g/index" / name).stat().st_mtime_ns for name in before} == before
    found = search(image=other, by="colour", top=2, include_query=True, **runs(root))
    assert found.ids[0] == "scarf"
    assert found.distances[0] == pytest.approx(0, abs=1e-4)
    # The same arguments find it as it is; others would lose the addition.
    assert index(**roots(root), groups=["colour=1", "pattern=2"]).images == 61
    with pytest.raises(UserError, match=r"an index with 1 change. Pass the arguments it was made with, or delete"):
        index(**roots(root), groups=["colour=2"], overwrite=True)


def test_a_picture_is_in_the_index_once(root, photo, other, caplog):
    caplog.set_level("INFO")
    copy = root / "copy of the scarf.bmp"
    Image.open(other).save(copy)
    assert counts(index_add(images=[other, str(copy), photo], **runs(root))) == (61, 1, 0, 1)
    first = read_descriptors(root / "runs/g").items["id"].iloc[0]
    assert f"shirt is in the index already, as {first}" in caplog.messages
    assert "copy of the scarf is the same picture as scarf and counts once" in caplog.messages
    assert counts(index_add(images=[other], **runs(root))) == (61, 0, 0, 1)
    assert counts(index_add(images=[str(copy)], **runs(root))) == (61, 0, 0, 1)


def test_another_picture_of_an_id_takes_its_place_and_keeps_its_columns(root, other):
    name = read_descriptors(root / "runs/g").items["id"].iloc[5]
    before = open_index(root / "runs/g").items.set_index("id").loc[name]
    shutil.copy(other, root / f"{name}.png")
    assert counts(index_add(images=[str(root / f"{name}.png")], **runs(root))) == (60, 0, 1, 0)
    found = search(image=other, by="colour", top=1, include_query=True, **runs(root))
    assert found.ids == (name,)
    assert found.hits[0]["colour"] == before["colour"]


def test_two_new_files_of_one_name_are_two_images(root, other):
    (root / "more").mkdir()
    Image.new("RGB", (32, 32), "teal").save(root / "more/scarf.png")
    assert index_add(images=[other, str(root / "more/scarf.png")], **runs(root)).added == 2
    assert search(id="scarf (2)", by="colour", top=61, **runs(root)).ids.count("scarf") == 1


def test_an_index_of_files_names_new_ones_with_their_suffix(pictures, tmp_path, model_path):
    there = {"tfrecords_root": str(tmp_path / "tfrecords"), "runs_root": str(tmp_path / "runs")}
    ingest(dataset="p", source="folder", path=str(pictures), tfrecords_root=there["tfrecords_root"])
    extract(dataset="p", backbone=str(model_path), size=32, **there)
    index(run="p", groups=["colour=1"], **there)
    Image.new("RGB", (32, 32), "teal").save(tmp_path / "new.PNG")
    index_add(run="p", images=[str(tmp_path / "new.PNG")], **there)
    assert len(search(run="p", id="new.PNG", by="colour", top=1, **there).ids) == 1


def test_a_table_brings_columns_and_updates_by_id_and_by_content(root, other, caplog):
    caplog.set_level("INFO")
    noise(1).save(root / "hat.png")
    rows = [{"sku": "007", "photo": "scarf.png", "price": "12.5"}, {"sku": "008", "photo": "hat.png", "price": "40"}]
    made = index_add(path=table(root, rows), id_column="sku", **runs(root))
    assert counts(made) == (62, 2, 0, 0)
    assert search(id="007", where="price > 30", **runs(root)).ids == ("008",)
    # The same again changes nothing; a new price does; a new id of the same picture replaces the old one.
    assert counts(index_add(path=table(root, rows), id_column="sku", **runs(root))) == (62, 0, 0, 2)
    rows[0]["price"], rows[1]["sku"] = "9", "800"
    assert counts(index_add(path=table(root, rows), id_column="sku", **runs(root))) == (62, 0, 2, 0)
    assert "800 was 008" in caplog.messages
    (hit,) = search(id="800", where="price < 10", **runs(root)).hits
    assert (hit["id"], hit["price"]) == ("007", "9")
    with pytest.raises(UserError, match="`id` must be the id of an image of the index"):
        search(id="008", **runs(root))


def test_a_table_may_give_one_picture_to_several_ids(root, other):
    rows = [{"id": "a", "photo": "scarf.png"}, {"id": "b", "photo": "scarf.png"}]
    assert counts(index_add(path=table(root, rows), **runs(root))) == (62, 2, 0, 0)
    assert counts(index_add(path=table(root, [{"id": "c", "photo": "scarf.png"}]), **runs(root))) == (63, 1, 0, 0)


def test_rows_without_an_image_are_counted_and_listed(root, other, caplog):
    caplog.set_level("INFO")
    (root / "broken.png").write_bytes(b"no picture")
    rows = [{"id": "a", "photo": "scarf.png"}, {"id": "b", "photo": "gone.png"}, {"id": "c", "photo": "broken.png"},
            {"id": "d", "photo": "../secret.png"}]  # fmt: skip
    made = index_add(path=table(root, rows), **runs(root))
    assert (made.added, [name for name, _ in made.skipped]) == (1, ["b", "d", "c"])
    assert any(line.startswith("skipped b: its photo is no file below ") for line in caplog.messages)
    with pytest.raises(UserError, match=r"`images` must be an image file: JPEG, PNG"):
        index_add(images=[other, str(root / "broken.png")], **runs(root))
    with pytest.raises(UserError, match=r"`images` must be image files. Received: 'gone.png', which is not a file"):
        index_add(images=[other, "gone.png"], **runs(root))
    with pytest.raises(UserError, match=r"`images` is missing: pass one image file or more"):
        index_add(images=[], **runs(root))
    with pytest.raises(UserError, match=r"`id_column` must be a column of new.csv"):
        index_add(path=table(root, rows), id_column="sku", **runs(root))


def test_many_images_are_written_in_parts(root, monkeypatch):
    from fashionprobe.stages import index_updates

    monkeypatch.setattr(index_updates, "AT_ONCE", 2)
    for seed in range(5):
        noise(seed).save(root / f"n{seed}.png")
    made = index_add(images=[str(root / f"n{seed}.png") for seed in range(5)], **runs(root))
    assert (made.added, index_status(**runs(root)).parts) == (5, 4)


def test_images_are_removed_by_id_or_by_a_query(root):
    items = open_index(root / "runs/g").items
    colour = items["colour"].iloc[0]
    gone = items["id"][items["colour"] == colour].tolist()
    assert index_remove(ids=gone[0], **runs(root)).removed == 1
    assert index_remove(where=f"colour == '{colour}'", **runs(root)).removed == len(gone) - 1
    left = [name for name in items["id"] if name not in gone]
    assert sorted(search(id=left[0], top=60, include_query=True, **runs(root)).ids) == sorted(left)
    for arguments, message in (
        ({"where": f"colour == '{colour}'"}, "a query that keeps an item"),
        ({"ids": gone[0]}, r"`id` must be the id of an image of the index, of which there are"),
        ({"ids": "x", "where": "y"}, "only one of them"),
        ({"where": "price < 3"}, "a pandas query over the columns"),
    ):
        with pytest.raises(UserError, match=message):
            index_remove(**arguments, **runs(root))


def test_an_image_can_come_again_after_it_was_removed(root, photo):
    first = open_index(root / "runs/g").items["id"].iloc[0]
    index_remove(ids=first, **runs(root))
    shutil.copy(photo, root / f"{first}.png")
    assert counts(index_add(images=[str(root / f"{first}.png")], **runs(root))) == (60, 1, 0, 0)
    assert search(image=photo, by="pattern", top=1, include_query=True, **runs(root)).ids == (first,)


def test_compact_frees_the_space_and_answers_stay(root, other, caplog):
    caplog.set_level("INFO")
    index_add(images=[other], **runs(root))
    items = open_index(root / "runs/g").items["id"].tolist()
    index_remove(ids=items[:30], **runs(root))
    status = index_status(**runs(root))
    assert (status.images, status.removed, status.parts, status.columns) == (
        31,
        30,
        2,
        ("colour", "pattern", "garment"),
    )
    before = search(id="scarf", top=30, **runs(root))
    assert index_compact(**runs(root)).images == 31
    after = index_status(**runs(root))
    assert (after.images, after.removed, after.parts) == (31, 0, 1)
    assert after.megabytes < 0.75 * status.megabytes
    assert search(id="scarf", top=30, **runs(root)).ids == before.ids
    index_compact(**runs(root))
    assert caplog.messages[-1].startswith("nothing to do: 31 images, 0.0 MB less.")
    # Its list of files is that of the new part.
    from fashionprobe.stages import verify

    verify(path=str(root / "runs/g/index"))


def test_status_tells_that_the_run_has_other_descriptors_now(root, model_path, caplog):
    caplog.set_level("INFO")
    assert index_status(**runs(root)).current
    extract(dataset="g", backbone=str(model_path), size=16, overwrite=True, **roots(root))
    assert not index_status(**runs(root)).current
    assert "It was made of other descriptors than runs/g/extract holds now." in caplog.messages


def test_two_writers_at_once_lose_nothing(root):
    for seed in range(8):
        noise(seed).save(root / f"n{seed}.png")
    failed = []

    def write(seeds):
        try:
            for seed in seeds:
                index_add(images=[str(root / f"n{seed}.png")], **runs(root))
        except Exception as error:  # whatever it is, the test shall show it
            failed.append(error)

    threads = [threading.Thread(target=write, args=(seeds,)) for seeds in (range(4), range(4, 8))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert {f"n{seed}" for seed in range(8)} <= set(open_index(root / "runs/g").items["id"])


SCRIPT = """
import os, pathlib, signal, sys
from fashionprobe.attributes import index_parts
from fashionprobe import artifacts, npy
from fashionprobe.stages import index_add, index_compact, index_remove

def die(*args, **kwargs):
    os.kill(os.getpid(), signal.SIGKILL)

place, runs_root, photo, name = sys.argv[1:]
target, attribute = {
    "rows": (npy.RowWriter, "append"), "note": (index_parts, "write_text"), "list": (artifacts, "write_text"),
    "sweep": (pathlib.Path, "unlink"),
}[place]
setattr(target, attribute, die)
run = {"run": "g", "runs_root": runs_root}
if name == "add":
    index_add(images=[photo], **run)
elif name == "compact":
    index_compact(**run)
else:
    index_remove(ids=name, **run)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("place", "what"),
    [("rows", "add"), ("note", "add"), ("note", "remove"), ("rows", "compact"), ("note", "compact"),
     ("list", "compact"), ("sweep", "compact")],
)  # fmt: skip
def test_a_process_that_dies_leaves_the_index_as_it_was_or_as_it_shall_be(root, other, place, what):
    noise(3).save(root / "before.png")
    index_add(images=[str(root / "before.png")], **runs(root))
    gone, name = open_index(root / "runs/g").items["id"].iloc[[7, 8]]
    index_remove(ids=gone, **runs(root))
    there = set(search(id="before", top=100, include_query=True, **runs(root)).ids)
    words = [place, str(root / "runs"), other, name if what == "remove" else what]
    killed = subprocess.run([sys.executable, "-c", SCRIPT, *words], capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert set(search(id="before", top=100, include_query=True, **runs(root)).ids) == there
    # The next one finishes it.
    if what == "add":
        assert index_add(images=[other], **runs(root)).images == 61
    elif what == "remove":
        assert index_remove(ids=name, **runs(root)).images == 59
    assert index_compact(**runs(root)).images == len(there) + {"add": 1, "remove": -1, "compact": 0}[what]
    assert index_status(**runs(root)).parts == 1
    assert len({path.name[:9] for path in (root / "runs/g/index").glob("part-*")}) == 1


@pytest.mark.slow
def test_readers_see_the_old_index_or_the_new_one_while_it_is_made_compact(root):
    from fashionprobe import Searcher

    searcher, stop, failed, seen = Searcher(**roots(root)), threading.Event(), [], set()

    def read():
        while not stop.is_set():
            try:
                seen.add(len(searcher.search(ids=kept, top=100, include_query=True)))
                seen.add(len(Searcher(**roots(root)).search(ids=kept, top=100, include_query=True)))
            except Exception as error:  # whatever it is, the test shall show it
                failed.append(error)
                return

    names = open_index(root / "runs/g").items["id"].tolist()
    kept = names[0]
    reader = threading.Thread(target=read)
    reader.start()
    for name in names[1:6]:
        index_remove(ids=name, **runs(root))
        index_compact(**runs(root))
        time.sleep(0.05)
    stop.set()
    reader.join()
    assert not failed
    assert seen <= {60, 59, 58, 57, 56, 55}
    assert len(seen) > 1
