"""`mpidcl pbs` and `mpidcl slurm`, and what job scripts ask before they start ranks."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from command_line import SMALL, status

from mpidcl.commands.before import app
from mpidcl.commands.program import carry_out


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "my exp.toml"
    file.write_text(SMALL)
    return file


def test_script_on_standard_output(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert status("pbs", file, "--walltime", "55 min", "--resubmit", "3", "--set", "seed=2") == 0
    text = capsys.readouterr().out
    assert text.startswith("#!/bin/bash -l\n") and "#PBS -N small\n#PBS -l walltime=00:55:00\n" in text
    assert "#PBS -l select=1:ncpus=2:mpiprocs=2\n" in text
    assert f"VENV=${{VENV:-{sys.prefix}}} " in text
    assert f"EXPERIMENT=${{EXPERIMENT:-'{file}'}} " in text
    assert "options=(--set seed=2) " in text and "RESUBMIT=${RESUBMIT:-3} " in text


def test_script_of_a_site(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert status("pbs", file, "--site", "aurora", "--account", "P1", "--nodes", "2") == 0
    text = capsys.readouterr().out
    assert "#PBS -A P1\n#PBS -q EDIT\n" in text and "#PBS -l select=2\n" in text
    assert "RANKS_PER_NODE=${RANKS_PER_NODE:-1} " in text


def test_script_for_slurm_in_a_file(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = file.with_name("job")
    assert status("slurm", file, "--out", out, "--seeds", "0-3", "--queue", "long") == 0
    text = out.read_text()
    assert "#SBATCH --partition=long\n" in text and "#SBATCH --array=0-3\n" in text
    assert os.access(out, os.X_OK)
    assert status("slurm", file, "--out", out) == 2  # it may have been edited
    assert "--out should be a new file" in capsys.readouterr().err
    assert out.read_text() == text


@pytest.mark.parametrize(
    "words",
    [
        ("--set", "agents=none"),
        ("--site", "moon"),
        ("--walltime", "30:00"),
        ("--nodes", "3"),
        ("--account", "a b"),
        ("--seeds", "4"),
        ("--out", "/nowhere/x"),
    ],
)
def test_wrong_input_is_status_2_and_no_script(
    file: Path, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert status("pbs", file, *words) == 2
    shown = capsys.readouterr()
    assert shown.out == "" and shown.err


def before(*words: str | Path) -> int:
    with pytest.raises(SystemExit) as end:
        carry_out(app, list(map(str, words)))
    return end.value.code  # type: ignore[return-value]


def test_before_says_agents_and_run_folder(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert before(file, "--set", "name=other") == 0
    assert capsys.readouterr().out == "2\nruns/other\n"
    assert before(file, "--out", "a b", "--until", "1 task") == 0
    assert capsys.readouterr().out == "2\na b\n"


@pytest.mark.parametrize(
    "words",
    [("--sets", "x"), ("--set", "agents=0"), ("-n", "2"), ("--walltime", "soon"), ("--until", "soon")],
)
def test_before_takes_the_words_of_run(
    file: Path, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert before(file, *words) == 2
    shown = capsys.readouterr()
    assert shown.out == "" and shown.err
