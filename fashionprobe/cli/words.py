"""Reads the words of a command line: which command, its arguments, and how to run it."""

import inspect
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fashionprobe import config, synonyms
from fashionprobe.cli.commands import COMMANDS, FIRST_WORD
from fashionprobe.cli.overview import FAMILIES
from fashionprobe.cli.values import from_words, from_yaml, in_words, is_list
from fashionprobe.errors import UserError, missing, nearest, unknown_name

SWITCHES = ("help", "json", "quiet", "verbose", "print_config")
"""What each command takes besides the parameters of its stage."""

LETTERS = {"-h": "help", "-q": "quiet", "-v": "verbose"}

OWN_OPTIONS = ("config", *SWITCHES)

FIRST_ARGUMENTS = ("run", "path", "dataset", "image", "images", "backbone")
"""What a word right behind a command stands for, most likely."""


@dataclass
class Call:
    """A command line that was read.

    Attributes:
        command: The words that name the command.
        function: What it calls.
        arguments: The arguments that were given, by hand or in a file.
        switches: The switches of `SWITCHES` that were given.
    """

    command: str
    function: Callable[..., Any]
    arguments: dict[str, Any] = field(default_factory=dict)
    switches: set[str] = field(default_factory=set)

    @property
    def program(self) -> str:
        """What was typed before the options."""
        return f"fashionprobe {self.command}" if self.command else Path(sys.argv[0]).name

    @property
    def parameters(self) -> Mapping[str, inspect.Parameter]:
        """The parameters of the function."""
        return inspect.signature(self.function).parameters


def read(words: list[str]) -> Call:
    """Read a command line.

    Options and `--config FILE` stand in any order; an option given by hand wins over the file.

    Raises:
        UserError: If there is no such command or option, a value does not fit, or one is missing.

    Example:
        >>> read(["ingest", "--dataset", "mine", "--classes", "red,blue", "--split=80,10,10"]).arguments
        {'dataset': 'mine', 'classes': 'red,blue', 'split': [80.0, 10.0, 10.0]}
    """
    pending = list(words)
    command = _command(pending)
    return read_for(COMMANDS[command], command, pending)


def read_for(function: Callable[..., Any], command: str, words: list[str]) -> Call:
    """Read the words behind the command that calls a function; for what it raises see `read`."""
    call = Call(command, function)
    pending, given, parameters = list(words), {}, call.parameters
    while pending:
        word = pending.pop(0)
        name, equals, value = word[2:].partition("=")
        name = name.replace("-", "_")
        if switch := _switch(word):
            call.switches.add(switch)
        elif not word.startswith("--"):
            first = FIRST_WORD.get(command, "")
            if not first or first in given or word.startswith("-"):
                raise _stray(word, given, call)
            given[first] = [word]
        elif name in parameters or name == "config":
            given[name] = [value] if equals else _values(name, pending, call)
        else:
            raise _unknown_option(word.partition("=")[0], call)
    if "help" not in call.switches:
        if "config" in given:
            call.arguments = _from_file(given.pop("config")[0], call)
        call.arguments |= {name: from_words(name, each, parameters[name].annotation) for name, each in given.items()}
        _check_complete(call)
    return call


def _command(pending: list[str]) -> str:
    """Take the command out of the words: the first one, or the first behind a `--config FILE`."""
    place = 0
    if pending and pending[0].startswith("--config"):
        place = 1 if "=" in pending[0] else 2
    name = pending.pop(place) if len(pending) > place else "nothing"
    family = name if name in FAMILIES else ""
    # A family may be a command itself: `index --run shop`, `index add --run shop`.
    if family and len(pending) > place and not (family in COMMANDS and pending[place].startswith("-")):
        name += f" {pending.pop(place)}"
    if name not in COMMANDS:
        listing = "`fashionprobe --help` tells what each does."
        if meant := synonyms.command(name):
            told = f"Did you mean {meant!r}? {listing}"
            raise UserError("command", expected=f"one of {len(COMMANDS)} names", received=name, remedy=told)
        there = [each for each in COMMANDS if each.startswith(family)]
        raise unknown_name("command", name, there, remedy=listing if family else "", listing=listing)
    return name


def _switch(word: str) -> str | None:
    """Return the switch that a word is."""
    name = word[2:].replace("-", "_") if word.startswith("--") else LETTERS.get(word, "")
    return name if name in SWITCHES else None


def _values(name: str, pending: list[str], call: Call) -> list[str]:
    """Take the values of an option out of the words behind it."""
    kind = call.parameters[name].annotation if name in call.parameters else str
    if kind is bool:
        if pending and not pending[0].startswith("-") and pending[0].lower() not in ("true", "false", "yes", "no"):
            raise UserError(name, expected=in_words(bool), received=pending[0])
        return [pending.pop(0)] if pending and not pending[0].startswith("-") else ["true"]
    there = (place for place, word in enumerate(pending) if word.startswith("--") or _switch(word))
    count = next(there, len(pending))
    if not is_list(kind):
        count = min(count, 1)
    values, pending[:] = pending[:count], pending[count:]
    if not values:
        see = f"`{call.program} --help` explains it." if name != "config" else ""
        raise missing(name, f"{'a file' if name == 'config' else 'a value'} must follow", see)
    return values


def _from_file(path: str, call: Call) -> dict[str, Any]:
    """Read the arguments of this command: all that a file holds, or what stands there below the command's name."""
    content, parameters = config.read(path), call.parameters
    if content and all(name in COMMANDS and isinstance(value, dict) for name, value in content.items()):
        if call.command not in content:
            expected = f"a file with arguments of {call.command or call.program}"
            raise UserError(path, expected=expected, received=f"those of {', '.join(content)}")
        content = content[call.command]
    for name in content:
        if name not in parameters:
            near = _meant(str(name), [*parameters])
            remedy = f"Did you mean {near!r}?" if near else f"`{call.program} --help` lists them."
            if name in COMMANDS:
                remedy = f"Write all arguments below the name of their command, or those of {name} alone and no name."
            raise UserError(
                path, expected=f"a file of arguments of {call.command or call.program}", received=name, remedy=remedy
            )
    return {name: from_yaml(name, value, parameters[name].annotation) for name, value in content.items()}


def _check_complete(call: Call) -> None:
    for name, parameter in call.parameters.items():
        if parameter.default is parameter.empty and name not in call.arguments:
            option = name.replace("_", "-")
            raise missing(name, f"pass --{option}", f"`{call.program} --help` explains it.")


def _stray(word: str, given: dict[str, list[str]], call: Call) -> UserError:
    """Word the error for a word that belongs to no option."""
    parameters = call.parameters
    if re.fullmatch(r"-[a-zA-Z]\w*(=.*)?", word):
        return _unknown_option(word.partition("=")[0], call)
    if given and parameters[[*given][-1]].annotation is not bool:
        name = [*given][-1]
        remedy = f'Put quotes around a value that holds spaces: --{name.replace("_", "-")} "{given[name][-1]} {word}".'
    else:
        free = [name for name in FIRST_ARGUMENTS if name in parameters and name not in given]
        if "/" in word or "." in word:
            free.sort(key=lambda name: name not in ("path", "image", "images"))
        remedy = f"`{call.program} --help` lists the options."
        if free and not word.startswith("-"):
            remedy = f"Write --{free[0]} {word}."
    return UserError("arguments", expected="options such as --name value", received=word, remedy=remedy)


def _unknown_option(option: str, call: Call) -> UserError:
    """Word the error for an option that a command does not have: what it is called here, or what lists them all."""
    near = _meant(option, (*call.parameters, *OWN_OPTIONS))
    listing = f"`{call.program} --help` lists them."
    remedy = f"Did you mean '--{near.replace('_', '-')}'?" if near else synonyms.hint(option) or listing
    return UserError("option", expected=f"one that `{call.program}` has", received=option, remedy=remedy)


def _meant(word: str, names: tuple[str, ...] | list[str]) -> str | None:
    """Return the argument that a word stands for: its name elsewhere before the letters."""
    # Dashes in front make all options alike.
    return synonyms.option(word, names) or nearest(word.lstrip("-").replace("-", "_"), names)
