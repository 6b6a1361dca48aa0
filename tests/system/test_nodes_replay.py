"""One replay buffer over two nodes with a network of 1 Gbit/s: however rows move, they are the same.

As a library, on small and large rows, and in a run. The nodes are emulated.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import emulated_nodes
import pytest
from emulated_nodes import Nodes
from run_bits import bits

from mpidcl.network.polls import MODES

pytest.importorskip("mpi4py")
pytestmark = pytest.mark.timeout(600)
LIMIT = 280
RANK = """
import sys, zlib
import numpy as np, torch
from mpi4py import MPI
from mpidcl.replay import GlobalReplay
comm, net = MPI.COMM_WORLD, torch.nn.Sequential(*[torch.nn.Linear(128, 128) for _ in range(8)])
for mode in ("auto", "none", "hooks", "thread"):
    digest = count = 0
    columns = {"x": ("float32", (100_000,)), "key": "int64"}
    with GlobalReplay(comm, columns, "40 rows", 8, seed=5, deadline=60, progress=mode) as replay:
        began = replay.progress
        with replay.poll_in(net):
            for step in range(12):
                rows, drawn = replay.wait()
                assert (rows["x"] == rows["key"][:, None]).all()
                digest, count = zlib.crc32(rows["key"].tobytes(), digest), count + drawn
                key = 100 * step + 10 * comm.rank + np.arange(6)
                replay.push({"x": np.repeat(key.astype("f")[:, None], 100_000, 1), "key": key})
                net(torch.ones(64, 128)).sum().backward()
        told = comm.allgather((MPI.Get_processor_name(), began, replay.progress, digest, count))
    if comm.rank == 0:
        assert len({host for host, *_ in told}) == comm.size == 2
        print("said", mode, *told[0][1:3], *(f"{digest}/{count}" for *_, digest, count in told))
"""


@pytest.fixture
def nodes(job_free_environment: dict[str, str]) -> Iterator[Nodes]:
    why = emulated_nodes.missing() or (None if shutil.which("tc") else "emulated nodes at a rate need tc")
    if why is not None:
        pytest.skip(why)
    with Nodes(2, rate="1gbit") as nodes:
        yield nodes


def on_both(nodes: Nodes, folder: Path, environment: dict[str, str], *words: str) -> str:
    """What a job with a rank on each node says."""
    command = [sys.executable, "-m", *words]
    found = nodes.run("node1", command, where=str(folder), timeout=LIMIT, environment=environment)
    assert found.returncode == 0, found.stdout + found.stderr
    return found.stdout


def test_the_rows_of_a_library(nodes: Nodes, tmp_path: Path, job_free_environment: dict[str, str]) -> None:
    (tmp_path / "rank.py").write_text(RANK)
    environment = job_free_environment | nodes.settings(1)
    words = ("mpidcl.launch", "2", str(LIMIT), "--", sys.executable, "rank.py")
    out = on_both(nodes, tmp_path, environment, *words)
    said = {line.split()[1]: line.split()[2:] for line in out.splitlines() if line.startswith("said")}
    assert {mode: tuple(words[:2]) for mode, words in said.items()} == {
        "auto": ("thread", "hooks"),  # hooks from when they are hung
        **{mode: (mode, mode) for mode in MODES},
    }
    digests = {tuple(words[2:]) for words in said.values()}
    assert len(digests) == 1
    assert all(int(one.split("/")[1]) == 8 * 10 for one in digests.pop())


@pytest.mark.long
def test_the_bits_of_a_run(
    nodes: Nodes, tmp_path: Path, job_free_environment: dict[str, str], mpidcl: Callable[..., object]
) -> None:
    """Hooks and a thread, which look while agents compute; two agents live on each node."""
    shutil.copy(Path(__file__).parents[2] / "examples/replay/one-memory.toml", tmp_path / "run.toml")
    short = ("run.toml", "--set", "learning.epochs=1", "--set", "stream.tasks=2")
    mpidcl("run", *short, "--driver", "inprocess", "--out", "alone")
    for mode in ("auto", "thread"):
        words = ("-n", "2", *short, "--set", f"memory.progress={mode}", "--out", mode)
        on_both(nodes, tmp_path, job_free_environment | nodes.settings(1), "mpidcl", "run", *words)
        assert bits(tmp_path / mode) == bits(tmp_path / "alone")
