"""The house stands as docs/design.md draws it: floors, rooms without circles, no questions about who one is.

What is not there yet stands in a table with its number: `ASKED` and `NAMED` may only shrink (a smaller number
found is an error too, so that the table is made smaller with it), `LARGER` and `LINES` grow on purpose.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = {"mpidcl": ROOT / "mpidcl", "mpidcl_kernels": ROOT / "kernels" / "mpidcl_kernels"}
FLOORS = (
    ("__main__",),
    ("cli",),
    ("commands",),
    ("reproduce", "benchmarks", "jobs", "testing"),
    ("run",),
    ("launch", "combining", "replay"),
    ("report",),
    ("views",),
    ("exchange",),
    ("learning",),
    ("memory", "model", "stream"),
    ("network", "record"),
    ("experiment",),
    ("base",),
    ("errors", "randomness"),
    ("printable",),
    ("mpidcl_kernels",),
)
"""Rooms from the top down. An import stays in its room or goes to a lower floor."""
MOST_FILES, MOST_LINES, LONGEST_FUNCTION = 15, 400, 60
LARGER = {
    "benchmarks": 27,
    "experiment": 19,
    "network/schedule": 19,
    "learning": 17,
    "learning/combiners": 25,
    "learning/terms": 19,
    "network/mpi": 19,
    "record": 18,
    "reproduce": 18,
    "stream/datasets": 21,
}
"""Folders with more files than MOST_FILES, and how many they have."""
LINES = {
    ".": 1000,
    "base": 530,
    "benchmarks": 3600,
    "commands": 1250,
    "exchange": 6500,
    "experiment": 2900,
    "jobs": 500,
    "launch": 1400,
    "learning": 13050,
    "memory": 3060,
    "model": 3400,
    "network": 7780,
    "record": 2330,
    "report": 500,
    "reproduce": 6600,
    "run": 3150,
    "stream": 6080,
    "testing": 700,
    "views": 5700,
}
"""Most lines of each room."""
GENERAL = ("run", "network", "record", "experiment/checks.py")
"""Rooms that know no system."""
SYSTEMS = re.compile(r"parallel|modul(?:es?|ar)(?![a-z])|compositional|elastic|gallery|course", re.IGNORECASE)
NAMED = {
    "record/identity.py": 8,
    "run/processes.py": 1,
}
"""How often the code there (not the comments) names a system."""
ASKED_OF = re.compile(r"(learner|learning|stream|exchange|term|policy|memory|options|model|resolve|part\b)")
ASKED = {
    "experiment/schema.py": 3,
    "experiment/tables.py": 1,
}
"""`hasattr`, or `getattr` with a default, on what should have a type: how often, by file."""

ANY = {"mpidcl": 9.0, "mpidcl_kernels": 5}
"""Most uses of `Any` per 1,000 lines, imports counted; the one of mpidcl may only shrink."""


@cache
def files() -> dict[str, ast.Module]:
    """The modules of both packages, by their dotted names."""
    found = {}
    for package, folder in SOURCES.items():
        for path in sorted(folder.rglob("*.py")):
            parts = path.relative_to(folder).with_suffix("").parts
            name = ".".join((package, *parts)).removesuffix(".__init__")
            found[name] = ast.parse(path.read_text(), str(path))
    return found


@cache
def imports() -> dict[str, set[str]]:
    """Who imports whom, wherever the import stands."""
    found: dict[str, set[str]] = {}
    for name, tree in files().items():
        targets = found[name] = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                targets |= {alias.name for alias in node.names if alias.name in files()}
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0 and node.module, f"{name}: imports should name the whole module"
                whole = {f"{node.module}.{alias.name}" for alias in node.names}
                targets |= {one if one in files() else node.module for one in whole} & set(files())
        targets.discard(name)
    return found


def room(module: str) -> str:
    """The room of a module: its folder, or the file itself at the top."""
    package, *rest = module.split(".")
    return rest[0] if rest and package == "mpidcl" else package


def floor(name: str) -> int:
    """How far down a room is. The package itself (its version) is the ground."""
    return next((depth for depth, rooms in enumerate(FLOORS) if name in rooms), len(FLOORS))


def code_files() -> Iterator[tuple[str, str]]:
    """The files of mpidcl, with their paths from there."""
    for path in sorted(SOURCES["mpidcl"].rglob("*.py")):
        yield str(path.relative_to(SOURCES["mpidcl"])), path.read_text()


def test_every_room_has_a_floor() -> None:
    rooms = {room(name) for name in files()} - {"mpidcl"}
    assert rooms == {name for rooms in FLOORS for name in rooms}


def test_imports_only_go_down() -> None:
    up = [
        f"{name} imports {target}"
        for name, targets in imports().items()
        for target in targets
        if room(name) != room(target) and floor(room(name)) >= floor(room(target))
    ]
    assert up == []


def test_families_of_kernels_stand_on_base_alone() -> None:
    """One family is one folder; cones and gathers use what another family computes."""
    allowed = {("cone", "simplex"), ("gather", "slots")}
    family = {name: name.split(".")[1] for name in files() if name.startswith("mpidcl_kernels.")}
    found = {
        (family[name], family[target])
        for name in family
        for target in imports()[name]
        if target in family and family[name] != family[target] and family[target] != "base"
    }
    assert found == allowed


def test_no_two_modules_import_each_other_while_they_load() -> None:
    loading = {name: _at_the_top(tree.body) & set(files()) for name, tree in files().items()}

    def reached(start: str) -> set[str]:
        seen: set[str] = set()
        ahead = [start]
        while ahead:
            new = loading.get(ahead.pop(), set()) - seen
            seen |= new
            ahead += new
        return seen

    assert [name for name in loading if name in reached(name)] == []


def _at_the_top(body: list[ast.stmt]) -> set[str]:
    """What is imported when a module loads: not by functions, nor for type checkers."""
    found: set[str] = set()
    for node in body:
        if isinstance(node, ast.ImportFrom) and node.module:
            whole = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {one if one in files() else node.module for one in whole}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.If | ast.Try | ast.With) and "TYPE_CHECKING" not in ast.unparse(node):
            found |= _at_the_top([*node.body, *getattr(node, "orelse", ()), *getattr(node, "finalbody", ())])
            found |= _at_the_top([one for part in getattr(node, "handlers", ()) for one in part.body])
    return found


def test_nobody_asks_what_a_part_is() -> None:
    found: Counter[str] = Counter()
    for path, text in code_files():
        for node in ast.walk(ast.parse(text)):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
                continue
            asks = node.func.id == "hasattr" or (node.func.id == "getattr" and len(node.args) == 3)
            if asks and ASKED_OF.search(ast.unparse(node.args[0])):
                found[path] += 1
    assert dict(found) == ASKED


def test_general_rooms_know_no_system() -> None:
    found: Counter[str] = Counter()
    for path, text in code_files():
        if path.startswith(GENERAL) and (number := len(SYSTEMS.findall(_without_prose(text)))):
            found[path] = number
    assert dict(found) == NAMED


def _without_prose(text: str) -> str:
    tree = ast.parse(text)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            plain = [
                one for one in body if not (isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant))
            ]
            node.body = plain or [ast.Pass()]  # type: ignore[attr-defined]
    return ast.unparse(tree)


def test_folders_are_small() -> None:
    """An index that one can read; three files with one prefix are a folder."""
    sizes: Counter[str] = Counter()
    alike: dict[str, dict[str, int]] = {}
    for folder in sorted({path.parent for path in SOURCES["mpidcl"].rglob("*.py")}):
        names = [path.stem for path in folder.glob("*.py") if path.stem not in ("__init__", "__main__")]
        name = str(folder.relative_to(SOURCES["mpidcl"]))
        sizes[name] = len(names)
        prefixes = Counter(stem.split("_")[0] for stem in names)
        many = {prefix: number for prefix, number in prefixes.items() if number >= 3}
        if many:
            alike[name] = many
    assert {name: number for name, number in sizes.items() if number > MOST_FILES} == LARGER
    assert alike == {}


@pytest.mark.parametrize("package", SOURCES)
def test_things_have_types(package: str) -> None:
    lines = sum(path.read_text().count("\n") for path in SOURCES[package].rglob("*.py"))
    modules = [tree for name, tree in files().items() if name.partition(".")[0] == package]
    found = sum(_is_any(node) for tree in modules for node in ast.walk(tree))
    assert 1000 * found / lines <= ANY[package]


def _is_any(node: ast.AST) -> bool:
    named = getattr(node, "id", None) or getattr(node, "attr", None) or getattr(node, "name", None)
    return isinstance(node, ast.Name | ast.Attribute | ast.alias) and named == "Any"


@pytest.mark.parametrize("package", SOURCES)
def test_files_and_functions_are_short(package: str) -> None:
    long = []
    for path in sorted(SOURCES[package].rglob("*.py")):
        text = path.read_text()
        if text.count("\n") > MOST_LINES:
            long.append(f"{path.name}: {text.count(chr(10))} lines")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef) and node.end_lineno is not None:
                lines = node.end_lineno - node.lineno + 1
                if lines > LONGEST_FUNCTION:
                    long.append(f"{path.name}: {node.name} has {lines} lines")
    assert long == []


def test_rooms_keep_to_their_lines() -> None:
    """A room that needs more gets it here, on purpose."""
    lines: Counter[str] = Counter()
    for path, text in code_files():
        lines[path.split("/")[0] if "/" in path else "."] += text.count("\n")
    assert {name: number for name, number in lines.items() if number > LINES[name]} == {}


def test_the_floors_are_those_of_the_design() -> None:
    drawn = "\n".join(" ".join(rooms) for rooms in FLOORS)
    assert f"```\n{drawn}\n```" in (ROOT / "docs" / "design.md").read_text()
