import re
import shlex
from pathlib import Path

import pytest

from fashionprobe.cli.words import read
from fashionprobe.errors import UserError

README = Path(__file__).parents[2] / "README.md"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("ingest --per-class 9", {"per_class": 9}),
        ("ingest --per_class=9", {"per_class": 9}),
        ("ingest --overwrite --count 3", {"overwrite": True, "count": 3}),
        ("ingest --overwrite False", {"overwrite": False}),
        ("ingest --check=Yes", {"check": True}),
        ("ingest --split 80,10,10", {"split": [80.0, 10.0, 10.0]}),
        ("ingest --split=[80,10,10]", {"split": [80.0, 10.0, 10.0]}),
        ("ingest --split 80 10.5 9.5", {"split": [80.0, 10.5, 9.5]}),
        ("ingest --classes red,blue", {"classes": "red,blue"}),
        ("ingest --path a-b --where x--y", {"path": "a-b", "where": "x--y"}),
        ("ingest --path -x --count -5", {"path": "-x", "count": -5}),
        ("ingest --count 3 --count 4", {"count": 4}),
    ],
)
def test_options_become_arguments(words, expected):
    assert read([*words.split(), "--dataset", "x"]).arguments == {"dataset": "x"} | expected


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("extract --dataset x --block 1,4 --size 32,48", {"dataset": "x", "block": [1, 4], "size": [32, 48]}),
        ("extract --dataset x --block 1 4", {"dataset": "x", "block": [1, 4]}),
        ("extract --dataset x --block 4", {"dataset": "x", "block": 4}),
        ("maximize --channels 0 1 2 --block 5", {"channels": [0, 1, 2], "block": 5}),
        ("maximize --classes 3 Shirts", {"classes": ["3", "Shirts"]}),
        ("maximize --classes 3,4", {"classes": [3, 4]}),
        ("see --images a.jpg b.jpg --run x", {"images": ["a.jpg", "b.jpg"], "run": "x"}),
        ("see --images a.jpg", {"images": "a.jpg"}),
        ("tag --run r --id 12 7", {"run": "r", "id": ["12", "7"]}),
        ("refit --run r --lam 0.3,1", {"run": "r", "lam": [0.3, 1.0]}),
        ("reduce --run r --label none --seed none", {"run": "r", "label": "none", "seed": None}),
        ("embed --dataset x --margin soft", {"dataset": "x", "margin": "soft"}),
        ("embed --dataset x --margin 2", {"dataset": "x", "margin": 2.0}),
        ("report --run a b", {"run": ["a", "b"]}),
        ("report --run a,b", {"run": "a,b"}),
    ],
)
def test_lists_and_choices_of_types(words, expected):
    assert read(words.split()).arguments == expected


def test_switches_stand_anywhere():
    call = read(["see", "--images", "a.jpg", "-q", "--json", "--run", "x", "-v"])
    assert call.switches == {"quiet", "json", "verbose"}
    assert call.arguments == {"images": "a.jpg", "run": "x"}


def test_the_first_word_of_attribute_is_the_name():
    expected = {"name": "polka dots", "run": "r", "group": "g", "images": ["a.jpg", "b.jpg"]}
    words = ["--run", "r", "--group", "g", "--images", "a.jpg", "b.jpg"]
    assert read(["attribute", "add", "polka dots", *words]).arguments == expected
    assert read(["attribute", "add", *words[:4], "polka dots", *words[4:]]).arguments == expected
    assert read(["attribute", "list", "--run", "r"]).arguments == {"run": "r"}


def test_help_needs_no_required_argument():
    assert read(["ingest", "--help"]).switches == {"help"}
    assert read(["ingest", "--count", "many", "-h"]).switches == {"help"}


def test_a_mistake_is_a_user_error_for_scripts():
    with pytest.raises(UserError, match="Did you mean '--count'"):
        read(["ingest", "--cuont", "3"])


def test_thousands_of_files_are_read_at_once():
    files = [f"{number}.jpg" for number in range(5000)]
    assert read(["index", "add", "--run", "r", "--images", *files]).arguments["images"] == files


def test_the_commands_of_the_readme_are_read():
    lines = re.findall(r"^fashionprobe (?!COMMAND)(.*)$", README.read_text(), re.MULTILINE)
    assert len(lines) > 40
    for line in lines:
        assert read(shlex.split(line, comments=True)).command
