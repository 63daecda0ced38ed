"""Stage `search`: images -> the most similar ones of the index, by colour, by pattern, or by both."""

import io
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fashionprobe.inputs.arguments as shared
from fashionprobe.artifacts import Recipe, build, read_manifest, sha256, write_bytes
from fashionprobe.errors import UserError, check_one, require
from fashionprobe.inputs.searcher import DEFAULT_TOP, OWN, Searcher, distinct

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from fashionprobe.attributes.index import Index

log = logging.getLogger(__name__)

SHOWN = 10
"""Results of a picture that are printed."""

COLUMNS = 3
"""Columns of the index that are printed beside an id."""

ACROSS = 9
"""Pictures in a row of the sheet."""

FORMATS = (".json", ".csv", ".parquet")


@dataclass(frozen=True)
class Hits:
    """What a search found.

    Attributes:
        hits: A row a hit, nearest first: query, rank, id, distance (by several groups the sum of z-scores, which may be
            negative), and the other columns of the index.
        path: The folder that `--save` wrote; None without it.
    """

    hits: tuple[dict[str, Any], ...]
    path: Path | None = None

    @property
    def ids(self) -> tuple[str, ...]:
        """Ids of the images."""
        return tuple(hit["id"] for hit in self.hits)

    @property
    def distances(self) -> tuple[float, ...]:
        """Their distances."""
        return tuple(hit["distance"] for hit in self.hits)


@shared.stage
def search(
    *,
    run: shared.Place,
    image: list[str] | str | None = None,
    id: list[str] | str | None = None,
    by: str = "both",
    top: int = DEFAULT_TOP,
    where: str | None = None,
    include_query: bool = False,
    output: str | None = None,
    save: bool = False,
    backbone: str | None = None,
    trust: bool = False,
    overwrite: bool = False,
    tfrecords_root: str = "tfrecords",
    runs_root: str = "runs",
) -> Hits:
    """Find the images that are most similar to one.

    Or to each of several. The search is exact, and nothing is written without --output or --save. From Python,
    `fashionprobe.Searcher` keeps the network and the index in memory.

    Args:
        image: An image file, or several.
        id: Or the id of an image of the index, or several.
        by: A group of the index, such as colour or pattern; both takes all groups, by the sum of their distances, each
            z-scored over the whole index.
        top: How many at most for each image.
        where: Search only among images for which this pandas query over the columns of the index is true, such as
            "price < 30 and gender == 'Women'".
        include_query: Show the image itself, too, where it is in the index.
        output: File for the results with all columns of the index: .json, .csv or .parquet.
        save: Write a table and a contact sheet into the run.
        backbone: Name or path of the backbone that described the run; needed when it was moved.
        overwrite: Write the sheet again even if it is there.

    Returns:
        The results: ids, distances and columns.

    Raises:
        UserError: If there is no index, group, column or id, or a file is not an image.

    Example:
        fashionprobe search --run colour --image shirt.jpg --by colour --where "price < 30" --output hits.json
    """
    check_one(image=image, id=id)
    if output is not None:
        _check_output(Path(output))
    by, where = shared.spelled(by), where and shared.spelled(where)
    searcher = Searcher(run, backbone=backbone, trust=trust, tfrecords_root=tfrecords_root, runs_root=runs_root)
    paths = [image] if isinstance(image, str) else image
    ids = shared.listed("id", id)
    table = searcher.search(paths, ids=ids, by=by, top=top, where=where, include_query=include_query)
    names = ids if paths is None else distinct([Path(path).name for path in paths])
    _print(table, by, names or [])
    if output is not None:
        _write_output(table, Path(output))
        log.info("wrote %s: %d rows", output, len(table))
    folder = None
    if save and len(table):
        queries = {name: "" if paths is None else sha256(Path(paths[place])) for place, name in enumerate(names or [])}
        arguments = {"queries": queries, "by": by, "top": top, "where": where, "include_query": include_query}
        recipe = Recipe("search", arguments, {"index": _state(searcher.index)})
        name = f"{shared.file_name(Path(next(iter(queries))).stem)}-{by}-{recipe.fingerprint[:8]}"
        artifact = build(
            searcher.folder / "search" / name, recipe,
            lambda draft: _save(draft, searcher.index, table, by, None if paths is None else paths),
            overwrite=overwrite,
        )  # fmt: skip
        folder = artifact.path
        log.info("%s. Look at %s", artifact.outcome, folder / "sheet.png")
    elif output is None and len(table):
        log.info("Next: --output hits.csv for all columns, --save for the pictures.")
    return Hits(tuple(table.to_dict("records")), folder)  # pyright: ignore[reportArgumentType]


def _check_output(path: Path) -> None:
    """Refuse a file that could not be written, before the work."""
    if path.suffix.lower() not in FORMATS:
        raise UserError("output", expected=f"a file that ends in {', '.join(FORMATS)}", received=path.name)
    if path.suffix.lower() == ".parquet":
        require("pyarrow", extra="parquet", purpose="a .parquet file", remedy="Or write a .csv file.")
    if not path.parent.is_dir():
        raise UserError("output", expected="a file in a folder that is there", received=str(path))


def _write_output(table: "pd.DataFrame", path: Path) -> None:
    """Write the results, whole or not at all."""
    if path.suffix.lower() == ".json":
        data = (table.to_json(orient="records", indent=1, force_ascii=False) + "\n").encode()
    elif path.suffix.lower() == ".csv":
        data = table.to_csv(index=False, float_format="%.6f").encode()
    else:
        buffer = io.BytesIO()
        table.to_parquet(buffer, index=False)
        data = buffer.getvalue()
    write_bytes(path, data)


def _print(table: "pd.DataFrame", by: str, names: list[str]) -> None:
    if not len(table):
        log.info("no image of the index is left to be found")
    columns = [name for name in table.columns if name not in OWN][:COLUMNS]
    for name in names:
        mine = table[table["query"] == name]
        if len(names) > 1:
            log.info("%s, nearest by %s", name, by)
        for row in mine.head(SHOWN).to_dict("records"):
            told = ", ".join(f"{column} {row[column]}" for column in columns if row[column])
            log.info("%3d. %-24s %.3f  %s", row["rank"], row["id"], row["distance"], told)
        if len(mine) > SHOWN:
            log.info("... and %d more", len(mine) - SHOWN)


def _state(index: "Index") -> str:
    """Return what an index holds now: its recipe, and how it was changed since."""
    made = read_manifest(index.folder, remedy="Make it again: fashionprobe index.")["fingerprint"]
    return f"{made}-{index.next_number}"


def _save(draft: Path, index: "Index", table: "pd.DataFrame", by: str, paths: list[str] | None) -> dict[str, Any]:
    """Write the table and the contact sheet of all queries."""
    from fashionprobe.attributes.index import BOTH
    from fashionprobe.plots.save import png
    from fashionprobe.plots.sheets import Row, contact_sheet

    table.to_csv(draft / "hits.csv", index=False, float_format="%.6f")
    rows = []
    for place, (name, mine) in enumerate(table.groupby("query", sort=False)):
        asked = _picture(index.thumbnail(index.row(str(name)))) if paths is None else _file(paths[place])
        rows.append(Row("query", [asked], [str(name)]))
        found = [_picture(index.thumbnail(index.row(each))) for each in mine["id"]]
        captions = [f"{row.rank}. {row.id}\n{row.distance:.3f}" for row in mine.itertuples()]
        for start in range(0, len(found), ACROSS):
            chunk = slice(start, start + ACROSS)
            rows.append(Row("" if start else "nearest", found[chunk], captions[chunk]))
    remark = "Below each id: the distance between normalized descriptors."
    if by == BOTH:
        remark = "Below each id: the sum of z-scored distances of all groups; negative is nearer than average."
    # No SVG: it would hold the same pixels, and no lines.
    (draft / "sheet.png").write_bytes(png(contact_sheet(rows, title=f"Most similar by {by}", remark=remark), dpi=110))
    return {"rows": len(table)}


def _file(path: str) -> "np.ndarray":
    from fashionprobe.records.image_files.read import picture
    from fashionprobe.records.thumbnails import thumbnail

    return _picture(thumbnail(picture(path)))


def _picture(data: bytes) -> "np.ndarray":
    """Decode a thumbnail; grey where there is none."""
    import numpy as np
    from PIL import Image

    if not data:
        return np.full((72, 54, 3), 200, np.uint8)
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
