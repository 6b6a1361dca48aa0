"""Agents whose modules grow, by the command line; over MPI: tests/mpi/test_runs_of_modules.py."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import CommandLine
from module_texts import CONVOLUTIONAL, MODULES, PARAMETERS, decisions, experiment
from run_bits import bits

from mpidcl.report.loaded import load_run


def run(here: CommandLine, folder: Path, name: str, text: str, *words: str) -> Path:
    (folder / f"{name}.toml").write_text(text)
    ended = here("run", f"{name}.toml", "-q", "--driver", "inprocess", "--out", name, *words)
    assert ended.returncode == 0, ended.stderr
    return folder / name


@pytest.mark.timeout(200)
def test_neighbours_with_nothing_to_offer_change_nothing(tmp_path: Path, here: CommandLine) -> None:
    """Questions are asked and nothing comes: every agent learns as if it were alone."""
    nothing = ["--set", "learning.threshold=100"]
    asked = run(here, tmp_path, "asked", experiment("asked", 3, MODULES, tasks=4), *nothing)
    alone = run(here, tmp_path, "alone", experiment("alone", 3, tasks=4), *nothing)
    assert bits(asked)["digest"] == bits(alone)["digest"]
    assert not any(one.received or one.kept for agent in decisions(asked) for one in agent)
    assert load_run(asked).total("wire_bytes") > 0


@pytest.mark.timeout(100)
def test_different_nets_are_not_averaged(tmp_path: Path, here: CommandLine) -> None:
    (tmp_path / "refused.toml").write_text(experiment("refused", 3, PARAMETERS, CONVOLUTIONAL))
    refused = here("run", "refused.toml", "--driver", "inprocess")
    assert refused.returncode == 2
    assert "agents 0 and 2 should have the same shared tensors" in refused.stderr
    assert "[72] at agent 0 and [148] at agent 2" in refused.stderr
