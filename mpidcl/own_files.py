"""The source files of a user's own methods: they decide what a run computes, and no setting says so.

Named by import path (`my_package.module:Class`) or as an entry point, a method is its module and what that
module takes from other modules of the user's, wherever in the experiment its name stands.
"""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from mpidcl import kinds

OURS = ("mpidcl", "mpidcl_kernels")
INSTALLED = ("site-packages", "dist-packages")
_PATH = re.compile(r"([A-Za-z_][\w.]*):[A-Za-z_][\w.]*")


def own_methods(tables: dict[str, Any]) -> dict[str, dict[str, str]]:
    """Module -> its `file` and the `sha256` of it, of all own modules behind an experiment's tables.

    The experiment has been checked, so its methods are imported. A module that is only imported inside of a
    function, and one outside of the folder that the method lies in, are not seen.
    """
    found: dict[str, Path] = {}
    for name in sorted({name for text in _texts(tables) for name in _modules(text)}):
        module = sys.modules.get(name)
        if module is not None and name.partition(".")[0] not in OURS:
            _follow(module, found)
    return {name: {"file": str(file), "sha256": _sha256(file)} for name, file in sorted(found.items())}


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list | tuple):
        for child in value.values() if isinstance(value, dict) else value:
            yield from _texts(child)


def _modules(text: str) -> Iterator[str]:
    """Modules of the methods that a text may name."""
    if match := _PATH.fullmatch(text):
        yield match[1]
    for path in kinds.declared_paths(text):
        yield path.partition(":")[0]


def _follow(module: ModuleType, found: dict[str, Path]) -> None:
    """Adds the module and every other of the same home that it names, and so on."""
    home, todo = _home(module), [module]
    while todo:
        one = todo.pop()
        file = Path(getattr(one, "__file__", None) or "")
        if one.__name__ in found or not file.is_file() or not _lies_in(file, home):
            continue
        found[one.__name__] = file
        names = {one.__name__.rpartition(".")[0], *map(_module_of, vars(one).values())}
        todo += [sys.modules[name] for name in names if name in sys.modules]


def _module_of(value: object) -> str:
    if isinstance(value, ModuleType):
        return value.__name__
    return value.__module__ if isinstance(value, type | FunctionType) else ""


def _home(module: ModuleType) -> Path:
    """The folder that holds the method's files; of an installed one its own package or file alone."""
    top = sys.modules.get(module.__name__.partition(".")[0], module)
    file = Path(getattr(top, "__file__", None) or getattr(module, "__file__", None) or "").resolve()
    place = file.parent if file.name == "__init__.py" else file
    return place if set(INSTALLED) & set(place.parts) else place.parent


def _lies_in(file: Path, home: Path) -> bool:
    file = file.resolve()
    return file.is_relative_to(home) and not set(INSTALLED) & set(file.relative_to(home).parts)


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
