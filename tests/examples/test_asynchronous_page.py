"""The page on asynchronous learning: its options are those of the code, and its file runs."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from mpidcl.errors import ExperimentError
from mpidcl.experiment import kinds
from mpidcl.experiment.reading import from_toml
from mpidcl.run import simulation

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "asynchronous.md").read_text()
(FILE,) = re.findall(r"```toml\n(.*?)```", PAGE, flags=re.DOTALL)


def test_options_are_those_of_the_code() -> None:
    options = kinds.options_type("clock", "virtual")
    assert isinstance(options, type) and issubclass(options, BaseModel)
    rows = [
        f"| `{name}` | {field.get_default(call_default_factory=True)} | {field.description} |"
        for name, field in options.model_fields.items()
    ]
    assert "\n|---|---|---|\n" + "\n".join(rows) + "\n\n" in PAGE


def test_the_file_runs_and_has_what_the_page_says(tmp_path: Path) -> None:
    experiment = from_toml(FILE, ["stream.train_per_class=8", "learning.epochs=6"])
    assert simulation.run(experiment, tmp_path / "run", driver="inprocess", quiet=True) == 0
    mail = json.loads((tmp_path / "run" / "summary.json").read_text())["mail"]
    names = re.findall(r"`(\w+)`", re.findall(r"has `mail`: (.*?)\(seconds", PAGE)[0])
    assert sorted(mail) == sorted(names)
    assert mail["lost"] and mail["used"] and 0.3 < mail["mean_age"] < 10


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ('`when = "before"`', ["exchange.0.when=before"]),
        ('`"task start"`', ["exchange.0.when=task start", "exchange.0.every=1 task"]),
        ("exchange `modules`", ["exchange.0.kind=modules"]),
        ("`learning.one_model`", ["learning.one_model=true"]),
        ('`memory.scope = "global"`', ["memory.scope=global"]),
        ("another `kind` in `[[agent]] clock`", ["agent.0.clock.kind=lockstep"]),
    ],
)
def test_what_the_page_says_is_refused(said: str, words: list[str]) -> None:
    refused = PAGE.split("## What is refused")[1].split("## ")[0]
    assert said in refused
    with pytest.raises(ExperimentError, match=r'clock = "virtual"|should be that of \[clock\]'):
        from_toml(FILE, words)
