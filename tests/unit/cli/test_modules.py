"""`mpidcl modules`: runs in which only some agents have experts, experts that nothing is known of."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from command_line import status

from mpidcl.errors import EXIT_DONE, EXIT_WRONG_INPUT, ExperimentError
from mpidcl.experiment.reading import from_toml
from mpidcl.learning.experts.inventory import inventory
from mpidcl.run import simulation

FILE = """
name = "x"
agents = 2
[stream]
dataset = "digits"
tasks = 2
classes_per_task = 2
train_per_class = 4
[model]
kind = "mlp"
hidden = [6]
[learning]
epochs = 1
"""
EXPERTS = """
[[agent]]
ids = [1]
model = { kind = "experts-mlp", experts = 3, active = 1, encoder = [6], hidden = 4, width = 4 }
learning = { kind = "experts", epochs = 1, first = 2 }
"""


def run(folder: Path, text: str) -> Path:
    assert simulation.run(from_toml(text), folder, "inprocess", None, quiet=True) == EXIT_DONE
    return folder


def test_agents_without_experts_are_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = run(tmp_path / 'a "run"', FILE + EXPERTS)
    assert [one.agent for one in inventory(folder)[1]] == [1, 1, 1]
    assert status("modules", "use", folder) == EXIT_DONE
    lines = capsys.readouterr().out
    found = tomllib.loads(
        lines.replace("# terms", "terms").replace("# start_agent = 1:", "start_agent = 1 #")
    )
    assert found["model"]["kind"] == "experts-mlp"
    assert found["learning"]["start_from"] == found["learning"]["terms"][0]["run"] == str(folder)
    assert found["learning"]["start_agent"] == found["learning"]["terms"][0]["agent"] == 1
    assert "# 2 experts as they ended, and 0 that went" in lines


def test_what_was_never_measured_is_not_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = run(tmp_path / "run", FILE + EXPERTS)
    assert status("modules", "show", folder, "1", "2") == EXIT_DONE
    shown = capsys.readouterr().out
    assert "never used" in shown and "nan" not in shown


def test_a_run_without_experts_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExperimentError, match="Found no agent with experts"):
        inventory(run(tmp_path / "run", FILE))
    assert status("modules", "list", tmp_path / "run") == EXIT_WRONG_INPUT
