"""Packages whose modules are imported when asked for: `fashionprobe.explain.cam` after `import fashionprobe`."""

import importlib
import pkgutil
from collections.abc import Callable
from types import ModuleType


def modules_of(package: str) -> tuple[Callable[[str], ModuleType], Callable[[], list[str]]]:
    """Return `__getattr__` and `__dir__` for a package, so that its modules need not be imported by name.

    Args:
        package: Name of the package, its `__name__`.
    """

    def names() -> list[str]:
        path = importlib.import_module(package).__path__
        return [module.name for module in pkgutil.iter_modules(path) if not module.name.startswith("_")]

    def get(name: str) -> ModuleType:
        # Python asks for many dunder names that are not there.
        if not name.startswith("_") and name in names():
            return importlib.import_module(f"{package}.{name}")
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return get, names
