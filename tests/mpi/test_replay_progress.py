"""Rows that are moved while a step computes: the same rows however, and threads that end in time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import torch
from combine_fakes import drive
from mpi4py import MPI
from replay_fakes import FORMS, Life

from mpidcl.errors import ReplayError
from mpidcl.memory.replay.shared import SharedReplay
from mpidcl.network.polls import MODES
from mpidcl.replay import GlobalReplay

COMM = MPI.COMM_WORLD
LARGE = {"x": ("float32", (40_000,)), "key": "int64"}
"""Rows of 160 kB, which MPI sends only when their reader is ready."""


def movers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "mpidcl mover"]


def drawn(mode: str) -> list[list[int]]:
    """Keys of all rows that came, each whole."""
    net, found = torch.nn.Linear(50, 50), []
    with GlobalReplay(COMM, LARGE, "30 rows", 6, seed=3, deadline=40, progress=mode) as replay:
        with replay.poll_in(net):
            for step in range(12):
                rows, _ = replay.wait()
                assert (rows["x"] == rows["key"][:, None]).all()
                found.append(rows["key"].tolist())
                keys = 100 * step + 10 * COMM.rank + np.arange(3)
                x = np.repeat(keys.astype(np.float32)[:, None], 40_000, 1)
                replay.push({"x": x, "key": keys})
                net(torch.ones(20, 50)).sum().backward()
                time.sleep(0.002 * (1 + COMM.rank))
        assert replay.progress == mode
        assert bool(movers()) == (mode == "thread")
    assert not movers()
    return found


def test_rows_are_the_same_however_they_move():
    every = [drawn(mode) for mode in MODES]
    assert every[0] == every[1] == every[2]
    assert sum(map(len, every[0])) >= 6 * 9


@pytest.mark.parametrize("name", FORMS)
def test_agents_of_a_driver_with_a_thread_draw_the_same(name):
    def life(agent):
        return Life(SharedReplay(FORMS[name], 4, agent)).steps(15)

    assert drive(life, 4, thread=True) == drive(life, 4)
    assert not movers()


def test_on_one_machine_nobody_helps_until_hooks_do():
    with GlobalReplay(COMM, LARGE, "30 rows", 6, deadline=40) as replay:
        assert replay.progress == "none" and not movers()
        hung = replay.poll_in(torch.nn.Linear(2, 2))
        assert replay.progress == ("none" if COMM.size == 1 else "hooks")
        hung.remove()
    with GlobalReplay(COMM, LARGE, "30 rows", 6, deadline=40, progress="none") as replay:
        replay.poll_in(torch.nn.Linear(2, 2))
        assert replay.progress == "none"


def test_between_machines_a_thread_helps_until_hooks_do(monkeypatch):
    monkeypatch.setattr("socket.gethostname", lambda: f"node{COMM.rank}")
    with GlobalReplay(COMM, LARGE, "30 rows", 6, deadline=40) as replay:
        alone = COMM.size == 1
        assert replay.progress == ("none" if alone else "thread") and bool(movers()) != alone
        hung = replay.poll_in(torch.nn.Linear(2, 2))
        assert replay.progress == ("none" if alone else "hooks") and not movers()
        hung.remove()
        replay.poll()


def test_all_ranks_hear_of_a_progress_that_cannot_be(monkeypatch):
    with pytest.raises(ReplayError, match="`progress` should be one of auto, none, .* Found 'often'"):
        GlobalReplay(COMM, LARGE, "30 rows", 6, progress="often")
    monkeypatch.setattr(MPI, "Query_thread", lambda: MPI.THREAD_SERIALIZED)
    with pytest.raises(ReplayError, match="MPI_THREAD_MULTIPLE, .* Found MPI_THREAD_SERIALIZED"):
        GlobalReplay(COMM, LARGE, "30 rows", 6, progress="thread")


def test_the_benchmark_says_what_it_takes(monkeypatch, tmp_path):
    """With few and small rows, and steps that take no time."""
    from mpidcl.benchmarks.replay import rate as rates
    from mpidcl.benchmarks.replay import start, step

    size = step.Size((4,), 8, 6, 40, 3)
    for name, value in (("SIZES", (size,)), ("LOCAL", (size,)), ("STEP_S", 1e-4)):
        monkeypatch.setattr(step, name, value)
    monkeypatch.setattr(start, "SIZES", (size,))
    for name, value in (("BATCH", 8), ("HELD", 40), ("STEPS", 3)):
        monkeypatch.setattr(rates, name, value)
    lines = tmp_path / "lines"
    for part in (start.start, step.steps, step.alone):
        part(lines)
    if COMM.rank:
        return
    begun, *across, rate, alone = map(json.loads, lines.read_text().splitlines())
    assert 0 < begun["made_ms"] <= begun["first_row_ms"] and begun["share_MB"] > 0
    assert [one["progress"] for one in across] == list(MODES)
    for one in across:
        assert (one["ranks"], one["row_bytes"], one["draw"]) == (COMM.size, 16, 6)
        assert one["wait_ms"] >= 0 and one["push_ms"] > 0 and one["transfer_ms"] > 0
        assert (one["sent_bytes"] > 0) == (COMM.size > 1)
    assert rate["all_rows_s"] >= rate["rows_s"] > 0 and (rate["held"], rate["batch"]) == (40, 8)
    assert alone["rows_s"] > 0 and alone["held"] == 40


ENDS = """
import mpi4py, sys
from mpi4py import MPI
from mpidcl.network.mpi.mover import Mover
request = MPI.COMM_SELF.Irecv(bytearray(8), 0, 5)  # is never sent
mover = Mover(request.Test, lambda: True)
mover.begin()
how = sys.argv[1]
if how == "finalize":
    MPI.COMM_SELF.Send(bytearray(8), 0, 5)
    MPI.Finalize()
    assert not mover._thread.is_alive()
    mover.close()
elif how == "close":
    mover.close()
    mover.close()
    assert not mover._thread.is_alive()
elif how == "raise":
    raise SystemExit(3)
print("ended")
"""


@pytest.mark.skipif(COMM.size > 1, reason="starts processes that are alone")
@pytest.mark.parametrize(("how", "status"), [("exit", 0), ("finalize", 0), ("close", 0), ("raise", 3)])
def test_a_thread_never_outlives_mpi_nor_keeps_a_process(how, status):
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("OMPI_COMM", "PMIX_", "PRTE_"))}
    found = subprocess.run(
        [sys.executable, "-c", ENDS, how], capture_output=True, text=True, timeout=50, env=environment
    )
    assert found.returncode == status, found.stderr
    assert not found.stderr and ("ended" in found.stdout) == (status == 0)


@pytest.mark.skipif(COMM.size > 1, reason="one process is enough")
def test_what_goes_wrong_in_the_thread_is_kept():
    from mpidcl.network.mpi.mover import Mover

    def fail():
        raise ValueError("no more")

    mover = Mover(fail, lambda: True)
    mover.begin()
    while mover.error is None:
        time.sleep(0.001)
    mover.close()
    assert str(mover.error) == "no more"
