"""The `fashionprobe` command: the stage functions as sub-commands, and nothing else."""

import contextlib
import dataclasses
import json
import logging
import math
import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import fashionprobe
from fashionprobe.errors import UserError, system_error, unknown_name
from fashionprobe.quiet import quiet_tensorflow

if TYPE_CHECKING:
    from fashionprobe.cli.words import Call

log = logging.getLogger(__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: The words after `fashionprobe`; None takes those of the process.

    Returns:
        Exit code: 0 for success, 2 for an error of the user, 130 when interrupted.
    """
    return _guarded(lambda: _run([*(sys.argv[1:] if arguments is None else arguments)]))


def script(function: Callable[..., Any], arguments: Sequence[str] | None = None) -> int:
    """Run a function with keyword arguments from the command line, read as those of a stage are.

    Args:
        function: A documented function.
        arguments: Its words; None takes those of the process.

    Returns:
        Exit code, as of `main`.
    """
    from fashionprobe.cli.words import read_for

    words = [*(sys.argv[1:] if arguments is None else arguments)]
    return _guarded(lambda: _call(read_for(function, "", words), logger=""))


def _guarded(run: Callable[[], None]) -> int:
    """Run something, and word what goes wrong in one line."""
    quiet_tensorflow()
    try:
        run()
    except UserError as error:
        return _fail(str(error))
    except OSError as error:
        return _fail(str(system_error(error)))
    except KeyboardInterrupt:
        _fail("Interrupted. The same command resumes where this one stopped.")
        return 130
    finally:
        _flush()
    return 0


def _run(words: list[str]) -> None:
    """Answer what needs no stage at once, before stages are imported; else run the command."""
    from fashionprobe.cli.overview import FAMILIES, NAMES, SHELLS, overview

    if words[:1] in (["--help"], ["-h"]):
        return _say(overview())
    if words[:1] == ["--version"]:
        return _say(f"fashionprobe {fashionprobe.__version__}")
    if words[:1] and words[0] in {*FAMILIES} - {*NAMES} and words[1:2] in (["--help"], ["-h"]):
        return _say(overview(words[0]))
    if words[:1] == ["--completion"]:
        from fashionprobe.cli import completion

        shell = words[1] if len(words) > 1 else "nothing"
        if shell not in SHELLS:
            raise unknown_name("completion", shell, SHELLS)
        return _say(completion.script(shell))
    from fashionprobe.cli.words import read

    return _call(read(words))


def _call(call: "Call", logger: str = "fashionprobe") -> None:
    """Run the function of a command line that was read, and print its result where that is asked for."""
    if "help" in call.switches:
        from fashionprobe.cli.help import explain

        return _say(explain(call.function))
    if "print_config" in call.switches:
        import yaml

        defaults = {name: parameter.default for name, parameter in call.parameters.items()}
        return _say(yaml.safe_dump(defaults | call.arguments, sort_keys=False, allow_unicode=True).strip())
    as_json = "json" in call.switches
    _log_to(sys.stderr if as_json else sys.stdout, call.switches, logger)
    log.debug("%s: %s", call.command, call.arguments)
    started = time.perf_counter()
    # What a library prints is not the result, either.
    with contextlib.redirect_stdout(sys.stderr) if as_json else contextlib.nullcontext():
        result = call.function(**call.arguments)
    log.debug("%s took %.1f s", call.command, time.perf_counter() - started)
    if as_json:
        _say(json.dumps(plain(result), indent=2))


def plain(result: Any) -> Any:
    """Return the result of a stage as JSON holds it: paths as text, what is not finite as null.

    Example:
        >>> plain({1: (float("nan"), 2)})
        {'1': [None, 2]}
    """
    if dataclasses.is_dataclass(result):
        return {each.name: plain(getattr(result, each.name)) for each in dataclasses.fields(result)}
    if isinstance(result, dict):
        return {str(key): plain(value) for key, value in result.items()}
    if isinstance(result, list | tuple | set | frozenset):
        return [plain(each) for each in result]
    if hasattr(result, "tolist"):  # of NumPy
        return plain(result.tolist())
    if isinstance(result, float):
        return result if math.isfinite(result) else None
    return result if result is None or isinstance(result, str | int) else str(result)


def _say(text: str) -> None:
    _Handler(sys.stdout).emit(logging.LogRecord("", logging.INFO, "", 0, text, (), None))


def _fail(message: str) -> int:
    sys.stderr.write(f"fashionprobe: error: {message}\n")
    return 2


def _log_to(stream: Any, switches: set[str], name: str = "fashionprobe") -> None:
    """Show what the stages say, plainly: with `--quiet` only warnings, with `--verbose` more."""
    logger = logging.getLogger(name)
    if not logger.handlers:
        handler = _Handler(stream)
        handler.setFormatter(logging.Formatter("%(message)s"))
        logger.addHandler(handler)
    level = logging.WARNING if "quiet" in switches else logging.INFO
    logger.setLevel(logging.DEBUG if "verbose" in switches else level)


class _Handler(logging.StreamHandler):
    """Writes to a terminal of any encoding, and lets a stage continue when nobody reads, as behind `| head`."""

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
