"""docs/editing.md: its examples run, and it names every editor and option."""

from __future__ import annotations

import re
from pathlib import Path

import h5py
import numpy as np
import pytest
from command_line import CommandLine
from pages import DOCS, check_examples, parallel_experiment, tables_in

from mpidcl.experiment import kinds
from mpidcl.learning.editing.base import Editor

PAGE = DOCS / "editing.md"
TEXT = PAGE.read_text()
KINDS = sorted(kinds.BUILT_IN["editor"])
COMMON = Editor.Options.model_fields


def test_examples_run() -> None:
    check_examples(PAGE)


@pytest.mark.parametrize("text", tables_in(PAGE))
def test_experiments_are_valid(text: str) -> None:
    assert parallel_experiment(text).learning.options.editing


def test_the_overview_has_every_kind_once() -> None:
    overview = TEXT[TEXT.index("| editor |") : TEXT.index("**What is the same for all.**")]
    assert sorted(re.findall(r"^\| `(\w+)` \|", overview, flags=re.MULTILINE)) == KINDS


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_a_paragraph_and_a_table_of_its_options(kind: str) -> None:
    assert f"\n**`{kind}`.** " in TEXT
    fields = kinds.options_type("editor", kind).model_fields
    own = {name: field for name, field in fields.items() if name not in COMMON}
    assert table(f"option of `{kind}`", own) in TEXT


def test_the_options_of_every_editor_are_told_once() -> None:
    assert table("option of every editor", COMMON) in TEXT


def table(title: str, fields: dict) -> str:
    rows = [
        f"| `{name}` | {'–' if field.default is None else field.default} | {field.description} |"
        for name, field in fields.items()
    ]
    return f"| {title} | default | meaning |\n|---|---|---|\n" + "\n".join(rows) + "\n"


def test_an_editor_of_ones_own_moves_rows(tmp_path: Path, here: CommandLine) -> None:
    file = PAGE.parents[1] / "examples" / "own_methods" / "own_editor.toml"
    ended = here("run", file, "--driver", "inprocess", "--out", "run")
    assert ended.returncode == 0, ended.stderr
    with h5py.File(tmp_path / "run" / "results.h5") as results:
        farthest = results["tables/steps/moved_max"][:]
    assert 0 < np.nanmax(farthest) <= 0.1 + 1e-6
