"""The artifact convention: a folder of data files and a `manifest.json`, there whole or not at all.

A stage describes what it is about to make (`Recipe`) and hands over a function that writes into a folder (`build`).
The folder is a hidden-by-name sibling, `incomplete.<name>.<fingerprint>`, until it is complete; then it is renamed. The
same recipe finds its own unfinished folder again, which is what makes long stages resumable.
"""

import hashlib
import json
import os
import platform
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import filelock

from fashionprobe.errors import UserError, busy

SCHEMA = 1
MANIFEST = "manifest.json"
COMMITTED = ".committed.json"
"""A stage that writes this note into its draft says: resume from what is here even after an error of the user."""
KEYS = {"schema", "stage", "fingerprint", "arguments", "inputs", "files", "facts"}
INPUTS = {"records": "record set", "extract": "descriptors", "embed": "embedding"}
"""What a person calls an input, where that is not its name in the recipe."""
PACKAGES = ("fashionprobe", "tensorflow", "keras", "numpy", "scikit-learn", "pandas", "pillow", "matplotlib")


@dataclass(frozen=True)
class Recipe:
    """All that decides what an artifact holds; two equal recipes make equal files.

    Attributes:
        stage: Name of the stage.
        arguments: The arguments that change the result, resolved. Batch sizes and paths do not belong here.
        inputs: Fingerprints of the artifacts or of the source data that the stage reads, by name.
        weights_sha256: SHA-256 of the model's weights when the stage uses a model.
    """

    stage: str
    arguments: Mapping[str, Any]
    inputs: Mapping[str, str] = field(default_factory=dict)
    weights_sha256: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the recipe as it stands in the manifest: plain JSON values."""
        recipe = {
            "schema": SCHEMA,
            "stage": self.stage,
            "arguments": dict(self.arguments),
            "inputs": dict(self.inputs),
            "weights_sha256": self.weights_sha256,
        }
        return json.loads(json.dumps(recipe))

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the recipe as sorted JSON."""
        return hashlib.sha256(json.dumps(self.as_json(), sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Result:
    """What a stage returns: headline figures, and a path that the next stage takes as it is.

    Attributes:
        path: Folder of the artifact.
        reused: Whether it was there already.
    """

    path: Path
    reused: bool = field(kw_only=True)

    def __fspath__(self) -> str:
        return str(self.path)

    @property
    def outcome(self) -> str:
        """What happened, as the last line of a stage begins: "wrote runs/demo/extract"."""
        return f"{'reused' if self.reused else 'wrote'} {self.path}"


@dataclass(frozen=True)
class Artifact(Result):
    """A finished artifact.

    Attributes:
        manifest: The content of its `manifest.json`.
    """

    manifest: dict[str, Any]
    reused: bool = field(default=False, kw_only=True)

    @property
    def fingerprint(self) -> str:
        """The fingerprint of its recipe."""
        return self.manifest["fingerprint"]

    @property
    def facts(self) -> dict[str, Any]:
        """What the stage noted about its result: counts, vocabularies, headline numbers."""
        return self.manifest["facts"]


def load(path: Path, *, stage: str, remedy: str) -> Artifact:
    """Open a finished artifact.

    Args:
        path: Its folder.
        stage: The stage that must have written it.
        remedy: The command that would make it, for the error message.

    Raises:
        UserError: If there is no such artifact, or another stage or a newer fashionprobe wrote it.
    """
    manifest = read_manifest(path, remedy=remedy)
    found = (manifest["schema"], manifest["stage"])
    if found != (SCHEMA, stage):
        raise UserError(
            str(path),
            expected=f"an artifact of stage '{stage}', schema {SCHEMA}",
            received=f"stage '{found[1]}', schema {found[0]}",
            remedy=remedy,
        )
    artifact = Artifact(path, manifest)
    damaged = _damaged(artifact)
    if damaged:
        raise UserError(
            str(path / damaged[0]),
            expected="as the stage wrote it",
            received="a missing or cut file",
            remedy=f"Make it again with --overwrite: fashionprobe {stage}.",
        )
    return artifact


def build(
    path: Path,
    recipe: Recipe,
    write: Callable[[Path], dict[str, Any]],
    *,
    overwrite: bool = False,
    settings: Mapping[str, Any] | None = None,
    changed: Mapping[str, Callable[[Artifact], str]] | None = None,
) -> Artifact:
    """Return the finished artifact of this recipe at `path`, writing it if it is not there yet.

    Args:
        path: Folder of the artifact.
        recipe: What it holds.
        write: Writes the data files into the folder it is given and returns the facts for the manifest. The folder may
            hold what an earlier run of the same recipe left; at the end, names in it that start with a dot are removed,
            and all other files, those of sub-folders too, are listed in the manifest.
        overwrite: Replace an artifact of another recipe.
        settings: Arguments that do not change the result, such as the batch size; noted in the manifest.
        changed: For an input of the recipe: how it differs from the one that the artifact at `path` was made from, in
            words; without it the input is named.

    Raises:
        UserError: If another recipe's artifact is there and `overwrite` is not set, if a folder that is not an artifact
            is in the way, or if another process is at work on it.
        OSError: If the disk is full or the folder may not be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(path):
        draft = path.parent / f"incomplete.{path.name}.{recipe.fingerprint[:16]}"
        _sweep(path, keep=draft)
        if path.exists() and not _is_empty(path):
            finished = _finished(path, recipe, overwrite, changed or {})
            if finished:
                return finished
        if not (draft / MANIFEST).is_file():
            draft.mkdir(exist_ok=True)
            started = time.perf_counter()
            with _tidied(draft):
                facts = write(draft)
                _write_manifest(draft, recipe, facts, settings or {}, seconds=time.perf_counter() - started)
        _publish(draft, path)
        return Artifact(path, json.loads((path / MANIFEST).read_text(encoding="utf-8")))


def read_manifest(path: Path, *, remedy: str) -> dict[str, Any]:
    """Return the manifest of an artifact.

    Raises:
        UserError: If there is none, or it cannot be read.
    """
    if not (path / MANIFEST).is_file():
        found = "something that no stage wrote" if path.exists() else "nothing there"
        raise UserError(str(path), expected="a finished artifact", received=found, remedy=remedy)
    try:
        manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
        missing = sorted(KEYS - manifest.keys())
    except (ValueError, AttributeError) as error:
        raise UserError(
            str(path / MANIFEST), expected="as a stage wrote it", received=f"a damaged file ({error})", remedy=remedy
        ) from error
    if missing:
        received = f"one without {', '.join(missing)}"
        raise UserError(str(path / MANIFEST), expected="a manifest", received=received, remedy=remedy)
    return manifest


def changed_files(artifact: Artifact) -> list[str]:
    """Return the names of the files whose SHA-256 is no longer the one in the manifest."""
    listed = artifact.manifest["files"]
    return [name for name in listed if not _same(artifact.path / name, listed[name])]


def relist(path: Path, files: Sequence[str]) -> None:
    """Note again which files an artifact consists of, where a stage may change one that is finished.

    Args:
        path: Its folder; whoever calls holds its lock.
        files: Names of all its files.
    """
    manifest = read_manifest(path, remedy="Make it again with --overwrite.")
    there = manifest["files"]
    manifest["files"] = {
        name: there.get(name) or {"size": (path / name).stat().st_size, "sha256": sha256(path / name)}
        for name in sorted(files)
    }
    write_text(path / MANIFEST, json.dumps(manifest, indent=1, ensure_ascii=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a small file so that it is there whole or not at all, even when the process is killed."""
    _replace(path, path.with_name(f".{path.name}.part"), text.encode())


def write_bytes(path: Path, data: bytes) -> None:
    """Do the same where several processes may write the same file at a time."""
    _replace(path, path.with_name(f".{path.name}.{os.getpid()}.part"), data)


def _replace(path: Path, draft: Path, data: bytes) -> None:
    with draft.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(draft, path)


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file as hexadecimal text."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def child(root: str | os.PathLike[str], name: str, *, argument: str) -> Path:
    """Return `root/name`, with `name` confined to one folder below `root`.

    Raises:
        UserError: If the name is empty or holds anything but letters, digits, `_` and `-`.
    """
    if not re.fullmatch(r"[\w-]+", name):
        raise UserError(
            argument, expected="a name of letters, digits, '_' and '-'", received=repr(name),
            remedy="It becomes the name of a folder; --tfrecords-root and --runs-root say where that folder is.",
        )  # fmt: skip
    return Path(root) / name


@contextmanager
def locked(path: Path, *, patience: float = 0) -> Iterator[None]:
    """Hold the lock of one artifact; the system frees it when the process dies.

    Args:
        path: Its folder.
        patience: Seconds to wait for another process.

    Raises:
        UserError: If another process holds it all that time.
    """
    lock = filelock.FileLock(path.parent / f".{path.name}.lock")
    try:
        lock.acquire(timeout=patience)
    except filelock.Timeout as error:
        raise busy(str(path)) from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _tidied(draft: Path) -> Iterator[None]:
    """Remove what bad input left, unless part of it is committed; a full disk or a kill leaves what is done."""
    try:
        yield
    except UserError:
        if not (draft / COMMITTED).exists():
            shutil.rmtree(draft, ignore_errors=True)
        raise
    except OSError as error:
        # An error while writing into an open file does not name it.
        if error.errno and not error.filename:
            error.filename = str(draft)
        raise


def _sweep(path: Path, keep: Path) -> None:
    """Remove what killed runs of other recipes left; whoever holds the lock owns all of it."""
    pattern = re.compile(rf"incomplete\.{re.escape(path.name)}\.[0-9a-f]{{16}}")
    for sibling in path.parent.iterdir():
        if pattern.fullmatch(sibling.name) and sibling != keep:
            shutil.rmtree(sibling)


def _is_empty(path: Path) -> bool:
    return path.is_dir() and not any(path.iterdir())


def _finished(
    path: Path, recipe: Recipe, overwrite: bool, words: Mapping[str, Callable[[Artifact], str]]
) -> Artifact | None:
    """Return the artifact at `path` when it is this recipe's and whole; None when it may be replaced."""
    artifact = Artifact(path, read_manifest(path, remedy="Move it away."), reused=True)
    wanted = recipe.as_json()
    changed, inputs = _changes(artifact.manifest, wanted), _changed_inputs(artifact.manifest, wanted)
    damaged = _damaged(artifact)
    if not changed and not inputs and not damaged:
        return artifact
    if overwrite:
        return None
    what = [f"{name}: missing or cut" for name in damaged]
    if not what:
        what = [*changed, *(words[name](artifact) if name in words else text for name, text in inputs.items())]
    raise UserError(
        str(path),
        expected="made by the same arguments" if changed or damaged else "made from the same inputs",
        received=f"an artifact that differs ({'; '.join(what)})",
        remedy="Pass --overwrite to replace it, or move it away to keep it.",
    )


def _changed_inputs(manifest: dict[str, Any], recipe: dict[str, Any]) -> dict[str, str]:
    """Say of each input that is not the same that it is not, by its name: a fingerprint means nothing to a person."""
    old, new = manifest["inputs"], recipe["inputs"]
    changes = {}
    for name in sorted({*old, *new}):
        called = INPUTS.get(name, name)
        if name not in old or name not in new:
            changes[name] = f"{called}: {'not used' if name not in old else 'used'} then"
        elif old[name] != new[name]:
            changes[name] = f"{called}: not the same as then"
    if manifest.get("weights_sha256") != recipe["weights_sha256"]:
        changes["weights"] = "weights: not the same as then"
    return changes


def _changes(manifest: dict[str, Any], recipe: dict[str, Any]) -> list[str]:
    """List the differences of two recipes' arguments as 'name: old -> new'."""
    changes = [
        f"{key}: {manifest[key]} -> {recipe[key]}" for key in ("schema", "stage") if manifest[key] != recipe[key]
    ]
    old, new = manifest["arguments"], recipe["arguments"]
    for name in sorted({*old, *new}):
        if old.get(name) != new.get(name):
            changes.append(f"{name}: {_short(old.get(name))} -> {_short(new.get(name))}")
    return changes


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    if re.fullmatch(r'"[0-9a-f]{64}"', text):
        return text[1:13]
    return text if len(text) <= 60 else f"{text[:57]}..."


def _damaged(artifact: Artifact) -> list[str]:
    listed = artifact.manifest["files"]
    return [name for name in listed if not _has_size(artifact.path / name, listed[name]["size"])]


def _has_size(path: Path, size: int) -> bool:
    return path.is_file() and path.stat().st_size == size


def _same(path: Path, listed: dict[str, Any]) -> bool:
    return _has_size(path, listed["size"]) and sha256(path) == listed["sha256"]


def _write_manifest(
    folder: Path, recipe: Recipe, facts: dict[str, Any], settings: Mapping[str, Any], *, seconds: float
) -> None:
    for leftover in folder.glob(".*"):
        shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    files = {
        path.relative_to(folder).as_posix(): {"size": path.stat().st_size, "sha256": sha256(path)} for path in paths
    }
    manifest = {
        **recipe.as_json(),
        "fingerprint": recipe.fingerprint,
        "facts": facts,
        "files": files,
        # What may differ between two runs of the same recipe stands apart, so that the rest can be compared.
        "run": {
            "settings": dict(settings),
            "versions": versions(),
            "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
            "seconds": round(seconds, 3),
            "finished_utc": datetime.now(UTC).isoformat(timespec="seconds"),
        },
    }
    write_text(folder / MANIFEST, json.dumps(manifest, indent=1, ensure_ascii=False) + "\n")


def _publish(draft: Path, path: Path) -> None:
    """Put the finished folder in its place; an artifact that stood there becomes a leftover and is swept."""
    if path.exists():
        if _is_empty(path):
            path.rmdir()
        else:
            os.replace(path, path.parent / f"incomplete.{path.name}.{'0' * 16}")
    os.replace(draft, path)
    _sweep(path, keep=path)


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that shape results."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found
