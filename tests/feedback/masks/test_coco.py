import json
import sys

import numpy as np
import pytest

from fashionprobe.errors import UserError
from fashionprobe.feedback.masks.coco import read_coco

coder = pytest.importorskip("pycocotools.mask")

SQUARE = np.zeros((8, 10), bool)
SQUARE[1:5, 2:6] = True
POLYGON = [[2, 1, 6, 1, 6, 5, 2, 5]]
# Down the columns: two columns and a pixel, then 4 masked of each 8, four times.
RUNS = {"size": [8, 10], "counts": [17, 4, 4, 4, 4, 4, 4, 4, 35]}

LARGE = [{"id": 1, "file_name": "a.jpg", "height": 300, "width": 200}]


def write(path, *annotations, **changes):
    content = {
        "images": [{"id": 1, "file_name": "a.jpg", "height": 8, "width": 10}],
        "categories": [{"id": 5, "name": "tag"}, {"id": 6, "name": "hand"}],
        "annotations": [
            {"id": 90 + number, "image_id": 1, "category_id": 5 + number % 2, "segmentation": each}
            for number, each in enumerate(annotations)
        ],
    }
    path.write_text(json.dumps(content | changes))
    return path


def test_polygons_and_run_lengths_plain_and_compressed(tmp_path):
    packed = coder.encode(np.asfortranarray(SQUARE.astype(np.uint8)))
    compressed = {"size": [8, 10], "counts": packed["counts"].decode()}
    found = read_coco(write(tmp_path / "c.json", POLYGON, RUNS, compressed))
    assert [name for name, _ in found] == ["a.jpg"] * 3
    for _, mask in found:
        assert mask.dtype == bool and np.array_equal(mask, SQUARE)


@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.98])
def test_compressed_run_lengths_are_those_of_pycocotools(tmp_path, share):
    # Large enough for runs of several characters, and for differences below 0.
    mask = np.random.default_rng(0).random((300, 200)) < share
    packed = coder.encode(np.asfortranarray(mask.astype(np.uint8)))
    path = write(tmp_path / "c.json", {"size": [300, 200], "counts": packed["counts"].decode()}, images=LARGE)
    assert np.array_equal(read_coco(path)[0][1], mask)


def test_polygons_of_one_annotation_are_joined(tmp_path):
    ((_, mask),) = read_coco(write(tmp_path / "c.json", [POLYGON[0], [7, 6, 9, 6, 9, 8, 7, 8]]))
    assert mask.sum() == 16 + 4 and mask[7, 8]


def test_categories(tmp_path):
    path = write(tmp_path / "c.json", POLYGON, RUNS, POLYGON)
    assert len(read_coco(path, ["tag"])) == 2 and len(read_coco(path, ["hand"])) == 1
    with pytest.raises(
        UserError, match=r"`categories` must be a category of c\.json: tag, hand\. Received: tags\. Did"
    ):
        read_coco(path, ["tags"])


@pytest.mark.parametrize(
    ("segmentation", "reason"),
    [
        ([], "no segmentation"),
        ([[1, 1, 5, 5]], "a polygon of less than three points"),
        ([[1, 1, 5, 5, 9]], "a polygon of less than three points"),
        ([[1, 1, 5, 1, 1e9, 5]], "a point far outside the image"),
        ([[1, 1, 5, 1, float("nan"), 5]], "a point far outside the image"),
        ({"size": [10, 8], "counts": RUNS["counts"]}, "size 10 x 8, image 8 x 10"),
        ({"size": [8, 10], "counts": [17, 4]}, "run lengths of 21 pixels, not 80"),
        ({"size": [8, 10], "counts": [90, -10]}, "run lengths of 80 pixels"),
        ({"size": [8, 10], "counts": "10000000000zz"}, "run lengths that are not compressed"),
        ({"size": [8, 10], "counts": "1"}, "run lengths of 1 pixels, not 80"),
        ({"size": [8, 10], "counts": "O0"}, "run lengths of -1 pixels"),
        ({"counts": [80]}, "'size'"),
    ],
)
def test_bad_segmentations_name_their_annotation(tmp_path, segmentation, reason):
    path = write(tmp_path / "c.json", POLYGON, segmentation)
    with pytest.raises(UserError, match=rf"Received: annotation 91 of a\.jpg \({reason}"):
        read_coco(path)


def test_a_mask_that_claims_any_size_is_refused(tmp_path):
    images = [{"id": 1, "file_name": "a.jpg"}]
    path = write(tmp_path / "c.json", {"size": [10**6, 10**6], "counts": [10**12]}, images=images)
    with pytest.raises(UserError, match=r"annotation 90 of a\.jpg \(size 1000000 x 1000000\)"):
        read_coco(path)


def test_what_is_not_coco_is_refused(tmp_path):
    path = tmp_path / "c.json"
    with pytest.raises(UserError, match=r"`path` must be a COCO file.*which is not a file"):
        read_coco(path)
    path.write_text("{")
    with pytest.raises(UserError, match=r"must be a COCO file.*no JSON"):
        read_coco(path)
    path.write_text("[]")
    with pytest.raises(UserError, match=r"Received: a JSON list"):
        read_coco(path)
    with pytest.raises(UserError, match=r"Received: one without a list of annotations"):
        read_coco(write(path, annotations=None))
    with pytest.raises(UserError, match=r"Received: one of images without file_name"):
        read_coco(write(path, images=[{"id": 1}]))
    with pytest.raises(UserError, match=r"annotation 90 of image 1, which is not there"):
        read_coco(write(path, POLYGON, images=[]))


def test_missing_package_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pycocotools.mask", None)
    with pytest.raises(UserError, match=r"pip install 'fashionprobe\[coco\]'"):
        read_coco(write(tmp_path / "c.json", POLYGON))
