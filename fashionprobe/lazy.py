"""Packages whose modules and public names are imported when asked for: `fashionprobe.explain.GradCAM`."""

import importlib
import pkgutil
import sys
from collections.abc import Callable
from typing import Any


def names_of(package: str) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return `__getattr__` and `__dir__` for a package, so that nothing in it need be imported before it is used.

    The public names are those of the package's `__all__`; where each is at home says the package's own block
    `if TYPE_CHECKING:`, which editors and type checkers read, too.

    Args:
        package: Name of the package, its `__name__`.
    """

    def modules() -> list[str]:
        path = importlib.import_module(package).__path__
        return [module.name for module in pkgutil.iter_modules(path) if not module.name.startswith("_")]

    def public() -> list[str]:
        return vars(sys.modules[package]).get("__all__", [])

    def get(name: str) -> Any:
        if name in public():
            module, inside = _homes(package)[name]
            return getattr(importlib.import_module(module), inside)
        # Python asks for many dunder names that are not there.
        if not name.startswith("_") and name in modules():
            return importlib.import_module(f"{package}.{name}")
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return get, lambda: sorted({*public(), *modules()})


def _homes(package: str) -> dict[str, tuple[str, str]]:
    """Return the module of each public name, and its name there, from the imports that a type checker sees."""
    import ast

    source: Any = sys.modules[package].__loader__
    found = {}
    for block in ast.parse(source.get_source(package)).body:
        for line in block.body if isinstance(block, ast.If) else []:
            if isinstance(line, ast.ImportFrom) and line.module:
                found |= {each.asname or each.name: (line.module, each.name) for each in line.names}
    return found
