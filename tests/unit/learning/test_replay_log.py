"""What the record says of replay from one memory: rows by task, times, what is held; resumed alike."""

from __future__ import annotations

import time

import numpy as np
from global_fakes import life, member, own_rows

from mpidcl.learning.replay_log import FILL, PARTS, PASSES
from mpidcl.network.inprocess import InProcessDriver
from mpidcl.network.requests import Post, Pulse, Take
from mpidcl.record.tables import checked


def team(agents=4, **settings):
    return [member(agent, batch=4, **settings) for agent in range(agents)]


def drive(members, tasks=slice(None), **more):
    began = time.perf_counter()
    InProcessDriver().drive({who.agent: life(who, own_rows(who.agent)[tasks], **more) for who in members})
    return time.perf_counter() - began


def test_rows_asked_for_are_rows_that_came_and_rows_that_were_given():
    members = team()
    passed = drive(members)
    tables = [checked(who.tables(), "it") for who in members]
    passes = [table[PASSES] for table in tables]
    for table in passes:
        assert table["task"].tolist() == [0] * 3 + [1] * 3
        assert table["steps"].tolist() == [6] * 6  # those of the agent with most: others are passed over
        assert table["asked"].tolist() == [60] * 6
        assert (table["came"] <= 60).all() and table["came"][-1] == 60
    came = sum(table["came"] for table in passes)
    given = sum(table["given"] for table in passes)
    assert given.sum(1).tolist() == came.tolist()
    assert (given[:3, 1] == 0).all() and (given[3:, 0] > 0).all()  # nothing of a task that is to come
    for table in passes:
        parts = sum(table[f"{part}_s"] for part in PARTS)
        assert (parts > 0).all() and parts.sum() <= passed
        assert (table["late_s"] <= table["wait_s"]).all() and (table["wait_p99_s"] <= table["wait_s"]).all()


def test_what_is_held_by_class_at_the_end_of_each_task():
    members = team(capacity="3 rows per class")
    drive(members)
    who = members[3]
    fill = who.tables()[FILL]
    rows = who.memory.rows()
    last = fill["task"] == 1
    names = (fill[name][last].tolist() for name in ("head", "label", "rows"))
    held = {(head, label): count for head, label, count in zip(*names, strict=True)}
    pairs, counts = np.unique(np.stack([rows["head"], rows["y"]]), axis=1, return_counts=True)
    assert held == {tuple(pair): n for pair, n in zip(pairs.T.tolist(), counts.tolist(), strict=True)}
    assert fill["rows"][fill["task"] == 0].sum() + fill["rows"][last].sum() > len(rows["y"])


def test_the_log_goes_on_after_a_resume():
    whole, first, again = team(3), team(3), team(3)
    drive(whole)
    drive(first, slice(1))
    for who, other in zip(first, again, strict=True):
        other.load(who.state(), own_rows(who.agent).__getitem__)
        other.load_tables(who.tables())
    drive(again, slice(1, None))
    for one, other in zip(whole, again, strict=True):
        for name in (PASSES, FILL):
            mine, theirs = one.tables()[name], other.tables()[name]
            assert list(mine) == list(theirs)
            for column in mine:
                if not column.endswith("_s"):
                    assert np.array_equal(mine[column], theirs[column]), column


def test_nothing_is_noted_of_a_memory_of_ones_own():
    (who,) = team(1, scope="local")
    drive([who])
    assert who.tables() == {}


def test_who_waits_for_the_slowest_agent_is_told_how_long():
    """Agent 1 posts 30 ms late: agent 0 has waited for it at least as long, and agent 1 for nobody."""

    def life(me):
        if me:
            yield Pulse()  # agent 0 posts and asks before
            time.sleep(0.03)
        nothing = np.empty(0, np.int64)
        yield Post("now", 0, nothing, {}, {}, planned=True)
        return (yield Take("now", 0)).late_s

    found = InProcessDriver().drive({me: life(me) for me in range(2)})
    assert found[0] >= 0.03
    assert found[1] == 0
