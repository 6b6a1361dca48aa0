"""The compiled run holds what agents hold that live their ticks themselves: byte for byte, at every cut."""

from __future__ import annotations

from fractions import Fraction
from itertools import islice
from signal import SIGTERM
from typing import Any

import numpy as np
import pytest
from linear_fakes import CONDITIONS, DAMTL, agents_of, experiment, network_of

from mpidcl.errors import ExperimentError
from mpidcl.network.inprocess import InProcessDriver
from mpidcl.network.schedule import milestones
from mpidcl.network.schedule.timetable import START, Moment, Phase
from mpidcl.network.stopping import Stopping
from mpidcl.run.compiled import driver
from mpidcl.run.compiled.choose import is_compiled
from mpidcl.run.compiled.driver import CompiledDriver
from mpidcl.run.compiled.engine import Engine

OTHER = {"timing", "peak_rss_bytes"}
"""What differs between any two runs."""
TASKS = {"kind": "small_regression:Small", "samples": 30, "tasks": 3}
CASES: dict[str, dict[str, Any]] = {
    "plain": {},
    "nobody": {"exchanges": ()},
    "no links": {"agents": 1, "groups": {"of": 1}},
    "ties": {"clock": {"kind": "virtual", "ticks": "regular"}, "conditions": {"latency": "1 s"}},
    "conditions": {"conditions": CONDITIONS, "evaluation": {"every": "9 s"}},
    "bursts on one line": {
        "conditions": {"loss": "20 %", "burst": 3, "bandwidth": "500 B/s", "line": "agent"}
    },
    "far": {"conditions": {"latency": "30 s"}},
    "away": {
        "clock": {"kind": "virtual", "away": 0.4, "absence": 4.0, "uneven": 0.5},
        "conditions": CONDITIONS,
        "groups": {"deputies": 1},
    },
    "listed absences": {
        "clock": {"kind": "virtual", "away": 0.2, "absences": [["5 s", "15 s"], ["9 s", "22 s"]]}
    },
    "two messengers": {"groups": {"messengers": 2, "inside": "complete"}, "conditions": {"latency": "2 s"}},
    "in turn": {"agents": 9, "groups": {"between": "directed-ring"}},
    "tasks": {"stream": TASKS, "learning": {"decay": 0.3}, "evaluation": {"every": 7}},
    "down": {
        "links": [
            {"class": "inside", "down": [["5 s", "11 s"], ["20 s", "31 s"]]},
            {"class": "between", "down": [["0 s", "9 s"]]},
        ],
        "conditions": CONDITIONS,
    },
    "by chance": {
        "exchanges": (
            {"kind": "nodes", "when": "after", "share": 0.6, "links": "members"},
            DAMTL[1],
            {"kind": "relation", "when": "after", "share": "25 %", "links": "messenger"},
        ),
    },
    "two means of one time": {
        "agents": 8,
        "groups": {"of": 4, "messengers": 2, "between": "complete"},
        "clock": {"kind": "virtual", "ticks": "regular"},
        "conditions": {"latency": "1 s"},
        "exchanges": (
            DAMTL[0],
            *({"kind": "means", "when": "after", "share": share, "links": "between"} for share in (0.5, 0.4)),
            DAMTL[2],
        ),
    },
    "noise off": {"exchanges": (*DAMTL[:2], {**DAMTL[2], "noise": "subtract"}), "conditions": CONDITIONS},
    "rhythms": {"exchanges": ({**DAMTL[0], "every": "1500 ms"}, DAMTL[1], {**DAMTL[2], "every": "1 task"})},
}


def whole_of(case: str) -> Any:
    given = {"checkpoint": {"every": "13 ticks"}, **CASES[case]}
    return experiment(**{"stream": {"samples": 60}, **given})


def leaves(state: Any, path: str = "") -> dict[str, str]:
    """All that a state holds, as text that differs where a bit does."""
    if isinstance(state, dict):
        parts = [leaves(value, f"{path}/{key}") for key, value in state.items() if key not in OTHER]
        return {name: text for part in parts for name, text in part.items()}
    array = np.asarray(state)
    return {
        path: f"{array.dtype} {array.shape} {array.tobytes()!r}" if array.dtype != object else repr(state)
    }


def cuts_of(whole, compiled, after=START, states=None, stopping=None):
    """Agents after their lives, and their states at each cut; `states`: those to go on from."""
    agents = agents_of(whole, compiled=compiled)
    saved: dict[Any, dict[int, dict[str, str]]] = {}
    kept: dict[Any, dict[int, Any]] = {}
    for number, agent in agents.items():
        if states is not None:
            agent.load(states[number], after)

        def save(number, moment, state):
            saved.setdefault(moment.time, {})[number] = leaves(state)
            kept.setdefault(moment.time, {})[number] = state

        agent.save = save
        if stopping is not None:
            agent.stopping = stopping
    if compiled:
        engine = Engine(list(agents.values()), network_of(whole), whole.seed, after)
        drives = CompiledDriver(engine, stopping=stopping)
    else:
        drives = InProcessDriver(stopping=stopping)
    drives.drive({number: agent.live() for number, agent in agents.items()})
    return agents, saved, kept


def assert_same(found, wanted):
    assert found.keys() == wanted.keys()
    for time, agents in wanted.items():
        for number, told in agents.items():
            other = found[time][number]
            wrong = [name for name in told.keys() | other.keys() if told.get(name) != other.get(name)]
            assert not wrong, f"agent {number} at {float(time):g} s: {sorted(wrong)[:5]}"


@pytest.mark.parametrize("case", CASES)
def test_the_same_at_every_cut(case):
    whole = whole_of(case)
    assert is_compiled(whole, network_of(whole))
    _, wanted, _ = cuts_of(whole, compiled=False)
    _, found, _ = cuts_of(whole, compiled=True)
    assert len(wanted) > 3
    assert_same(found, wanted)


@pytest.mark.parametrize("case", ["conditions", "far", "away", "tasks"])
@pytest.mark.parametrize("first", [True, False])
def test_either_goes_on_from_a_cut_of_the_other(case, first):
    whole = whole_of(case)
    _, wanted, states = cuts_of(whole, compiled=first)
    cut = sorted(wanted)[2]
    _, found, _ = cuts_of(whole, not first, Moment(cut, Phase.CUT), states[cut])
    assert_same(found, {time: agents for time, agents in wanted.items() if time > cut})


def test_agents_that_are_asked_to_stop_do_so_at_the_next_pause(monkeypatch):
    monkeypatch.setattr(driver, "first_pause", lambda rates: 2)
    whole = experiment(
        stream={"samples": 60}, evaluation={"every": "1000 s"}, checkpoint={"every": "1000 ticks"}
    )
    stopping = Stopping()
    agents = agents_of(whole, compiled=True)
    stopping.limit = agents[0].timetable.end
    learned = type(agents[0].learner).begin_task

    def begin(learner, task):
        learned(learner, task)
        stopping.want(SIGTERM)

    monkeypatch.setattr(type(agents[0].learner), "begin_task", begin)
    agents, found, _ = cuts_of(whole, compiled=True, stopping=stopping)
    (cut,) = found
    assert 0 < cut <= 4
    assert not agents[0].timetable.finished


def test_pauses_come_as_often_by_our_clock_whatever_a_tick_takes(monkeypatch):
    now, slow = 0.0, 1e-3
    monkeypatch.setattr(milestones.time, "monotonic", lambda: now)
    pauses = milestones.Pauses(Fraction(1, 4))
    passed, last, before = [], Fraction(0), pauses.after(-1.0)
    for number in range(60):
        pause = next(before)
        assert pause > last
        passed.append(float(pause - last) * slow)
        now, last = now + passed[-1], pause
        slow = 1e-3 if number < 30 else 1.0
    assert all(0.25 <= one <= 1 for one in (*passed[15:30], *passed[40:]))
    assert list(islice(pauses.after(0.0), 60))[-1] == last  # others take the same
    assert next(pauses.after(last + 100)) > last + 100


def test_a_word_that_would_let_a_model_grow_is_refused():
    whole = experiment(
        exchanges=(*DAMTL[:2], {**DAMTL[2], "strength": 6.0}),
        agent=[{"ids": [1], "learning": {"lr": 0.05}}],
    )
    for compiled in (False, True):
        with pytest.raises(ExperimentError, match="should draw agent 1 less") as caught:
            cuts_of(whole, compiled)
        assert "agent 1" in str(caught.value.__notes__)


def test_time_of_ticks_is_that_of_learning():
    agents, _, _ = cuts_of(whole_of("plain"), compiled=True)
    for agent in agents.values():
        seconds = agent.clock.seconds()
        parts = [seconds[part] for part in seconds if part not in ("cpu_s", "wall_s")]
        assert seconds["learn_s"] > 0
        assert sum(parts) == pytest.approx(seconds["wall_s"])


@pytest.mark.parametrize(
    "given",
    [
        {"clock": "lockstep"},
        {"clock": "free"},
        {"exchanges": ({**DAMTL[0], "how": "average"},)},
        {"exchanges": ({**DAMTL[0], "kind": "parameters"},)},
        {"links": [{"class": "inside", "budget": "1 kB"}]},
    ],
)
def test_what_is_not_compiled(given):
    whole = experiment(**given)
    assert not is_compiled(whole, network_of(whole))


def test_with_debugging_agents_live_their_ticks_themselves(monkeypatch):
    monkeypatch.setenv("MPIDCL_DEBUG", "1")
    assert not is_compiled(experiment(), network_of(experiment()))


def test_a_cut_is_a_fraction_and_ticks_are_floats():
    assert driver._key(3, Moment(Fraction(1, 2), Phase.CUT)) == (0.5, np.inf)
    assert driver._key(3, Moment(0.5, Phase.END_TASK)) == (0.5, 3.0)
