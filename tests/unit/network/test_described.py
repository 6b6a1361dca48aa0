"""What is said of a clock with virtual time before a run: the end, the ticks, the frames underway."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from network_fakes import topology, virtual

from mpidcl.network.schedule.described import LinkLoad, described, mean_wait
from mpidcl.network.schedule.timetable import Rhythm
from mpidcl.network.schedule.virtual import VirtualOptions
from mpidcl.network.schedule.words import SECONDS, TASKS

RULES = (Rhythm("after", 2, 0, "all"), Rhythm("after", 8, 0, "all"))
ROWS = [[2000], [2000], [1000]]


def lines(most=(1000, 4000), head=100, **conditions):
    clock = virtual(3, rates=[1.0, 1.0, 0.5])
    network = topology("ring", 3, conditions=conditions)
    words = {"rhythms": RULES, "ticks": ROWS, "evaluate_every": None, "cut_every": None}
    table = clock.timetable(agent=0, topology=network, **words)
    loads = [LinkLoad(network.outgoing(0)[1], 2, most, head), LinkLoad(network.outgoing(0)[2], 1, most, head)]
    return float(table.end), described(clock, table, loads)


def test_links_that_are_down_at_times():
    clock = virtual(3, ticks="regular")
    rules = [
        {"from": [0], "to": [1], "down": [["5 s", "10 s"], ["15 s", "1 h"]]},
        {"to": [2], "down": [[0, 9999]]},
    ]
    network = topology("ring", 3, link=rules)
    words = {"rhythms": RULES, "ticks": [[20]] * 3, "evaluate_every": None, "cut_every": None}
    found = described(clock, clock.timetable(agent=0, topology=network, **words), [])
    assert found[2:] == [
        "3 links of 6 will be down for 83.3 % of the time on average, link 0 -> 1 first from 5 s to 10 s",
        "note: 2 links such as link 0 -> 2 will not be there before the run ends.",
    ]


def test_the_end_the_ticks_and_the_frames_underway():
    end, found = lines(latency="3 s", jitter="1 s")
    assert 1900 < end < 2200
    assert found[0].startswith(f"the run ends at {int(end // 60)} min")
    clock = virtual(3, rates=[1.0, 1.0, 0.5])
    least, most = sorted(clock.ticks_of(agent).until(end) for agent in range(2))
    assert found[1] == f"2 agents: poisson ticks, 1 per second, {least:,} to {most:,} until the end"
    assert found[2].startswith("1 agent: poisson ticks, 0.5 per second, ")
    # 100 bytes of head, 1,000 each time, 4,000 each fourth time
    for line, links, wait in ((found[3], "2 links such as link 0 -> 1", 1), (found[4], "1 link such as", 2)):
        gap = float(line.split("a frame every ")[1].split(" s")[0])
        number = float(line.split(": ")[-1].split(" in flight")[0])
        assert line.startswith(links) and f"3.50 s underway and {wait}.00 s until" in line
        assert gap == pytest.approx(2.0, rel=0.1)
        assert number == pytest.approx((3.5 + wait) / gap, rel=0.01)
        assert float(line.split("(")[-1].split(" KiB")[0]) == pytest.approx(number * 2100 / 1024, rel=0.02)
    assert len(found) == 5


def test_a_line_that_cannot_take_its_frames():
    (note,) = {one for one in lines(bandwidth="1 kB/s")[1] if "note" in one and "0 -> 1" in one}
    assert "note: a frame of link 0 -> 1, of 2.05 KiB, takes 2.10 s on its line, and one is due every" in note
    assert not any("note" in one for one in lines(bandwidth="1.5 kB/s")[1])


def test_one_line_for_all_links_takes_the_frames_of_each_in_turn():
    own = next(one for one in lines(bandwidth="4 kB/s")[1] if "0 -> 1" in one)
    shared = next(one for one in lines(bandwidth="4 kB/s", line="agent")[1] if "0 -> 1" in one)
    assert "0.52 s underway" in own and "1.05 s underway" in shared
    assert any("note" in one for one in lines(bandwidth="1.5 kB/s", line="agent")[1])


def test_who_is_away_is_waited_for_longer():
    found = {}
    for away in (0.0, 0.5):
        clock = virtual(3, rates=[1.0] * 3, away=away, absence=5.0)
        words = {"rhythms": RULES, "ticks": ROWS, "evaluate_every": None, "cut_every": None}
        network = topology("ring", 3)
        table = clock.timetable(agent=0, topology=network, **words)
        line = described(clock, table, [LinkLoad(network.links[0], 6, (10, 10), 100)])[-1]
        found[away] = float(line.split("underway and ")[1].split(" s until")[0])
    assert found[0.0] == 1.0 and found[0.5] == pytest.approx(2.0, rel=0.15)


@pytest.mark.parametrize("ticks", ["poisson", "regular", "log-normal"])
def test_how_long_until_the_next_tick(ticks):
    options = VirtualOptions(rate=2.0, ticks=ticks, spread=0.8)
    own = virtual(1, ticks=ticks, rates=[2.0], spread=0.8).ticks_of(0)
    times = [0.0, *(time for window in range(40) for time in own.window(window))]
    gaps = np.array([after - before for before, after in pairwise(times)])
    assert mean_wait(options) == pytest.approx((gaps**2).sum() / (2 * gaps.sum()), rel=0.05)


def test_what_is_never_sent_is_not_described():
    clock, network = virtual(1), topology("ring", 3)
    rules = (Rhythm("after", 50, 0, "all"),)
    words = {"ticks": [[3]] * 3, "evaluate_every": None, "cut_every": None}
    table = clock.timetable(agent=0, topology=network, rhythms=rules, **words)
    found = described(clock, table, [LinkLoad(network.links[0], 6, (10,), 100)])
    assert len(found) == 2


def test_words_of_time():
    assert (TASKS.at(1 / 3), TASKS.at(1 / 3, 10), TASKS.after(2.0)) == (
        "task 0.333333",
        "task 0.3333333333",
        "2 tasks",
    )
    assert (SECONDS.at(45.343), SECONDS.at(45.343, 4), SECONDS.after(5)) == ("45.343 s", "45.34 s", "5 s")
