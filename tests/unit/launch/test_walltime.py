"""When the time is over: as it is said, and as stand-ins of squeue and qstat tell it."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from mpidcl.errors import ExperimentError
from mpidcl.experiment.units import parse_walltime
from mpidcl.launch.walltime import given, of_job

QSTAT = """Job Id: 12.server
    Job_Name = mpidcl
    job_state = R
    Resource_List.ncpus = 4
    Resource_List.walltime = 01:00:00
    stime = {stime}
    Variable_List = PBS_O_HOME=/root,
\tPBS_O_SHELL=/bin/bash
"""


@pytest.fixture(autouse=True)
def no_job(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("SLURM_JOB_ID", "SLURM_JOB_END_TIME", "PBS_JOBID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")


def program(folder: Path, name: str, text: str, status: int = 0) -> None:
    (folder / f"{name}.said").write_text(text)
    path = folder / name
    path.write_text(
        f'#!/bin/sh\necho "$@" >"{folder}/{name}.asked"\ncat "{folder}/{name}.said"\nexit {status}\n'
    )
    path.chmod(0o755)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("55 min", 3300), ("00:00:30", 30), ("1:30:00", 5400), ("10-00:00:01", 864001)],
)
def test_a_time_is_read_as_users_and_batch_systems_write_it(text: str, seconds: float) -> None:
    assert parse_walltime(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "0 s", "0:00:00", "1:30", "1:99:00", "-5 min", "90", "5 minutes", "nan", "1e99 h"]
)
def test_what_is_no_time_is_said(text: str) -> None:
    with pytest.raises(ExperimentError, match=r"--walltime should be a time with its unit"):
        given(text)


def test_what_is_given_counts_from_now_and_can_be_nothing() -> None:
    end = given("2 h")
    assert end is not None and 7140 < end.at - time.monotonic() <= 7200
    assert str(end).endswith(" (--walltime 2 h)")
    earlier = given("2 h", time.time() - 600)
    assert earlier is not None and 6540 < earlier.at - time.monotonic() <= 6600
    assert given("none") is None and of_job({}) is None


def left(environment: dict[str, str]) -> float:
    end = of_job(environment)
    assert end is not None
    return end.at - time.monotonic()


def test_slurm_tells_it_in_the_environment_or_when_asked(tmp_path: Path) -> None:
    said = {"SLURM_JOB_ID": "7", "SLURM_JOB_END_TIME": str(int(time.time()) + 1000)}
    assert 940 < left(said) <= 1000
    for text, seconds in {"1-00:00:05": 86405, "2:03:04": 7384, "9:59": 599}.items():
        program(tmp_path, "squeue", text + "\n")
        assert seconds - 60 < left({"SLURM_JOB_ID": "7"}) <= seconds
    assert (tmp_path / "squeue.asked").read_text() == "--noheader --job 7 --format %L\n"
    program(tmp_path, "squeue", "UNLIMITED\n")
    assert of_job({"SLURM_JOB_ID": "7"}) is None


def test_an_end_that_has_passed_is_asked_for_again(tmp_path: Path) -> None:
    """The job was given more time; or it is over, and its variables were inherited."""
    passed = {"SLURM_JOB_ID": "7", "SLURM_JOB_END_TIME": "1000"}
    program(tmp_path, "squeue", "10:00\n")
    assert 540 < left(passed) <= 600
    program(tmp_path, "squeue", "0:00\n")
    assert of_job(passed) is None


@pytest.mark.parametrize("name", ["stime", "start_time"])
def test_pbs_tells_it_by_start_and_length(tmp_path: Path, name: str) -> None:
    began = time.asctime(time.localtime(time.time() - 600))
    program(tmp_path, "qstat", QSTAT.format(stime=began).replace("stime", name))
    assert 2940 < left({"PBS_JOBID": "12.server"}) <= 3001
    assert (tmp_path / "qstat.asked").read_text() == "-f 12.server\n"


def test_torque_tells_what_remains_and_a_queue_may_have_no_limit(tmp_path: Path) -> None:
    program(tmp_path, "qstat", "Job Id: 12\n    Walltime.Remaining = 777\n")
    assert 710 < left({"PBS_JOBID": "12"}) <= 777
    program(tmp_path, "qstat", "Job Id: 12\n    job_state = R\n")
    assert of_job({"PBS_JOBID": "12"}) is None


@pytest.mark.parametrize(
    ("variable", "name", "text", "status", "says"),
    [
        ("SLURM_JOB_ID", "squeue", "INVALID", 0, 'found "INVALID"'),
        ("SLURM_JOB_ID", "squeue", "", 0, 'found ""'),
        ("PBS_JOBID", "qstat", "", 35, "status 35"),
        ("PBS_JOBID", "qstat", "    Resource_List.walltime = 01:00:00\n", 0, "found no `stime`"),
        ("PBS_JOBID", "qstat", QSTAT.format(stime="Freitag"), 0, "found no `stime`"),
    ],
)
def test_a_batch_system_that_does_not_answer_stops_nothing(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    variable: str,
    name: str,
    text: str,
    status: int,
    says: str,
) -> None:
    program(tmp_path, name, text, status)
    assert of_job({variable: "7"}) is None
    said = capsys.readouterr().err
    assert "should tell when this job ends" in said and says in said and "--walltime" in said


def test_a_node_without_the_program(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert of_job({"PBS_JOBID": "7"}) is None
    assert "`qstat -f 7` should tell when this job ends" in capsys.readouterr().err
