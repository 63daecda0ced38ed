"""What stands behind the tab Map: the points of UMAP, the walls, and the neighbours of an image on them."""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from fashionprobe.app.pictures import Pictures
from fashionprobe.attributes.neighbours import nearest
from fashionprobe.errors import UserError, unknown_name
from fashionprobe.report.points import Points, read_points


@dataclass(frozen=True)
class Wall:
    """One wall.

    Attributes:
        block: The block.
        rows: Rows of the grid.
        columns: Its columns.
        cells: Id of the image in each cell, row by row; "" for an empty one.
    """

    block: int
    rows: int
    columns: int
    cells: Sequence[str]


class Mapping:
    """The maps and walls of a run.

    Args:
        pictures: The pictures.
        items: The table of the descriptors: row, id, label columns, split.
        matrix: Returns the descriptors of a block, float32 (images, channels).
        blocks: The blocks that were described.
        maps: Folder of the maps; None for none.
        walls: Folder of the walls; None for none.

    Attributes:
        pictures: The pictures.
        maps: Files of the maps by their words, the best block of each label first.
        walls: Blocks of the walls.
    """

    def __init__(
        self, pictures: Pictures, items: pd.DataFrame, matrix: Callable[[int], np.ndarray], blocks: Sequence[int],
        maps: Path | None, walls: Path | None,
    ) -> None:  # fmt: skip
        self.pictures = pictures
        self._ids = items["id"].to_numpy(str)
        self._rows = {name: row for row, name in enumerate(self._ids)}
        columns = [column for column in items.columns if column not in ("row", "id", "split")]
        self._labels = dict(zip(self._ids, items[columns].itertuples(index=False, name=None), strict=True))
        self._matrix, self._blocks, self._walls = matrix, tuple(blocks), walls
        self.maps = _maps(maps) if maps else {}
        self.walls = _numbers(walls, r"wall_block(\d+)\.csv") if walls else []

    def points(self, name: str) -> Points:
        """Return one map.

        Raises:
            UserError: If there is none of these words.
        """
        if name not in self.maps:
            raise unknown_name("map", name, self.maps)
        return read_points(self.maps[name])

    def rows(self, name: str) -> list[str]:
        """Return the id of each point of a map, in the order of its points."""
        table = json.loads(self.maps[name].read_bytes())
        return [str(self._ids[int(point[-1])]) for point in table["points"]]

    @staticmethod
    def block_of(name: str) -> int:
        """Return the block of a map, given its words."""
        found = re.search(r"block (\d+)", name, re.IGNORECASE)
        return int(found[1]) if found else 0

    def words(self, name: str) -> str:
        """Return the labels of an image."""
        return ", ".join(filter(None, self._labels.get(name, ())))

    def wall(self, block: int) -> Wall:
        """Return the wall of a block.

        Raises:
            UserError: If there is none.
        """
        if self._walls is None or block not in self.walls:
            raise UserError("block", expected=f"one of: {', '.join(map(str, self.walls))}", received=block)
        table = pd.read_csv(self._walls / f"wall_block{block}.csv", dtype={"id": str}, keep_default_na=False)
        rows, columns = int(table["grid_row"].max()) + 1, int(table["grid_column"].max()) + 1
        cells = [""] * (rows * columns)
        for name, row, column in zip(table["id"], table["grid_row"], table["grid_column"], strict=True):
            cells[int(row) * columns + int(column)] = str(name)
        return Wall(block, rows, columns, cells)

    def pictures_of(self, wall: Wall) -> list[str]:
        """Return the thumbnail of each cell as a data URI; "" for an empty one."""
        names = [name for name in wall.cells if name]
        found = dict(zip(names, self.pictures.thumbnails(names), strict=True))
        return [found.get(name, "") for name in wall.cells]

    def neighbours(self, name: str, block: int, count: int) -> list[tuple[str, float]]:
        """Return the images whose descriptors of a block are nearest to those of an image, and their distances.

        Raises:
            UserError: If there is no such image or block.
        """
        if name not in self._rows:
            raise UserError("id", expected="the id of an image that was described", received=repr(name)[:80])
        if block not in self._blocks:
            raise UserError("block", expected=f"one of: {', '.join(map(str, self._blocks))}", received=block)
        matrix, row = self._matrix(block), self._rows[name]
        count = min(count, len(matrix) - 1)
        if count < 1:
            return []
        rows, far = nearest(matrix, matrix[row : row + 1], count, exclude=[np.array([row])])
        return [(str(self._ids[other]), float(distance)) for other, distance in zip(rows[0], far[0], strict=True)]


def _maps(folder: Path) -> dict[str, Path]:
    """Return the files of the maps by what the report calls them, in its order."""
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    found = {}
    for figure in manifest["facts"]["figures"]:
        if figure.get("points") and (folder / Path(figure["points"]).name).is_file():
            found[figure["title"]] = folder / Path(figure["points"]).name
    return found


def _numbers(folder: Path, pattern: str) -> list[int]:
    matches = (re.fullmatch(pattern, path.name) for path in folder.iterdir())
    return sorted(int(match[1]) for match in matches if match)
