from dataclasses import dataclass
from pathlib import Path

import pytest

from fashionprobe import stages
from fashionprobe.cli.commands import COMMANDS
from fashionprobe.errors import UserError
from fashionprobe.inputs import arguments


@dataclass(frozen=True)
class Result:
    path: Path

    def __fspath__(self) -> str:
        return str(self.path)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        ("colour", ["colour"]),
        ("colour, pattern,", ["colour", "pattern"]),
        (["a", "b", "a"], ["a", "b"]),
        ("Schu\u0308rze,Sch\u00fcrze", ["Sch\u00fcrze"]),
    ],
)
def test_listed(value, expected):
    assert arguments.listed("label", value) == expected


@pytest.mark.parametrize("value", ["", ",", " , ", []])
def test_listed_wants_a_name(value):
    with pytest.raises(UserError, match=r"`label` is missing: pass a name, or several as a,b"):
        arguments.listed("label", value)


@pytest.mark.parametrize(("value", "expected"), [(None, None), (3, [3]), ([4, 1, 4], [1, 4]), ([], [])])
def test_numbers(value, expected):
    assert arguments.numbers(value) == expected


@pytest.mark.parametrize(("size", "expected"), [(None, None), (32, (32, 32)), ([32, 48], (32, 48))])
def test_image_size(size, expected):
    assert arguments.image_size(size) == expected


@pytest.mark.parametrize("size", [0, [], [1, 2, 3], [32, 0]])
def test_image_size_wants_one_or_two_numbers(size):
    with pytest.raises(UserError, match=r"`size` must be a number of pixels, or"):
        arguments.image_size(size)


def test_places_are_names_or_results():
    assert arguments.records_path("x", "data") == Path("data/x")
    assert arguments.records_path(Result(Path("elsewhere/x")), "data") == Path("elsewhere/x")
    assert arguments.run_path("x", "runs") == Path("runs/x")
    assert arguments.run_path(Result(Path("elsewhere/x/extract")), "runs") == Path("elsewhere/x")


def test_missing_artifacts_name_the_command_that_makes_them(tmp_path):
    with pytest.raises(UserError, match=r"fashionprobe ingest --dataset mine --source SOURCE --path PATH"):
        arguments.open_records("mine", str(tmp_path))
    with pytest.raises(UserError, match=r"fashionprobe ingest --dataset kaggle --path PATH"):
        arguments.open_records("kaggle", str(tmp_path))
    with pytest.raises(UserError, match=r"fashionprobe extract --dataset DATASET --run mine"):
        arguments.open_descriptors(tmp_path / "mine")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: stages.refit(model="m.keras"), "one that stage 'refit' has. Received: model. Did you mean 'run'?"),
        (lambda: stages.classify(run="r", k=3), "stage 'classify' has. Received: k. Did you mean 'neighbours'?"),
        (lambda: stages.extract(dataset="d", model="m"), "'extract' has. Received: model. Did you mean 'backbone'?"),
        (lambda: stages.see("a.jpg"), r"given by name, as see\(run=...\). Received: str without a name."),
    ],
)
def test_arguments_that_a_stage_does_not_have(call, message):
    with pytest.raises(UserError, match=message):
        call()


def test_every_stage_answers_so():
    for name, stage in COMMANDS.items():
        with pytest.raises(UserError, match="`argument` must be one that stage"):
            stage(nosuchthing=1)
        assert stage.__doc__, name
