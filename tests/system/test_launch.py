"""The real mpiexec with small programs: exit statuses, failures, kills and Ctrl-C; nothing is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from mpidcl.launch.ending import STOP_SIGNALS
from mpidcl.launch.job import PREFIX
from mpidcl.launch.mpiexec import find_mpiexec, settings

pytest.importorskip("mpi4py")
pytestmark = pytest.mark.timeout(500)
LIMIT = 120
"""Seconds after which something hangs, also on a machine that does much else."""

RANKS = 3
RANK = """
import os, signal, sys, time
from mpidcl.errors import DataError
from mpidcl.launch.rank import run_rank
from mpidcl.base.rank_variables import rank_and_size
def body():
    open(os.environ["TEST_FOLDER"] + f"/{os.getpid()}", "w").close()
    rank = rank_and_size()[0]
    while len(os.listdir(os.environ["TEST_FOLDER"])) < rank_and_size()[1]:
        time.sleep(0.01)
    BODY
run_rank(body)
"""
SLEEP = "time.sleep(600)"


class Job:
    """A launched job and the process ids of its ranks (each leaves a file named after itself)."""

    def __init__(self, body: str, folder: Path, environment: dict[str, str], limit: Sequence[str]) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, "-m", "mpidcl.launch", str(RANKS), *limit, "--"]
            + [sys.executable, "-c", RANK.replace("BODY", body)],
            env=environment | {"TEST_FOLDER": str(folder)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def ranks(self) -> list[int]:
        """Process ids of the ranks once all have started."""
        deadline = time.monotonic() + LIMIT
        while len(found := list(self.folder.iterdir())) < RANKS:
            assert time.monotonic() < deadline, "the ranks did not start"
            time.sleep(0.02)
        return [int(path.name) for path in found]

    def mpiexec(self) -> int:
        """Process id of the mpiexec that the launcher has started."""
        own = self.process.pid
        (child,) = Path(f"/proc/{own}/task/{own}/children").read_text().split()
        return int(child)

    def end(self, timeout: float = LIMIT) -> tuple[int, str, str]:
        out, err = self.process.communicate(timeout=timeout)
        return self.process.returncode, out, err


Start = Callable[..., Job]


@pytest.fixture
def start(tmp_path: Path, job_free_environment: dict[str, str]) -> Start:
    def start_job(body: str, *limit: str) -> Job:
        return Job(body, tmp_path, job_free_environment, limit)

    return start_job


def assert_gone(pids: list[int], within_s: float = 60) -> None:
    deadline = time.monotonic() + within_s
    while alive := [pid for pid in pids if _running(pid)]:
        assert time.monotonic() < deadline, f"ranks left behind: {alive}"
        time.sleep(0.05)


def _running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("code", [0, 2, 75])
def test_agreed_status_comes_through_quietly(start: Start, code: int) -> None:
    job = start(f"return {code}")
    assert job.end() == (code, "", "")


def test_one_raising_rank_ends_all_with_its_traceback_once(start: Start) -> None:
    job = start(f"if rank == 1: raise ValueError('boom')\n    {SLEEP}")
    code, _, err = job.end()
    assert code == 70
    assert err.count("Traceback") == err.count("ValueError: boom") == 1
    assert f"rank 1 of {RANKS} on {os.uname().nodename} failed" in err
    assert_gone(job.ranks())


def test_wrong_input_on_all_ranks_is_said_once(start: Start) -> None:
    code, _, err = start("raise DataError('no such file')").end()
    assert code == 2
    assert err.count("no such file") == 1
    assert "Traceback" not in err


def test_killed_rank_ends_all(start: Start) -> None:
    job = start(SLEEP)
    ranks = job.ranks()
    os.kill(ranks[1], signal.SIGKILL)
    code, _, err = job.end()
    assert code == 70
    assert "a rank was killed by SIGKILL" in err or "mpiexec gave status 255" in err  # Intel MPI
    assert_gone(ranks)


@pytest.mark.parametrize("number", STOP_SIGNALS)
def test_stopping_ends_all_with_one_line(start: Start, number: int) -> None:
    job = start(SLEEP)
    ranks = job.ranks()
    job.process.send_signal(number)
    code, _, err = job.end()
    assert code == 75
    assert err.count("\n") == 1 and "goes on from the last checkpoint" in err
    assert_gone(ranks)


def test_ranks_that_ignore_everything_are_killed(start: Start) -> None:
    job = start(f"[signal.signal(n, signal.SIG_IGN) for n in (1, 2, 15)]; {SLEEP}")
    ranks = job.ranks()
    job.process.send_signal(signal.SIGTERM)
    assert job.end()[0] == 75
    assert_gone(ranks)


def test_no_orphans_when_mpiexec_is_killed(start: Start) -> None:
    job = start("\n    while True: pass")
    ranks = job.ranks()
    os.kill(job.mpiexec(), signal.SIGKILL)
    code, _, err = job.end()
    assert code == 70
    assert "mpiexec was killed by SIGKILL" in err
    assert_gone(ranks)


def test_time_limit(start: Start) -> None:
    job = start(SLEEP, "10")
    ranks = job.ranks()
    code, _, err = job.end()
    assert code == 70
    assert "time limit" in err
    assert_gone(ranks)


@pytest.mark.parametrize("code", [0, 2, 75])
def test_bare_mpiexec_gives_the_status_itself(
    code: int, tmp_path: Path, job_free_environment: dict[str, str]
) -> None:
    mpiexec = find_mpiexec()
    environment = job_free_environment | {"TEST_FOLDER": str(tmp_path)}
    environment |= settings(mpiexec, 1, tmp_path.parent, environment)
    program = [sys.executable, "-c", RANK.replace("BODY", f"return {code}")]
    ended = subprocess.run([mpiexec.path, "-n", "2", *program], env=environment, capture_output=True)
    assert ended.returncode == code


def test_ranks_that_do_not_find_each_other_are_an_error(job_free_environment: dict[str, str]) -> None:
    # what a rank sees when mpiexec belongs to another MPI than mpi4py: a size said, and a world of one
    environment = job_free_environment | {"PMI_RANK": "0", "PMI_SIZE": "4", "OMPI_MCA_btl": "^ofi,uct"}
    program = [sys.executable, "-c", "from mpidcl.launch.rank import run_rank; run_rank(lambda: 0)"]
    ended = subprocess.run(program, env=environment, capture_output=True, text=True)
    assert ended.returncode == 2
    assert "mpiexec started 4 ranks (PMI_SIZE=4), but this rank found 1" in ended.stderr


def test_ranks_see_no_terminal_when_the_job_writes_to_a_file(start: Start) -> None:
    code, out, _ = start("sys.stdout.write(f'{sys.stdout.isatty()}\\n')").end()
    assert (code, out.split()) == (0, ["False"] * RANKS)


def test_no_orphans_when_the_launcher_is_killed(start: Start) -> None:
    job = start("\n    while True: pass")
    ranks = job.ranks()
    job.process.kill()
    job.end()  # returns when the last rank has closed its output
    assert_gone(ranks)


def test_starts_beside_what_killed_mpiexecs_left(
    tmp_path: Path, job_free_environment: dict[str, str]
) -> None:
    # Open MPI 5 names its session folder by its process number and refuses to start where one lies
    for number in range(os.getpid() + 1, os.getpid() + 400):
        session = tmp_path / f"ompi.{number}"
        session.mkdir()
        (session / f"pmix.vm.tool.{number}").write_text("left behind\n")
    left = set(tmp_path.iterdir())
    program = [sys.executable, "-m", "mpidcl.launch", "2", "--", "true"]
    environment = job_free_environment | {"TMPDIR": str(tmp_path)}
    ended = subprocess.run(program, env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert set(tmp_path.iterdir()) == left  # and it leaves nothing itself


@pytest.mark.parametrize(("end", "code"), [("raise DataError('no such file')", 2), ("return 75", 75)])
def test_a_status_that_cannot_be_written_is_not_lost(start: Start, end: str, code: int) -> None:
    full = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))"  # stands for a full disk
    ended, _, err = start(f"{full}\n    {end}").end()
    assert ended == code, err
    assert err.count("no such file") == (code == 2)
    assert "Traceback" not in err and "mpidcl: a rank ended" not in err


def test_what_a_killed_job_left_is_removed_at_the_next_start(
    tmp_path: Path, job_free_environment: dict[str, str]
) -> None:
    folders = tmp_path / "pids", tmp_path / "tmp"
    for folder in folders:
        folder.mkdir()
    environment = job_free_environment | {"TMPDIR": str(folders[1])}
    job = Job("time.sleep(300)", folders[0], environment, ())
    ranks = job.ranks()
    os.kill(job.mpiexec(), signal.SIGSTOP)  # so that it cannot end the ranks when its parent dies
    mpiexec = job.mpiexec()
    job.process.kill()
    os.kill(mpiexec, signal.SIGKILL)
    (left,) = folders[1].glob(f"{PREFIX}*")
    memory = [one for one in Path("/dev/shm").glob(f"{PREFIX}*") if str(left) in (one / "owner").read_text()]
    if find_mpiexec().vendor == "Open MPI":  # ranks of others die with their mpiexec
        assert all(_running(pid) for pid in ranks)
    environment = job_free_environment | {"TMPDIR": str(folders[1])}
    program = [sys.executable, "-m", "mpidcl.launch", "1", "--", "true"]
    ended = subprocess.run(program, env=environment, capture_output=True, text=True, timeout=LIMIT)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert_gone(ranks)
    assert not [path for path in (left, *memory) if path.exists()]
    job.process.communicate(timeout=LIMIT)
