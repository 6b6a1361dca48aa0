"""One experiment gives the same bits in process and over MPI, at any number of ranks, stopped or not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from run_bits import bits

pytest.importorskip("mpi4py")

COMMON = """
seed = 3
[network]
topology = "TOPOLOGY"
[stream]
dataset = "digits"
tasks = 3
classes_per_task = 2
replacement = true
train_per_class = 16
validation_per_class = 8
joint_tasks = 2
[learning]
epochs = 4
batch = 16
[evaluation]
every = 2
"""
PARAMETERS = """
[[exchange]]
kind = "parameters"
when = "before"
every = "2 epochs"
"""
DATA = """
[[exchange]]
kind = "data"
when = "after"
every = "2 epochs"
choose = "hard-examples"
queries = 3
neighbours = 2
pixels = "float32"
"""
MAIL = (
    """
[clock]
kind = "virtual"
away = 0.2
absence = "2 s"
[network.conditions]
latency = "600 ms"
bandwidth = "20 kB/s"
jitter = "2 s"
loss = "20 %"
burst = 3.0
[[exchange]]
kind = "parameters"
when = "after"
every = "1 epoch"
silent = "newest"
"""
    + DATA
)
UNEVEN = """
[[agent]]
ids = [1, 2]
clock = { rate = 0.4 }
"""
# other task lengths: fewer epochs, more epochs, fewer tasks
UNEQUAL = """
[[agent]]
ids = [0]
learning = { epochs = 6 }
[[agent]]
ids = [1]
learning = { epochs = 3 }
[[agent]]
ids = [2]
stream = { tasks = 2, joint_tasks = 1 }
"""


def experiment(folder: Path, name: str, agents: int, topology: str, *parts: str) -> Path:
    file = folder / f"{name}.toml"
    text = f'name = "{name}"\nagents = {agents}\n' + COMMON.replace("TOPOLOGY", topology) + "".join(parts)
    file.write_text(text)
    return file


@pytest.fixture
def run(tmp_path: Path, job_free_environment: dict[str, str]) -> Any:
    def run_it(file: Path, out: str, *words: str, status: int = 0) -> Path:
        command = [sys.executable, "-m", "mpidcl", "run", str(file), "-q", "--out", out, *words]
        environment = job_free_environment | {"MPIDCL_DEBUG": "1"}
        ended = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=400
        )
        assert ended.returncode == status, ended.stdout + ended.stderr
        return tmp_path / out

    return run_it


@pytest.mark.parametrize(
    ("name", "agents", "topology", "parts", "ranks"),
    [
        ("eight", 8, "random", (PARAMETERS, DATA, UNEQUAL), (1, 3, 8)),
        # three agents with three task lengths on a ring: link by link their meetings would wait in a circle
        ("circle", 3, "ring", (PARAMETERS, UNEQUAL), (2, 3)),
    ],
)
@pytest.mark.timeout(900)
def test_any_number_of_ranks_gives_the_bits_of_one_process(
    tmp_path: Path,
    run: Any,
    name: str,
    agents: int,
    topology: str,
    parts: tuple[str, ...],
    ranks: tuple[int, ...],
) -> None:
    file = experiment(tmp_path, name, agents, topology, *parts)
    oracle = bits(run(file, "inprocess", "--driver", "inprocess"))
    for n in ranks:
        assert bits(run(file, f"mpi-{n}", "-n", str(n))) == oracle, f"{n} ranks"


@pytest.mark.timeout(900)
def test_stopped_anywhere_and_resumed_is_never_stopped(tmp_path: Path, run: Any) -> None:
    file = experiment(tmp_path, "stops", 4, "complete", PARAMETERS, DATA, UNEQUAL)
    whole = bits(run(file, "whole", "--driver", "inprocess"))
    for number, stop in enumerate(("2 tasks", "11 epochs")):
        out = f"stopped-{number}"
        run(file, out, "--driver", "inprocess", "--until", stop, status=75)
        assert not (tmp_path / out / "summary.json").exists()
        # gone on with by the other driver, and by another number of ranks
        assert bits(run(file, out, "-n", "2")) == whole, stop
    run(file, "thrice", "-n", "4", "--until", "6 epochs", status=75)
    run(file, "thrice", "-n", "4", "--until", "9 epochs", status=75)
    run(file, "thrice", "-n", "3", "--until", "10 epochs", status=75)
    assert bits(run(file, "thrice", "-n", "4")) == whole


@pytest.mark.timeout(900)
def test_by_mail_a_stop_between_any_ticks_changes_nothing(tmp_path: Path, run: Any) -> None:
    """Frames are on their way, questions not answered, lines busy and agents away when it stops."""
    file = experiment(tmp_path, "stops", 5, "ring", MAIL, UNEVEN, '[checkpoint]\nevery = "3 epochs"\n')
    whole = bits(run(file, "whole", "--driver", "inprocess"))
    run(file, "stopped", "-n", "2", "--until", "4.5 s", status=75)
    run(file, "stopped", "--driver", "inprocess", "--until", "7 s", status=75)
    run(file, "stopped", "-n", "3", "--until", "11.23 s", status=75)
    assert bits(run(file, "stopped", "-n", "5")) == whole


@pytest.mark.timeout(600)
def test_killed_in_the_middle_and_resumed_is_never_stopped(
    tmp_path: Path, run: Any, job_free_environment: dict[str, str]
) -> None:
    file = experiment(tmp_path, "killed", 4, "ring", PARAMETERS)
    longer = ["--set", "stream.tasks=12", "--set", "learning.epochs=30", "--set", "stream.joint_tasks=0"]
    whole = bits(run(file, "whole", "--driver", "inprocess", *longer))
    command = [sys.executable, "-m", "mpidcl", "run", str(file), "-q", "--out", "killed", *longer]
    job = subprocess.Popen(command, cwd=tmp_path, env=job_free_environment, stderr=subprocess.DEVNULL)
    checkpoints = tmp_path / "killed" / "checkpoints"
    deadline = time.monotonic() + 300
    while len(list(checkpoints.glob("*/manifest.json"))) < 2:
        assert time.monotonic() < deadline and job.poll() is None, "no checkpoint to be killed after"
        time.sleep(0.005)
    ranks = [pid for pid in _ranks(str(file)) if pid != job.pid]
    assert len(ranks) >= 4
    for pid in ranks:
        os.kill(pid, signal.SIGKILL)
    assert job.wait(timeout=30) == 70
    assert not (tmp_path / "killed" / "summary.json").exists(), "it was over before it was killed"
    assert bits(run(file, "killed", *longer)) == whole


def _ranks(word: str) -> list[int]:
    """Python processes with `word` in their command line."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = entry.read_bytes().split(b"\0")
        except OSError:
            continue
        if word.encode() in words and b"mpiexec" not in words[0] and b"prterun" not in words[0]:
            found.append(int(entry.parent.name))
    return found
