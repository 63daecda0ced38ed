"""Pictures of equal or nearly equal pixels: found in other bytes, and decoded only where they could be equal."""

import io

import numpy as np
import pytest
from image_files import encode, exif, picture
from PIL import Image, PngImagePlugin

from fashionprobe.records import copies
from fashionprobe.records.image_files import inspect


def noise(number, size=(24, 20)):
    coarse = Image.fromarray(np.random.default_rng(number).integers(0, 256, (5, 6, 3), np.uint8))
    return coarse.resize(size, Image.Resampling.NEAREST)


def equal(files):
    """The groups of names with equal pixels, each sorted; names alone left out."""
    keys = copies.equal(list(files), files.__getitem__, threads=2)
    together = {}
    for name, key in zip(files, keys, strict=True):
        together.setdefault(key, []).append(name)
    return sorted(sorted(names) for names in together.values() if len(names) > 1)


@pytest.fixture
def decoded(monkeypatch):
    """The number of pictures that were decoded."""
    seen, decode = [], inspect.picture
    monkeypatch.setattr(
        inspect, "picture", lambda data, info, **options: seen.append(data) or decode(data, info, **options)
    )
    return seen


def text(words):
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", words)
    return info


def test_pngs_of_other_text_and_compression_are_equal():
    first, second = noise(1), noise(2)
    assert equal({
        "a": encode(first, "PNG", compress_level=1), "b": encode(first, "PNG", compress_level=9, pnginfo=text("x")),
        "c": encode(second, "PNG"), "d": encode(first.convert("RGBA"), "PNG"), "e": encode(first.rotate(180), "PNG"),
    }) == [["a", "b", "d"]]  # fmt: skip


@pytest.mark.parametrize("kind", ["BMP", "GIF", "WEBP"])
def test_a_picture_is_equal_to_itself_in_another_format(kind):
    image = noise(1).quantize(16)
    lossless = {"lossless": True} if kind == "WEBP" else {}
    files = {"a": encode(image, "PNG"), "b": encode(image if kind == "GIF" else image.convert("RGB"), kind, **lossless)}
    assert equal(files | {"c": encode(noise(3), "PNG")}) == [["a", "b"]]


def test_jpegs_of_other_metadata_are_equal_and_none_is_decoded(decoded):
    first, second = encode(picture()), encode(picture().rotate(180))
    tagged = first[:2] + b"\xff\xfe\x00\x07hello" + first[2:]
    dense = encode(picture(), dpi=(300, 300), exif=exif(1))
    assert equal({"a": first, "b": tagged, "c": second, "d": dense, "e": first + b"junk"}) == [["a", "b", "d", "e"]]
    assert not decoded


def test_a_jpeg_that_is_shown_turned_is_another_picture(decoded):
    square = picture((32, 32))
    assert equal({"a": encode(square), "b": encode(square, exif=exif(3)), "c": encode(square, exif=exif(1))}) == [
        ["a", "c"]
    ]
    assert not decoded


@pytest.mark.parametrize("options", [{"progressive": True}, {"optimize": True}])
def test_jpegs_of_another_coding_are_equal_and_other_sizes_are_not_decoded(decoded, options):
    files = {"a": encode(picture()), "b": encode(picture(), **options), "c": encode(picture((50, 40)))}
    assert equal(files | {"d": encode(picture(), quality=90, **options)}) == [["a", "b"]]
    assert len(decoded) == 2


def test_a_jpeg_and_what_it_decodes_to_are_equal():
    data = encode(picture())
    turned = encode(picture(), exif=exif(6))
    upright = inspect.picture(turned, inspect.inspect(turned))
    found = equal({
        "a": data, "b": encode(Image.open(io.BytesIO(data)), "PNG"), "c": turned, "d": encode(upright, "PNG"),
    })  # fmt: skip
    assert found == [["a", "b"], ["c", "d"]]


def test_a_file_that_cannot_be_read_is_nobodys_copy():
    assert equal(
        {"a": b"", "b": b"", "c": encode(noise(1), "PNG"), "d": encode(noise(1), "PNG", compress_level=0)}
    ) == [["c", "d"]]


def near(images_of, most):
    files = {str(number): data for number, data in enumerate(images_of)}
    return copies.near(list(files), files.__getitem__, most=most, threads=2).tolist()


def test_near_copies_are_jpegs_of_another_quality_and_size():
    kinds = [noise(1, (96, 80)), noise(2, (96, 80))]
    files = [encode(kinds[0], quality=95), encode(kinds[1], "PNG"), encode(kinds[0], quality=90)]
    files += [encode(kinds[1].resize((192, 160)), quality=90), b"", encode(kinds[0], "PNG")]
    assert near(files, 1) == [0, 1, 0, 1, 4, 0]


def test_near_is_the_mean_difference_of_small_versions_and_passes_on():
    levels = [100, 102, 104, 110, 200]
    files = [encode(Image.new("RGB", (16, 16), (level, level, level)), "PNG") for level in levels]
    assert near(files, 2) == [0, 0, 0, 3, 4]
    assert near(files, 1.99) == [0, 1, 2, 3, 4]


def test_near_agrees_with_every_pair_compared():
    random = np.random.default_rng(0)
    small = random.integers(90, 110, (60, copies.SIDE**2 * 3)).astype(np.uint8)
    small[30:] = np.clip(small[:30].astype(int) + random.integers(-3, 4, small[:30].shape), 0, 255)
    apart = np.abs(small[:, None].astype(int) - small[None]).mean(axis=2)
    most = 1.72
    expected = [int(np.flatnonzero(row <= most)[0]) for row in apart]
    assert len({*expected}) < 60 and expected != list(range(60))
    assert copies._grouped(small, most).tolist() == expected


def test_joined_passes_on():
    assert copies.joined(["a", "b", "a", "c", "d"], [0, 1, 2, 2, 3]).tolist() == [0, 1, 0, 0, 4]
