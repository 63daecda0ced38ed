"""The `fashionprobe` command: the stage functions as sub-commands, and nothing else."""

import contextlib
import inspect
import json
import logging
import os
import re
import sys
from collections.abc import Callable, Sequence
from types import NoneType
from typing import Any, Literal, NoReturn, get_args, get_origin

import jsonargparse
import yaml

import fashionprobe
from fashionprobe import config, stages, synonyms
from fashionprobe.errors import UserError, nearest, on_a_line, system_error, unknown_name
from fashionprobe.quiet import quiet_tensorflow

COMMANDS: dict[str, Callable[..., Any]] = {
    stage.__name__: stage
    for stage in (
        stages.ingest, stages.train, stages.embed, stages.unseen, stages.tune, stages.extract, stages.classify,
        stages.choose, stages.profile, stages.pairs, stages.reduce, stages.wall, stages.retrieve, stages.index,
        stages.search, stages.tag, stages.see, stages.faithfulness, stages.activations, stages.maximize,
        stages.selectivity, stages.converge, stages.masks, stages.refit, stages.relevance, stages.app,
        stages.report, stages.verify, stages.demo,
    )
}  # fmt: skip
COMMANDS |= {
    "attribute add": stages.attribute.add,
    "attribute remove": stages.attribute.remove,
    "attribute list": stages.attribute.list_classes,
}
"""The functions by the words that call them."""

FAMILIES = {"attribute": "Give an index new classes, take some away, or list them."}
"""Words that stand before several commands."""

FIRST_WORD = {"attribute add": "name", "attribute remove": "name"}
"""The argument that a word without an option in front stands for."""

FIRST_ARGUMENTS = ("run", "path", "dataset", "image", "images", "backbone")
"""What a word right behind any other command stands for, most likely."""

YAML = "bounded yaml"
"""How the parser reads values and configuration files."""

jsonargparse.set_loader(YAML, lambda text: config.load(text, config.MOST_WORDS), exceptions=(yaml.YAMLError,))

OWN_OPTIONS = ("config", "help", "print_config")
WORDS_FOR = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: The words after `fashionprobe`; None takes those of the process.

    Returns:
        Exit code: 0 for success, 2 for an error of the user, 130 when interrupted.
    """
    quiet_tensorflow()
    _log_to_stdout()
    try:
        words = normalize(sys.argv[1:] if arguments is None else arguments)
        jsonargparse.auto_cli(
            _tree(), args=words, as_positional=False, prog="fashionprobe",
            version=fashionprobe.__version__, parser_class=_Parser, parser_mode=YAML, description=fashionprobe.__doc__,
        )  # fmt: skip
    except UserError as error:
        return _fail(str(error))
    except _Refusal as refusal:
        return _fail(str(_explain(str(refusal), _named(words))))
    except OSError as error:
        return _fail(str(system_error(error)))
    except KeyboardInterrupt:
        _fail("Interrupted. The same command goes on where this one stopped.")
        return 130
    finally:
        _flush()
    return 0


def normalize(words: Sequence[str]) -> list[str]:
    """Bring the words of a command into the form that the parser takes.

    `--batch-size` becomes `--batch_size`; a switch alone, such as `--overwrite`, becomes `--overwrite=true`; a list,
    such as `1,4` or `1 4`, becomes `[1,4]`. `--config FILE` goes right behind the command, because the parser lets a
    file overwrite the options before it, and an option given by hand must win.

    Raises:
        UserError: If there is no such command or option, or the configuration file cannot be used.

    Example:
        >>> normalize(["ingest", "--per-class", "9", "--classes", "red,blue", "--split=80,10,10"])
        ['ingest', '--per_class', '9', '--classes', 'red,blue', '--split=[80,10,10]']
    """
    pending = list(words)
    if pending[:1] in (["--help"], ["-h"], ["--version"]):
        return pending[:1]
    if pending[:1] and pending[0] in FAMILIES and pending[1:2] in (["--help"], ["-h"]):
        return pending[:2]
    command = _command(pending)
    parameters = inspect.signature(COMMANDS[command]).parameters
    configs, rest = [], []
    while pending:
        word = pending.pop(0)
        if not word.startswith("--"):
            first = f"--{FIRST_WORD.get(command, '')}"
            if word == "-h":
                rest.append(word)
            elif len(first) > 2 and first not in rest and not word.startswith("-"):
                rest += [first, word]
            else:
                raise _stray(word, rest, command, parameters)
            continue
        name, equals, value = word[2:].partition("=")
        name = name.replace("-", "_")
        if name not in parameters and name not in OWN_OPTIONS:
            raise _unknown_option(word.partition("=")[0], command, parameters)
        kind = parameters[name].annotation if name in parameters else str
        values: list[str] = []
        if not equals and kind is bool:
            if pending and not pending[0].startswith("-") and not _is_truth(pending[:1]):
                raise UserError(name, expected=_in_words(bool), received=pending[0])
            value, equals = (pending.pop(0) if _is_truth(pending[:1]) else "true"), "="
        elif not equals and pending and not pending[0].startswith("--"):
            value, equals = pending.pop(0), " "
            if {list[int], list[float], list[str]} & {kind, *get_args(kind)}:
                values = [value, *_values(pending)]
                value = _joined(values, kind)
        value = _value(value, kind)
        if name == "config":
            if not value:
                raise UserError("config", expected="followed by a file", received="nothing")
            value = _config_text(value, command, parameters)
        elif name in parameters:
            _check_texts(name, value, kind, config.MOST_WORDS if len(values) > 1 else config.MOST_NODES)
        target = configs if name == "config" else rest
        target += [f"--{name}", value] if equals == " " else [f"--{name}{equals}{value}"]
    return [*command.split(), *configs, *rest]


def _stray(word: str, before: list[str], command: str, parameters: Any) -> UserError:
    """Word the error for a word that belongs to no option."""
    if re.fullmatch(r"-[a-zA-Z]\w*(=.*)?", word):
        return _unknown_option(word.partition("=")[0], command, parameters)
    if len(before) > 1 and before[-2].startswith("--"):
        option, value = before[-2].replace("_", "-"), before[-1]
        remedy = f'Put quotes around a value that holds spaces: {option} "{value} {word}".'
    else:
        taken = {each[2:].partition("=")[0] for each in before}
        free = [name for name in FIRST_ARGUMENTS if name in parameters and name not in taken]
        if "/" in word or "." in word:
            free.sort(key=lambda name: name not in ("path", "image", "images"))
        remedy = f"`fashionprobe {command} --help` lists the options."
        if free and not word.startswith("-"):
            remedy = f"Write --{free[0]} {word}."
    return UserError("arguments", expected="options such as --name value", received=word, remedy=remedy)


class _Refusal(Exception):
    """What the parser has to say; not a ValueError, which it would take for one of its own."""


class _Parser(jsonargparse.ArgumentParser):
    """A parser that leaves the wording of its errors to `_explain`."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        raise _Refusal(message) from ex


def _command(pending: list[str]) -> str:
    """Take the command out of the words: the first one, or the first behind a `--config FILE`."""
    place = 0
    if pending and pending[0].startswith("--config"):
        place = 1 if "=" in pending[0] else 2
    name = pending.pop(place) if len(pending) > place else "nothing"
    family = name if name in FAMILIES else ""
    if family and len(pending) > place:
        name += f" {pending.pop(place)}"
    if name not in COMMANDS:
        listing = "`fashionprobe --help` tells what each does."
        if meant := synonyms.command(name):
            told = f"Did you mean {meant!r}? {listing}"
            raise UserError("command", expected=f"one of {len(COMMANDS)} names", received=name, remedy=told)
        there = [each for each in COMMANDS if each.startswith(family)]
        raise unknown_name("command", name, there, remedy=listing if family else "", listing=listing)
    return name


def _tree() -> dict[str, Any]:
    """Return the commands as the parser takes them: those of a family below its word."""
    tree: dict[str, Any] = {}
    for name, stage in COMMANDS.items():
        family, _, member = name.rpartition(" ")
        if family:
            tree.setdefault(family, {"_help": FAMILIES[family]})[member] = stage
        else:
            tree[name] = stage
    return tree


def _named(words: Sequence[str]) -> str:
    """Return the command that normalized words call."""
    return " ".join(words[:2]) if words[0] in FAMILIES else words[0]


def _is_truth(following: list[str]) -> bool:
    return bool(following) and following[0].lower() in ("true", "false", "yes", "no")


def _values(pending: list[str]) -> list[str]:
    """Take what stands before the next option out of the words."""
    count = next((place for place, word in enumerate(pending) if word.startswith("--")), len(pending))
    values, pending[:] = pending[:count], pending[count:]
    return values


def _joined(values: list[str], kind: Any) -> str:
    """Write several words as one list, of numbers where such are wanted; one word alone stays as it is."""
    if len(values) == 1:
        return values[0]
    wants_numbers = bool({list[int], list[float]} & {kind, *get_args(kind)})
    if wants_numbers and all(re.fullmatch(r"-?\d+(\.\d+)?", value) for value in values):
        return f"[{','.join(values)}]"
    return json.dumps(values, separators=(",", ":"))


def _value(value: str, kind: Any) -> str:
    """Write a value as the parser takes it: truth values in lower case, lists of numbers in brackets, none as null."""
    if kind is bool:
        return value.lower()
    kinds = {kind, *get_args(kind)}
    if value.lower() == "none" and NoneType in kinds and str not in kinds:
        return "null"
    if "," in value and not value.startswith("[") and kinds & {list[int], list[float]}:
        return f"[{value}]"
    return value


def _unknown_option(option: str, command: str, parameters: Any) -> UserError:
    """Word the error for an option that a command does not have: what it is called here, or what lists them all."""
    near = _meant(option, (*parameters, *OWN_OPTIONS))
    listing = f"`fashionprobe {command} --help` lists them."
    remedy = f"Did you mean '--{near.replace('_', '-')}'?" if near else synonyms.hint(option, command) or listing
    return UserError("option", expected=f"one that `fashionprobe {command}` has", received=option, remedy=remedy)


def _meant(word: str, names: Sequence[str]) -> str | None:
    """Return the argument that a word stands for: its name elsewhere before the letters."""
    # Dashes in front make all options alike.
    return synonyms.option(word, names) or nearest(word.lstrip("-").replace("-", "_"), names)


def _config_text(path: str, command: str, parameters: Any) -> str:
    """Check that a configuration file has only arguments of this command; return its text for the parser.

    The parser gets the text that was checked, not the path, which it would read again.
    """
    text, content = config.read(path)
    for name, value in content.items():
        if name not in parameters:
            near = _meant(str(name), [*parameters])
            remedy = f"Did you mean {near!r}?" if near else f"`fashionprobe {command} --help` lists them."
            if name in COMMANDS:
                remedy = f"Write the arguments of {name} without a level above them."
            raise UserError(path, expected=f"a file of arguments of {command}", received=name, remedy=remedy)
        _check_texts(name, value, parameters[name].annotation, config.MOST_NODES)
    # The line feed makes sure that it is not taken for a path.
    return f"\n{text}"


def _check_texts(name: str, value: Any, kind: Any, most: int) -> None:
    """Check text that the parser may load a second time, past `config.load`, to see whether it is a number or none."""
    takes_text = str in {kind, *get_args(kind)}
    if get_origin(kind) is Literal:
        return
    for text in config.leaves(value):
        if not isinstance(text, str):
            continue
        try:
            inner = config.load(text, most)
        except yaml.YAMLError as error:
            if takes_text and not isinstance(error, config.TooMuch):
                continue
            why = f" ({error.problem})" if isinstance(error, config.TooMuch) else ""
            raise UserError(name, expected=_in_words(kind), received=f"{text[:60]}{why}") from error
        if inner != text and not takes_text:
            _check_texts(name, inner, kind, most)


def _explain(message: str, command: str) -> UserError | str:
    """Say what the parser refused in the words of all other errors."""
    see = f"`fashionprobe {command} --help` explains it."
    if found := re.match(r'Parser key "(?:\w+\.)*(\w+)".*(?:Got value|Given value): (.*)', message, re.DOTALL):
        name, received = found[1], " ".join(found[2].split())
        kind = inspect.signature(COMMANDS[command]).parameters[name].annotation
        if get_origin(kind) is Literal:
            return unknown_name(name, received, get_args(kind))
        return UserError(name, expected=_in_words(kind), received=received, remedy=_quotes(kind, received))
    if found := re.match(r"the following arguments are required: (.*)", message):
        name = found[1].split(",")[0].rpartition(".")[2]
        return UserError(name, expected="given", received="nothing", remedy=f"Pass --{name.replace('_', '-')}; {see}")
    if found := re.match(r"argument --(\w+)(?:/--\w+\+)?: expected one argument", message):
        return UserError(found[1], expected="followed by a value", received="nothing", remedy=see)
    return on_a_line(" ".join(message.split()))


def _quotes(kind: Any, received: str) -> str:
    """Say that YAML took a text for something else."""
    if str not in {kind, *get_args(kind)}:
        return ""
    if received in ("True", "False"):
        return "In YAML the texts yes, no, on, off, true and false stand in quotes."
    number = re.fullmatch(r"[\d.+-][\w.+-]{0,40}", received)
    return f'In YAML a text that looks like a number stands in quotes: "{received}".' if number else ""


def _in_words(kind: Any) -> str:
    """Describe a type to someone who does not know Python."""
    if get_origin(kind) is list:
        return "a list such as [a,b]" if str in get_args(kind) else "a list such as [1,4]"
    kinds = [each for each in get_args(kind) if each is not NoneType] or [kind]
    described = [_in_words(each) if get_origin(each) is list else WORDS_FOR.get(each) for each in kinds]
    return " or ".join(words for words in described if words)


def _fail(message: str) -> int:
    sys.stderr.write(f"fashionprobe: error: {message}\n")
    return 2


def _log_to_stdout() -> None:
    """Show what the stages say, plainly."""
    logger = logging.getLogger("fashionprobe")
    if not logger.handlers:
        handler = _Handler(sys.stdout)
        handler.setFormatter(logging.Formatter("%(message)s"))
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)


class _Handler(logging.StreamHandler):
    """Writes to a terminal of any encoding, and lets a stage go on when nobody reads, as behind `| head`."""

    def emit(self, record: logging.LogRecord) -> None:
        encoding = getattr(self.stream, "encoding", None) or "utf-8"
        with contextlib.suppress(BrokenPipeError):
            self.stream.write(self.format(record).encode(encoding, "replace").decode(encoding) + "\n")
            self.stream.flush()


def _flush() -> None:
    """Write what is left for stdout; where nobody reads it, throw it away before Python complains about it."""
    try:
        if sys.stdout:
            sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


if __name__ == "__main__":
    sys.exit(main())
