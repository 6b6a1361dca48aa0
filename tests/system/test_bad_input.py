"""What a user can get wrong: one clear message, status 2, all ranks gone, nothing lost."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import CommandLine

from mpidcl.launch.mpiexec import find_mpiexec, settings
from mpidcl_kernels.base.cache import prepare

pytest.importorskip("mpi4py")

Start = Callable[..., tuple[int, str]]

PARAMETERS = """
[[exchange]]
kind = "parameters"
when = "before"
every = "2 epochs"
from_task = 0
"""
DATA = PARAMETERS.replace("parameters", "data").replace("before", "after")
BASE = """
name = "bad"
agents = 4
[stream]
dataset = "digits"
tasks = 2
train_per_class = 16
[learning]
epochs = 2
"""

WRONG: dict[str, tuple[str, list[str]]] = {
    "budget below the least": (
        BASE + '[network]\nbudget = "100 B"\n' + PARAMETERS,
        ["budget", "at least", "Found 100"],
    ),
    "answers over a one-way link": (
        BASE + '[network]\ntopology = "file"\nfile = "one-way.txt"\n' + DATA,
        ["exchange.0", "data", "link 0 -> 1", "both ways"],
    ),
    "models that cannot be averaged": (
        BASE + "[[agent]]\nids = [1]\nmodel = { width = 32 }\n" + PARAMETERS,
        ["agents", "0", "1", "tensor", "64", "32"],
    ),
    "data set not fetched": (
        BASE.replace("digits", "kmnist"),
        ["kmnist", "not on this machine", "mpidcl data fetch kmnist"],
    ),
    "edge list with a wrong line": (
        BASE + '[network]\ntopology = "file"\nfile = "broken.txt"\n',
        ["broken.txt", "line 2", "'0 9'"],
    ),
    "too few rows": (
        BASE.replace("train_per_class = 16", "train_per_class = 5000"),
        ["train", "train_per_class"],
    ),
}


@pytest.fixture(autouse=True)
def _nothing_fetched(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user who has fetched no data; kernels that this machine has compiled are there."""
    (tmp_path / "one-way.txt").write_text("0 1\n1 - 2\n2 - 3\n")
    (tmp_path / "broken.txt").write_text("0 - 1\n0 9\n")
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(prepare().parent))
    monkeypatch.setenv("MPIDCL_DATA", str(tmp_path))
    monkeypatch.setenv("MPIDCL_CACHE", str(tmp_path_factory.getbasetemp() / "decoded"))


@pytest.fixture
def start(tmp_path: Path, job_free_environment: dict[str, str]) -> Start:
    """Start a program in the test's folder; its exit status, and what it says."""
    names = ("NUMBA_CACHE_DIR", "MPIDCL_DATA", "MPIDCL_CACHE")
    environment = job_free_environment | {name: os.environ[name] for name in names}

    def run(*command: str) -> tuple[int, str]:
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=100
        )
        return done.returncode, done.stderr

    return run


@pytest.fixture
def in_process(here: CommandLine) -> Start:
    """`mpidcl run bad.toml --driver inprocess` with more words, in this process."""

    def run(*words: str) -> tuple[int, str]:
        done = here("run", "bad.toml", "--driver", "inprocess", *words)
        return done.returncode, done.stderr

    return run


def mpidcl(*words: str) -> list[str]:
    return [sys.executable, "-m", "mpidcl", *words]


@pytest.mark.parametrize("name", WRONG)
def test_wrong_experiments_are_refused_in_process_and_over_mpi(
    tmp_path: Path, in_process: Start, start: Start, name: str
) -> None:
    text, words = WRONG[name]
    (tmp_path / "bad.toml").write_text(text)
    for status, said in (in_process(), start(*mpidcl("run", "bad.toml", "-n", "2"))):
        assert status == 2, said
        assert "Traceback" not in said
        assert said.count("mpidcl:") == 1, said
        missing = [word for word in words if word not in said.replace("[[exchange]] ", "exchange.")]
        assert not missing, f"{missing} not in: {said}"


def test_a_mended_experiment_runs_where_the_wrong_one_was_refused(tmp_path: Path, in_process: Start) -> None:
    text, _ = WRONG["budget below the least"]
    (tmp_path / "bad.toml").write_text(text)
    assert in_process("-q")[0] == 2
    (tmp_path / "bad.toml").write_text(text.replace("100 B", "96 KiB"))
    status, said = in_process("-q")
    assert status == 0, said


def test_a_folder_of_another_experiment_is_refused_and_stays(tmp_path: Path, in_process: Start) -> None:
    (tmp_path / "bad.toml").write_text(BASE)
    assert in_process("-q")[0] == 0
    before = {p: p.read_bytes() for p in (tmp_path / "runs/bad").rglob("*") if p.is_file()}
    status, said = in_process("-q", "--set", "learning.lr=0.5")
    assert status == 2
    assert "learning.lr" in said and "0.5" in said and "0.001" in said and "--again" in said
    assert {p: p.read_bytes() for p in (tmp_path / "runs/bad").rglob("*") if p.is_file()} == before


def test_more_ranks_than_agents_under_a_bare_mpiexec(tmp_path: Path, start: Start) -> None:
    (tmp_path / "bad.toml").write_text(BASE.replace("agents = 4", "agents = 2"))
    mpiexec = find_mpiexec()
    environment = settings(mpiexec, 1, tmp_path, dict(os.environ))
    words = [f"{name}={value}" for name, value in environment.items()]
    status, said = start("env", *words, str(mpiexec.path), "-n", "3", *mpidcl("run", "bad.toml"))
    assert status == 2, said
    assert said.count("at most one rank per agent") == 1
    assert "Found 3 ranks" in said


def test_separate_groups_are_allowed_but_said(tmp_path: Path, in_process: Start) -> None:
    (tmp_path / "pairs.txt").write_text("0 - 1\n2 - 3\n")
    network = '[network]\ntopology = "file"\nfile = "pairs.txt"\n'
    (tmp_path / "bad.toml").write_text(BASE + network + PARAMETERS)
    status, said = in_process("-q")
    assert status == 0, said
    assert "between the 2 groups" in said


def test_a_folder_that_cannot_be_written(tmp_path: Path, in_process: Start, start: Start) -> None:
    (tmp_path / "bad.toml").write_text(BASE)
    out = ("-q", "--out", "bad.toml/run")
    for status, said in (in_process(*out), start(*mpidcl("run", "bad.toml", "-n", "2", *out))):
        assert (status, said.count("mpidcl:")) == (2, 1), said
        assert "`bad.toml/run` cannot be written" in said and "--out" in said


def test_a_full_disk_loses_nothing_that_was_saved(tmp_path: Path, in_process: Start, start: Start) -> None:
    """A limit on the size of files stands for the full disk."""
    (tmp_path / "bad.toml").write_text(BASE)
    assert in_process("-q", "--until", "1 task")[0] == 75
    run = mpidcl("run", "bad.toml", "-q", "--driver", "inprocess")
    status, said = start("sh", "-c", 'ulimit -f 16; exec "$@"', "sh", *run)
    assert (status, said.count("mpidcl:")) == (2, 1), said
    assert "cannot be written" in said and "checkpoints/000002/rank-0000.h5" in said
    assert "Traceback" not in said
    status, said = in_process("-q")
    assert status == 0, said


def test_versions_that_are_not_known_any_more_stop_no_run(tmp_path: Path, in_process: Start) -> None:
    (tmp_path / "bad.toml").write_text(BASE)
    assert in_process("-q", "--until", "1 task")[0] == 75
    (tmp_path / "runs/bad/environment.json").write_text("{")
    status, said = in_process("-q")
    assert status == 0, said


def test_until_a_time_that_is_over_says_so(tmp_path: Path, in_process: Start) -> None:
    (tmp_path / "bad.toml").write_text(BASE)
    assert in_process("-q", "--until", "1 task")[0] == 75
    status, said = in_process("-q", "--until", "1 epoch")
    assert status == 75
    assert "asked to stop at task 0.5, but it was already at task 1;" in said


def test_learning_that_diverges_is_said_once_per_agent(tmp_path: Path, in_process: Start) -> None:
    (tmp_path / "bad.toml").write_text(BASE.replace("agents = 4", "agents = 2"))
    status, said = in_process("-q", "--set", "learning.lr=1e30", "--set", "learning.optimizer=sgd")
    assert status == 0, said
    assert [said.count(f"agent {agent}: its parameters are no longer finite") for agent in (0, 1)] == [1, 1]
