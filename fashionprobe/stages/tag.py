"""Stage `tag`: images -> the class in each attribute group, or "none of these"."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import fashionprobe.inputs.arguments as shared
from fashionprobe.errors import check_one
from fashionprobe.inputs.descriptors import read_descriptors
from fashionprobe.inputs.index import NONE, group_of, open_classes, open_index, readable
from fashionprobe.inputs.new_images import describe_files, resizing_of

if TYPE_CHECKING:
    from fashionprobe.attributes.classes import Tag

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Answer:
    """What one group says of one image.

    Attributes:
        image: Name of the file, or id.
        group: The group.
        name: The class; "none of these" when the image is beyond the reach of the nearest.
        nearest: The nearest class.
        distance: Distance to its mean.
        reach: How far that class reaches: as far as most of its own images are, each left out in turn.
        probability: That of the nearest class among the classes of the group, calibrated on held-out images; a new
            class takes its share. None where an earlier version made the index, or a person added all classes.
    """

    image: str
    group: str
    name: str
    nearest: str
    distance: float
    reach: float
    probability: float | None


@shared.stage
def tag(
    *,
    run: shared.Place,
    image: list[str] | str | None = None,
    id: list[str] | str | None = None,
    group: list[str] | str | None = None,
    backbone: str | None = None,
    trust: bool = False,
    tfrecords_root: str = "tfrecords",
    runs_root: str = "runs",
) -> tuple[Answer, ...]:
    """Name the class of an image in each group of an index.

    Or say that it is in none of them.

    Args:
        image: Image file, or several.
        id: Or the id of an image that was extracted, or several. It may be one that its class was made
            from.
        group: Groups to ask. Default: all that have classes.
        backbone: Name or path of the backbone that described the run; needed when it was moved.

    Returns:
        One answer an image and group.

    Raises:
        UserError: If there is no index, group or class, or a file is not an image.

    Example:
        fashionprobe tag --run colour --image shirt.jpg
    """
    check_one(image=image, id=id)
    from fashionprobe.attributes import classes as library

    folder = shared.run_path(run, runs_root)
    index = open_index(folder)
    known = open_classes(folder, index).classes
    asked = shared.listed("group", group) or [name for name in index.groups if known[name].names] or [*index.groups]
    groups = [group_of(index, name) for name in asked]
    if image is not None:
        paths = [image] if isinstance(image, str) else list(image)
        resizing = resizing_of(folder, index.network, tfrecords_root)
        descriptors = describe_files(
            index.network, paths, index.blocks, resizing=resizing, backbone=backbone, trust=trust
        )
        names = [Path(path).name for path in paths]
    else:
        names = shared.listed("id", id) or []
        descriptors = read_descriptors(folder).of_ids(names, index.blocks)
    points = readable(index, descriptors)
    found = {each.name: library.tag(each.name, points[each.name], known[each.name]) for each in groups}
    answers = []
    for place, name in enumerate(names):
        mine = [_answer(name, found[each.name][place]) for each in groups]
        log.info("%s: %s", name, "; ".join(_words(answer) for answer in mine))
        answers += mine
    return tuple(answers)


def _answer(image: str, found: "Tag") -> Answer:
    name = found.name if found.known else NONE
    return Answer(image, found.group, name, found.name, found.distance, found.reach, found.probability)


def _words(answer: Answer) -> str:
    if answer.name == NONE:
        return f"{answer.group} {NONE} (nearest {answer.nearest}, {answer.distance:.2f}, beyond its {answer.reach:.2f})"
    sure = f"{answer.probability:.0%}, " if answer.probability is not None else ""
    return f"{answer.group} {answer.name} ({sure}{answer.distance:.2f}, within {answer.reach:.2f})"
