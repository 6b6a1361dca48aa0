"""What every exchange must do."""

from __future__ import annotations

from concurrent.futures import Future
from typing import NamedTuple

from mpidcl.base.state import State
from mpidcl.exchange.base import Exchange, LinkUse
from mpidcl.experiment.file import Experiment
from mpidcl.experiment.reading import from_tables
from mpidcl.network.frames.budget import UNLIMITED
from mpidcl.network.frames.frame import PREFIX_BYTES, message_bytes
from mpidcl.network.frames.ledger import Count
from mpidcl.network.inprocess import InProcessDriver
from mpidcl.network.requests import Saved
from mpidcl.network.schedule.graphs import build_topology
from mpidcl.network.schedule.timetable import Moment
from mpidcl.run.agent import Agent
from mpidcl.run.building import build_agent, set_timetables
from mpidcl.testing.company import stored
from mpidcl.testing.trial import Tables, experiment_with, merged, must


class _Taken(NamedTuple):
    """A picture that an agent handed over at a cut."""

    agent: int
    moment: Moment
    state: State


def check_exchange(exchange: type[Exchange], tables: Tables | None = None) -> None:
    """Raises AssertionError, or what the exchange raises, where it is not one.

    Three agents on a ring share this way after each epoch; `tables` as in `check_learner`, and
    {"exchange": {...}} are options of the exchange. Held are: least and most bytes are in order; a question
    stays within its room; asking changes nothing in the learner; the least budget that it declares is enough;
    a third of all frames may be lost; the same seed gives the same bits; a run that goes on from a
    checkpoint ends as one that was never stopped.
    """
    small = merged({"agents": 3}, tables or {})
    experiment, name = experiment_with(exchange, small), exchange.__name__
    agents = _agents(experiment)
    least = max(_check_bytes(agent, name) for agent in agents)
    taken: list[_Taken] = []
    whole = _life(experiment, taken)
    must(_life(experiment) == whole, f"{name} should give the same bits with the same seed.")
    for budget in (least + exchange.legs * PREFIX_BYTES, least + exchange.legs * PREFIX_BYTES + 333):
        _life(_with(experiment, {"network": {"budget": f"{budget} B"}}))
    _life(_with(experiment, {"network": {"conditions": {"loss": "33 %"}}}))
    middle = sorted({one.moment for one in taken})[0]
    states = {one.agent: one.state for one in taken if one.moment == middle}
    must(
        _life(experiment, [], states, middle) == whole,
        f"{name} should go on from its state as if it had never stopped. From {middle} on the run ends"
        " differently: does `state` hold all that it uses?",
    )


def _with(experiment: Experiment, tables: Tables) -> Experiment:
    return from_tables(merged(experiment.to_tables(), tables))


def _agents(experiment: Experiment) -> list[Agent]:
    topology = build_topology(experiment.network, experiment.agents, experiment.seed)
    agents = [build_agent(experiment, topology, number) for number in range(experiment.agents)]
    ticks = [tuple(agent.stream.ticks) for agent in agents]
    set_timetables(agents, experiment, topology, ticks)
    for agent in agents:
        agent.meetings.check()
    return agents


def _check_bytes(agent: Agent, name: str) -> int:
    """The least bytes of any link; the first question of an agent that has begun its first task."""
    agent.learner.begin_task(agent.stream.task(0))
    before, leasts = agent.learner.digest(), [0]
    for exchange in agent.meetings.exchanges:
        exchange.begin_use(0)
        for target in exchange.neighbourhood.targets:
            least, most = exchange.bytes_range(target, None)
            must(0 <= least <= most, f"{name}.bytes_range should be (least, most). Found {least}, {most}.")
            leasts.append(least)
            for room in (least, (least + most) // 2, most):
                use = LinkUse(agent.number, target, room, UNLIMITED, 0)
                asked = exchange.ask(use)
                size = 0 if asked is None else message_bytes(asked)
                must(size <= room, f"{name}.ask should fit into link.room = {room}. Found {size} bytes.")
    must(agent.learner.digest() == before, f"{name}.ask should change nothing in the learner.")
    return max(leasts)


def _life(
    experiment: Experiment,
    taken: list[_Taken] | None = None,
    states: dict[int, State] | None = None,
    moment: Moment | None = None,
) -> list[tuple[str, list[Count]]]:
    """All agents to their end: digests, and what was sent. Pictures of all cuts go to `taken`."""
    agents = _agents(experiment)

    def save(agent: int, cut: Moment, state: State) -> Future[Saved]:
        if taken is not None:
            taken.append(_Taken(agent, cut, stored(state)))
        done: Future[Saved] = Future()
        done.set_result(Saved(agent, cut.exact, 0, b""))
        return done

    for agent in agents:
        agent.save = save
        if states is not None and moment is not None:
            agent.load(states[agent.number], moment)
    InProcessDriver().drive({agent.number: agent.live() for agent in agents})
    return [(agent.learner.digest(), agent.ledger.rows()) for agent in agents]
