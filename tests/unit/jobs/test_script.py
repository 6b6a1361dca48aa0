"""Job scripts as text: those of the repository, what sites ask for, quoting, and the shell's own checker."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from mpidcl.jobs.examples import QUICKSTART, examples
from mpidcl.jobs.plan import Layout
from mpidcl.jobs.script import WARN_FROM_S, write

ROOT = Path(__file__).parents[3]
SHELL = ("#!/bin/bash", "#!/usr/bin/env bash", "#!/bin/sh")


def directives(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith(("#PBS", "#SBATCH"))]


def test_scripts_of_the_repository_are_what_the_package_writes() -> None:
    for path, text in examples().items():
        file = ROOT / path
        assert file.read_text() == text, f"{path}: write it anew with python -m mpidcl.jobs.examples ."
    kept = {
        str(file.relative_to(ROOT)) for folder in ("pbs", "slurm") for file in ROOT.glob(f"{folder}/*.[ps]b*")
    }
    assert kept == set(examples())


@pytest.mark.parametrize("site", ["polaris", "aurora", "derecho"])
def test_sites_get_what_they_require(site: str) -> None:
    found = directives(write(replace(QUICKSTART, site=site)))
    required = {"-A EDIT", "-q ", "-l select=1", "-l walltime=01:00:00", "-k doe", "-r y"}
    if site != "derecho":
        required |= {"-l filesystems=", "-l place=scatter"}
    for start in required:
        assert any(line.startswith(f"#PBS {start}") for line in found), (start, found)


@pytest.mark.parametrize("path", examples())
def test_nothing_stands_between_directives(path: str) -> None:
    lines = examples()[path].splitlines()
    at = [number for number, line in enumerate(lines) if line.startswith(("#PBS", "#SBATCH"))]
    assert lines[0] == "#!/bin/bash -l" and at == list(range(at[0], at[-1] + 1))


def test_short_jobs_of_slurm_get_no_warning() -> None:
    job = replace(QUICKSTART, site="slurm")
    assert "--signal" in write(replace(job, walltime_s=WARN_FROM_S))
    assert "--signal" not in write(replace(job, walltime_s=WARN_FROM_S - 1))


@pytest.mark.parametrize(
    "name", ["my exp.toml", "a'b.toml", 'a"b.toml', "$HOME.toml", "a}b.toml", "`date`;#.toml", "ä\\.toml"]
)
def test_odd_names_reach_the_shell_as_they_are(name: str) -> None:
    job = replace(QUICKSTART, experiment=name, environment=name, options=("--set", name))
    values = write(job).partition("\n# EDIT what the site")[0]
    shown = subprocess.run(
        ["bash", "-c", values + '\nprintf "%s\\n" "$EXPERIMENT" "$VENV" "${options[@]}"'],
        capture_output=True, text=True, check=True, env={"HOME": "/h"},
    )  # fmt: skip
    assert shown.stdout.splitlines() == [name, name, "--set", name]


def test_layout_and_array_are_in_the_directives() -> None:
    job = replace(QUICKSTART, layout=Layout(3, 4, 10), threads=2, seeds="0-8:2")
    text = write(job)
    assert "#PBS -l select=3:ncpus=8:mpiprocs=4" in directives(text)
    assert "#PBS -J 0-8:2" in directives(text)
    assert "\nRANKS=${RANKS:-} " in text and "\nTHREADS=${THREADS:-2} " in text


def shell_scripts() -> list[str]:
    found = [
        file for folder in ("scripts", ".ci", "pbs", "slurm") for file in sorted((ROOT / folder).iterdir())
    ]
    return [
        str(file.relative_to(ROOT))
        for file in found
        if file.is_file() and (file.suffix == ".sh" or file.read_text().startswith(SHELL))
    ]


def test_shell_scripts_are_clean() -> None:
    shellcheck = shutil.which("shellcheck")
    if shellcheck is None:
        pytest.skip("shellcheck is not installed (it comes with the extra `test`)")
    found = shell_scripts()
    assert {"scripts/test", ".ci/run", "pbs/generic.pbs", "slurm/generic.sbatch"} <= set(found)
    checked = subprocess.run([shellcheck, "-f", "gcc", *found], cwd=ROOT, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout
