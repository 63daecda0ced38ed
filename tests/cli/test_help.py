import inspect
import re
import shlex
import subprocess
import sys

import pytest

from fashionprobe import cli
from fashionprobe.cli import help as shown
from fashionprobe.cli.commands import COMMANDS
from fashionprobe.cli.overview import GROUPS, NAMES, overview
from fashionprobe.cli.words import OWN_OPTIONS, read


def test_the_overview_has_each_command_in_one_line_of_its_group():
    lines = overview().splitlines()
    assert [line for line in lines if line in GROUPS] == ["Data", "Probe", "See", "Correct", "Embed", "Serve"]
    for name in NAMES:
        assert len([line for line in lines if re.match(rf"  {name}  +\S", line)]) == 1
    assert max(map(len, lines[:-1])) <= 80


@pytest.mark.parametrize("name", NAMES)
def test_the_line_of_a_command_opens_its_docstring(name):
    line = next(lines[name] for lines in GROUPS.values() if name in lines)
    assert COMMANDS[name].__doc__.splitlines()[0] == line


@pytest.mark.parametrize("name", NAMES)
def test_the_example_of_a_command_is_read_by_the_parser(name):
    words = shlex.split(shown.example(COMMANDS[name].__doc__))
    call = read(words[1:])
    assert (words[0], call.command, call.switches) == ("fashionprobe", name, set())


@pytest.mark.parametrize("name", NAMES)
def test_each_option_is_explained_once_below_the_example(name, monkeypatch):
    monkeypatch.setenv("COLUMNS", "90")
    text = shown.explain(COMMANDS[name])
    assert text.splitlines()[2] == f"  {shown.example(COMMANDS[name].__doc__)}"
    options = {*inspect.signature(COMMANDS[name]).parameters, *OWN_OPTIONS}
    heads = re.findall(r"^  (?:-\w, )?--([\w-]+)", text, re.MULTILINE)
    assert sorted(heads) == sorted(option.replace("_", "-") for option in options)
    assert not re.search(r"--\w+\+|Union|\| null|type:|--\w+_\w", text)
    headings = [line for line in text.splitlines() if re.fullmatch(r"[A-Z]\w+", line)]
    assert headings == [each for each in ("Images", "Network", "Method", "Output", "Everywhere") if each in headings]
    assert max(map(len, text.splitlines()[3:])) <= 90


def test_defaults_ranges_and_choices_are_shown():
    text = " ".join(shown.explain(COMMANDS["train"]).split())
    assert "--fit {pad,stretch} How images" in text
    assert "--block N ... Block whose" in text
    assert "--epochs N Passes over the train split. [default: 10, at least 1]" in text
    assert "in a script also what `ingest` returned. [required]" in text
    assert "--cache {true,false} When" in text
    assert "brought to --size: keep" in text
    assert "random in training. [default: 0.0, in [0, 1)]" in text


def test_headings_name_parameters_that_exist():
    there = {name for stage in COMMANDS.values() for name in inspect.signature(stage).parameters}
    assert {*shown.GROUPS} <= there


def test_help_works_without_docstrings():
    done = subprocess.run(
        [sys.executable, "-OO", "-m", "fashionprobe", "see", "--help"], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "--images TEXT ..." in done.stdout


def test_words_to_choose_from_are_shown_where_there_is_a_default_of_none(capsys):
    cli.main(["export", "--help"])
    text = capsys.readouterr().out
    assert "--what {classifier,embedding,descriptors}" in text and "--format {onnx,savedmodel,tflite}" in text
