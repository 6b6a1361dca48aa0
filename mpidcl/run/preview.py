"""`mpidcl check`: what an experiment will do, seen without MPI, data or a single step of learning."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from mpidcl.errors import ExperimentError
from mpidcl.exchange.base import ByteRange
from mpidcl.experiment.file import Experiment
from mpidcl.experiment.units import counted, format_bytes
from mpidcl.network.schedule.described import LinkLoad
from mpidcl.network.schedule.graphs import build_topology
from mpidcl.network.schedule.topology import Topology
from mpidcl.run.agent import Agent
from mpidcl.run.alike import Crowd, Links
from mpidcl.run.building import build_agent, experiment_clock, experiment_rhythms, set_timetables
from mpidcl.run.needs import needs
from mpidcl.run.origins import origins
from mpidcl.stream.stream import Stream

SHOWN_LINKS = 24
MOST_SORTS = 1000
"""Sorts of links that a clock looks at: a file may give every link conditions of its own."""


def check(experiment: Experiment) -> str:
    """The resolved experiment, its network, its timetable, what it needs, and the bytes of each link.

    Of agents that are alike, some are built and looked at. Raises ExperimentError when a budget is too small,
    an answer has no way back, neighbours cannot share, or something fits into no memory of this machine.
    """
    topology = build_topology(experiment.network, experiment.agents, experiment.seed)
    crowd = Crowd.of(experiment, topology)
    needed = needs(crowd)
    agents = {number: build_agent(experiment, topology, number) for number in crowd.chosen}
    set_timetables(agents.values(), experiment, topology, crowd.ticks)
    for agent in agents.values():
        agent.meetings.check()
    misfits = _compare(agents, crowd)
    described = [agent.learner.describe(agent.stream, experiment.agents) for agent in agents.values()]
    parts = [
        "# the experiment with all defaults",
        experiment.to_toml().rstrip(),
        "",
        "# network",
        topology.describe() if experiment.agents > 1 else "one agent, which learns alone",
        *network_notes(experiment, topology),
        *misfits,
        "",
        *described[0],
        "# timetable",
        *_timetable(experiment, agents, crowd),
        *_of_clock(experiment, topology, agents, crowd),
        *idle_notes(experiment, topology, crowd.ticks),
        *part_notes(experiment),
        *_oracle_note(agents[0].meetings.oracles()),
        "",
        "# data",
        *_data(experiment),
        "",
        "# memory",
        *needed,
        *_sent(experiment, agents, crowd),
    ]
    return "\n".join(parts)


def _oracle_note(oracles: Sequence[str]) -> list[str]:
    return [f"note: oracle information is used by {', '.join(oracles)}."] if oracles else []


def _data(experiment: Experiment) -> list[str]:
    """Where each data set comes from. One that is not here is no error: the run may go elsewhere."""
    lines = [
        f"{name}: {told}" if here else f"note: a run here would end at once. {told}"
        for name, (told, here) in origins(experiment).items()
    ]
    return lines or ["no data set: the stream makes its own data"]


def _compare(agents: Mapping[int, Agent], crowd: Crowd) -> list[str]:
    """Notes about what some neighbours cannot share, once for each two kinds of agents."""
    facts = {number: agent.meetings.facts() for number, agent in agents.items()}
    said: dict[frozenset[int], tuple[bool, list[str]]] = {}
    for link, count in crowd.links:
        wrong = agents[link.source].meetings.compare_facts(link.target, facts[link.target])
        if wrong:
            raise ExperimentError(wrong)
        hearer = agents[link.target].meetings
        found = [f"{note}{_more(count)}" for note in hearer.learn_facts(link.source, facts[link.source])]
        pair = frozenset((crowd.kinds[link.source], crowd.kinds[link.target]))
        speaks = hearer.speaks_to(link.source)
        if pair not in said or (speaks and not said[pair][0]):
            said[pair] = speaks, found
    return [note for _, notes in said.values() for note in notes]


def _more(links: int) -> str:
    return f" The same holds for {links - 1} other links between such agents." if links > 1 else ""


def network_notes(experiment: Experiment, topology: Topology) -> list[str]:
    """What may be a mistake: a file that is not read, separate groups, links without one back."""
    lines = []
    network = experiment.network
    if network.file is not None and network.topology != "file":
        lines.append(f'note: network.file is not read, because the topology is "{network.topology}".')
    islands = topology.islands()
    if len(islands) > 1:
        lines.append(f"note: nothing can travel between the {len(islands)} groups; that is allowed.")
    if len(one_way := topology.one_way()):
        lines.append(f"note: {len(one_way)} links have no link back, such as {topology.at(one_way[0]).name}.")
    return lines


def idle_notes(experiment: Experiment, topology: Topology, ticks: Collection[Sequence[int]]) -> list[str]:
    """Exchanges that never happen: allowed, but hardly meant. `ticks` are those per task of all agents."""
    lines = []
    tasks = {entry for row in {id(row): row for row in ticks}.values() for entry in enumerate(row)}
    rules = zip(experiment.exchange, experiment_rhythms(experiment, ticks), strict=True)
    for number, (table, rule) in enumerate(rules):
        links = topology.count(rule.links)
        if not links or not any(rule.count(task, count) for task, count in tasks):
            absent = "there is no link" + (f' of class "{rule.links}"' if rule.links != "all" else "")
            length = table.every if table.share is None else "a tick"
            why = f"no task from {rule.from_task} on has {length}" if links else absent
            lines.append(f"note: [[exchange]] {number} ({table.kind}) never happens: {why}.")
    return lines


def part_notes(experiment: Experiment) -> list[str]:
    """What the classes say that the experiment names: settings that are allowed but hardly meant."""
    agents = [experiment.for_agent(alike[0]) for alike in experiment.alike()]
    named = [one for mine in agents for one in mine.parts(experiment)]
    return list(dict.fromkeys(note for part, use in named for note in part.notes(use)))


def _timetable(experiment: Experiment, agents: Mapping[int, Agent], crowd: Crowd) -> list[str]:
    lines = [
        f"{counted(count, 'agent')}: {_schedule(agents[0].stream, ticks)}"
        for ticks, count in Counter(crowd.ticks).items()
    ]
    by_mail = experiment_clock(experiment).by_mail
    looked_at = list(agents.values()) if by_mail else [agents[0]]
    for number, table in enumerate(experiment.exchange):
        uses = set[int]().union(*(agent.timetable.meetings_of(number) for agent in looked_at))
        per = f"{min(uses)}" if min(uses) == max(uses) else f"{min(uses)} to {max(uses)}"
        what = "messages of an agent to each neighbour" if by_mail else "meetings of each agent"
        often = f"every {table.every}" if table.share is None else f"each tick with chance {table.share:g}"
        when = f"{table.when}, {often}"
        lines.append(f"[[exchange]] {number} ({table.kind}): {per} {what}, {when}")
    return lines


def _schedule(stream: Stream, ticks: Sequence[int]) -> str:
    """Tasks and ticks of an agent in short."""
    task, tick = (stream.segment, stream.step) if stream.online else ("task", "epoch")
    if stream.online and task == "task" and len(set(ticks)) == 1:
        return f"{counted(len(ticks), task)} of {ticks[0]:,} {tick}s{' each' * (len(ticks) > 1)}"
    return f"{len(ticks)} {task}s, {sum(ticks)} {tick}s ({_runs(ticks)} per {task})"


def _of_clock(
    experiment: Experiment, topology: Topology, agents: Mapping[int, Agent], crowd: Crowd
) -> list[str]:
    """What the clock says of itself, and of links with these bytes."""
    clock = experiment_clock(experiment)
    loads = []
    sorts = crowd.by_conditions(topology) if clock.by_mail and experiment.exchange else []
    for one in sorts[:MOST_SORTS]:
        link, meetings = one.first, agents[crowd.like(one.first.source)].meetings
        most = [
            meetings.byte_range(number, link.target, link.budget).most if link.in_class(table.links) else None
            for number, table in enumerate(experiment.exchange)
        ]
        loads.append(LinkLoad(link, one.number, tuple(most), meetings.head_bytes))
    return clock.describe(agents[0].timetable, loads)


def _runs(ticks: Sequence[int]) -> str:
    """Ticks of each task in short, such as "0 x 3, 100 x 7"."""
    parts: list[tuple[int, int]] = []
    for value in ticks:
        if parts and parts[-1][0] == value:
            parts[-1] = (value, parts[-1][1] + 1)
        else:
            parts.append((value, 1))
    return ", ".join(f"{value} x {count}" if count > 1 else f"{value}" for value, count in parts)


def _sent(experiment: Experiment, agents: Mapping[int, Agent], crowd: Crowd) -> list[str]:
    """What a use of a link takes; nothing where nothing is shared."""
    if not crowd.links or not experiment.exchange:
        return []
    return ["", "# bytes per use of a link, headers included", *_bytes(experiment, agents, crowd)]


def _bytes(experiment: Experiment, agents: Mapping[int, Agent], crowd: Crowd) -> list[str]:
    """One line per kind of link: links with the same ranges and budget stand together."""
    kinds: dict[tuple[object, ...], list[Links]] = {}
    for one in crowd.links:
        link = one.first
        ranges = [
            agents[link.source].meetings.byte_range(number, link.target, link.budget)
            if link.in_class(table.links)
            else None
            for number, table in enumerate(experiment.exchange)
        ]
        kinds.setdefault((link.budget, *ranges), []).append(one)
    lines = []
    for (budget, *found), links in list(kinds.items())[:SHOWN_LINKS]:
        limit = "no budget" if budget is None else f"budget {format_bytes(int(str(budget)))}"
        lines.append(
            f"{counted(sum(one.number for one in links), 'link')} such as {links[0].first.name} ({limit}):"
        )
        for table, size in zip(experiment.exchange, found, strict=True):
            if isinstance(size, ByteRange):
                lines.append(f"  {table.kind}: least {size.least:,} bytes, most {size.most:,} bytes")
        lines.append(f"  each frame: a header of {agents[links[0].first.source].meetings.head_bytes} bytes")
    return lines
