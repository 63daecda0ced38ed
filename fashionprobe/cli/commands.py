"""The commands: the functions behind the names of the overview."""

from collections.abc import Callable
from typing import Any

from fashionprobe import stages
from fashionprobe.cli.overview import NAMES

COMMANDS: dict[str, Callable[..., Any]] = {
    name: getattr(stages.attribute, {"list": "list_classes"}.get(member, member))
    if family == "attribute"
    else getattr(stages, name.replace(" ", "_"))
    for name in NAMES
    for family, _, member in [name.rpartition(" ")]
}
"""The functions by the words that call them."""

FIRST_WORD = {"attribute add": "name", "attribute remove": "name"}
"""The argument that a word without an option in front stands for."""
