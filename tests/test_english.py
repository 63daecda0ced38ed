"""The glossary: phrases that readers stumble over, each with its plain word, kept out of help, errors and documents."""

import ast
import re
from pathlib import Path

import pytest

from fashionprobe import cli
from fashionprobe.cli.overview import NAMES

ROOT = Path(__file__).parents[1]
GLOSSARY = {
    r"(?<!there )\b(is|are) no (?!such|longer|better|more|less|other)[a-z]+": "is not a",
    r"\b(one|rows?|images|batches|features|times|values?|numbers?|sub-folder) an? (image|picture|class|channel|block|"
    r"fold|file|line|epoch|filter|method|seed|run|label|query|tile|core|processor)\b": "per",
    r"\bg(o|oes|oing) on (behind|where|training)\b": "resumes after, resumes where, continues training",
    r"\blies\b": "is",
    r"\banswers? to (most|the same)\b": "responds to",
    r"\b(told|tells?|telling) apart\b": "distinguishes, separates",
    r"\b(anew|shall)\b": "again, should",
    r"\b[Mm]end(s|ed)?\b": "fix",
    r"\bin words\b": "as text",
    r"\bby a hair\b": "slightly",
    r"\ball the same\b": "anyway",
    r"must be (left out|given)\b": "conflict, missing or check_one of errors.py",
}
ERRORS = {"UserError", "Situation", "missing", "conflict", "busy", "require", "not_installed", "unknown_name"}


def slips(text):
    """Return the phrases of the glossary that a text holds, with the plain words."""
    text = " ".join(text.split())
    found = ((match, word) for pattern, word in GLOSSARY.items() for match in re.finditer(pattern, text, re.IGNORECASE))
    return [f"{text[max(match.start() - 30, 0) : match.end() + 30]} -> {word}" for match, word in found]


def errors():
    """Yield the text constants of the calls that make an error, by file."""
    for path in sorted((ROOT / "fashionprobe").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ERRORS:
                words = [each.value for each in ast.walk(node) if isinstance(each, ast.Constant)]
                yield path.name, " ".join(each for each in words if isinstance(each, str))


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("the path is no folder, one row a class", 2),
        ("A run goes on\nbehind its last epoch", 1),
        ("there is no such file, it is no longer one per class", 0),
    ],
)
def test_the_glossary_finds_what_it_is_for(text, count):
    assert len(slips(text)) == count


@pytest.mark.parametrize("name", NAMES)
def test_help_is_plain_english(name, capsys):
    cli.main([*name.split(), "--help"])
    text = capsys.readouterr().out
    assert "Everywhere" in text
    assert slips(text) == []


def test_errors_are_plain_english():
    found = list(errors())
    assert len(found) > 500
    assert [f"{name}: {slip}" for name, text in found for slip in slips(text)] == []


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_documents_are_plain_english(name):
    assert slips((ROOT / name).read_text(encoding="utf-8")) == []
