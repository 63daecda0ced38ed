"""What `fashionprobe COMMAND --help` shows, from the signature and the docstring of the stage."""

import inspect
import re
import shutil
import textwrap
from collections.abc import Callable, Container, Iterator, Sequence
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from fashionprobe.cli.values import is_list, kinds
from fashionprobe.inputs.parameters import described

HEADINGS = {
    "Images": "box categories check classes count dataset group id image images label labels marks masks min_images "
    "name near_copies path per_class queries rate samples source split strict strip_metadata where",
    "Network": "after backbone batch_size block channel channels fit freeze from_block layer other_backbone "
    "other_block other_preprocessing other_seed other_taps other_weights precision preprocessing size strategy taps "
    "trust weights xla",
    "Output": "author note overwrite run runs_root shard_size tfrecords_root threads thumbnails title",
}
GROUPS = {name: heading for heading, names in HEADINGS.items() for name in names.split()}
"""The heading above an option; that of the others is Method."""

EVERYWHERE = {
    "--config FILE": "Read arguments from a YAML file; options given by hand win.",
    "--json": "Print the result as JSON on stdout, and nothing else there.",
    "-q, --quiet": "Show warnings only.",
    "-v, --verbose": "Show the arguments and the time taken, too.",
    "--print-config": "Print the arguments as YAML, for --config, and stop.",
    "-h, --help": "Show this text.",
}

COLUMN = 28
"""Where descriptions start."""


def explain(function: Callable[..., Any]) -> str:
    """Return the help of one command.

    Args:
        function: Its function, whose docstring describes each parameter.
    """
    doc = inspect.cleandoc(function.__doc__ or "")
    summary, _, rest = doc.partition("\n\n")
    width = min(shutil.get_terminal_size().columns, 110)
    lines = textwrap.wrap(summary, width)
    if sample := example(doc):
        lines += ["", f"  {sample}"]
    for paragraph in rest.split("\n\n"):
        if paragraph and not paragraph.startswith(("Example:", "Args:", "Returns:", "Raises:", "Reference:")):
            lines += ["", *textwrap.wrap(" ".join(paragraph.split()), width)]
    texts, ranges = described(doc), getattr(function, "ranges", {})
    groups: dict[str, dict[str, str]] = {name: {} for name in ("Images", "Network", "Method", "Output")}
    parameters = inspect.signature(function).parameters
    for name, parameter in parameters.items():
        text = f"{texts.get(name, '')}{_notes(parameter, ranges.get(name))}"
        group = GROUPS.get(name, "Method")
        if name in ("size", "fit") and "backbone" not in parameters:
            group = "Images"
        groups[group][_head(name, parameter)] = re.sub(r"`(\w+)`", lambda found: _option(found, parameters), text)
    for group, options in (groups | {"Everywhere": EVERYWHERE}).items():
        if options:
            lines += ["", group, *_rows(options, width)]
    return "\n".join(lines)


def example(doc: str) -> str:
    """Return the command line in the `Example:` of a docstring, or nothing."""
    return " ".join(doc.partition("\nExample:\n")[2].partition("\n\n")[0].replace("\\\n", " ").split())


def choices(annotation: Any) -> Sequence[str]:
    """Return the words that a parameter takes, where they are few."""
    kinds = [kind for kind in get_args(annotation) if kind is not type(None)]
    if get_origin(annotation) is not Literal and len(kinds) == 1:
        (annotation,) = kinds  # of a Literal or None
    return get_args(annotation) if get_origin(annotation) is Literal else ()


def _option(found: re.Match[str], parameters: Container[str]) -> str:
    """Write the name of another parameter as its option."""
    return f"--{found[1].replace('_', '-')}" if found[1] in parameters else found[0]


def _rows(options: dict[str, str], width: int) -> Iterator[str]:
    for head, text in options.items():
        lines = textwrap.wrap(text, width - COLUMN, break_on_hyphens=False) or [""]
        if len(head) > COLUMN - 4:
            lines.insert(0, "")
        yield f"  {head:<{COLUMN - 2}}{lines[0]}".rstrip()
        yield from (" " * COLUMN + line for line in lines[1:])


def _head(name: str, parameter: inspect.Parameter) -> str:
    """Return an option with what follows it."""
    annotation, option = parameter.annotation, f"--{name.replace('_', '-')}"
    if annotation is bool:
        return f"{option} {{true,false}}" if parameter.default is True else option
    if words := choices(annotation):
        return f"{option} {{{','.join(words)}}}"
    parts = {part for kind in kinds(annotation) for part in (kind, *get_args(kind))}
    variable = "TEXT" if str in parts and float not in parts else "X" if float in parts else "N"
    return f"{option} {variable}{' ...' if is_list(annotation) else ''}"


def _notes(parameter: inspect.Parameter, interval: str | None) -> str:
    """Say in brackets what is the default and what a number may be."""
    notes = []
    if parameter.default is parameter.empty:
        notes.append("required")
    elif parameter.default is not None and parameter.default != "":
        value = parameter.default
        notes.append(f"default: {str(value).lower() if isinstance(value, bool) else value}")
    if interval and {int, float} & {*kinds(parameter.annotation), NoneType}:
        low, _, high = interval[1:-1].partition(", ")
        notes.append(f"at least {low}" if interval[0] == "[" and high == "inf" else f"in {interval}")
    return f" [{', '.join(notes)}]" if notes else ""
