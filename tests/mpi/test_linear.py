"""Groups of linear learners over MPI: the bits of one process, on any number of ranks, and after any cut."""

from __future__ import annotations

from collections import defaultdict
from fractions import Fraction

import pytest
from linear_fakes import CONDITIONS, DAMTL, agents_of, digests, experiment, lived, network_of
from mpi4py import MPI

from mpidcl.network.inprocess import InProcessDriver
from mpidcl.network.mpi.driver import MpiDriver
from mpidcl.network.schedule.timetable import Moment, Phase

COMM = MPI.COMM_WORLD
AGENTS = 6
REGULAR = {"kind": "virtual", "ticks": "regular"}
AWAY = {"kind": "virtual", "away": 0.4, "absence": 4.0, "uneven": 0.5}
CASES = {
    "ties": {"clock": REGULAR},
    "conditions": {"conditions": CONDITIONS},
    "away": {"clock": AWAY, "conditions": CONDITIONS, "groups": {"deputies": 1}},
    "two messengers": {"groups": {"messengers": 2, "inside": "complete"}, "conditions": {"latency": "2 s"}},
    "noise off": {"exchanges": (*DAMTL[:2], {**DAMTL[2], "noise": "subtract"}), "conditions": CONDITIONS},
    "in turn": {"agents": 9, "groups": {"between": "directed-ring"}},
    "shares": {
        "exchanges": (
            {"kind": "nodes", "when": "after", "share": 0.6, "links": "members"},
            {**DAMTL[1], "every": "2 ticks"},
            {"kind": "relation", "when": "after", "share": "25 %", "links": "messenger"},
        ),
        "conditions": CONDITIONS,
    },
    "dynamic": {
        "links": (
            {"class": "inside", "from": [1], "down": [["5 s", "12 s"], ["20 s", "25 s"]]},
            {"class": "between", "down": [["8 s", "30 s"]]},
        ),
        "clock": AWAY,
        "conditions": CONDITIONS,
    },
    "meetings": {"clock": "lockstep"},
    "consensus": {"exchanges": ({**DAMTL[0], "how": "average", "links": "all"},), "conditions": CONDITIONS},
}


def over_ranks(agents):
    """What all agents hold after their lives, agent n on rank n % size."""
    driver = MpiDriver(COMM, agents[1], [number % COMM.size for number in range(agents[1].agents)])
    driver.drive({number: agent.live() for number, agent in agents[0].items()})
    driver.close()
    return {number: one for part in COMM.allgather(digests(agents[0])) for number, one in part.items()}


def mine(whole):
    return agents_of(whole, range(COMM.rank, whole.agents, COMM.size)), network_of(whole)


@pytest.mark.parametrize("case", CASES)
def test_the_same_bits_as_in_one_process(case):
    whole = experiment(**CASES[case])
    assert over_ranks(mine(whole)) == digests(lived(whole))


@pytest.mark.parametrize("case", ["away", "shares", "dynamic"])
def test_a_run_goes_on_after_a_cut_on_other_ranks(case):
    whole = experiment(**CASES[case], checkpoint={"every": "7 ticks"})
    saved = defaultdict(dict)
    first = agents_of(whole)
    for agent in first.values():
        agent.save = lambda number, moment, state: saved[moment.time].update({number: state})
    InProcessDriver().drive({number: agent.live() for number, agent in first.items()})
    cut = sorted(saved)[3]
    assert cut == Fraction(28)
    agents, network = mine(whole)
    for number, agent in agents.items():
        agent.load(saved[cut][number], Moment(cut, Phase.CUT))
    assert over_ranks((agents, network)) == digests(first)
