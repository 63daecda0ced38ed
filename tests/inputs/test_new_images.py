"""One file, one descriptor: what `extract` stores for an image is what every other stage computes for its file."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from image_files import encode, exif, picture
from PIL import Image

from fashionprobe import Searcher
from fashionprobe.attributes import added_classes
from fashionprobe.inputs.new_images import describer
from fashionprobe.stages import attribute, extract, index, index_add, index_updates, ingest, search, tag
from fashionprobe.stages.app import parts

PHOTO = picture((300, 200))
CLEAR = PHOTO.copy()
CLEAR.putalpha(Image.linear_gradient("L").resize(PHOTO.size))
SIXTEEN = Image.fromarray((np.arange(60_000).reshape(200, 300) % 65_536).astype(np.uint16))

FILES = {
    "rgb.jpg": encode(PHOTO),
    "progressive.jpg": encode(PHOTO, progressive=True, quality=60),
    "turned.jpg": encode(PHOTO, exif=exif(6)),
    "mirrored.jpg": encode(PHOTO, exif=exif(5)),
    "grey.jpg": encode(PHOTO.convert("L")),
    "cmyk.jpg": encode(PHOTO.convert("CMYK")),
    "rgb.png": encode(PHOTO, "PNG"),
    "turned.png": encode(PHOTO, "PNG", exif=exif(8)),
    "alpha.png": encode(CLEAR, "PNG"),
    "grey_alpha.png": encode(CLEAR.convert("LA"), "PNG"),
    "grey.png": encode(PHOTO.convert("L"), "PNG"),
    "black_white.png": encode(PHOTO.convert("1"), "PNG"),
    "palette2.png": encode(PHOTO.quantize(2), "PNG", bits=1),
    "palette4.png": encode(PHOTO.quantize(4), "PNG", bits=2),
    "palette16.png": encode(PHOTO.quantize(16), "PNG", bits=4),
    "hole.png": encode(PHOTO.quantize(16), "PNG", bits=4, transparency=3),
    "sixteen.png": encode(SIXTEEN, "PNG"),
    "first.gif": encode(PHOTO.quantize(64), "GIF"),
    "rgb.bmp": encode(PHOTO, "BMP"),
    "grey.bmp": encode(PHOTO.convert("L"), "BMP"),
    "rgb.webp": encode(PHOTO, "WEBP"),
    "alpha.webp": encode(CLEAR, "WEBP", lossless=True),
}


@pytest.fixture(
    scope="module",
    params=[
        pytest.param((None, False), id="as stored"), pytest.param((32, False), id="resized", marks=pytest.mark.slow),
        pytest.param((None, True), id="XLA", marks=pytest.mark.slow),
    ],
)  # fmt: skip
def described(request, tmp_path_factory, model_path):
    """A record set of all kinds of files in val and other pictures in train; a run of all, and one of train alone."""
    root = tmp_path_factory.mktemp("described")
    for name, data in FILES.items():
        (root / "photos/val/kinds").mkdir(parents=True, exist_ok=True)
        (root / "photos/val/kinds" / name).write_bytes(data)
    random = np.random.default_rng(0)
    for number in range(41):
        (root / "photos/train/noise").mkdir(parents=True, exist_ok=True)
        noise = Image.fromarray(random.integers(0, 256, (40, 30, 3), np.uint8))
        noise.save(root / f"photos/train/noise/{number}.png")
    roots = {"tfrecords_root": str(root / "tfrecords"), "runs_root": str(root / "runs")}
    size, xla = request.param
    records = ingest(
        dataset="d", source="folder", path=str(root / "photos"), size=size, tfrecords_root=roots["tfrecords_root"]
    )
    groups = {"groups": ["first=1:none", "second=2:none"], "labels": ["first=class"]}
    for run, split in (("all", None), ("train", "train")):
        extract(
            dataset=records, run=run, backbone=str(model_path), size=40, split=split, batch_size=16, xla=xla, **roots
        )
        index(run=run, **groups, **roots)
    return root


def roots(root: Path) -> dict[str, str]:
    return {"tfrecords_root": str(root / "tfrecords"), "runs_root": str(root / "runs")}


def stored(root: Path) -> dict[str, dict[int, np.ndarray]]:
    """What `extract` wrote, by the name of the file."""
    folder = root / "runs/all/extract"
    names = [line.split(",")[1] for line in (folder / "items.csv").read_text().splitlines()[1:]]
    matrices = {block: np.load(folder / f"block{block}.npy") for block in (1, 2)}
    rows = {name: names.index(f"val/kinds/{name}") for name in FILES}
    return {name: {block: matrices[block][row] for block in (1, 2)} for name, row in rows.items()}


def spied(stage: str, monkeypatch) -> list[dict[int, np.ndarray]]:
    """Let a stage do its work, and keep the descriptors it computes."""
    module, seen = sys.modules[f"fashionprobe.stages.{stage}"], []
    compute = module.describe_files

    def keep(*words, **options):
        seen.append(compute(*words, **options))
        return seen[-1]

    monkeypatch.setattr(module, "describe_files", keep)
    return seen


def kept(describe, seen):
    def describe_and_keep(images):
        seen.append(describe(images))
        return seen[-1]

    return describe_and_keep


def check(root: Path, found: dict[str, dict[int, np.ndarray]]) -> None:
    """Compare to the bit, and name the files that differ."""
    expected = stored(root)
    different = [
        name for name in FILES for block in (1, 2) if expected[name][block].tobytes() != found[name][block].tobytes()
    ]
    assert different == []


def of_rows(matrices: dict[int, np.ndarray]) -> dict[str, dict[int, np.ndarray]]:
    return {name: {block: matrix[row] for block, matrix in matrices.items()} for row, name in enumerate(FILES)}


def paths(root: Path) -> list[str]:
    return [str(root / "photos/val/kinds" / name) for name in FILES]


def test_search_describes_many_to_the_bit_and_a_few_to_the_last_digits(described):
    searcher = Searcher("all", **roots(described))
    many = searcher.describe(paths(described))
    check(described, of_rows(many))
    for row, path in enumerate(paths(described)):
        alone = searcher.describe(path)
        for block in (1, 2):
            assert alone[block][0] == pytest.approx(
                many[block][row], rel=1e-4, abs=1e-5 * float(np.abs(many[block]).max())
            )


def test_tag_says_of_a_file_what_it_says_of_its_id(described, monkeypatch):
    seen = spied("tag", monkeypatch)
    of_files = tag(run="all", image=paths(described), **roots(described))
    check(described, of_rows(seen[-1]))
    of_ids = tag(run="all", id=[f"val/kinds/{name}" for name in FILES], **roots(described))
    assert [(each.name, each.distance) for each in of_files] == [(each.name, each.distance) for each in of_ids]


def test_attribute_add(described):
    # Copies count once: "rgb.png" is the picture of "rgb.bmp".
    attribute.add(run="all", name="mine", group="second", images=paths(described), **roots(described))
    (added,), _ = added_classes.read(described / "runs/all/attributes")
    expected = stored(described)
    for row, name in enumerate(Path(each).name for each in added.ids):
        for block in (1, 2):
            assert added.descriptors[block][row].tobytes() == expected[name][block].tobytes(), name


def test_index_images(described, tmp_path, monkeypatch):
    shutil.copytree(described / "runs", tmp_path / "runs")
    seen = []
    monkeypatch.setattr(index_updates, "describer", lambda *words, **options: kept(describer(*words, **options), seen))
    there = {"tfrecords_root": str(described / "tfrecords"), "runs_root": str(tmp_path / "runs")}
    index_add(run="train", images=paths(described), **there)
    check(described, of_rows(seen[-1]))


def test_an_upload_to_the_page(described):
    searching = parts.searching(parts.Place(described / "runs/all", None, str(described / "tfrecords")))
    found = {}
    for name, data in FILES.items():
        points, _ = searching.backing.describe(data, name)
        found[name] = {1: points["first"][0], 2: points["second"][0]}
    # An upload is described alone, which may change the last digits.
    for name, blocks in stored(described).items():
        for block, expected in blocks.items():
            assert found[name][block] == pytest.approx(expected, rel=1e-4, abs=1e-5 * float(np.abs(expected).max()))


@pytest.fixture(scope="module")
def small(tmp_path_factory, model_path):
    """40 photographs of 300 x 200, stored at 32 x 32."""
    root = tmp_path_factory.mktemp("small")
    random = np.random.default_rng(0)
    for number in range(40):
        folder = root / f"photos/{'ab'[number % 2]}"
        folder.mkdir(parents=True, exist_ok=True)
        coarse = Image.fromarray(random.integers(0, 256, (20, 30, 3), np.uint8))
        coarse.resize((300, 200), Image.Resampling.NEAREST).save(folder / f"{number}.jpg", quality=95)
    ingest(
        dataset="s", source="folder", path=str(root / "photos"), size=32, tfrecords_root=roots(root)["tfrecords_root"]
    )
    extract(dataset="s", backbone=str(model_path), size=64, **roots(root))
    index(run="s", groups=["fine=2:l2"], labels=["fine=class"], **roots(root))
    return root


def forget(root: Path) -> None:
    """Make the run as an earlier version made it, which did not note how the record set was resized."""
    for path in (root / "runs/s/extract/manifest.json", root / "runs/s/index/index.json"):
        note = json.loads(path.read_text())
        del note.get("network", note)["facts"]["resizing"]
        path.write_text(json.dumps(note))
    manifest = json.loads((root / "runs/s/index/manifest.json").read_text())
    manifest["files"]["index.json"]["size"] = path.stat().st_size
    (root / "runs/s/index/manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize("earlier", [False, True], ids=["this version", "an earlier one"])
def test_a_photograph_finds_itself_in_a_record_set_of_smaller_ones(small, tmp_path, empty_figures, earlier):
    shutil.copytree(small, tmp_path / "w")
    if earlier:
        forget(tmp_path / "w")
    for number in (0, 7, 39):
        name = f"{'ab'[number % 2]}/{number}.jpg"
        photo = str(small / "photos" / name)
        hits = search(run="s", image=photo, by="fine", top=3, include_query=True, **roots(tmp_path / "w"))
        assert hits.ids[0] == name
        assert hits.distances[0] == pytest.approx(0, abs=1e-6)
        assert hits.distances[1] > 0.001


def test_without_the_record_set_an_earlier_run_is_searched_as_before(small, tmp_path, empty_figures):
    shutil.copytree(small / "runs", tmp_path / "runs")
    forget(tmp_path)
    hits = search(run="s", image=str(small / "photos/a/0.jpg"), by="fine", top=3, **roots(tmp_path))
    assert hits.distances[0] > 0.001
