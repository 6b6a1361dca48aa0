"""The timetable that an experiment asks for: its clock, its rhythms, its cuts."""

import sys
from fractions import Fraction
from pathlib import Path

import pytest

from mpidcl.experiment.reading import from_toml
from mpidcl.network.schedule.graphs import build_topology
from mpidcl.network.schedule.lockstep import LockstepTimetable
from mpidcl.network.schedule.timetable import Phase
from mpidcl.run.building import build_agent, experiment_rhythms, set_timetables
from mpidcl.run.preview import check

FILE = """
name = "timetables"
agents = 3
stream = {tasks = 2, classes_per_task = 2}
learning = {epochs = 6}
exchange = [{kind = "parameters", when = "after", every = "2 epochs"}]
"""
OWN = Path(__file__).parents[3] / "examples" / "own_methods"


def timetables(*sets):
    experiment = from_toml(FILE, sets)
    topology = build_topology(experiment.network, experiment.agents, experiment.seed)
    agents = [build_agent(experiment, topology, number) for number in range(experiment.agents)]
    ticks = [agent.stream.ticks for agent in agents]
    set_timetables(agents, experiment, topology, ticks)
    return experiment, topology, [agent.timetable for agent in agents]


def test_lockstep_is_the_default():
    experiment, topology, found = timetables("checkpoint.every=3 epochs", "evaluation.every=4")
    rhythms, ticks = experiment_rhythms(experiment, [[6, 6]]), [(6, 6)] * 3
    assert found == [LockstepTimetable(a, topology, rhythms, ticks, 4, Fraction(1, 2)) for a in range(3)]


def test_by_the_wall_clock_there_is_a_cut_at_the_end_alone():
    _, _, found = timetables("checkpoint.every=10 min")
    assert [e.moment.time for e in found[0].events() if e.moment.phase is Phase.CUT] == [2]


@pytest.mark.parametrize(
    ("sets", "ticks", "first"),
    [
        ([], [[6, 6]], 1),
        ([], [[6], [6, 6]], 1),  # one agent has more tasks than one
        ([], [[6], [9]], 0),
        (["stream.joint_tasks=1"], [[6]], 1),
        (["stream.tasks=4", "stream.joint_tasks=3"], [[0, 0, 6, 6]], 3),
        (["exchange.0.from_task=0"], [[6, 6]], 0),
    ],
)
def test_the_first_task_with_an_exchange(sets, ticks, first):
    (rule,) = experiment_rhythms(from_toml(FILE, sets), ticks)
    assert rule.from_task == first


def test_a_stream_of_one_task_is_shared_from_its_beginning():
    text = check(from_toml(FILE, ["stream.tasks=1"]))
    assert "3 meetings of each agent, after, every 2 epochs" in text
    assert "never happens" not in text


def test_a_clock_of_ones_own(monkeypatch):
    """Both ends skip the same meetings, and everything else is that of lockstep."""
    monkeypatch.syspath_prepend(str(OWN))
    monkeypatch.delitem(sys.modules, "own_clock", raising=False)
    sets = ["learning.epochs=60"]
    whole = timetables(*sets)[2]
    thin = timetables('clock={kind="own_clock:Thinned", share=0.5}', *sets)[2]
    for a, b in ((0, 1), (1, 2), (2, 0)):
        assert list(thin[a].expected(b)) == list(thin[b].expected(a))
        assert thin[a].expected_hash(b) == thin[b].expected_hash(a) != whole[a].expected_hash(b)
        assert 0 < len(list(thin[a].expected(b))) < len(list(whole[a].expected(b)))
    for before, after in zip(whole, thin, strict=True):
        assert [e for e in after if not e.uses] == [e for e in before if not e.uses]
        met = [event.moment for event in after if event.uses]
        assert {*met} < {event.moment for event in before if event.uses}
        assert len(met) in after.meetings_of(0)
