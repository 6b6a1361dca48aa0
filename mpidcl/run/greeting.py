"""The first words between neighbours: do both ends expect the same meetings and the same shapes?"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator
from dataclasses import replace
from itertools import zip_longest
from typing import TypedDict, TypeVar

import numpy as np

from mpidcl.base.state import Facts
from mpidcl.errors import ExperimentError
from mpidcl.exchange.meeting import Meetings
from mpidcl.network.frames.message import Message
from mpidcl.network.requests import Meet, Outgoing, Reply
from mpidcl.network.schedule.timetable import Timetable
from mpidcl.network.schedule.topology import Topology

NUMBER = 2**63
"""Frame number of the greeting: it is no use of the link, neither counted nor lost nor limited."""
Word = TypeVar("Word")


class _First(TypedDict):
    """The first word: of the expected meetings, and what every exchange wants compared."""

    hash: str
    facts: list[Facts]


def greet(
    agent: int, meetings: Meetings, timetable: Timetable, warn: Callable[[str], None] | None = None
) -> Generator[Meet, Reply, None]:
    """Compare events and facts with every neighbour; say once per pair, by `warn`, what cannot be shared.

    Raises ExperimentError that names both agents and the first event or tensor that differs.
    """
    topology = meetings.topology
    neighbours = topology.neighbours(agent)
    facts = meetings.facts()
    mine: dict[int, _First] = {n: {"hash": timetable.expected_hash(n), "facts": facts} for n in neighbours}
    theirs = yield from _tell(agent, topology, mine, 0)
    for neighbour, word in theirs.items():
        wrong = meetings.compare_facts(neighbour, word["facts"])
        if wrong:
            raise ExperimentError(wrong)
        for note in meetings.learn_facts(neighbour, word["facts"]):
            if warn is not None and meetings.speaks_to(neighbour):
                warn(note)
    differ = {n: list(timetable.expected(n)) for n, word in theirs.items() if word["hash"] != mine[n]["hash"]}
    if differ:
        # who only sends to this agent has not heard of the difference and would not tell more
        both_ways = {n: lines for n, lines in differ.items() if n in topology.outgoing(agent)}
        lists = yield from _tell(agent, topology, both_ways, 1)
        said = [_difference(agent, n, differ[n], lists.get(n)) for n in differ if lists.get(n) != differ[n]]
        if said:  # hashes are of rules, which may differ and mean the same; one-way links have no lists
            raise ExperimentError("\n".join(said))


def _tell(
    agent: int, topology: Topology, words: dict[int, Word], leg: int
) -> Generator[Meet, Reply, dict[int, Word]]:
    """Send each neighbour a word (anything that JSON holds) and hear one of the same form from it."""
    out = [topology.outgoing(agent)[n] for n in words if n in topology.outgoing(agent)]
    back = [topology.incoming(agent)[n] for n in words if n in topology.incoming(agent)]
    outgoing = tuple(
        Outgoing(replace(link, budget=None), NUMBER + leg, ((0, _message(words[link.target])),))
        for link in out
    )
    incoming = tuple((replace(link, budget=None), NUMBER + leg) for link in back)
    reply = yield Meet("the start", leg, outgoing, incoming)
    heard = ((link.source, entries[0][1]) for link, entries in zip(back, reply, strict=True))
    return {source: json.loads(message.arrays["json"].tobytes()) for source, message in heard}


def _message(word: object) -> Message:
    return Message("greeting", {}, {"json": np.frombuffer(json.dumps(word).encode(), np.uint8)})


def _difference(agent: int, neighbour: int, mine: list[str], theirs: list[str] | None) -> str:
    found = f"They differ; agent {agent} expects {len(mine)}"
    for number, (here, there) in enumerate(zip_longest(mine, theirs or ())):
        if theirs is not None and here != there:
            found = (
                f"Meeting {number}: agent {agent} expects {here or 'none'}, agent {neighbour} expects "
                f"{there or 'none'} (time, phase, exchanges)"
            )
            break
    return (
        f"Agents {agent} and {neighbour} should expect the same meetings. {found}. "
        "Start all ranks with the same experiment and the same version of mpidcl."
    )
