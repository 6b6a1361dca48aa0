"""One file per process and cut: written when the last agent has come, numbered alike everywhere."""

from __future__ import annotations

import shutil
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from network_fakes import World, digests, topology
from stop_fakes import AskedAt

from mpidcl.errors import CheckpointError
from mpidcl.network.inprocess import InProcessDriver
from mpidcl.network.schedule.timetable import Moment, Phase
from mpidcl.network.stopping import Stopping
from mpidcl.record.checkpoint import read_parts
from mpidcl.record.manifest import Complete, newest_complete, state_file
from mpidcl.run.saving import Saver

AGENTS = 4


def saver(folder: Path, keep: int = 2, start: Complete | None = None) -> Saver:
    return Saver(folder, 0, [0] * AGENTS, keep, "run", start)


def world(**keys: Any) -> World:
    return World(topology("ring", AGENTS), [[2, 1], [3, 2], [1], [2, 2]], **keys)


def lived(
    one: World, saves: Saver, start: Complete | None, folder: Path, stopping: Stopping | None = None
) -> Any:
    """All agents of a world to its end, saved by `saves`; from a checkpoint on, where there is one."""
    agents, stopping = one.agents(), stopping or Stopping()
    stopping.limit = agents[0].timetable.end
    for agent in agents.values():
        agent.save, agent.saving, agent.stopping = saves.save, saves.saving, stopping
    for number, _, state in [] if start is None else start.read(folder, range(AGENTS)):
        agents[number].load(state, Moment(start.time, Phase.CUT))  # type: ignore[union-attr]
    driver = InProcessDriver(on_saved=saves.heard, stopping=stopping)
    with saves.writer, stopping.armed():
        return driver.drive({n: agent.live() for n, agent in agents.items()})


def newest(folder: Path) -> Complete | None:
    return newest_complete(folder, AGENTS, pytest.fail, "run")


@pytest.mark.parametrize("keep", [1, 2])
def test_numbers_go_on_after_a_stop_and_nothing_else_changes(tmp_path: Path, keep: int) -> None:
    want = digests(world().in_process())
    start, seen = None, []
    for until in (Fraction(1, 2), Fraction(7, 6), Fraction(7, 6), None):
        saves = saver(tmp_path, keep, start)
        found = lived(world(until=until, cut_every=Fraction(1, 3)), saves, start, tmp_path)
        start = newest(tmp_path)
        assert start is not None and start == saves.newest
        seen.append((start.number, start.time))
        left = sorted(int(path.name) for path in tmp_path.iterdir())
        assert left == list(range(start.number - keep + 1, start.number + 1))
    assert digests(found) == want
    assert seen == [(2, Fraction(1, 2)), (5, Fraction(7, 6)), (5, Fraction(7, 6)), (8, Fraction(2))]


def test_a_stop_close_to_a_scheduled_cut_leaves_none_out(tmp_path: Path) -> None:
    """At 1/3 and 0.334: an agent that has passed the first and one that has not count alike."""
    one = World(
        topology("erdos-renyi", AGENTS, probability=0.0), [[3], [7], [2], [6]], cut_every=Fraction(1, 3)
    )
    want, ends = digests(one.in_process()), set()
    for count in range(1, 40, 3):
        folder, stopping = tmp_path / str(count), AskedAt(count)
        lived(one, saver(folder), None, folder, stopping)
        start = newest(folder)
        assert start is not None and start.time == (stopping.end or stopping.limit)
        ends.add(start.time)
        scheduled = [Fraction(n, 3) for n in (1, 2, 3)]
        assert start.number == len({*(time for time in scheduled if time < start.time), start.time})
        assert digests(lived(one, saver(folder, 2, start), start, folder)) == want
    assert Fraction(334, 1000) in ends


@given(st.lists(st.integers(0, AGENTS - 1), min_size=AGENTS, max_size=AGENTS), st.data())
@settings(max_examples=15, deadline=None)
def test_any_split_over_files_goes_on_to_the_same_bits(
    tmp_path_factory: pytest.TempPathFactory, where: list[int], data: st.DataObject
) -> None:
    """Savers of several processes save what they have, in any order; one process goes on."""
    folder, used = tmp_path_factory.mktemp("cuts"), sorted(set(where))
    ranks = [used.index(rank) for rank in where]
    agents = (half := world(until=Fraction(1))).agents()
    InProcessDriver().drive({n: agent.live() for n, agent in agents.items()})
    savers = [Saver(folder, rank, ranks, 1, "run", None) for rank in range(len(used))]
    files = []
    for number in data.draw(st.permutations(range(AGENTS))):
        moment = Moment(Fraction(1), Phase.CUT)
        files.append(savers[ranks[number]].save(number, moment, agents[number].state()))
    for file in files:
        if file is not None:
            savers[0].heard(file.result())
    for one in savers:
        one.writer.shutdown()
    start = newest(folder)
    assert start is not None and len(set(start.files)) == len(used) == sum(f is not None for f in files)
    half.until = None
    found = lived(half, saver(folder, 1, start), start, folder)
    assert digests(found) == digests(world().in_process())


def test_a_file_is_written_when_the_last_agent_has_come_to_the_cut(tmp_path: Path) -> None:
    saves, state = saver(tmp_path), {"x": np.zeros(3)}
    first, second = (Moment(Fraction(n), Phase.CUT) for n in (1, 2))
    assert all(saves.save(agent, first, state) is None for agent in (0, 2, 1))
    assert saves.save(0, second, state) is None  # runs ahead
    state["x"][:] = 7
    file = saves.save(3, first, state)
    assert file is not None and (saved := file.result()).cut == 1
    assert [path.name for path in tmp_path.iterdir()] == ["000001"]
    states = read_parts(state_file(tmp_path, 1, 0), [f"agent-{n:04d}" for n in range(AGENTS)])
    assert [state["x"][0] for state in states] == [0, 0, 0, 7]
    saves.heard(saved)
    assert saves.newest is not None and saves.newest.time == 1
    saves.writer.shutdown()


def test_agents_that_share_nothing_come_to_each_cut_together(tmp_path: Path) -> None:
    """Else one would live to its end before the next begins, and all cuts be held in memory until then."""
    one = World(topology("erdos-renyi", AGENTS, probability=0.0), [[32]] * AGENTS, cut_every=Fraction(1, 32))
    reached, apart, saves = [0] * AGENTS, [0], saver(tmp_path)
    agents = one.agents()

    def save(agent: int, cut: Moment, state: dict[str, Any]) -> Any:
        reached[agent] += 1
        apart.append(max(reached) - min(reached))
        return saves.save(agent, cut, state)

    for agent in agents.values():
        agent.save, agent.saving = save, saves.saving
    with saves.writer:
        InProcessDriver(on_saved=saves.heard).drive({n: agent.live() for n, agent in agents.items()})
    assert reached == [32] * AGENTS and max(apart) <= 8  # how far depends on when files are written
    assert (found := newest(tmp_path)) is not None and found.number == 32


def test_agents_that_come_to_different_cuts_are_an_error(tmp_path: Path) -> None:
    saves = saver(tmp_path)
    saves.save(0, Moment(Fraction(1), Phase.CUT), {})
    with pytest.raises(CheckpointError, match="Found 1, and 1/2 for agent 1"):
        saves.save(1, Moment(Fraction(1, 2), Phase.CUT), {})


def test_a_damaged_newest_cut_is_made_again_under_its_number(tmp_path: Path) -> None:
    lived(world(until=Fraction(1), cut_every=Fraction(1, 2)), saver(tmp_path), None, tmp_path)
    shutil.copy(state_file(tmp_path, 1, 0), state_file(tmp_path, 2, 0))
    warnings: list[str] = []
    start = newest_complete(tmp_path, AGENTS, warnings.append, "run")
    assert start is not None and start.number == 1 and "rank-0000.h5" in warnings[0]
    lived(world(cut_every=Fraction(1, 2)), saver(tmp_path, 9, start), start, tmp_path)
    assert (found := newest(tmp_path)) is not None and (found.number, found.time) == (4, Fraction(2))
    assert len(list(tmp_path.glob("*/manifest.json"))) == 4
