"""Scripts that complete commands, options and their words in bash, zsh and fish."""

import inspect
from collections.abc import Iterable

from fashionprobe.cli.commands import COMMANDS
from fashionprobe.cli.help import choices
from fashionprobe.cli.overview import FAMILIES, GROUPS, SHELLS
from fashionprobe.cli.words import OWN_OPTIONS

BASH = """\
_fashionprobe() {
    local words place=$COMP_CWORD word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]}
    local command=${COMP_WORDS[1]} member=${COMP_WORDS[2]}
BODY
    COMPREPLY=($(compgen -W "$words" -- "$word"))
}
complete -o default -F _fashionprobe fashionprobe"""

ZSH = """\
_fashionprobe() {
    local list= place=$((CURRENT - 1)) word=$words[CURRENT] before=$words[CURRENT-1]
    local command=$words[2] member=$words[3] words=
BODY
    if [[ -n $words ]]; then compadd -- ${=words}; else _files; fi
}
(( $+functions[compdef] )) || { autoload -Uz compinit && compinit -u; }
compdef _fashionprobe fashionprobe"""

BODY = """\
    case $command in FAMILIES) [[ $member == -* ]] || command="$command $member" ;; esac
    if [[ $place == 1 ]]; then words="FIRST"
    elif [[ $place == 2 && $word != -* ]]; then case $before in
MEMBERS
    esac; fi
    if [[ -z $words ]]; then case "$command $before" in
CHOICES
    esac; fi
    if [[ -z $words && $word == -* ]]; then case $command in
OPTIONS
    esac; fi"""


def script(shell: str) -> str:
    """Return the script for a shell, to be sourced by it: `source <(fashionprobe --completion bash)`.

    Args:
        shell: bash, zsh or fish.
    """
    return _fish() if shell == "fish" else {"bash": BASH, "zsh": ZSH}[shell].replace("BODY", _body())


def _options(command: str) -> dict[str, str]:
    """Return the options of a command, each with the words that may follow."""
    parameters = inspect.signature(COMMANDS[command]).parameters
    options = {name: " ".join(choices(parameter.annotation)) for name, parameter in parameters.items()}
    return {name.replace("_", "-"): words for name, words in (options | dict.fromkeys(OWN_OPTIONS, "")).items()}


def _body() -> str:
    options = {name: _options(name) for name in COMMANDS}
    members = {
        family: " ".join(each.split()[1] for each in COMMANDS if each.startswith(f"{family} ")) for family in FAMILIES
    }
    first = dict.fromkeys([*(name.split()[0] for name in COMMANDS), "--help", "--version", "--completion"])
    followed = {f"{name} --{each}": words for name in COMMANDS for each, words in options[name].items() if words}
    parts = {
        "FAMILIES": "|".join(FAMILIES),
        "FIRST": " ".join(first),
        "MEMBERS": _cases((members | {"--completion": " ".join(SHELLS)}).items()),
        "CHOICES": _cases(followed.items()),
        "OPTIONS": _cases((name, " ".join(f"--{each}" for each in options[name])) for name in COMMANDS),
    }
    body = BODY
    for name, part in parts.items():
        body = body.replace(name, part)
    return body


def _cases(words: Iterable[tuple[str, str]]) -> str:
    return "\n".join(f'    "{before}") words="{each}" ;;' for before, each in words)


def _fish() -> str:
    start, at_first = "complete -c fashionprobe", "-n __fish_use_subcommand"
    lines = [f"{start} -f {at_first} -a '{family}'" for family in FAMILIES if family not in COMMANDS]
    lines += [f"{start} {at_first} -l {option}" for option in ("help", "version")]
    lines += [f"{start} {at_first} -l completion -x -a '{' '.join(SHELLS)}'"]
    for name, line in ((name, line) for group in GROUPS.values() for name, line in group.items()):
        family, _, member = name.rpartition(" ")
        when = f"-n '__fish_seen_subcommand_from {family}'" if family else at_first
        lines.append(f"{start} -f {when} -a {member} -d '{line}'")
        seen = " && ".join(f"__fish_seen_subcommand_from {word}" for word in name.split())
        if members := " ".join(each.split()[1] for each in COMMANDS if each.startswith(f"{name} ")):
            seen += f" && not __fish_seen_subcommand_from {members}"
        for option, words in _options(name).items():
            lines.append(f"{start} -n '{seen}' -l {option}" + (f" -x -a '{words}'" if words else ""))
    return "\n".join(lines)
