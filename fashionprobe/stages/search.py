"""Stage `search`: an image -> the most similar ones of the index, by colour, by pattern, or by both."""

import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fashionprobe.inputs.arguments as shared
from fashionprobe.artifacts import Artifact, Recipe, Result, build, sha256
from fashionprobe.errors import UserError, check_one
from fashionprobe.inputs.index import normalized, open_index
from fashionprobe.inputs.new_images import describe_files, resizing_of

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from fashionprobe.attributes.index import Index

log = logging.getLogger(__name__)

SHOWN = 10
"""Results that are printed; the table and the sheet have all."""


@dataclass(frozen=True)
class Hits(Result):
    """What a search found, nearest first.

    Attributes:
        ids: Ids of the images.
        distances: Their distances; by several groups the sum of z-scores, which may be negative.
    """

    ids: tuple[str, ...]
    distances: tuple[float, ...]


@shared.stage
def search(
    *,
    run: shared.Place,
    image: str | None = None,
    id: str | None = None,
    by: str = "both",
    top: int | None = None,
    backbone: str | None = None,
    trust: bool = False,
    overwrite: bool = False,
    tfrecords_root: str = "tfrecords",
    runs_root: str = "runs",
) -> Hits:
    """Find the images that are most similar to one.

    The search is exact; the results are drawn, too.

    Args:
        image: An image file.
        id: Or the id of an image of the index, which is then left out of the results.
        by: A group of the index, such as colour or pattern; both takes all groups, by the sum of their distances, each
            z-scored over the whole index.
        top: How many. Default: 36, or all that there are.
        backbone: Name or path of the backbone that described the run; needed when it was moved.
        overwrite: Write the search again even if it is there.

    Returns:
        The results: ids, distances and the folder.

    Raises:
        UserError: If there is no index, group or id, the file is not an image, or `top` is more than the index holds.

    Example:
        fashionprobe search --run colour --image shirt.jpg --by colour --top 36
    """
    check_one(image=image, id=id)
    folder = shared.run_path(run, runs_root)
    index = open_index(folder)
    by, id = shared.spelled(by), id and shared.spelled(id)
    index.choose(by)
    without = None if id is None else index.row(id)
    resizing = None
    top = min(36, len(index) - (without is not None)) if top is None else top
    if image is not None:
        if not Path(image).is_file():
            raise UserError("image", expected="an image file", received=f"{image!r}, which is not a file")
        resizing = resizing_of(folder, index.network, tfrecords_root)
        found = describe_files(index.network, [image], index.blocks, resizing=resizing, backbone=backbone, trust=trust)
        points = normalized(index, found)
        name, digest = Path(image).stem, sha256(Path(image))
    else:
        points = {each.name: index.point(each, without or 0) for each in index.groups.values()}
        name, digest = str(id), ""
    arguments = {"image": name, "sha256": digest, "by": by, "top": top, "images": len(index)}
    if resizing:
        # Not where there is none: searches of earlier versions are right then, and found again.
        arguments["resizing"] = asdict(resizing)
    recipe = Recipe("search", arguments, {"index": _fingerprint(index)})
    place = folder / "search" / f"{shared.file_name(name)}-{by}-{recipe.fingerprint[:8]}"
    artifact = build(
        place,
        recipe,
        lambda draft: _write(draft, index, points, by, top, without, image, name),
        overwrite=overwrite,
    )
    return _result(artifact, by)


def _fingerprint(index: "Index") -> str:
    from fashionprobe.artifacts import read_manifest

    return read_manifest(index.folder, remedy="Make it again: fashionprobe index.")["fingerprint"]


def _write(
    draft: Path,
    index: "Index",
    points: "dict[str, np.ndarray]",
    by: str,
    top: int,
    without: int | None,
    image: str | None,
    name: str,
) -> dict[str, Any]:
    from fashionprobe.plots.save import png

    found = index.search(by, points, top, without=without)
    table = index.items.iloc[found.rows].reset_index(drop=True)
    table.insert(0, "rank", range(1, top + 1))
    table.insert(2, "distance", found.distances)
    table.to_csv(draft / "hits.csv", index=False, float_format="%.6f")
    asked = _picture(index.thumbnail(without)) if without is not None else _file(image or "")
    pictures = [_picture(index.thumbnail(row)) for row in found.rows]
    # No SVG: it would hold the same pixels, and no lines.
    (draft / "sheet.png").write_bytes(png(_sheet(asked, name, pictures, table, by), dpi=110))
    return {"rows": top}


def _file(path: str) -> "np.ndarray":
    from fashionprobe.records.image_files.read import picture
    from fashionprobe.records.thumbnails import thumbnail

    return _picture(thumbnail(picture(path)))


def _picture(data: bytes) -> "np.ndarray":
    """Decode a thumbnail; grey where there is none."""
    import io

    import numpy as np
    from PIL import Image

    if not data:
        return np.full((72, 54, 3), 200, np.uint8)
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def _sheet(asked: "np.ndarray", name: str, pictures: "list[np.ndarray]", table: "pd.DataFrame", by: str) -> Any:
    from fashionprobe.attributes.index import BOTH
    from fashionprobe.plots.sheets import Row, contact_sheet

    across = 9
    captions = [f"{row.rank}. {row.id}\n{row.distance:.3f}" for row in table.itertuples()]
    rows = [Row("query", [asked], [name])]
    for start in range(0, len(pictures), across):
        chunk = slice(start, start + across)
        rows.append(Row("" if start else "nearest", pictures[chunk], captions[chunk]))
    remark = "Below each id: the distance between normalized descriptors."
    if by == BOTH:
        remark = "Below each id: the sum of z-scored distances of all groups; negative is nearer than average."
    return contact_sheet(rows, title=f"Most similar by {by}", remark=remark)


def _result(artifact: Artifact, by: str) -> Hits:
    import pandas as pd

    path = artifact.path
    table = pd.read_csv(path / "hits.csv", dtype={"id": str}, keep_default_na=False)
    for row in table.head(SHOWN).itertuples():
        log.info("%3d. %-24s %.3f", row.rank, row.id, row.distance)
    if len(table) > SHOWN:
        log.info("... and %d more in %s", len(table) - SHOWN, path / "hits.csv")
    log.info("%s (nearest by %s). Look at %s", artifact.outcome, by, path / "sheet.png")
    return Hits(path, tuple(table["id"]), tuple(float(value) for value in table["distance"]), reused=artifact.reused)
