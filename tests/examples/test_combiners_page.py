"""docs/combiners.md: its examples run, and it names every combiner and option."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from command_line import CommandLine
from pages import DOCS, check_examples, parallel_experiment, tables_in

from mpidcl.experiment import kinds

PAGE = DOCS / "combiners.md"
TEXT = PAGE.read_text()
KINDS = sorted(kinds.BUILT_IN["combiner"])


def test_examples_run() -> None:
    check_examples(PAGE)


@pytest.mark.parametrize("text", tables_in(PAGE))
def test_experiments_are_valid(text: str) -> None:
    assert parallel_experiment(text).learning.options.combiner


def test_the_overview_has_every_kind_once() -> None:
    overview = TEXT[TEXT.index("## Which one") : TEXT.index("**Edge cases.**")]
    assert sorted(re.findall(r"^\| `(\w+)` \|", overview, flags=re.MULTILINE)) == KINDS


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_a_paragraph_and_a_table_of_its_options(kind: str) -> None:
    assert (
        len(re.findall(rf"^(?:\*\*`sum`\*\*, )?\*\*`{kind}`(?:\.\*\*|\*\*,)", TEXT, flags=re.MULTILINE)) == 1
    )
    fields = kinds.options_type("combiner", kind).model_fields
    rows = [
        f"| `{name}` | {in_words(field.default)} | {field.description} |" for name, field in fields.items()
    ]
    header = f"| option of `{kind}` | default | meaning |\n|---|---|---|\n"
    assert (header + "\n".join(rows) + "\n" in TEXT) if rows else (header not in TEXT)


def test_a_combiner_of_ones_own_learns(tmp_path: Path, here: CommandLine) -> None:
    file = PAGE.parents[1] / "examples" / "own_methods" / "own_combiner.toml"
    ended = here("run", file, "--driver", "inprocess", "--out", "run")
    assert ended.returncode == 0, ended.stderr
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["digest"]


def in_words(value: object) -> str:
    if value is None:
        return "–"
    return str(value).lower() if isinstance(value, bool) else str(value)
