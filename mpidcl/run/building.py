"""Builds the agents of a process from an experiment: stream, learner, exchanges, meetings."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from fractions import Fraction
from typing import Any

from mpidcl.errors import ExperimentError
from mpidcl.exchange.base import Exchange, Neighbourhood
from mpidcl.exchange.capabilities import missing, named, needed
from mpidcl.exchange.free_mail import FreeMail
from mpidcl.exchange.mail import Mail
from mpidcl.exchange.meeting import Meetings
from mpidcl.experiment import kinds
from mpidcl.experiment.checks import planned
from mpidcl.experiment.clocks import wrong_unit
from mpidcl.experiment.file import Experiment
from mpidcl.experiment.options import Options
from mpidcl.experiment.sections import ExchangeTable
from mpidcl.experiment.units import Cadence, Period
from mpidcl.learning.learner import Learner
from mpidcl.network.frames.ledger import Ledger
from mpidcl.network.schedule.clock import Clock
from mpidcl.network.schedule.timetable import SHORTEST_CUT, Rhythm, Timetable, rhythm
from mpidcl.network.schedule.topology import Topology
from mpidcl.network.schedule.words import TimeWords
from mpidcl.record.measures import declared_by
from mpidcl.run.agent import Agent
from mpidcl.run.compiled.mail import ReachMail


def build_agent(experiment: Experiment, topology: Topology, number: int, compiled: bool = False) -> Agent:
    """Agent `number` with everything it owns but its timetable. Data are loaded at its first task.

    `compiled`: its ticks will be in the driver's hands (`run/compiled`).
    """
    mine = experiment.for_agent(number)
    stream = kinds.resolve("stream", mine.stream.kind)(mine, number)
    learner = kinds.resolve("learner", mine.learning.kind)(mine, number, stream.shape)
    neighbourhood = _neighbourhood(experiment, topology, number)
    exchanges = [_exchange(mine, place, learner, neighbourhood) for place in range(len(mine.exchange))]
    rhythms = [rhythm(table, 0) for table in experiment.exchange]  # read for their classes of links alone
    names = [table.kind for table in experiment.exchange]
    ledger = Ledger(number, experiment.seed)
    way = ReachMail if compiled else _way(experiment)
    meetings = way(number, topology, exchanges, rhythms, names, ledger, experiment.seed)
    ahead = experiment.evaluation.ahead
    agent = Agent(number, stream, learner, meetings, ledger, names, ahead)
    declared_by(type(learner).__name__, learner.measures)
    agent.tables(), agent.counters()  # what cannot be kept is said now, and not when the first task is over
    return agent


def _way(experiment: Experiment) -> type[Meetings]:
    """How agents share under the clock of an experiment."""
    clock: type[Clock] = kinds.resolve("clock", experiment.clock.kind)
    if not clock.by_mail:
        return Meetings
    return Mail if clock.waits else FreeMail


def _exchange(mine: Experiment, number: int, learner: Learner, neighbourhood: Neighbourhood) -> Exchange:
    table = mine.exchange[number]
    kind: type[Exchange] = kinds.resolve("exchange", table.kind)
    if lacks := missing(learner, needed(kind, table.options)):
        raise ExperimentError(
            f"[[exchange]] {number} ({table.kind}) needs {named(lacks)} of the learner. Found none in"
            f' {type(learner).__name__} (learning.kind = "{mine.learning.kind}"). Write it there, or leave'
            " the exchange out."
        )
    return kind(table.options, learner, neighbourhood)


def _neighbourhood(experiment: Experiment, topology: Topology, number: int) -> Neighbourhood:
    around = (number, *topology.neighbours(number))
    return Neighbourhood(
        agent=number,
        seed=experiment.seed,
        sources=tuple(topology.incoming(number)),
        targets=tuple(topology.outgoing(number)),
        degrees={agent: int(topology.degrees[agent]) for agent in around},
    )


def experiment_rhythms(experiment: Experiment, ticks: Collection[Sequence[int]]) -> tuple[Rhythm, ...]:
    """When every exchange is due; `ticks` are those per task, of all agents.

    Without `from_task` it is from the first task after everybody's joint ones, but not from task 0 on unless
    that is the only one.
    """
    mine = [experiment.for_agent(alike[0]) for alike in experiment.alike()]
    joint = max(planned(one.stream).joint for one in (experiment, *mine))
    first = max(joint, min(1, max(map(len, ticks)) - 1))
    tables = enumerate(experiment.exchange)
    return tuple(rhythm(table, first, _legs(table), number) for number, table in tables)


def _legs(table: ExchangeTable) -> int:
    kind: type[Exchange] = kinds.resolve("exchange", table.kind)
    return kind.legs


def experiment_clock(experiment: Experiment) -> Clock:
    """The clock that `[clock]` names."""
    table = experiment.clock
    agents: dict[int, Options] = {}
    for alike in experiment.alike():
        agents |= dict.fromkeys(alike, experiment.for_agent(alike[0]).clock.options)
    of_each = [agents[number] for number in range(experiment.agents)]
    clock: Clock = kinds.resolve("clock", table.kind)(table.options, experiment.seed, of_each)
    return clock


def time_words(experiment: Experiment) -> TimeWords:
    """How the clock of an experiment says its time."""
    words: TimeWords = kinds.resolve("clock", experiment.clock.kind).words
    return words


def _timetable_of(clock: Clock, **words: Any) -> Timetable:
    """Raises ExperimentError for a clock whose timetable is none."""
    found = clock.timetable(**words)
    if lacks := missing(found, (Timetable,)):
        raise ExperimentError(
            f"{type(clock).__name__}.timetable() should give a mpidcl.network.schedule.timetable.Timetable."
            f" Found {type(found).__name__}, which has no {named(lacks)}. Write it, or begin with"
            " LockstepTimetable."
        )
    if not isinstance(found.end, Fraction):
        raise ExperimentError(
            f"{type(found).__name__}.end should be a Fraction, the time at which the run is over. Found"
            f" {found.end!r:.80}."
        )
    return found


def set_timetables(
    agents: Iterable[Agent],
    experiment: Experiment,
    topology: Topology,
    ticks: Sequence[Sequence[int]],
    until: Fraction | None = None,
) -> None:
    """Give agents their timetables, now that the ticks per task of all agents are known.

    Raises ExperimentError where agents that train one model differ in them.
    """
    if experiment.learning.one_model:
        _check_that_they_step_together(ticks)
    clock = experiment_clock(experiment)
    timetable_of = make_timetables(experiment, topology, ticks, until, clock)
    for agent in agents:
        agent.meetings.keep_to(clock)
        agent.timetable = timetable_of(agent.number, agent.stream.online)


def make_timetables(
    experiment: Experiment,
    topology: Topology,
    ticks: Sequence[Sequence[int]],
    until: Fraction | None = None,
    clock: Clock | None = None,
) -> Callable[[int, bool], Timetable]:
    """What gives the timetable of an agent, by its number and whether its stream is online."""
    # what is the same for all agents is found once: there may be thousands of them
    clock = clock or experiment_clock(experiment)
    rhythms, cut_every = experiment_rhythms(experiment, ticks), _cut_every(experiment)

    def timetable_of(agent: int, online: bool) -> Timetable:
        return _timetable_of(
            clock,
            agent=agent,
            topology=topology,
            rhythms=rhythms,
            ticks=ticks,
            evaluate_every=_test_every(experiment, online),
            cut_every=cut_every,
            until=until,
        )

    return timetable_of


def _test_every(experiment: Experiment, online: bool) -> int | Fraction | None:
    """Ticks between evaluations, or seconds of virtual time; None: they are at ends of tasks alone."""
    every = experiment.evaluation.every
    if isinstance(every, Period):
        return Fraction(repr(every.seconds))
    return None if online else every


def _check_that_they_step_together(ticks: Sequence[Sequence[int]]) -> None:
    first = list(ticks[0])
    for number, row in enumerate(ticks):
        if list(row) != first:
            raise ExperimentError(
                "[learning] one_model: all agents should have the same ticks in each task."
                f" Found {first} in agent 0 and {list(row)} in agent {number}."
            )


def _cut_every(experiment: Experiment) -> Fraction | None:
    """Schedule time between cuts. By the wall clock there is none but the end: the others are agreed on."""
    every = experiment.checkpoint.every
    return None if isinstance(every, Period) else schedule_time(every, experiment)


def schedule_time(cadence: Cadence, experiment: Experiment, name: str = "[checkpoint] every") -> Fraction:
    """A cadence as the schedule time of the experiment's clock.

    Raises ExperimentError, with `name`, below 1/1000, for epochs of parallel streams, which have none, and
    for seconds where there is no virtual time.
    """
    clock = experiment_clock(experiment)
    if cadence.unit not in clock.units:
        raise ExperimentError(f"{name} {wrong_unit(cadence, clock.units, experiment.clock.kind)}.")
    ticks = planned(experiment.stream).ticks
    online = kinds.resolve("stream", experiment.stream.kind).online and ticks is None
    if cadence.unit in ("epoch", "tick") and online and "second" not in clock.units:
        raise ExperimentError(
            f'{name} should be in tasks, such as "2 tasks", where each row is seen once: it counts ends of'
            f' tasks. Found "{cadence}".'
        )
    time = clock.time(cadence, ticks or experiment.learning.epochs)
    if not isinstance(time, Fraction):
        raise ExperimentError(
            f"{type(clock).__name__}.time() should give a Fraction of schedule time. Found {time!r:.80} for"
            f' "{cadence}".'
        )
    if time < SHORTEST_CUT:
        unit = clock.words.unit
        raise ExperimentError(f"{name} should be at least a thousandth of a {unit}. Found {cadence}.")
    return time


def all_ticks(agents: Sequence[Agent]) -> dict[str, list[int]]:
    """Ticks per task of these agents, as JSON can hold them."""
    return {str(agent.number): list(agent.stream.ticks) for agent in agents}
