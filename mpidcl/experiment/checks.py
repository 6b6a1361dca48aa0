"""What must fit together in an experiment and can be seen without data: kinds, ids, shapes, cadences."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from math import ceil, isqrt
from typing import TYPE_CHECKING

from mpidcl.experiment import clocks, kinds
from mpidcl.experiment.group_table import CLASSES, TELLING, GroupTable
from mpidcl.experiment.network_table import (
    MOST_LINKS,
    Conditions,
    LinkRule,
    Network,
    burst_problem,
)
from mpidcl.experiment.problems import Problem
from mpidcl.experiment.sections import (
    MOST_ACCURACIES,
    MOST_MEETINGS,
    AgentRule,
    not_used,
    unused_by,
)
from mpidcl.experiment.tables import KindTable
from mpidcl.experiment.units import Cadence, Period

if TYPE_CHECKING:
    from mpidcl.experiment.file import Experiment
    from mpidcl.experiment.part import Planned


def problems_between(experiment: Experiment) -> list[Problem]:
    """Everything that does not fit together, or an empty list."""
    return [
        *_topology(experiment),
        *_links(experiment),
        *_bursts(experiment),
        *_agent_rules(experiment),
        *clocks.problems(experiment),
        *_exchanges(experiment),
        *_checkpoint(experiment),
        *dict.fromkeys(_schedule(experiment)),
        *_parts(experiment),
    ]


def _parts(experiment: Experiment) -> Iterator[Problem]:
    """What the classes say that the experiment names; of agents that differ only what is not said already."""
    whole = [problem for part, use in experiment.parts() for problem in part.problems(use)]
    yield from dict.fromkeys(whole)
    different = {*_different(experiment)}
    found: list[Problem] = []
    for number, rule in enumerate(experiment.agent) if not whole else ():
        for agent in sorted(different & {*rule.ids}):
            tables, wrong = experiment.tables_of(agent)
            mine = experiment.model_copy(update={**tables, "agent": ()})
            for part, use in mine.parts(experiment) if not wrong else ():
                found += [Problem(("agent", number, *key), text) for key, text in part.problems(use)]
    yield from dict.fromkeys(found)


def _topology(experiment: Experiment) -> Iterator[Problem]:
    network, agents = experiment.network, experiment.agents
    if network.topology in ("grid", "torus") and network.shape is not None:
        rows, columns = network.shape
        if rows * columns != agents:
            yield Problem(
                ("network", "shape"),
                f"should be [rows, columns] whose product is agents = {agents}. Found [{rows}, {columns}]",
            )
    degree = {"complete": agents - 1, "small-world": network.neighbours}.get(network.topology, 0)
    if agents * degree > MOST_LINKS:
        yield Problem(
            ("agents",),
            f"should be fewer in a {network.topology} network: {agents:,} of them have {agents * degree:,}"
            f" links, and a network should have at most {MOST_LINKS:,}",
        )
    if network.topology == "hypercube" and agents & (agents - 1):
        below = 1 << (agents.bit_length() - 1)
        yield Problem(
            ("agents",),
            f"should be a power of two for a hypercube, such as {below} or {2 * below}. Found {agents}",
        )
    if network.topology == "groups":
        yield from (network.groups or GroupTable()).problems(agents)
    elif network.groups is not None:
        yield Problem(
            ("network", "groups"),
            f'should not be there with topology = "{network.topology}". Set topology = "groups" or remove it',
        )
    yield from _edge_list(network)
    if network.topology == "small-world" and network.neighbours >= agents:
        yield Problem(
            ("network", "neighbours"),
            f"should be less than agents = {agents} in a small-world network. Found {network.neighbours}",
        )


def _edge_list(network: Network) -> Iterator[Problem]:
    """The topology `file` has one of its two files, others have none that is read."""
    if network.topology != "file":
        if network.changes is not None:
            text = f'should not be there with topology = "{network.topology}". Set topology = "file"'
            yield Problem(("network", "changes"), f"{text} or remove it")
    elif network.file is None and network.changes is None:
        yield Problem(("network", "file"), 'is missing: the topology "file" reads its edges from it')
    elif network.file is not None and network.changes is not None:
        text = "should stand in place of `file`: it has the links, too. Found both, remove one"
        yield Problem(("network", "changes"), text)


def _links(experiment: Experiment) -> Iterator[Problem]:
    for number, rule in enumerate(experiment.network.link):
        for key, ids in (("from", rule.from_), ("to", rule.to)):
            yield from _ids(("network", "link", number, key), ids or (), experiment.agents)


def _bursts(experiment: Experiment) -> Iterator[Problem]:
    """Bursts so short that not so many frames could be lost."""
    network = experiment.network
    tables: list[tuple[tuple[str | int, ...], Conditions | LinkRule]] = [
        (("network", "conditions"), network.conditions),
        *((("network", "link", number), rule) for number, rule in enumerate(network.link)),
    ]
    for key, table in tables:
        loss = network.conditions.loss if table.loss is None else table.loss
        burst = network.conditions.burst if table.burst is None else table.burst
        if text := burst_problem(loss, burst):
            yield Problem((*key, "burst"), text)


def _ids(key: tuple[str | int, ...], ids: tuple[int, ...], agents: int) -> Iterator[Problem]:
    wrong = [agent for agent in ids if agent >= agents]
    if wrong:
        names = ", ".join(map(str, wrong[:10])) + (f" and {len(wrong) - 10} more" if wrong[10:] else "")
        yield Problem(key, f"should hold agents between 0 and {agents - 1}. Found {names}")


def _agent_rules(experiment: Experiment) -> Iterator[Problem]:
    different = {*_different(experiment)}
    for number, rule in enumerate(experiment.agent):
        yield from _ids(("agent", number, "ids"), rule.ids, experiment.agents)
        if "threads" in (rule.learning or {}):
            yield Problem(
                ("agent", number, "learning", "threads"),
                "should stand in [learning]: a process computes with one number of threads, whichever of its"
                " agents learns",
            )
        if "one_model" in (rule.learning or {}):
            yield Problem(
                ("agent", number, "learning", "one_model"),
                "should stand in [learning]: all agents train one model, or each has its own",
            )
        if not rule.ids or not rule.parts():
            yield Problem(("agent", number), "changes nothing: should have `ids` and a part of a table")
        yield from _lacking(experiment, number, rule, different & {*rule.ids})
    wrong = [problem for agent in sorted(different) for problem in experiment.tables_of(agent)[1]]
    yield from dict.fromkeys(wrong)


def _lacking(experiment: Experiment, number: int, rule: AgentRule, agents: set[int]) -> Iterator[Problem]:
    """A table that the learner of one of these agents of a rule uses and has not, or has and does not use."""
    for agent in sorted(agents):
        tables, wrong = experiment.tables_of(agent)
        mine = experiment.model_copy(update={**tables, "agent": ()})
        unused = unused_by(mine.learning.model_dump())
        for name in ("model", "memory") if not wrong else ():
            table: KindTable = getattr(mine, name)
            kind = mine.learning.kind
            if not table.used and name not in unused:
                text = f'is missing: learning.kind = "{kind}" uses one. Say its `{table.kind_key}`'
                yield Problem(("agent", number, name), text)
            elif table.used and name in unused and name in rule.parts():
                yield Problem(("agent", number, name), not_used(name, {"kind": kind}))


def _different(experiment: Experiment) -> list[int]:
    """One agent of each group whose tables are the same."""
    return [group[0] for group in experiment.alike()]


def _exchanges(experiment: Experiment) -> Iterator[Problem]:
    classes = {rule.class_ for rule in experiment.network.link}
    if experiment.network.topology == "groups":
        classes |= {*CLASSES, TELLING}
    units = clocks.units_of(experiment)
    for number, exchange in enumerate(experiment.exchange):
        place = ("exchange", number)
        of_task, counted = exchange.when in ("task start", "task end"), exchange.share is None
        if counted and exchange.every.unit in units and of_task != (exchange.every.unit == "task"):
            example = '"1 task"' if of_task else '"5 epochs"'
            other = '"before" or "after"' if of_task else '"task start" or "task end"'
            yield Problem(
                (*place, "every"),
                f'should be like {example}, because `when` is "{exchange.when}". Found "{exchange.every}"'
                f" (which goes with when = {other})",
            )
        if exchange.links != "all" and exchange.links not in classes:
            yield Problem((*place, "links"), _no_such_class(exchange.links, sorted(classes)))
        yield from _first_task(experiment, (*place, "from_task"), exchange.from_task)


def _first_task(
    experiment: Experiment, key: tuple[str | int, ...], from_task: int | None
) -> Iterator[Problem]:
    tasks, joint = _most_tasks(experiment), planned(experiment.stream).joint
    if tasks is None or (max(min(1, tasks - 1), joint) if from_task is None else from_task) < tasks:
        return
    found = (
        f"Found {from_task}" if from_task is not None else "It is not given, and begins after the joint tasks"
    )
    yield Problem(
        key, f"should be between 0 and {tasks - 1}, the last task. {found}: there would be no exchange"
    )


def planned(stream: KindTable) -> Planned:
    """What the stream says of its tasks."""
    found: Planned = kinds.resolve("stream", getattr(stream, stream.kind_key)).planned(stream.options)
    return found


def _no_such_class(name: str, classes: list[str]) -> str:
    close = get_close_matches(name, [*classes, "all"], n=1)
    known = ", ".join(f'"{known}"' for known in classes) or "none in this file"
    hint = f' Did you mean "{close[0]}"?' if close else ""
    return f'should be "all" or the class of a [[network.link]] ({known}). Found "{name}".{hint}'


def _most_tasks(experiment: Experiment) -> int | None:
    changed = [experiment.tables_of(agent)[0] for agent in _different(experiment)]
    streams = [experiment.stream, *(tables["stream"] for tables in changed if "stream" in tables)]
    return max((count for stream in streams if (count := planned(stream).tasks) is not None), default=None)


def _schedule(experiment: Experiment) -> Iterator[Problem]:
    """More tasks, evaluations and meetings than a run can keep what it found at them."""
    most = isqrt(MOST_ACCURACIES // experiment.agents)
    for agent in _different(experiment):
        tables = experiment.tables_of(agent)[0]
        stream, learning = (tables.get(name, getattr(experiment, name)) for name in ("stream", "learning"))
        tasks = planned(stream).tasks or 1
        if tasks > most:
            yield Problem(
                ("stream", "tasks"),
                f"should be at most {most:,} with {experiment.agents:,} agents: a run keeps the accuracy of"
                f" every agent on every task at the end of every task. Found {tasks:,}",
            )
        elif not kinds.resolve("stream", stream.kind).online:
            yield from _evaluations(experiment, tasks, learning.epochs)
            yield from _meetings(experiment, tasks, learning.epochs)


def _evaluations(experiment: Experiment, tasks: int, epochs: int) -> Iterator[Problem]:
    """Before each task, after epochs 1, 1 + every, ..., and at the end of it."""
    every = experiment.evaluation.every
    if isinstance(every, Period):
        return
    room = max(3, MOST_ACCURACIES // (experiment.agents * tasks**2))  # evaluations of one task
    if 2 + ceil((epochs - 1) / every) > room:
        yield Problem(
            ("evaluation", "every"),
            f"should be at least {ceil((epochs - 1) / (room - 2)):,} with {experiment.agents:,} agents and"
            f" {tasks:,} tasks of {epochs:,} epochs: a run keeps the accuracy of every agent on every task at"
            f" every evaluation. Found {every:,}",
        )


def _meetings(experiment: Experiment, tasks: int, epochs: int) -> Iterator[Problem]:
    for number, exchange in enumerate(experiment.exchange):
        every, share = exchange.every, exchange.share
        if share is not None and tasks * epochs * share > MOST_MEETINGS:
            yield Problem(
                ("exchange", number, "share"),
                f"should be at most {MOST_MEETINGS / (tasks * epochs):.3g} with {tasks:,} tasks of {epochs:,}"
                " epochs: an agent keeps how far its neighbours were at each meeting, of"
                f" {MOST_MEETINGS:,} at most. Found {share:g}",
            )
        counted = share is None and every.unit in ("epoch", "tick")
        if counted and tasks * (epochs // every.count) > MOST_MEETINGS:
            yield Problem(
                ("exchange", number, "every"),
                f'should be at least "{ceil(tasks * epochs / MOST_MEETINGS)} {every.unit}s" with {tasks:,}'
                f" tasks of {epochs:,} epochs: an agent keeps how far its neighbours were at each meeting, of"
                f' {MOST_MEETINGS:,} at most. Found "{every}"',
            )


def _checkpoint(experiment: Experiment) -> Iterator[Problem]:
    every = experiment.checkpoint.every
    if isinstance(every, Cadence) and every.unit == "tick":
        yield Problem(
            ("checkpoint", "every"),
            f'should be in tasks, epochs or minutes, such as "1 task" or "10 min". Found "{every}"',
        )
