"""docs/kernels.md: its examples run, and its table names what there is, all of it."""

from __future__ import annotations

import ast
import doctest
import importlib
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "kernels.md"
ROW = re.compile(r"^\| (`.+`) \| (\w+) \|", re.MULTILINE)


def table() -> dict[str, set[str]]:
    """Module to the functions that the page lists for it."""
    found: dict[str, set[str]] = {}
    for names, module in ROW.findall(PAGE.read_text()):
        found.setdefault(module, set()).update(re.findall(r"`(\w+)`", names))
    return found


def test_examples_run() -> None:
    from mpidcl_kernels.base.threads import get_threads, set_threads

    before = get_threads()
    try:
        failed, tried = doctest.testfile(str(PAGE), module_relative=False)
    finally:
        set_threads(before)
    assert tried > 10
    assert failed == 0


def test_the_table_names_functions_that_exist() -> None:
    for module, names in table().items():
        for name in names:
            function = getattr(importlib.import_module(f"mpidcl_kernels.{module}"), name)
            assert function.__doc__, name


def test_every_function_of_a_listed_module_that_has_a_definition_is_listed() -> None:
    for module, listed in table().items():
        place = ROOT / "kernels" / "mpidcl_kernels" / module.replace(".", "/")
        file = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
        source = file.read_text()
        names = {node.name for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)}
        public = {name.removesuffix("_definition") for name in names if name.endswith("_definition")}
        assert public & names <= listed, f"{module}: {public & names - listed} should be in {PAGE.name}"
