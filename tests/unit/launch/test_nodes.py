"""What `launch` and its ranks do where they have no files in common: on several nodes, or a full disk."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mpidcl.errors import EXIT_FAILED
from mpidcl.launch import job, rank
from mpidcl.launch import start as launch
from mpidcl.launch.mpiexec import Mpiexec, settings
from mpidcl.launch.start import START_S, TAKE_S

OPEN_MPI = Mpiexec("/venv/bin/mpiexec", "Open MPI", from_wheel=True)
SIGN = Path("/no/sign")
SLEEP = ["sleep", "600"]


def test_ranks_are_spread_over_nodes_that_keep_nothing() -> None:
    found = settings(OPEN_MPI, 1, Path("/job"), {})
    assert found["PRTE_MCA_rmaps_default_mapping_policy"] == "slot:oversubscribe"
    assert [name for name, value in found.items() if value == "/job"] == ["PRTE_MCA_prte_local_tmpdir_base"]


def test_a_rank_that_does_not_see_the_jobs_folder_speaks_itself_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(job.STATUS_FILE, str(tmp_path / "elsewhere/status"))
    monkeypatch.setattr(rank.time, "sleep", lambda seconds: pytest.fail("nobody will answer"))
    assert rank._tell(EXIT_FAILED, "rank 1 on node2 failed") == rank.TOLD
    assert capsys.readouterr().err == "rank 1 on node2 failed\n"


def test_what_a_rank_has_said_is_not_said_again(capsys: pytest.CaptureFixture[str]) -> None:
    """It has claimed to speak, and nobody came: a network file system showed its file too late."""
    with job.job_folders() as own:
        job.claim(own.status, EXIT_FAILED, "failed")
        assert launch._verdict("over", rank.TOLD + EXIT_FAILED, own.status, SIGN) == EXIT_FAILED
        assert capsys.readouterr().err == ""
        assert launch._verdict("failed", rank.TOLD + EXIT_FAILED, own.status, SIGN) == EXIT_FAILED
        assert capsys.readouterr().err == "failed\n"


def test_a_sign_ends_an_mpiexec_that_waits_for_a_lost_node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(launch, "GRACE_S", 0.1)
    with job.job_folders() as own, subprocess.Popen(SLEEP) as mpiexec:
        monkeypatch.setenv(job.STATUS_FILE, "/not/here/status")
        monkeypatch.setenv(job.SIGN_FILE, str(own.sign))
        assert rank._tell(EXIT_FAILED, "rank 1 waits for a lost node") == rank.TOLD
        ended = launch._watch(mpiexec, own.status, [], None, own.sign)
        launch._end(mpiexec, own.status)
        assert launch._verdict(ended, -15, own.status, own.sign) == EXIT_FAILED
    assert list(tmp_path.iterdir()) == []


def test_a_failure_while_it_stops_is_a_failure(tmp_path: Path) -> None:
    mpiexec = subprocess.Popen(["sh", "-c", f"exit {rank.TOLD + EXIT_FAILED}"])
    ended = launch._watch(mpiexec, tmp_path / "status", [signal.SIGTERM], None, SIGN)
    assert launch._verdict(ended, mpiexec.returncode, tmp_path / "status", SIGN) == EXIT_FAILED


def test_ranks_on_other_machines_are_asked_through_mpiexec(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with subprocess.Popen(SLEEP) as mpiexec:
        assert launch._pass_on(mpiexec, tmp_path / "status", signal.SIGTERM, START_S) == math.inf
        assert mpiexec.wait() == -signal.SIGUSR1
    assert "SIGTERM: the ranks are on other machines" in capsys.readouterr().err


@pytest.mark.parametrize("age", [0.0, START_S - 1, START_S + 1])
def test_ranks_here_are_asked_once_they_have_begun(tmp_path: Path, age: float) -> None:
    environment = {**os.environ, job.STATUS_FILE: str(tmp_path / "status"), "OMPI_COMM_WORLD_RANK": "0"}
    with subprocess.Popen(SLEEP) as mpiexec:
        assert launch._pass_on(mpiexec, tmp_path / "status", signal.SIGTERM, 0.0) == 0.0  # too early
        with subprocess.Popen(SLEEP, env=environment) as one:
            while not launch.ranks_of(tmp_path / "status"):
                assert one.poll() is None  # its environment shows a moment after it has begun
            assert launch._pass_on(mpiexec, tmp_path / "status", signal.SIGTERM, age) == 0.0
            job.ready(tmp_path / "status").touch()
            assert launch._pass_on(mpiexec, tmp_path / "status", signal.SIGTERM, age) == TAKE_S
            assert one.wait() == -signal.SIGTERM
        assert mpiexec.poll() is None
        mpiexec.kill()


def test_an_abort_that_hangs_ends_the_rank() -> None:
    code = (
        "import sys, time, types, signal\n"
        "from mpidcl.launch import rank\n"
        "rank.ABORT_S = 1\n"
        "comm = types.SimpleNamespace(Abort=lambda code: time.sleep(600))\n"
        "fake = types.ModuleType('mpi4py.MPI'); fake.COMM_WORLD = comm\n"
        "mpi4py = types.ModuleType('mpi4py'); mpi4py.MPI = fake\n"
        "sys.modules.update({'mpi4py': mpi4py, 'mpi4py.MPI': fake})\n"
        "signal.signal(signal.SIGALRM, signal.SIG_IGN)\n"
        "rank.fail(ValueError('x'))\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != job.STATUS_FILE}
    ended = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, timeout=120)
    assert ended.returncode == -signal.SIGALRM and b"ValueError: x" in ended.stderr
