"""Pictures that a source holds twice: the same pixels in other bytes, or nearly the same pixels.

A picture is decoded only where another one might be equal to it: of the same upright size, and, between two JPEGs, of
the same quantization but coded in another way. Otherwise what a JPEG codes says as much as its pixels.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from PIL import Image

from fashionprobe import progress
from fashionprobe.groups import join
from fashionprobe.records.image_files import inspect, jpeg
from fashionprobe.records.image_files.info import BadImage

SIDE = 16
"""Height and width of the small versions that near copies are found by: 768 bytes a picture."""

DRAFT = 4 * SIDE
"""Height and width at least at which a JPEG is decoded for a small version."""

Read = Callable[[str], bytes]


@dataclass(frozen=True)
class Looks:
    """What can be said of a picture without its pixels.

    Attributes:
        size: Height and width as it is shown.
        group: What two pictures that are coded alike must share to be equal; "" for all but JPEG.
        coding: How it is coded: two pictures of one group and coding are equal when their keys are.
        key: Digest of all that decides the pixels; "" where only decoding says it.
    """

    size: tuple[int, int]
    group: str
    coding: str
    key: str


def equal(names: Sequence[str], read: Read, *, threads: int) -> list[str]:
    """Return a key for each picture: pictures of the same pixels have the same key.

    Args:
        names: Ids of the pictures.
        read: Returns the encoded bytes by the id. Called from several threads.
        threads: Pictures that are looked at, and in memory, at a time.
    """
    looks = dict(zip(names, _each(names, lambda name: _looks(read(name)), threads, "copies"), strict=True))
    doubtful = _doubtful(looks)
    decoded = _each(doubtful, lambda name: _digest(read(name)), threads, "equal pixels")
    pixels = dict(zip(doubtful, decoded, strict=True))
    return [pixels.get(name) or (look.key if (look := looks[name]) else "") or f"alone {name}" for name in names]


def near(names: Sequence[str], read: Read, *, most: float, threads: int) -> np.ndarray:
    """Group pictures whose small versions hardly differ.

    Args:
        names: Ids of the pictures.
        read: As for `equal`.
        most: Largest mean difference of two small versions, in levels of 255.
        threads: As for `equal`.

    Returns:
        For each picture the index of the first one of its group.
    """
    found = _each(names, lambda name: _small(read(name)), threads, "near copies")
    there = np.array([place for place, small in enumerate(found) if small is not None], np.intp)
    first = np.arange(len(names))
    if len(there):
        first[there] = there[_grouped(np.stack([small for small in found if small is not None]), most)]
    return first


def joined(*groupings: Iterable) -> np.ndarray:
    """Return the first index of each one's group, where being together in one grouping is being together."""
    first = np.empty(0, np.intp)
    for grouping in groupings:
        keys: dict = {}
        mine = np.array([keys.setdefault(key, place) for place, key in enumerate(grouping)], np.intp)
        first = mine if not len(first) else join(first, np.arange(len(mine)), mine)
    return first


def _each(names: Sequence[str], look: Callable[[str], object], threads: int, description: str) -> list:
    """Look at each picture; None for one that cannot be read: it is left out when it is to be stored."""

    def tried(name: str) -> object:
        try:
            return look(name)
        except BadImage:
            return None

    found = []
    if not names:
        return found
    with (
        inspect.quiet(),
        ThreadPoolExecutor(threads) as pool,
        progress.bar(total=len(names), unit="image", description=description) as bar,
    ):
        for result in pool.map(tried, names):
            found.append(result)
            bar.update()
    return found


def _looks(data: bytes) -> Looks:
    info = inspect.inspect(data)
    size = (info.width, info.height) if info.orientation > 4 else (info.height, info.width)
    if info.format != "JPEG":
        return Looks(size, "", "", "")
    group, coding, key = jpeg.coded(data)
    return Looks(size, group, coding, f"{info.orientation} {key}")


def _doubtful(looks: dict[str, Looks | None]) -> list[str]:
    """Return the pictures that another one may be equal to although nothing but the pixels says so."""
    of_size: defaultdict[tuple[int, int], list[str]] = defaultdict(list)
    for name, look in looks.items():
        if look is not None:
            of_size[look.size].append(name)
    found = []
    for names in of_size.values():
        mine = {name: look for name in names if (look := looks[name]) is not None}
        groups = Counter(group for group, _ in {(look.group, look.coding) for look in mine.values()})
        if len(names) > 1 and "" in groups:
            found += names
        else:
            found += [name for name, look in mine.items() if groups[look.group] > 1]
    return found


def _digest(data: bytes) -> str:
    picture = inspect.picture(data, inspect.inspect(data)).convert("RGB")
    return f"{picture.size} {hashlib.blake2b(picture.tobytes(), digest_size=16).hexdigest()}"


def _small(data: bytes) -> np.ndarray:
    """Return the small version, uint8 (SIDE * SIDE * 3,)."""
    picture = inspect.picture(data, inspect.inspect(data), draft=DRAFT).convert("RGB")
    return np.asarray(picture.resize((SIDE, SIDE), Image.Resampling.BOX)).ravel()


def _grouped(small: np.ndarray, most: float) -> np.ndarray:
    """Return the index of the first one of each one's group: those within `most` of one another, and so on.

    Two that are near have means that are near, and so have their coarser versions: most pairs are never compared.
    """
    count = len(small)
    coarse = small.reshape(count, 4, SIDE // 4, 4, SIDE // 4, 3).mean(axis=(2, 4), dtype=np.float32).reshape(count, -1)
    means = coarse.mean(axis=1, dtype=np.float64)
    order = np.argsort(means, kind="stable")
    first = np.arange(count)
    # Rounding may not leave a pair out that the last comparison, in whole numbers, takes.
    slack = most + 1e-3
    for step in range(1, count):
        close = np.flatnonzero(means[order[step:]] - means[order[:-step]] <= slack)
        if not len(close):
            break
        for part in np.array_split(close, len(close) // 4096 + 1):
            one, other = order[part], order[part + step]
            kept = np.flatnonzero(first[one] != first[other])
            kept = kept[np.abs(coarse[one[kept]] - coarse[other[kept]]).mean(axis=1) <= slack]
            apart = np.abs(small[one[kept]].astype(np.int16) - small[other[kept]]).mean(axis=1)
            first = join(first, one[kept][apart <= most], other[kept][apart <= most])
    return first
