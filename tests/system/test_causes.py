"""A cause is never hidden: whatever one rank raises, wherever, ends the job with its type and text."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mpidcl.launch.mpiexec import find_mpiexec, settings

pytest.importorskip("mpi4py")
pytestmark = pytest.mark.timeout(900)

Mpidcl = Callable[..., "subprocess.CompletedProcess[str]"]

RAISING = """
import os
from mpidcl.learning.gradient.learner import GradientLearner
from mpidcl.learning.terms.replay import Replay
from mpidcl.record import checkpoint
from mpidcl.stream.datasets.digits import Digits

def patch(owner, name, place):
    before = getattr(owner, name)
    def raising(*args, **kwargs):
        here(place)
        return before(*args, **kwargs)
    setattr(owner, name, raising)

def here(place):
    if place == PLACE and os.environ.get("OMPI_COMM_WORLD_RANK", "1") == "1":
        raise ERROR

here("import")
patch(Digits, "load", "reader")
patch(GradientLearner, "learn", "learner")
patch(checkpoint, "write_bytes", "writer thread")

class Term(Replay):
    pass
"""
CASES = [
    ("import", 'SystemExit("needs foo")'),
    ("reader", 'BrokenPipeError("needs foo")'),
    ("learner", 'KeyboardInterrupt("needs foo")'),
]


def raising(folder: Path, place: str, error: str) -> tuple[str, ...]:
    """Write the user's module; the words that use it."""
    text = RAISING.replace("PLACE", repr(place)).replace("ERROR", error)
    (folder / "raising_module.py").write_text(text)
    return "--set", 'learning.terms=["raising_module:Term"]', "--set", "agents=2"


def check_cause(said: str, place: str, error: str) -> None:
    assert said.count(error.replace('("', ": ").rstrip('")')) == 1, said
    assert said.count("Traceback") >= 1
    if place != "import":
        assert "This happened in agent" in said


@pytest.mark.parametrize(("place", "error"), CASES)
def test_one_rank_ends_the_job_with_its_cause(
    tmp_path: Path, tiny: Path, mpidcl: Mpidcl, place: str, error: str
) -> None:
    ended = mpidcl("run", tiny, "-q", *raising(tmp_path, place, error))
    assert ended.returncode == 70, ended.stderr
    check_cause(ended.stderr, place, error)
    assert f"mpidcl: rank 1 of 2 on {os.uname().nodename} failed" in ended.stderr


def test_one_rank_ends_a_bare_mpiexec_with_its_cause(
    tmp_path: Path, tiny: Path, job_free_environment: dict[str, str]
) -> None:
    case = "import", 'EOFError("needs foo")'
    words = raising(tmp_path, *case)
    mpiexec = find_mpiexec()
    environment = job_free_environment | settings(mpiexec, 1, tmp_path, job_free_environment)
    program = [sys.executable, "-m", "mpidcl", "run", str(tiny), "-q", *words]
    ended = subprocess.run(
        [mpiexec.path, "-n", "2", *program],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert ended.returncode == 70, ended.stderr
    check_cause(ended.stderr, *case)


def test_in_process_the_cause_is_shown(tmp_path: Path, tiny: Path, mpidcl: Mpidcl) -> None:
    case = "writer thread", 'SystemExit("needs foo")'
    ended = mpidcl("run", tiny, "-q", "--driver", "inprocess", *raising(tmp_path, *case))
    assert ended.returncode == 70, ended.stderr
    check_cause(ended.stderr, *case)


def test_variables_of_a_launcher_that_were_inherited(tiny: Path, mpidcl: Mpidcl) -> None:
    leaked = {"PMI_RANK": "0", "PMI_SIZE": "1", "OMPI_COMM_WORLD_RANK": "0", "OMPI_COMM_WORLD_SIZE": "1"}
    leaked |= {
        "PMIX_RANK": "0",
        "PMIX_NAMESPACE": "gone@1",
        "PMIX_SERVER_URI4": "gone@0.0;tcp4://127.0.0.1:1",
    }
    leaked |= {"SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "1", "SLURM_STEP_ID": "0"}
    ended = mpidcl("run", tiny, "-q", "-n", "2", "--out", "launched", environment=leaked)
    assert (ended.returncode, ended.stderr) == (0, "")
    ended = mpidcl(
        "run", tiny, "-q", "--driver", "inprocess", "--out", "here", environment=leaked | {"PMI_SIZE": "4"}
    )
    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_signal_in_process_leaves_a_run_that_goes_on(
    tmp_path: Path, tiny: Path, job_free_environment: dict[str, str]
) -> None:
    words = ["--set", "learning.epochs=5000", "--set", "checkpoint.every=20 epochs", "-q"]
    job = subprocess.Popen(
        [sys.executable, "-m", "mpidcl", "run", str(tiny), "--driver", "inprocess", *words],
        cwd=tmp_path,
        env=job_free_environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    run = tmp_path / "runs/tiny"
    deadline = time.monotonic() + 240
    while not (cuts := list(run.glob("checkpoints/*/manifest.json"))):
        assert job.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    assert cuts
    job.send_signal(signal.SIGUSR1)
    _, said = job.communicate(timeout=240)
    assert job.returncode == 75
    asked, saved = said.splitlines()
    assert asked.startswith("mpidcl: SIGUSR1: all agents go on to task ")
    assert saved.startswith("mpidcl: stopped by SIGUSR1, saved at task ")
    assert not list(run.rglob("*.part"))
    assert list(run.glob("checkpoints/*/manifest.json"))


@pytest.mark.parametrize("started", [{}, {"OMPI_COMM_WORLD_RANK": "0", "OMPI_COMM_WORLD_SIZE": "1"}])
def test_no_mpi_library_is_one_message(tiny: Path, mpidcl: Mpidcl, started: dict[str, str]) -> None:
    ranks = () if started else ("-n", "2")
    ended = mpidcl("run", tiny, "-q", *ranks, environment={"MPI4PY_LIBMPI": "/none/libmpi.so"} | started)
    assert ended.returncode == 2, ended.stderr
    assert ended.stderr.count("mpi4py should find an MPI library. It says:") == 1
    assert "/none/libmpi.so: cannot open" in ended.stderr and "MPI4PY_LIBMPI=/path" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_srun_without_the_pmi_of_our_mpi_is_one_message(tiny: Path, mpidcl: Mpidcl) -> None:
    task = {"SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "4", "SLURM_STEP_ID": "0"}
    ended = mpidcl("run", tiny, "-q", environment=task)
    assert ended.returncode == 2, ended.stderr
    assert "started 4 ranks (SLURM_STEP_NUM_TASKS=4), but this rank found 1" in ended.stderr
    assert "srun --mpi=pmix" in ended.stderr and "srun --mpi=list" in ended.stderr
