"""The index of a run in memory: opened once, asked many times, by files, bytes, pictures, arrays or ids."""

import io
import itertools
import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fashionprobe.inputs.arguments as shared
from fashionprobe.errors import UserError, check_one, missing
from fashionprobe.inputs.index import NONE, group_of, normalized, open_classes, open_index, readable
from fashionprobe.inputs.new_images import Describe, describer, resizing_of

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from fashionprobe.attributes.index import Index
    from fashionprobe.backbones.pooling import Block

OWN = ("query", "rank", "id", "distance")
"""Columns of an answer that are not those of the index."""

DEFAULT_TOP = 36


class Searcher:
    """Search in the index of a run, from Python: `Searcher("shop").search("shirt.jpg", where="price < 30")`.

    The network is loaded with the first picture that has to be described, and kept. What other processes add to the
    index or take away counts from the next call on. Many threads may ask.

    Args:
        run: Name of the run, the folder runs/NAME; or what an earlier stage returned.
        backbone: Name or path of the backbone that described the run; needed when it was moved.
        trust: Open a .keras file even if it holds more than Keras layers: its code then runs with your rights.
        tfrecords_root: Folder that holds the record sets.
        runs_root: Folder that holds the runs.

    Raises:
        UserError: If there is no index, or another version wrote it.
    """

    def __init__(
        self,
        run: shared.Place,
        *,
        backbone: str | None = None,
        trust: bool = False,
        tfrecords_root: str = "tfrecords",
        runs_root: str = "runs",
    ) -> None:
        self.folder = shared.run_path(run, runs_root)
        self._backbone, self._trust = backbone, trust
        self._lock = threading.Lock()
        self._describe: Describe | None = None
        self._seen = self._state()
        self._index = open_index(self.folder)
        self._resizing = resizing_of(self.folder, self._index.network, tfrecords_root)

    @property
    def index(self) -> "Index":
        """The index, opened again where another process changed it."""
        with self._lock:
            # The state first: a change while it is opened is seen by the next call.
            if (state := self._state()) != self._seen:
                self._index, self._seen = open_index(self.folder), state
            return self._index

    def search(
        self,
        images: Any = None,
        *,
        ids: str | Sequence[str] | None = None,
        by: str = "both",
        top: int = DEFAULT_TOP,
        where: str | None = None,
        include_query: bool = False,
        weights: Mapping[str, float] | None = None,
    ) -> "pd.DataFrame":
        """Find the images that are most similar to one, or to each of several.

        Args:
            images: A picture or several: paths, bytes of files, PIL images, or arrays (height, width, 3), RGB, uint8 or
                float in [0, 255]; a list of them or an array (images, height, width, 3).
            ids: Or ids of images of the index.
            by: A group of the index, such as colour or pattern; "both" takes all groups, by the sum of their distances,
                each z-scored over the whole index.
            top: How many at most for each.
            where: Search only among the images for which this pandas query over the columns of the index is true, such
                as "price < 30 and gender == 'Women'"; exactly, also in an index for approximate search.
            include_query: Return the picture itself, too, where it is in the index.
            weights: For "both": what the z-scores of each group are multiplied by.

        Returns:
            A table, nearest first: query (its name, or its place in the list), rank, id, distance, and the other
            columns of the index as text. It is empty where no image is left to be found.

        Raises:
            UserError: If there is no such group, id or column, or a picture cannot be read.

        Example:
            searcher.search("shirt.jpg", by="colour", top=5, where="price < 30").to_dict("records")
        """
        check_one(images=images, ids=ids)
        if top < 1:
            raise UserError("top", expected="1 or more", received=top)
        try:
            return self._search(self.index, images, ids, by, top, where, include_query, weights)
        except FileNotFoundError:
            # Made compact by another process between two lines.
            self._seen = -1
            return self._search(self.index, images, ids, by, top, where, include_query, weights)

    def _search(
        self, index: "Index", images: Any, ids: str | Sequence[str] | None, by: str, top: int, where: str | None,
        include_query: bool, weights: Mapping[str, float] | None,
    ) -> "pd.DataFrame":  # fmt: skip
        import numpy as np
        import pandas as pd

        index.choose(by)
        among = None if where is None else _chosen(index, where)
        if images is not None:
            names, points = self._points(index, images)
            own = [[] if include_query else index.copies(point)[0] for point in points]
        else:
            names = shared.listed("ids", ids) or []
            rows = [index.row(name) for name in names]
            points = [{each.name: index.point(each, row) for each in index.groups.values()} for row in rows]
            own = [[] if include_query else [row] for row in rows]
        allowed = index.alive if among is None else index.alive & among
        tables = []
        for name, point, without in zip(names, points, own, strict=True):
            most = int(np.count_nonzero(allowed)) - int(np.count_nonzero(allowed[without]))
            if most:
                tables.append(_table(index, name, index.search(
                    by, point, min(top, most), without=without, among=among, weights=weights
                )))  # fmt: skip
        if not tables:
            return pd.DataFrame(columns=[*OWN, *columns_of(index)])
        return pd.concat(tables, ignore_index=True)

    def tag(self, images: Any, *, group: str | Sequence[str] | None = None) -> "pd.DataFrame":
        """Name the class of pictures in each group of the index, or say that they are in none.

        Args:
            images: As for `search`.
            group: Groups to ask; None for all that have classes.

        Returns:
            A row a picture and group: image, group, name (the class, or "none of these"), nearest (the nearest class),
            probability (its share among the classes, calibrated on held-out images; None where nothing tells),
            distance (to its mean) and reach (how far the class reaches).

        Raises:
            UserError: If there is no such group or it has no class, or a picture cannot be read.
        """
        import pandas as pd

        from fashionprobe.attributes import classes as library

        index = self.index
        known = open_classes(self.folder, index).classes
        asked = shared.listed("group", group) or [name for name in index.groups if known[name].names] or [*index.groups]
        of_groups = [group_of(index, name) for name in asked]
        given = pictures(images)
        points = readable(index, self._described(index, given))
        found = {each.name: library.tag(each.name, points[each.name], known[each.name]) for each in of_groups}
        rows = [
            {
                "image": name, "group": each, "name": tag.name if tag.known else NONE, "nearest": tag.name,
                "probability": tag.probability, "distance": tag.distance, "reach": tag.reach,
            }
            for place, (name, _) in enumerate(given)
            for each, tags in found.items()
            for tag in [tags[place]]
        ]  # fmt: skip
        return pd.DataFrame(rows)

    def describe(self, images: Any) -> "dict[Block, np.ndarray]":
        """Describe pictures by the network of the run, at the blocks of the index.

        Args:
            images: As for `search`.

        Returns:
            By block, float32 (images, channels), not normalized.

        Raises:
            UserError: If a picture cannot be read, or the network is gone or another.
        """
        return self._described(self.index, pictures(images))

    def _points(self, index: "Index", images: Any) -> "tuple[list[str], list[dict[str, np.ndarray]]]":
        given = pictures(images)
        found = normalized(index, self._described(index, given))
        points = [{name: matrix[row : row + 1] for name, matrix in found.items()} for row in range(len(given))]
        return [name for name, _ in given], points

    def _described(self, index: "Index", given: "list[tuple[str, bytes]]") -> "dict[Block, np.ndarray]":
        import numpy as np

        from fashionprobe.records.image_files.read import fitted

        size, fit = tuple(index.network["arguments"]["size"]), index.network["arguments"]["fit"]
        pixels = np.stack([fitted(data, name, size, fit, resizing=self._resizing) for name, data in given])
        with self._lock:
            if self._describe is None:
                self._describe = describer(
                    index.network, index.blocks, backbone=self._backbone, trust=self._trust, one_by_one=True
                )
            return self._describe(pixels)

    def _state(self) -> int:
        """Return what changes when a part of the index is written."""
        try:
            return os.stat(self.folder / "index").st_mtime_ns
        except FileNotFoundError:
            return 0


def pictures(images: Any) -> list[tuple[str, bytes]]:
    """Return pictures as image files, each with a name: that of the file, or its place in the list.

    Args:
        images: As for `Searcher.search`.

    Raises:
        UserError: If one is nothing of these, or a file is not there.
    """
    found = [_picture(each, place) for place, each in enumerate(_each(images))]
    if not found:
        raise missing("images", "pass one image file or more")
    names = distinct([name for name, _ in found])
    return [(name, data) for name, (_, data) in zip(names, found, strict=True)]


def distinct(names: Sequence[str]) -> list[str]:
    """Return names that are all different: a second "shirt.jpg" becomes "shirt.jpg (2)"."""
    taken: set[str] = set()
    found = []
    for name in names:
        number = itertools.count(2)
        new = name
        while new in taken:
            new = f"{name} ({next(number)})"
        taken.add(new)
        found.append(new)
    return found


def columns_of(index: "Index") -> list[str]:
    """Return the columns that an answer carries along, as they are called there."""
    return [f"item_{name}" if name in OWN else name for name in index.items.columns if name != "id"]


def _each(images: Any) -> Iterator[Any]:
    """Go through one picture or several."""
    alone = isinstance(images, str | os.PathLike | bytes) or hasattr(images, "convert")
    if alone or len(getattr(images, "shape", ())) == 3 or not isinstance(images, Iterable):
        yield images
    else:
        yield from images


def _picture(image: Any, place: int) -> tuple[str, bytes]:
    if isinstance(image, bytes):
        return str(place), image
    if isinstance(image, str | os.PathLike):
        path = Path(image)
        if not path.is_file():
            received = f"{str(path)!r}, which is {'a folder' if path.is_dir() else 'not a file'}"
            raise UserError("image", expected="an image file", received=received)
        return path.name, path.read_bytes()
    if hasattr(image, "convert"):  # of Pillow
        return str(place), _png(image.convert("RGB"))
    return str(place), _png(_from_array(image))


def _from_array(array: Any) -> Any:
    import numpy as np
    from PIL import Image

    pixels = np.asarray(array)
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype.kind not in "uif":
        raise UserError(
            "images", expected="paths, bytes, PIL images or arrays (height, width, 3), RGB in [0, 255]",
            received=f"{type(array).__name__} {list(pixels.shape)} of {pixels.dtype}",
        )  # fmt: skip
    if pixels.dtype != np.uint8:
        low, high = float(pixels.min(initial=0)), float(pixels.max(initial=0))
        if not (low >= 0 and 1 < high <= 255):
            raise UserError(
                "images", expected="arrays with values in [0, 255]", received=f"one from {low:g} to {high:g}",
                remedy="Multiply one in [0, 1] by 255.",
            )  # fmt: skip
        pixels = np.rint(pixels).astype(np.uint8)
    return Image.fromarray(pixels)


def _png(picture: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _chosen(index: "Index", where: str) -> "np.ndarray":
    """Return which rows a query keeps, bool (rows,)."""
    from fashionprobe.records.select import keeps

    return keeps(index.items, where).to_numpy()


def _table(index: "Index", name: str, found: Any) -> "pd.DataFrame":
    table = index.items.iloc[found.rows].reset_index(drop=True)
    ids = table.pop("id")
    table.columns = columns_of(index)
    table.insert(0, "query", name)
    table.insert(1, "rank", range(1, len(table) + 1))
    table.insert(2, "id", ids)
    table.insert(3, "distance", found.distances.astype(float))
    return table
