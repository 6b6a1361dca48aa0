"""One replay buffer across all ranks: rows, ranks that end, are late or differ, checkpoints."""

from __future__ import annotations

import gc
import time
import weakref
import zlib
from pathlib import Path

import numpy as np
import pytest
from combine_fakes import drive
from mpi4py import MPI
from replay_fakes import COLUMNS, FORMS, Life, batch, check, edited, lives, made

from mpidcl.base.rank_variables import RANK_VARIABLES, TORCHRUN
from mpidcl.errors import CombineError, DeadlockError, ReplayError
from mpidcl.memory.replay.shared import SharedReplay
from mpidcl.network.inprocess import InProcessDriver
from mpidcl.replay import GlobalReplay

COMM = MPI.COMM_WORLD
LAST = COMM.size - 1
AGENTS = 4
several = pytest.mark.skipif(COMM.size == 1, reason="ranks that differ")


def together() -> None:
    """All ranks, by polling: nobody is left in a call that another rank's failure would never end."""
    request, limit = COMM.Ibarrier(), time.monotonic() + 50
    while not request.Test():
        assert time.monotonic() < limit, "another rank did not come"
        time.sleep(0.001)


def library(form, comm=COMM, **keys):
    """The same buffer as a library."""
    settings = {
        "policy": form.policy,
        "label": form.label,
        "classes": form.classes,
        "balanced": form.balanced,
        "edits": form.edits,
    }
    return GlobalReplay(comm, COLUMNS, form.capacity, form.draws, deadline=40, **{**settings, **keys})


def in_process(form, agents: int, last: int, states=None) -> tuple[dict, dict]:
    """Digests and states of all agents in one process."""
    every = lives(form, agents, states)
    digests = InProcessDriver().drive({agent: life.steps(last) for agent, life in every.items()})
    return digests, {agent: life.replay.state() for agent, life in every.items()}


@pytest.mark.parametrize("name", FORMS)
def test_rows_are_those_of_one_process_also_after_a_stop(name):
    """Agents on any number of ranks go on from the states that one process has left."""
    form = FORMS[name]
    digests, states = in_process(form, AGENTS, 9)
    later, _ = in_process(form, AGENTS, 16, states)

    def life(agent):
        first = yield from Life(SharedReplay(form, AGENTS, agent)).steps(9)
        replay = SharedReplay(form, AGENTS, agent)
        replay.load({**states[agent], "number": 1000})
        return first, (yield from Life(replay).steps(16))

    for agent, found in drive(life, AGENTS).items():
        assert found == (digests[agent], later[agent])


@pytest.mark.parametrize("name", FORMS)
def test_a_library_gives_the_rows_of_one_process(name):
    """Each rank is an agent; what it draws has the digest of that agent's life."""
    form, digest = FORMS[name], 0
    with library(form) as replay:
        for step in range(14):
            rows, _ = replay.wait()
            check(rows, step)
            digest = zlib.crc32(rows["crc"].tobytes(), digest)
            given = edited(rows) if form.edits and (step + COMM.rank) % 3 else None
            replay.push(batch(COMM.rank, step), edits=given)
        stats = replay.stats()
    assert digest == in_process(form, COMM.size, 14)[0][COMM.rank]
    # one call for what is told, and at most a message for each row that was drawn here
    if not form.edits:
        assert stats.messages <= 2 + 14 + stats.sent_rows if COMM.size > 1 else stats.messages == 0


def test_a_rank_that_ends_early_serves_the_others():
    form, drawn = FORMS["reservoir"], []
    with library(form) as replay:
        for step in range(9 + 3 * COMM.rank):
            rows, count = replay.wait()
            check(rows, step)
            drawn.append(count)
            replay.push(batch(COMM.rank, step))
    assert drawn[7:] == [7] * (len(drawn) - 7)
    together()


def test_nearest_rows_of_all_ranks():
    """Every rank asks for a row of the next one, and gets it from there."""
    other = (COMM.rank + 1) % COMM.size
    with library(FORMS["reservoir"]) as replay:
        replay.push(made(100 * COMM.rank + np.arange(5)))
        found = replay.nearest(made([100 * other + 3])["x"], 2, "x", "euclidean")
        none = replay.nearest(None, 2, "x", "euclidean")
        replay.wait()
    assert found.rows["key"][0, 0] == 100 * other + 3 and found.rank[0, 0] == other
    check({name: column[0] for name, column in found.rows.items()}, 99)
    assert found.score[0, 0] == 0 and none.score.shape == (0, 2)


# --- a checkpoint ----------------------------------------------------------------------------------


def folder_of_all(tmp_path: Path, comm=COMM) -> Path:
    return Path(comm.bcast(str(tmp_path / "replay")))


@pytest.mark.parametrize("name", ["candidate per class", "class-balanced policy"])
def test_a_saved_buffer_goes_on_and_on_fewer_ranks_without_losing_a_row(name, tmp_path):
    form, folder = FORMS[name], folder_of_all(tmp_path)

    def go_on(replay, last):
        found = []
        while replay.step < last:
            rows, _ = replay.wait()
            check(rows, 99)
            found.append(rows["key"].tolist())
            replay.push(batch(COMM.rank, replay.step))
        return found

    with library(form) as replay:
        go_on(replay, 10)
        replay.save(folder)
        sizes, want = replay.sizes().sum(0), go_on(replay, 14)
    with library(form) as replay:
        replay.load(folder)
        assert go_on(replay, 14) == want
    part = COMM.Split(int(COMM.rank > LAST // 2), COMM.rank)
    if COMM.rank <= LAST // 2 < LAST:
        with library(form, part) as replay:
            replay.load(folder)
            assert np.array_equal(replay.sizes().sum(0), sizes)
            assert [len(keys) for keys in go_on(replay, 13)] == [0, *2 * [sum(form.draws)]]
    together()
    part.Free()


def test_a_damaged_part_is_told_by_all_ranks(tmp_path):
    folder = folder_of_all(tmp_path)
    with library(FORMS["reservoir"]) as replay:
        replay.push(made([COMM.rank]))
        replay.save(folder)
        if COMM.rank == 0:
            path = next(folder.glob(f"*rank-{LAST:04d}*"))
            path.write_bytes(path.read_bytes()[:-1])
        together()
        with pytest.raises(ReplayError, match=rf"rank {LAST}: .*rank-{LAST:04d}-0.h5` should have \d+ bytes"):
            replay.load(folder)
        replay.wait()


@pytest.mark.parametrize("closed", [True, False])
def test_rows_on_their_way_outlive_a_buffer_that_nobody_closed(closed):
    """MPI would fill memory that is somebody else's by then, or crash at the end of the program."""
    replay = GlobalReplay(COMM, {"x": ("float32", (50_000,))}, "40 rows", 8, deadline=40)
    for _ in range(3):
        replay.wait()
        replay.push({"x": np.zeros((4, 50_000), np.float32)})
    if closed:
        replay.close()
    holder = weakref.ref(replay._requests)
    del replay
    gc.collect()
    assert (holder() is None) == closed
    together()


@several
def test_ranks_that_save_to_different_folders_hear_of_it(tmp_path):
    """A folder that has a part of the buffer would be none to go on from."""
    with library(FORMS["reservoir"]) as replay:
        replay.push(made([COMM.rank]))
        with pytest.raises(ReplayError, match=rf"one folder that all ranks see.*no file of rank {LAST} in"):
            replay.save(folder_of_all(tmp_path) / ("other" if COMM.rank == LAST else "folder"))
        replay.wait()


@several
@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"k": 3}, "the same. Found k = 2, .* on rank 0 and k = 3, .* on rank {last}"),
        ({"metric": "euclidean"}, "the same. Found .* = cosine on rank 0 and .* = euclidean on rank {last}"),
        ({"k": 0}, "rank {last}: `k` should be a whole number"),
    ],
)
def test_ranks_that_ask_for_other_nearest_rows_hear_of_it_and_go_on(asked, words):
    with GlobalReplay(COMM, {"x": ("float32", (2,))}, "60 rows", 4, deadline=40) as replay:
        replay.push({"x": np.ones((3, 2), np.float32)})
        query = np.ones((COMM.rank, 2), np.float32)  # none on rank 0
        mine = {"k": 2, "column": "x", **(asked if COMM.rank == LAST else {})}
        with pytest.raises(ReplayError, match=words.format(last=LAST)):
            replay.nearest(query, **mine)
        found = replay.nearest(query, 2, "x")
        assert found.score.shape == (COMM.rank, 2) and (found.rank >= 0).all()


# --- ranks that differ, or do not come ----------------------------------------------------------------


@several
@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"columns": {"x": "float32"}}, "the same columns. Found key <i8 .* and x <f4"),
        ({"capacity": "61 rows"}, "the same capacity. Found 60 rows on rank 0 and 61 rows on rank {last}"),
        ({"seed": 1}, "the same seed. Found 0 on rank 0 and 1 on rank {last}"),
        ({"capacity": "nothing"}, "rank {last}: `capacity` should be a capacity"),
        ({"deadline": 0}, "rank {last}: `deadline` should be a number of seconds above 0. Found 0"),
    ],
)
def test_ranks_that_differ_are_named_at_the_start(keys, words):
    mine = {
        "columns": COLUMNS,
        "capacity": "60 rows",
        "draw": 7,
        "deadline": 40,
        **(keys if COMM.rank == LAST else {}),
    }
    with pytest.raises(ReplayError, match=words.format(last=LAST)):
        GlobalReplay(COMM, **mine)
    together()


@pytest.mark.parametrize("comm", [None, 5, MPI.COMM_NULL])
def test_what_is_no_communicator_is_refused(comm):
    with pytest.raises(CombineError, match="`comm` should be a communicator of mpi4py"):
        GlobalReplay(comm, {"x": "int64"}, "60 rows", 4)


@several
def test_after_an_error_nothing_waits_again():
    """Neither a request that follows nor `close`: the deadline has passed once."""
    replay = GlobalReplay(COMM, {"x": "int64"}, "60 rows", 4, deadline=0.5)
    if COMM.rank < LAST:
        replay.push(None)
        with pytest.raises(DeadlockError):
            replay.wait()
        with pytest.raises(CombineError, match="Nothing should be asked after an error"):
            replay.push(None)
        replay.close()
    together()


@several
@pytest.mark.parametrize("wanted", [False, True])
def test_a_rank_that_does_not_come_is_named(wanted):
    """Whether somebody waits for its rows or only to hear of it; who waits, too, is not named."""
    replay = GlobalReplay(COMM, {"x": "int64"}, "60 rows", 4, deadline=1.5)
    steps = 4 if wanted else 1
    for _ in range(steps):
        replay.push({"x": np.arange(3)})
    replay.wait()
    if COMM.rank < LAST:
        replay.push(None)
        with pytest.raises(
            DeadlockError, match=f"(?s)nothing came for 1.5 seconds.*for rank {LAST} on"
        ) as caught:
            replay.wait()
        assert not any(f"rank {rank}" in str(caught.value) for rank in range(LAST))
    together()


@several
def test_a_rank_that_is_only_late_is_waited_for():
    """It was asked for, comes, and all go on."""
    with GlobalReplay(COMM, {"x": "int64"}, "60 rows", 4, deadline=1.5) as replay:
        for step in range(3):
            if step == 1 and COMM.rank == LAST:
                time.sleep(1.1)
            replay.push({"x": np.arange(3)})
            replay.wait()
        assert replay.sizes().tolist() == [9] * COMM.size
    together()


@pytest.mark.parametrize("names", [TORCHRUN, *(pair for pair in RANK_VARIABLES if pair[1])])
def test_a_process_that_something_else_has_started_hears_that_it_is_alone(names, monkeypatch, capsys):
    for pair in RANK_VARIABLES:
        for name in filter(None, pair):
            monkeypatch.delenv(name, raising=False)
    for name, value in zip(names, "18", strict=True):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("SLURM_STEP_ID", "0")  # else srun would have started no ranks
    GlobalReplay(COMM, {"x": "int64"}, "60 rows", 4, deadline=40).close()
    told = capsys.readouterr().err
    assert (f"{names[1]} says that 8 processes were started" in told) == (COMM.size == 1)
    together()
