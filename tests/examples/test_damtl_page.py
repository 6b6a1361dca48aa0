"""The page on groups of linear learners: its options are those of the code, its file runs, bytes are true."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from pydantic import BaseModel

from mpidcl.experiment.group_table import CLASSES, TELLING, GroupTable
from mpidcl.experiment.reading import from_toml, load
from mpidcl.learning.linear.learner import LinearOptions
from mpidcl.learning.linear.relation import RelationOptions
from mpidcl.network.frames.frame import message_bytes
from mpidcl.network.frames.message import Message
from mpidcl.run import simulation
from mpidcl.run.preview import check

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "damtl.md").read_text()
(FILE,) = re.findall(r"```toml\n(.*?)```", PAGE, flags=re.DOTALL)


@pytest.mark.parametrize("options", [GroupTable, LinearOptions, RelationOptions])
def test_options_are_those_of_the_code(options: type[BaseModel]) -> None:
    rows = []
    for name, field in options.model_fields.items():
        value = field.get_default(call_default_factory=True)
        rows.append(f"| `{name}` | {'–' if value is None else value} | {field.description} |")
    assert "\n|---|---|---|\n" + "\n".join(rows) + "\n\n" in PAGE


def test_forms_and_classes_are_those_of_the_code() -> None:
    forms = re.findall(
        r"^\| `([\w-]+)` \|", PAGE.split("| `form` | Theta |")[1].split("\n\n")[0], re.MULTILINE
    )
    known = RelationOptions.model_fields["form"].annotation.__args__  # type: ignore[union-attr]
    assert forms == [*known]
    listed = PAGE.split("| class | links |")[1].split("\n\n")[0]
    assert sorted(re.findall(r"^\| `(\w+)` \|", listed, re.MULTILINE)) == sorted([*CLASSES, TELLING])


@pytest.mark.parametrize("features", [4, 7])
def test_bytes_are_those_of_the_messages(features: int) -> None:
    model = np.zeros(features)
    messages = {
        "nodes": Message("nodes", {"variance": 0.0}, {"model": model}),
        "means": Message(
            "means",
            {},
            {name: np.zeros(1) for name in ("groups", "times", "noises")} | {"means": model[None]},
        ),
        "relation": Message("relation", {"own": 0.0, "time": 0.0}, {"pull": model}),
    }
    for name, message in messages.items():
        (said,) = re.findall(rf"^\| `{name}` \| (\d+) \+ 8 d \|", PAGE, re.MULTILINE)
        assert int(said) + 8 * features == message_bytes(message)


def test_the_file_runs_and_learns(tmp_path: Path) -> None:
    experiment = from_toml(FILE, ["stream.samples=60"])
    assert "3 groups, 12 agents" in check(experiment)
    assert simulation.run(experiment, tmp_path / "run", driver="inprocess", quiet=True) == 0
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["mail"]["lost"] and summary["mail"]["used"]


@pytest.mark.parametrize(
    "path", sorted((ROOT / "examples" / "damtl").glob("*.toml")), ids=lambda one: one.name
)
def test_examples_run(path: Path, tmp_path: Path) -> None:
    experiment = load(path, ["stream.samples=15", "evaluation.every=10 s"])
    assert simulation.run(experiment, tmp_path / "run", driver="inprocess", quiet=True) == 0
