"""Packages whose modules are imported when asked for: `fashionprobe.explain.cam` after `import fashionprobe`."""

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any


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


def names_of(package: str, places: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return `__getattr__` and `__dir__` for a package that offers names of its modules, and the modules themselves.

    Args:
        package: Name of the package, its `__name__`.
        places: The module of the package that each name is from.
    """
    module, modules = modules_of(package)

    def get(name: str) -> Any:
        if name in places:
            return getattr(importlib.import_module(f"{package}.{places[name]}"), name)
        return module(name)

    return get, lambda: sorted({*places, *modules()})
