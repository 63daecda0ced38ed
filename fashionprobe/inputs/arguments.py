"""How stages read the arguments they share: names of record sets and runs, lists, results of other stages."""

import functools
import inspect
import os
import re
import shlex
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, overload

from fashionprobe import synonyms
from fashionprobe.artifacts import Artifact, child, load
from fashionprobe.errors import UserError, missing, nearest
from fashionprobe.inputs import parameters
from fashionprobe.records.record_set import RecordSet, open_record_set

P = ParamSpec("P")
R = TypeVar("R")

Place = str | os.PathLike[str]
"""A name below a root folder, or what an earlier stage returned (its results are paths)."""


@overload
def stage(function: Callable[P, R], /) -> Callable[P, R]: ...
@overload
def stage(**ranges: str) -> Callable[[Callable[P, R]], Callable[P, R]]: ...
def stage(function: Callable[..., Any] | None = None, /, **ranges: str) -> Any:
    """Describe and check the parameters of a stage by `parameters`, and answer one that it does not have.

    Args:
        function: The stage; `@stage` alone passes it.
        ranges: The ranges of numbers that differ from the shared ones, as `@stage(samples="[0, inf)")`.
    """
    if function is None:
        return functools.partial(_stage, ranges=ranges)
    return _stage(function, ranges)


def _stage(function: Callable[P, R], ranges: Mapping[str, str]) -> Callable[P, R]:
    name, signature = function.__name__, inspect.signature(function).parameters
    limits = {each: limit for each, limit in {**parameters.RANGES, **ranges}.items() if each in signature}

    @functools.wraps(function)
    def called(*args: P.args, **kwargs: P.kwargs) -> R:
        if args:
            raise UserError(
                "arguments", expected=f"given by name, as {name}({next(iter(signature))}=...)",
                received=f"{type(args[0]).__name__} without a name",
            )  # fmt: skip
        for word, value in kwargs.items():
            if word not in signature:
                near = synonyms.option(word, signature) or nearest(word, signature)
                remedy = f"Did you mean {near!r}? " if near else ""
                raise UserError(
                    "argument", expected=f"one that stage {name!r} has", received=word,
                    remedy=f"{remedy}help(fashionprobe.stages.{name}) lists them.",
                )  # fmt: skip
            if word in limits:
                parameters.check(word, value, limits[word], signature[word].annotation)
        return function(*args, **kwargs)

    if function.__doc__:  # python -OO has none
        called.__doc__ = parameters.documented(function.__doc__, signature)
    called.ranges = limits  # type: ignore[attr-defined]
    return called


def spelled(name: str) -> str:
    """Return a name in NFC, as record sets hold theirs: an umlaut may be typed as one character or as two."""
    return unicodedata.normalize("NFC", name)


def listed(argument: str, value: str | Sequence[str] | None) -> list[str] | None:
    """Return a list of names in NFC, each once; text is cut at its commas, so that `--label colour,pattern` works."""
    if value is None:
        return None
    parts = value.split(",") if isinstance(value, str) else list(value)
    names = list(dict.fromkeys(spelled(part.strip()) for part in parts if part.strip()))
    if not names:
        raise missing(argument, "pass a name, or several as a,b")
    return names


def numbers(value: int | Sequence[int] | None) -> list[int] | None:
    """Return sorted whole numbers, each once; one stands for a list of one."""
    if value is None:
        return None
    return sorted({value} if isinstance(value, int) else set(value))


def image_size(size: int | Sequence[int] | None) -> tuple[int, int] | None:
    """Return (height, width); one number stands for a square."""
    if size is None:
        return None
    sides = [size, size] if isinstance(size, int) else list(size)
    if len(sides) != 2 or min(sides) < 1:
        raise UserError("size", expected="a number of pixels, or [height, width], each 1 or more", received=size)
    return (int(sides[0]), int(sides[1]))


def command(stage: Callable[..., Any], given: Mapping[str, Any]) -> str:
    """Return the command line that calls a stage with these arguments; those of the default are left out."""
    words = ["fashionprobe", stage.__name__]
    for name, parameter in inspect.signature(stage).parameters.items():
        value = given[name]
        if value != parameter.default:
            values = value if isinstance(value, list | tuple) else [value]
            words += [f"--{name.replace('_', '-')}", *(shlex.quote(_word(each)) for each in values)]
    return " ".join(words)


def file_name(label: str) -> str:
    """Return a label as a part of a file name."""
    return re.sub(r"[^\w-]+", "_", label)


def _word(value: Any) -> str:
    if isinstance(value, os.PathLike):
        return Path(value).name
    return str(value).lower() if isinstance(value, bool) else str(value)


def records_path(dataset: Place, tfrecords_root: str) -> Path:
    """Return the folder of a record set, given its name or the result of `ingest`."""
    return child(tfrecords_root, dataset, argument="dataset") if isinstance(dataset, str) else Path(dataset)


def run_name(run: str | None, dataset: Place | None, default: str) -> str:
    """Return the name of a run: the one given, else that of the record set, else the default."""
    if run is not None:
        return run
    if dataset is None:
        return default
    return dataset if isinstance(dataset, str) else Path(dataset).name


def run_path(run: Place, runs_root: str) -> Path:
    """Return the folder of a run, given its name or the result of a stage that wrote into it."""
    return child(runs_root, run, argument="run") if isinstance(run, str) else Path(run).parent


def open_records(dataset: Place, tfrecords_root: str) -> RecordSet:
    """Open a record set, given its name or the result of `ingest`."""
    return open_record_set(records_path(dataset, tfrecords_root))


def other_records(there: Artifact, records: Artifact) -> str:
    """Say how the record set that an artifact was made of differs from this one."""
    name = there.facts.get("dataset")
    if name is not None and name != records.path.name:
        return f"dataset: {name} -> {records.path.name}"
    return f"{records.path} was made again since, and differs"


def open_descriptors(run: Path) -> Artifact:
    """Open the descriptors of a run, or say which command makes them."""
    remedy = f"Make it first: fashionprobe extract --dataset DATASET --run {run.name}"
    return load(run / "extract", stage="extract", remedy=remedy)
