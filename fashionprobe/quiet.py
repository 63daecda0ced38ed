"""Keeps what TensorFlow says while it is imported off the screen of the command line.

`TF_CPP_MIN_LOG_LEVEL` does not reach messages that its C++ libraries write before their logging is set up
(https://github.com/abseil/abseil-cpp/pull/1957), so each command would open with six lines about the processor.
"""

import importlib.abc
import importlib.util
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from types import ModuleType


def quiet_tensorflow() -> None:
    """Make the import of TensorFlow silent, whenever it comes; what it says when the import fails is shown."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if "tensorflow" not in sys.modules and not any(isinstance(finder, _QuietFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _QuietFinder())


class _QuietFinder(importlib.abc.MetaPathFinder):
    """Finds TensorFlow where it is, once, and silences the running of its package."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name != "tensorflow":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is None or spec.loader is None:
            return spec
        run = spec.loader.exec_module

        def run_quietly(module: ModuleType) -> None:
            with native_stderr_held():
                run(module)

        spec.loader.exec_module = run_quietly
        return spec


@contextmanager
def native_stderr_held(*, shown: bool = True) -> Iterator[None]:
    """Hold back what is written to file descriptor 2.

    Args:
        shown: Whether to let it out when the body fails.
    """
    sys.stderr.flush()
    screen = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except Exception:
            held.seek(0)
            os.write(screen, held.read() if shown else b"")
            raise
        finally:
            sys.stderr.flush()
            os.dup2(screen, 2)
            os.close(screen)
