"""What tests of pages in docs/ about parallel learning have in common."""

from __future__ import annotations

import doctest
import re
import tomllib
from pathlib import Path

from mpidcl.experiment.file import Experiment
from mpidcl.experiment.reading import from_tables

DOCS = Path(__file__).resolve().parents[2] / "docs"


def check_examples(page: Path) -> None:
    """Runs the page's examples, of which there are some."""
    failed, tried = doctest.testfile(str(page), module_relative=False)
    assert tried > 8
    assert failed == 0


def tables_in(page: Path) -> list[str]:
    """The pieces of experiment files on the page."""
    return re.findall(r"```toml\n(.*?)```", page.read_text(), flags=re.DOTALL)


def parallel_experiment(text: str) -> Experiment:
    """A valid experiment on parallel streams with these tables."""
    tables = tomllib.loads(text)
    tables["stream"] = {"kind": "parallel", "tasks": 2}
    tables["memory"] = {"policy": "class-quota", "capacity": "10 rows per class"}
    return from_tables({"name": "page", "agents": 2, **tables})
