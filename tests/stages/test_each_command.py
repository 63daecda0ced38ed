"""`make test` leaves slow tests out: what is left must still touch each command."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from fashionprobe import stages


def is_slow(node: ast.AST) -> bool:
    return any(ast.unparse(mark).startswith("pytest.mark.slow") for mark in getattr(node, "decorator_list", ()))


def is_public(module: str | None) -> bool:
    """Whether stages are imported from there: `fashionprobe.stages`, or the file of one of them."""
    return module is not None and module.removeprefix("fashionprobe.stages.") in (
        "fashionprobe.stages",
        *stages.__all__,
    )


def used(node: ast.AST) -> set[str]:
    """The names that a function reads, and those of the fixtures that it takes."""
    names = {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}
    return names | {each.arg for each in ast.walk(node) if isinstance(each, ast.arg)}


def words(node: ast.AST) -> Iterator[str]:
    """The first words of command lines: `command("see", ...)` and `words = ("see", ...)`."""
    for each in ast.walk(node):
        if isinstance(each, ast.Call) and ast.unparse(each.func) in ("command", "cli.main"):
            first = each.args[:1]
        elif isinstance(each, ast.Assign) and isinstance(each.value, ast.Tuple | ast.List):
            first = each.value.elts[:1]
        else:
            continue
        yield from (word.value.split()[0] for word in first if isinstance(word, ast.Constant) and word.value)


def touched(source: str) -> set[str]:
    """The stages that the tests of a file use which are not slow, by themselves or by its helpers and fixtures."""
    tree = ast.parse(source)
    if "pytestmark = pytest.mark.slow" in source:
        return set()
    imported = {
        name.asname or name.name: name.name
        for node in tree.body if isinstance(node, ast.ImportFrom) and is_public(node.module)
        for name in node.names
    }  # fmt: skip
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    waiting = [node for name, node in functions.items() if name.startswith("test_") and not is_slow(node)]
    seen, found = {node.name for node in waiting}, set()
    while waiting:
        node = waiting.pop()
        names = used(node)
        found |= {imported[name] for name in names & imported.keys()} | {*words(node)}
        helpers = {name for name in names & functions.keys() - seen if not name.startswith("test_")}
        waiting += [functions[name] for name in helpers]
        seen |= helpers
    return found


FILES = sorted(Path(__file__).parent.glob("test_*.py"))
TOUCHED = set().union(*(touched(path.read_text(encoding="utf-8")) for path in FILES))


@pytest.mark.parametrize("stage", stages.__all__)
def test_a_test_that_is_not_slow_touches_it(stage):
    assert stage in TOUCHED


def test_slow_tests_and_what_only_they_use_do_not_count():
    source = (
        "from fashionprobe.stages import see, tag, wall, train\n"
        "def help(): see()\n"
        "def other(): wall()\n"
        "@pytest.mark.slow\ndef test_a(): other(), tag()\n"
        "def test_b(command): help(), command('index', '--run')\n"
        "def unused(): train()\n"
    )
    assert touched(source) == {"see", "index"}
