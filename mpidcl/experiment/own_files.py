"""The source files of a user's own methods: they decide what a run computes, and no setting says so.

Named by import path (`my_package.module:Class`) or as an entry point, a method is its module, and the modules
of the user's that this one imports, wherever in the experiment its name stands.
"""

from __future__ import annotations

import ast
import hashlib
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from mpidcl.experiment import kinds

OURS = ("mpidcl", "mpidcl_kernels")
INSTALLED = {"site-packages", "dist-packages"}
_PATH = re.compile(r"([A-Za-z_][\w.]*):[A-Za-z_][\w.]*")


def own_methods(tables: Mapping[str, object]) -> dict[str, dict[str, str]]:
    """Module -> its `file` and the `sha256` of it, of all own modules behind an experiment's tables.

    The experiment has been checked, so its methods are imported. What they import counts where it lies in the
    same folder as the method, or below; of an installed method, in the same package.
    """
    found: dict[str, Path] = {}
    for name in sorted({name for text in _texts(tables) for name in _modules(text)}):
        file = getattr(sys.modules.get(name), "__file__", None)
        if file is not None and not _ours(name):
            follow(name, Path(file), found)
    return {name: {"file": str(file), "sha256": _sha256(file)} for name, file in sorted(found.items())}


def _texts(value: object) -> Iterator[str]:
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


def _ours(name: str) -> bool:
    return name.partition(".")[0] in OURS


def follow(name: str, file: Path, found: dict[str, Path]) -> None:
    """Adds a module and all that it imports from its own home; nothing of mpidcl's but the module itself."""
    top = name.partition(".")[0]
    home = file.absolute().parents[name.count(".") + (file.name == "__init__.py")]
    todo = {name: file}
    while todo:
        name, file = todo.popitem()
        found[name] = file
        for other in _imported(name, file):
            mine = other.partition(".")[0] == top or not INSTALLED & set(home.parts)
            if (
                mine
                and not _ours(other)
                and other not in found
                and (source := _source(home, other)) is not None
            ):
                todo[other] = source


def _source(home: Path, name: str) -> Path | None:
    place = home.joinpath(*name.split("."))
    return next((file for file in (place.with_suffix(".py"), place / "__init__.py") if file.is_file()), None)


def _imported(name: str, file: Path) -> Iterator[str]:
    """Every module that a source file may import, and the packages around it and them."""
    package = name if file.name == "__init__.py" else name.rpartition(".")[0]
    names = [name]
    with suppress(SyntaxError, ValueError):  # a compiled module tells nothing
        for node in ast.walk(ast.parse(file.read_bytes())):
            if isinstance(node, ast.Import):
                names += [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                around = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
                base = ".".join([*around, *filter(None, [node.module])])
                names += [base, *(f"{base}.{alias.name}" for alias in node.names)]
    for one in names:
        parts = one.split(".")
        yield from (".".join(parts[:end]) for end in range(1, len(parts) + 1))


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
