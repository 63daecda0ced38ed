"""Networks of strangers, given to every command that opens one: refused in a line, and nothing of theirs happens."""

import contextlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from keras_files import HONEST, hostile, write
from PIL import Image

from fashionprobe import stages
from fashionprobe.artifacts import Recipe, build
from fashionprobe.cli import commands
from fashionprobe.errors import UserError

HOSTILE = hostile()

watched: list[str] | None = None
"""What happened while somebody watched."""


def _hook(event: str, arguments: tuple) -> None:
    if watched is None:
        return
    if event == "open":
        path, mode, flags = arguments
        writes = os.O_WRONLY | os.O_RDWR | os.O_CREAT
        if (isinstance(mode, str) and set(mode) & set("wax+")) or (isinstance(flags, int) and flags & writes):
            watched.append(f"open {path} {mode}")
    elif event.startswith(("socket.", "subprocess.", "os.system", "os.exec", "os.spawn", "os.posix_spawn", "shutil.")):
        watched.append(f"{event} {arguments}")
    elif event in ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.symlink", "ctypes.dlopen", "marshal.loads"):
        watched.append(f"{event} {arguments}")


sys.addaudithook(_hook)  # there is no way to take one off again: it does nothing unless somebody watches


@contextlib.contextmanager
def watching() -> Iterator[list[str]]:
    global watched
    watched = []
    try:
        yield watched
    finally:
        watched = None


@pytest.fixture(scope="module")
def place(tmp_path_factory, garments_root) -> Path:
    """A folder with a described run, an index, an embedding, and a run whose classifier is a stranger's."""
    root = tmp_path_factory.mktemp("strangers")
    for folder in ("tfrecords", "runs"):
        shutil.copytree(garments_root / folder, root / folder)
    Image.new("RGB", (20, 24), "red").save(root / "red.png")
    roots = {"tfrecords_root": str(root / "tfrecords"), "runs_root": str(root / "runs")}
    stages.index(run="small", groups=["colour=1"], labels=["colour=colour"], runs_root=roots["runs_root"])
    stages.embed(
        dataset="small", run="embedded", label="colour", backbone="light", size=32, epochs=1, steps=1, per_class=2,
        classes_per_batch=2, neighbours=1, **roots,
    )  # fmt: skip
    manifest = root / "runs/embedded/embed/manifest.json"
    made = json.loads(manifest.read_text())
    made["run"]["settings"]["network"] |= {"backbone": str(root / "evil.keras"), "weights": "pretrained"}
    manifest.write_text(json.dumps(made))

    plant(root, HONEST)
    return root


def plant(root: Path, config: dict) -> None:
    """Write a network where the commands find it: under a name of its own, and as the classifier of a run."""
    write(root / "evil.keras", config)

    def fill(draft: Path) -> dict:
        shutil.copy(root / "evil.keras", draft / "model.keras")
        return {"classes": ["a", "b"], "label": "colour", "dataset": "small"}

    build(root / "runs/theirs/train", Recipe("train", {"fit": "pad"}, {"of": json.dumps(config)}), fill, overwrite=True)


def calls(root: Path) -> dict[str, Callable[[str], object]]:
    """Return how each command is given a network: as an option, or as the file of a run."""
    data = {"tfrecords_root": str(root / "tfrecords")}
    runs = {"runs_root": str(root / "runs")}
    roots, plain = data | runs, {"preprocessing": "none"}
    picture = str(root / "red.png")
    theirs = {"run": "theirs", **runs}

    def in_app(path: str) -> object:
        from fashionprobe.stages.app import parts

        return parts.marking(parts.Place(root / "runs/theirs", "small", data["tfrecords_root"]))

    def served(run: str, path: str | None) -> object:
        from fashionprobe.stages.serve import open_service

        return open_service(root / "runs" / run, backbone=path, trust=False, **data)

    return {
        "train": lambda path: stages.train(dataset="small", label="colour", backbone=path, **plain, **roots),
        "branch": lambda path: stages.branch(label="pattern", **theirs, **data),
        "embed": lambda path: stages.embed(dataset="small", label="colour", backbone=path, **plain, **roots),
        "unseen": lambda path: stages.unseen(run="embedded", **roots),
        "tune": lambda path: stages.tune(run="embedded", **roots),
        "extract": lambda path: stages.extract(dataset="small", run="new", backbone=path, **plain, **roots),
        "index add": lambda path: stages.index_add(run="small", images=[picture], backbone=path, **runs),
        "search": lambda path: stages.search(run="small", image=picture, backbone=path, **runs),
        "tag": lambda path: stages.tag(run="small", image=picture, backbone=path, **runs),
        "attribute add": lambda path: stages.attribute.add(
            name="new", group="colour", run="small", images=[picture], backbone=path, **runs
        ),
        "see": lambda path: stages.see(images=picture, backbone=path, **plain, **runs),
        "predict": lambda path: stages.predict(images=picture, backbone=path, size=32, preprocessing="tf", **runs),
        "see of a run": lambda path: stages.see(images=picture, **plain, **theirs),
        "faithfulness": lambda path: stages.faithfulness(images=picture, backbone=path, **plain, **runs),
        "activations": lambda path: stages.activations(images=picture, backbone=path, **plain, **runs),
        "maximize": lambda path: stages.maximize(block=1, backbone=path, **plain, **runs),
        "selectivity": lambda path: stages.selectivity(dataset="small", backbone=path, **plain, **roots),
        "dissect": lambda path: stages.dissect(dataset="small", backbone=path, **plain, **roots),
        "converge": lambda path: stages.converge(dataset="small", backbone=path, **plain, **roots),
        "converge with": lambda path: stages.converge(
            dataset="small", backbone="mini", other_backbone=path, other_preprocessing="none", **roots
        ),
        "masks": lambda path: stages.masks(
            dataset="small", source="filter", channel=0, backbone=path, **plain, **roots
        ),
        "preview": lambda path: stages.preview(**theirs, **data),
        "propose": lambda path: stages.propose(**theirs, **data),
        "refit": lambda path: stages.refit(**theirs, **data),
        "relevance": lambda path: stages.relevance(dataset="small", backbone=path, **plain, **theirs, **data),
        "relevance after": lambda path: stages.relevance(
            dataset="small", backbone="mini", after=path, **theirs, **data
        ),
        "evaluate": lambda path: stages.evaluate(dataset="small", **theirs, **data),
        "export": lambda path: stages.export(format="savedmodel", **theirs, **data),
        "export of descriptors": lambda path: stages.export(
            run="small", format="savedmodel", what="descriptors", backbone=path, **roots
        ),
        "app": in_app,
        "serve": lambda path: served("small", path),
        "serve of a run": lambda path: served("theirs", None),
    }  # fmt: skip


COMMANDS = list(calls(Path()))


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_refused_by_every_command(command, place):
    call, path = calls(place)[command], place / "evil.keras"
    before = sorted(place.rglob("*"))
    # A third for each command, some ninety files; each file meets seven commands or more.
    for name in list(HOSTILE)[COMMANDS.index(command) % 3 :: 3]:
        config = HOSTILE[name]
        plant(place, config)
        with watching() as seen, pytest.raises(UserError) as caught:
            call(str(path))
        text = str(caught.value)
        assert "layers, operations and settings of Keras that only compute" in text, (name, text)
        assert text.isprintable()
        assert seen == [], name
    assert sorted(place.rglob("*")) == before


def test_every_option_that_names_a_network_is_among_them():
    import inspect

    takers = {
        name for name, stage in commands.COMMANDS.items()
        if {"backbone", "after", "trust"} & inspect.signature(stage).parameters.keys()
    }  # fmt: skip
    assert takers == {
        command.removesuffix(" of a run").removesuffix(" of descriptors").removesuffix(" with").removesuffix(" after")
        for command in COMMANDS
    }
    assert all("trust" in inspect.signature(commands.COMMANDS[name]).parameters for name in takers)


@pytest.mark.slow
def test_the_command_line_says_one_line(place, command):
    write(place / "evil.keras", HOSTILE["operation-Switch"])
    code, out, err = command(
        "extract", "--dataset", "small", "--backbone", place / "evil.keras", "--tfrecords-root", place / "tfrecords"
    )
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "with keras.src.ops.core.Switch in layer evil" in err
