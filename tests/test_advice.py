"""Each command and each option that a message of the package names is there."""

import ast
import inspect
import re
from pathlib import Path

import pytest

import fashionprobe
from fashionprobe.cli.commands import COMMANDS
from fashionprobe.cli.words import OWN_OPTIONS

ROOT = Path(fashionprobe.__file__).parent
PARAMETERS = {name: {*inspect.signature(stage).parameters, *OWN_OPTIONS} for name, stage in COMMANDS.items()}
EVERYWHERE = {"completion", "version", *(name for names in PARAMETERS.values() for name in names)}
ELSEWHERE = {"name", "columns"}  # "--name value" stands for any option; a variable of CSS
VARIABLE = "\N{BLACK SQUARE}"


def texts(path):
    """Yield the texts of a file with their lines, without docstrings; what is formatted into them is a square."""
    tree = ast.parse(path.read_text())
    within = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    documentation = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if id(node) in within | documentation:
            continue
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value
        elif isinstance(node, ast.JoinedStr):
            parts = (part.value if isinstance(part, ast.Constant) else VARIABLE for part in node.values)
            yield node.lineno, "".join(parts)


def commands(text):
    """Split a text at its commands: (command or None, what follows it)."""
    first, *others = re.split(rf"(?<![\w/])(?<!of )fashionprobe (?=[a-z{VARIABLE}])", text)
    yield None, first
    for rest in others:
        found = re.match(rf"(attribute )?([a-z]+|{VARIABLE})", rest)
        yield found[0], rest[found.end() :]


TEXTS = [
    (path.relative_to(ROOT), line, text)
    for path in sorted(ROOT.rglob("*.py")) if path.parent.name != "plots"
    for line, text in texts(path) if re.search(r"--[a-z]|(?<!of )fashionprobe [a-z]", text)
]  # fmt: skip


def test_there_is_advice_to_check():
    assert len(TEXTS) > 100


@pytest.mark.parametrize(("path", "line", "text"), TEXTS, ids=lambda each: str(each)[:40])
def test_commands_and_options_in_messages_exist(path, line, text):
    mine = path.stem if path.parent.name == "stages" and path.stem in COMMANDS else None
    for name, rest in commands(text):
        if name is not None and VARIABLE not in name:
            assert name in COMMANDS, f"{path}:{line}: fashionprobe {name}"
        # What stands before the first command is about the stage itself.
        has = PARAMETERS.get(name or mine or "", EVERYWHERE)
        for option in re.findall(r"(?<![\w-])--([a-z][a-z-]*[a-z]|[a-z])(?![\w])", rest):
            assert option.replace("-", "_") in has | ELSEWHERE, f"{path}:{line}: --{option} of {name or mine}"
