"""The `fashionprobe` command: the stage functions as sub-commands, and nothing else."""

import inspect
import logging
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import jsonargparse

import fashionprobe
from fashionprobe import stages
from fashionprobe.errors import UserError, nearest

COMMANDS = [getattr(stages, name) for name in ("ingest", "extract", "classify", "report", "verify", "demo")]
SWITCHES = {
    f"--{name}"
    for command in COMMANDS
    for name, parameter in inspect.signature(command).parameters.items()
    if isinstance(parameter.default, bool)
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: The words after `fashionprobe`; None takes those of the process.

    Returns:
        Exit code: 0 for success, 2 for an error of the user, 130 when interrupted.
    """
    # TensorFlow reads this when a stage imports it: its notes about the processor, and that there is no GPU, are no
    # news. # What goes wrong still arrives as an exception.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    _log_to_stdout()
    words = normalize(sys.argv[1:] if arguments is None else arguments)
    try:
        jsonargparse.auto_cli(
            COMMANDS, args=words, as_positional=False, prog="fashionprobe", version=fashionprobe.__version__,
            parser_class=_Parser, description=fashionprobe.__doc__,
        )  # fmt: skip
    except UserError as error:
        return _fail(str(error))
    except OSError as error:
        return _fail(f"{error.filename or ''}: {error.strerror}".lstrip(": ") if error.strerror else str(error))
    except KeyboardInterrupt:
        _fail("interrupted; the same command goes on where this one stopped")
        return 130
    return 0


def normalize(words: Sequence[str]) -> list[str]:
    """Bring the words of a command into the form that the parser takes.

    `--batch-size` becomes `--batch_size`, and a switch alone, such as `--overwrite`, `--overwrite=true`. `--config
    FILE` goes first, because the parser lets a file overwrite the options before it, and an option given by hand
    must win.

    Example:
        >>> normalize(["ingest", "--per-class", "9", "--config=c.yaml"])
        ['ingest', '--config=c.yaml', '--per_class', '9']
    """
    config, rest = [], []
    pending = list(words[1:])
    while pending:
        word = pending.pop(0)
        name, equals, value = word.partition("=")
        if name.startswith("--"):
            word = "--" + name[2:].replace("-", "_") + equals + value
        if word in SWITCHES and pending[:1] not in (["true"], ["false"]):
            word += "=true"
        if name == "--config":
            config += [word] if equals else [word, *pending[:1]]
            pending = pending if equals else pending[1:]
        else:
            rest.append(word)
    return [*words[:1], *config, *rest]


class _Parser(jsonargparse.ArgumentParser):
    """A parser whose errors are one line, with the nearest name for a typo."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        sys.exit(_fail(_one_line(message) + self._suggestion(message)))

    def _suggestion(self, message: str) -> str:
        if "unrecognized arguments:" in message:
            typo = message.split("unrecognized arguments:")[1].split()[0].split("=")[0]
            near = nearest(typo, [option for option in self._option_string_actions if option.startswith("--")])
        elif "invalid choice:" in message:
            typo = message.split("invalid choice:")[1].split("'")[1]
            near = nearest(typo, [command.__name__ for command in COMMANDS])
        else:
            return ""
        return f" Did you mean '{near}'?" if near else ""


def _one_line(message: str) -> str:
    return " ".join(line.strip().rstrip(":") for line in message.splitlines() if line.strip())


def _fail(message: str) -> int:
    sys.stderr.write(f"fashionprobe: error: {message}\n")
    return 2


def _log_to_stdout() -> None:
    """Show what the stages say, plainly."""
    logger = logging.getLogger("fashionprobe")
    if not logger.handlers:
        handler = logging.StreamHandler(sys.stdout)
        handler.setFormatter(logging.Formatter("%(message)s"))
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)


if __name__ == "__main__":
    sys.exit(main())
