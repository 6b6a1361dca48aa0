"""What `mpidcl check` says of a clock with virtual time: its end, its ticks, its frames on their way."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mpidcl.base.quantities import bytes_text, seconds_text, share_text, significant
from mpidcl.experiment.units import counted
from mpidcl.network.frames.conditions import seconds_on

if TYPE_CHECKING:
    from mpidcl.network.schedule.topology import Link, Topology
    from mpidcl.network.schedule.virtual import Virtual, VirtualOptions
    from mpidcl.network.schedule.virtual_timetable import VirtualTimetable

SHOWN = 24
"""Kinds of links."""
COUNTED = 64
"""Agents of one kind whose ticks are counted: of thousands that would take seconds."""


class LinkLoad(NamedTuple):
    """A link that stands for `number` alike ones, and what travels on it.

    `most`: the most bytes that each exchange puts on it in one use; None: it does not use the link.
    `head`: bytes that every frame has.
    """

    link: Link
    number: int
    most: tuple[int | None, ...]
    head: int


class _Flow(NamedTuple):
    """Frames of a link: seconds between two on average, bytes of one, seconds on its line and underway."""

    gap: float
    size: float
    line: float
    way: float


def described(clock: Virtual, table: VirtualTimetable, links: Sequence[LinkLoad]) -> list[str]:
    """Lines for the timetable; `table` is that of any agent."""
    end = float(table.end)
    lines = [f"the run ends at {seconds_text(end)} of virtual time, when all agents have learned their tasks"]
    lines += _ticks(clock, len(table.rows), end)
    lines += _down(table.topology, end)
    flows = [(one, flow) for one in links if (flow := _flow(clock, table, one)) is not None]
    lines += [_underway(clock, one, flow, end) for one, flow in flows[:SHOWN]]
    return lines + _too_slow([(one, flow) for one, flow in flows if flow.line > flow.gap])


def _down(topology: Topology, end: float) -> Iterator[str]:
    """How many links are down at times, and for how long; a note about those that are never there."""
    times = [sum(max(0.0, min(last, end) - first) for first, last in one.down) for one in topology.settings]
    down = np.array(times)[topology.sort]
    if not (links := np.flatnonzero(down)).size:
        return
    first = topology.at(int(links[0]))
    begin, last = first.down[0]
    share = share_text(float(down[links].mean()) / end)
    yield (
        f"{counted(len(links), 'link')} of {len(down)} will be down for {share} of the time on average,"
        f" {first.name} first from {begin:g} s {'on' if math.isinf(last) else f'to {last:g} s'}"
    )
    if (never := np.flatnonzero(down >= end)).size:
        yield (
            f"note: {counted(len(never), 'link')} such as {topology.at(int(never[0])).name} will not be there"
            " before the run ends."
        )


def _too_slow(flows: Sequence[tuple[LinkLoad, _Flow]]) -> list[str]:
    """A note about lines that cannot take all of their frames; none where there is none."""
    if not flows:
        return []
    (one, flow), others = flows[0], sum(one.number for one, _ in flows) - 1
    more = f" The same holds for {counted(others, 'other link')}." if others else ""
    return [
        f"note: a frame of {one.link.name}, of {bytes_text(flow.size)}, takes {seconds_text(flow.line)} on"
        f" its line, and one is due every {seconds_text(flow.gap)}. Those that find it busy are skipped:"
        f" share less often or fewer bytes, or raise the bandwidth.{more}"
    ]


def _ticks(clock: Virtual, agents: int, end: float) -> Iterator[str]:
    kinds: dict[str, list[int]] = {}
    for agent in range(agents):
        kinds.setdefault(clock.of(agent).model_dump_json(), []).append(agent)
    for alike in kinds.values():
        mine = clock.of(alike[0])
        numbers = sorted(clock.ticks_of(agent).until(end) for agent in alike[:COUNTED])
        least, most = numbers[0], numbers[-1]
        many = f"{least:,}" if least == most else f"{least:,} to {most:,}"
        few = "" if len(alike) <= COUNTED else f" (of the first {COUNTED})"
        rate = f"{mine.rate:g} per second" + (" or so" if mine.uneven else "")
        yield f"{counted(len(alike), 'agent')}: {mine.ticks} ticks, {rate}, {many} until the end{few}"


def _flow(clock: Virtual, table: VirtualTimetable, load: LinkLoad) -> _Flow | None:
    """None where no frame leaves: counted from the first one on, since none leave before some task."""
    link, end = load.link, np.array([float(table.end)])
    row = table.rows[link.source]
    rules = tuple(rule for rule in table.rhythms if link.in_class(rule.links))
    uses = clock.uses_of(link.source, row, rules)
    first = next(uses.until(float(end[0])), None)
    if first is None:
        return None
    frames = int(uses.counts(end, 0.0, True)[0])
    used = [most for most in load.most if most is not None]
    size = float(load.head)
    for rule, most in zip(rules, used, strict=True):
        own = clock.uses_of(link.source, row, (replace(rule, legs=1),))
        size += most * int(own.counts(end, 0.0, True)[0]) / frames
    beside = len(table.topology.targets(link.source)) if link.shared else 1
    line = beside * seconds_on(link, math.ceil(size))  # on one line for all links they leave in turn
    gap = max(float(end[0]) - first, 1e-9) / frames
    return _Flow(gap, size, line, line + link.latency + link.jitter / 2)


def _underway(clock: Virtual, load: LinkLoad, flow: _Flow, end: float) -> str:
    wait = mean_wait(clock.of(load.link.target)) * _slower(clock, load.link.target, end)
    number = (flow.way + wait) / max(flow.gap, flow.line)
    return (
        f"{counted(load.number, 'link')} such as {load.link.name}: a frame every {seconds_text(flow.gap)},"
        f" {seconds_text(flow.way)} underway and {seconds_text(wait)} until the next tick there:"
        f" {significant(number)} in flight ({bytes_text(number * flow.size)})"
    )


def _slower(clock: Virtual, agent: int, end: float) -> float:
    """By how much an agent ticks more seldom than its options say: an own rate, and times of being away."""
    options, found = clock.of(agent), clock.ticks_of(agent).until(end)
    return (
        options.rate * end / found if found and (options.uneven or options.away or options.absences) else 1.0
    )


def mean_wait(options: VirtualOptions) -> float:
    """Seconds until an agent ticks next, from any time on: E[step^2] / (2 E[step]), by renewal theory."""
    mean = 1 / options.rate
    if options.ticks == "poisson":
        return mean
    return mean / 2 * (math.exp(options.spread**2) if options.ticks == "log-normal" else 1.0)
