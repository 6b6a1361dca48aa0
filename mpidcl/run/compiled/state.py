"""What agents hold of their mail, as arrays of the compiled loop, and back in the form of checkpoints."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import cast

import numpy as np

from mpidcl.base.state import State
from mpidcl.exchange.estimates.estimate import Estimate
from mpidcl.exchange.mail import ALL_LINKS, Aged, Came
from mpidcl.exchange.packing.messages import packed, unpacked
from mpidcl.network.frames.frame import Entry
from mpidcl.network.frames.ledger import FRAME
from mpidcl.network.schedule.topology import Link
from mpidcl.record.tables import Table, from_columns, to_columns
from mpidcl.run.agent import Agent
from mpidcl.run.compiled.layout import learner_of
from mpidcl_kernels.linear.mail import YOUNGEST, Letters, Links, Nodes

COUNTED = ("lost", "skipped", "down", "dropped", "messages", "late", "age")
"""What became of the frames of a link, as the mail and the loop call it."""


class MailState:
    """Moves the mail of one agent after the other between its objects and the arrays of all."""

    def __init__(self, agents: Sequence[Agent], links: Sequence[Link]) -> None:
        self._agents, self._links = agents, links
        self._out: list[list[Link]] = [[] for _ in agents]
        self._into: list[list[Link]] = [[] for _ in agents]
        for link in links:
            self._out[link.source].append(link)
            self._into[link.target].append(link)
        for some in self._into:
            some.sort(key=lambda link: link.source)

    def exchange(self, agent: int, number: int) -> Estimate:
        """An exchange of an agent."""
        return cast(Estimate, self._agents[agent].meetings.exchanges[number])

    # --- from the agents --------------------------------------------------------------------------

    def read(self, links: Links, lay: Callable[[int], Letters]) -> Letters:
        """Put what all agents hold into the arrays; `lay` makes those of letters, with room for so many."""
        states = [agent.meetings.state() for agent in self._agents]
        held = [list(state["mail"]["letters"].values()) for state in states]
        most = [Counter(one["source"] for one in some) for some in held]
        letters = lay(max((count for some in most for count in some.values()), default=0))
        for agent, state, some in zip(self._agents, states, held, strict=True):
            self._read_numbers(agent.number, state, links)
            self._read_ledger(agent, links)
            self._read_tables(agent, links)
            for one in some:
                self._read_letter(agent.number, one, links, letters)
        return letters

    def _read_numbers(self, agent: int, state: State, links: Links) -> None:
        for link in self._out[agent]:
            links.own["sent"][link.index] = state["numbers"].get(str(link.index), 0)
            links.own["said"][link.index] = state["uses"].get(str(link.index), 0)
        own = state["mail"]
        by_source = {link.source: link.index for link in self._into[agent]}
        for source, slot, number in own["newest"].tolist():
            links.newest[by_source[source], slot] = number
        for line, until in own["busy"].items():
            place = len(self._links) + agent if int(line) == ALL_LINKS else int(line)
            links.busy[place], links.began[place] = until, True

    def _read_ledger(self, agent: Agent, links: Links) -> None:
        by_target = {link.target: link.index for link in self._out[agent.number]}
        state = agent.ledger.state()
        for (target, exchange), counts in zip(state["keys"].tolist(), state["counts"], strict=True):
            links.ledger[by_target[target], exchange] = counts  # FRAME is -1: the last row

    def _read_tables(self, agent: Agent, links: Links) -> None:
        by_source = {link.source: link.index for link in self._into[agent.number]}
        tables = agent.tables()
        for row in from_columns(Came, tables["mail"]) if "mail" in tables else ():
            for name in COUNTED:
                links.own[name][by_source[row.source]] = getattr(row, name)
        for one in from_columns(Aged, tables["ages"]) if "ages" in tables else ():
            links.aged[by_source[one.source], one.exchange, one.power - YOUNGEST] = one.messages

    def _read_letter(self, agent: int, one: State, links: Links, letters: Letters) -> None:
        source = int(one["source"])
        link = next(link.index for link in self._into[agent] if link.source == source)
        own, q = links.own[link], int(links.own["held"][link])
        links.own["held"][link] += 1
        mask = 0
        for slot, message in unpacked(one["entries"]):
            row = self.exchange(source, slot).to_row(message)
            begin = own["begin"] + q * own["width"] + links.place[link, slot]
            letters.content[begin : begin + len(row)] = row
            mask |= 1 << slot
        letters.own[link, q] = one["at"], one["left"], one["number"], mask

    # --- and back ---------------------------------------------------------------------------------

    def write_learner(self, agent: Agent, nodes: Nodes) -> None:
        """Its numbers that are no arrays."""
        learner, i = learner_of(agent), agent.number
        learner.samples, learner.variance = int(nodes.own["samples"][i]), float(nodes.own["variance"][i])
        learner.told = float(nodes.own["told"][i])

    def write_ledger(self, agent: Agent, links: Links) -> None:
        """What it has sent."""
        keys, counts = [], []
        last = links.ledger.shape[1] - 1
        for link in self._out[agent.number]:
            for row, counted in enumerate(links.ledger[link.index]):
                if counted[0]:
                    keys.append((link.target, FRAME if row == last else row))
                    counts.append(counted)
        agent.ledger.load({"keys": keys, "counts": counts})

    def write(self, agent: Agent, links: Links, letters: Letters) -> None:
        """All of its mail."""
        out, into = self._out[agent.number], self._into[agent.number]
        lines = {str(ALL_LINKS): len(self._links) + agent.number}
        lines |= {str(link.index): link.index for link in out}
        busy = {key: float(links.busy[line]) for key, line in lines.items() if links.began[line]}
        numbers = {str(link.index): int(links.own["sent"][link.index]) for link in (*out, *into)}
        uses = {str(link.index): int(links.own["said"][link.index]) for link in out}
        newest = [
            (link.source, slot, number)
            for link in into
            for slot, number in enumerate(links.newest[link.index].tolist())
            if number >= 0
        ]
        found = [letter for link in into for letter in self._letters(link, links, letters)]
        agent.meetings.load_tables(self._tables(into, links))
        agent.meetings.load(
            {
                "numbers": {key: number for key, number in numbers.items() if number},
                "uses": {key: number for key, number in uses.items() if number},
                "exchanges": agent.meetings.state()["exchanges"],
                "mail": {
                    "letters": {str(n): one for n, one in enumerate(found)},
                    "questions": {},
                    "newest": np.array(newest, np.int64).reshape(-1, 3),
                    "busy": busy,
                },
            }
        )

    def _letters(self, link: Link, links: Links, letters: Letters) -> list[State]:
        found = []
        for q in range(int(links.own["held"][link.index])):
            at, left, number, _ = letters.own[link.index, q].tolist()
            entries = packed(self.entries(links, letters, link.index, q))
            one = {"at": at, "source": link.source, "number": number, "left": left, "entries": entries}
            found.append(one)
        return found

    def entries(self, links: Links, letters: Letters, link: int, q: int) -> list[Entry]:
        """What is in letter `q` of a link."""
        found, own, mask = [], links.own[link], int(letters.own["mask"][link, q])
        for slot in range(links.place.shape[1]):
            if mask >> slot & 1:
                begin = own["begin"] + q * own["width"] + links.place[link, slot]
                exchange = self.exchange(self._links[link].source, slot)
                found.append((slot, exchange.from_row(letters.content[begin:])))
        return found

    def _tables(self, into: Sequence[Link], links: Links) -> dict[str, Table]:
        came, aged = [], []
        for link in into:
            own = links.own[link.index]
            if frames := int(own["sent"]):
                came.append(Came(link.source, frames, **{name: own[name].item() for name in COUNTED}))
            for exchange, powers in enumerate(links.aged[link.index]):
                for place in np.flatnonzero(powers).tolist():
                    aged.append(Aged(link.source, exchange, place + YOUNGEST, int(powers[place])))
        return {"mail": to_columns(Came, came), "ages": to_columns(Aged, aged)}
