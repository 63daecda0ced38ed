import hashlib
import io
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fashionprobe.errors import UserError
from fashionprobe.records.sources import garments
from fashionprobe.records.sources.garments import fabric, silhouettes


def decoded(catalogue, name):
    return Image.open(io.BytesIO(catalogue.read(name)))


def test_items_hold_an_id_and_three_labels():
    items = garments.catalogue(count=30).items
    assert list(items.columns) == ["id", "colour", "pattern", "garment"]
    assert items["id"].is_unique
    assert set(items["colour"]) == set(garments.COLOURS)
    assert set(items["pattern"]) == set(fabric.PATTERNS)


@pytest.mark.parametrize("count", [1, 7, 100, 137, 250, 1000])
def test_labels_are_balanced_for_any_count(count):
    items = garments.catalogue(count=count).items
    assert len(items) == count
    for label in ("colour", "pattern"):
        seen = items[label].value_counts().reindex(garments.COLOURS if label == "colour" else fabric.PATTERNS)
        assert np.ptp(seen.fillna(0)) <= 1
    pairs = pd.crosstab(items["colour"], items["pattern"])
    pairs = pairs.reindex(index=garments.COLOURS, columns=list(fabric.PATTERNS), fill_value=0)
    assert np.ptp(pairs.to_numpy()) <= 1


def test_the_garment_tells_neither_colour_nor_pattern():
    items = garments.catalogue(count=800).items
    for label in ("colour", "pattern"):
        assert set(pd.crosstab(items["garment"], items[label]).to_numpy().ravel()) == {10}


def test_a_shorter_catalogue_is_the_start_of_a_longer_one():
    short, long = (garments.catalogue(count, size=(48, 48)) for count in (25, 250))
    pd.testing.assert_frame_equal(short.items, long.items.head(25))
    name = short.items["id"].iloc[-1]
    assert short.read(name) == long.read(name)


def test_images_decode_to_the_asked_size():
    for size in [(224, 224), (32, 48), (300, 180)]:
        image = decoded(garments.catalogue(2, size=size), "garment-000001")
        assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (size[1], size[0]))


def test_bytes_do_not_depend_on_order_or_threads():
    catalogue = garments.catalogue(24, size=(48, 48), seed=3)
    names = list(catalogue.items["id"])
    one_by_one = {name: catalogue.read(name) for name in reversed(names)}
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(catalogue.read, names)) == [one_by_one[name] for name in names]


def test_bytes_are_the_same_in_another_process_without_tensorflow():
    code = (
        "import hashlib, sys; from fashionprobe.records.sources import garments;"
        "catalogue = garments.catalogue(12, size=(64, 64), seed=5);"
        "drawn = b''.join(map(catalogue.read, catalogue.items['id']));"
        "sys.stdout.write(hashlib.sha256(drawn).hexdigest());"
        "sys.exit('tensorflow' in sys.modules)"
    )
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    catalogue = garments.catalogue(12, size=(64, 64), seed=5)
    here = hashlib.sha256(b"".join(map(catalogue.read, catalogue.items["id"]))).hexdigest()
    assert there == here


def test_another_seed_gives_other_pictures():
    first, second = (garments.catalogue(5, size=(32, 32), seed=seed) for seed in (0, 1))
    assert all(first.read(name) != second.read(name) for name in first.items["id"])


@pytest.mark.parametrize("garment", silhouettes.GARMENTS)
@pytest.mark.parametrize("size", [(16, 16), (33, 70), (90, 41)])
def test_every_garment_fits_in_the_picture(garment, size):
    for seed in range(3):
        drawn = garments.picture("black", "plain", garment, size, np.random.default_rng(seed))
        assert drawn.shape == (*size, 3) and drawn.dtype == np.uint8
        # On a backdrop of white, grey or pastel, a black garment is what is dark.
        dark = drawn.max(axis=2) < 90
        assert 0.04 < dark.mean() < 0.75
        assert not dark[0].any() and not dark[:, 0].any() and not dark[:, -1].any()


def contrast(pattern, side=80):
    """Return the mean difference between neighbouring pixels in the middle of the chest."""
    steps = []
    for seed in range(4):
        drawn = garments.picture("blue", pattern, "t-shirt", (side, side), np.random.default_rng(seed))
        chest = drawn[side * 4 // 10 : side * 6 // 10, side * 4 // 10 : side * 6 // 10].astype(float)
        steps.append(np.abs(np.diff(chest, axis=0)).mean() + np.abs(np.diff(chest, axis=1)).mean())
    return np.mean(steps)


def test_every_pattern_shows_more_contrast_than_plain_cloth():
    plain = contrast("plain")
    for pattern in fabric.PATTERNS:
        if pattern != "plain":
            assert contrast(pattern) > 2 * plain, pattern


def test_the_backdrop_does_not_depend_on_the_labels():
    # The same numbers are drawn before the backdrop for plain cloth, whatever its colour.
    corners = [
        garments.picture(colour, "plain", "skirt", (64, 64), np.random.default_rng(8))[0, :8]
        for colour in ("yellow", "black", "red")
    ]
    for corner in corners[1:]:
        np.testing.assert_allclose(corner.astype(int), corners[0], atol=0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"count": 0}, "`count` must be a whole number of 1 or more. Received: 0."),
        ({"count": 2.5}, "`count` must be a whole number of 1 or more. Received: 2.5."),
        ({"size": (8, 64)}, "`size` must be (height, width), each in [16, 2048] pixels. Received: (8, 64)."),
        (
            {"size": (64, 4096)},
            "`size` must be (height, width), each in [16, 2048] pixels. Received: (64, 4096).",
        ),
        ({"size": 224}, "`size` must be (height, width), each in [16, 2048] pixels. Received: 224."),
        ({"seed": -1}, "`seed` must be a whole number of 0 or more. Received: -1."),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, message):
    with pytest.raises(UserError, match=re.escape(message)):
        garments.catalogue(**arguments)


def test_an_unknown_id_is_refused():
    catalogue = garments.catalogue(3)
    expected = "`id` must be an id of this catalogue, garment-000000 to garment-000002. Received: garment-000003."
    with pytest.raises(UserError, match=re.escape(expected)):
        catalogue.read("garment-000003")


def test_masks_say_where_colours_patterns_and_parts_are():
    catalogue = garments.catalogue(count=120, size=(96, 80), seed=3)
    items = catalogue.items
    masks = garments.concept_masks(items["id"].tolist(), 120, (96, 80), 3)
    order = list(garments.CONCEPTS)
    assert masks.shape == (120, 96, 80, len(order)) and len(order) == 28
    parts = [order.index(name) for name in silhouettes.PARTS]
    for mask, colour, pattern, name in zip(masks, items["colour"], items["pattern"], items["id"], strict=True):
        there = {order[place] for place in np.flatnonzero(mask.any(axis=(0, 1)))}
        assert there - set(silhouettes.PARTS) == {colour, pattern}
        cloth = mask[..., order.index(pattern)]
        # Each pixel of the cloth is of one part, and the ground of a plain cloth shows everywhere.
        np.testing.assert_array_equal(mask[..., parts].sum(axis=-1), cloth)
        ground = mask[..., order.index(colour)]
        assert not (ground & ~cloth).any()
        assert (ground.sum() == cloth.sum()) == (pattern == "plain")
        # The backdrop is smooth: what is far from the cloth varies less than the cloth does.
        pixels = np.asarray(decoded(catalogue, name), float)
        assert 0.05 < cloth.mean() < 0.8 and pixels[cloth].std(axis=0).max() > 0
    parts_of = {
        garment: {name for name in silhouettes.PARTS
                  if masks[(items["garment"] == garment).to_numpy()][..., order.index(name)].any()}
        for garment in silhouettes.GARMENTS
    }  # fmt: skip
    assert parts_of["trousers"] == {"leg", "waistband"} and parts_of["skirt"] == {"skirt", "waistband"}
    assert parts_of["hoodie"] == {"body", "sleeve", "hood", "inside"}
    assert parts_of["dress"] == {"body", "skirt", "inside"}


def test_the_ground_of_a_plain_cloth_has_its_colour():
    catalogue = garments.catalogue(count=100, size=(96, 96))
    items = catalogue.items[(catalogue.items["pattern"] == "stripes") & (catalogue.items["colour"] == "red")]
    (mask,) = garments.concept_masks(items["id"].tolist(), 100, (96, 96))
    ground = mask[..., list(garments.CONCEPTS).index("red")]
    red, green, blue = np.asarray(decoded(catalogue, items["id"].iloc[0]), float)[ground].mean(axis=0)
    assert red > green + 60 and red > blue + 60


def test_masks_of_a_garment_that_is_not_there():
    with pytest.raises(UserError, match=r"`names` must be ids of 5 drawn garments. Received: garment-000009"):
        garments.concept_masks(["garment-000009"], 5, (32, 32))
