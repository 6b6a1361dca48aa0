"""Saves the agents of one process: one file per cut, and on rank 0 the manifest that completes it."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from mpidcl.base.state import State
from mpidcl.errors import CheckpointError
from mpidcl.network.alarm import Alarm
from mpidcl.network.requests import Saved
from mpidcl.network.schedule.timetable import Moment
from mpidcl.record.checkpoint import Image
from mpidcl.record.manifest import MARK, Complete, Manifests, agent_key, mark, state_file


@dataclass
class _Open:
    """A cut that some agents of this process have reached, and others not yet."""

    time: Fraction
    image: Image = field(default_factory=Image)
    agents: set[int] = field(default_factory=set)


class Saver:
    """Saves the agents of process `rank`; `ranks[agent]` is the process of every agent.

    All agents come to the same cuts in the same order. So the n-th of an agent is the n-th of the run, and
    every process knows its number without a word from another; a run that goes on counts from `start`, the
    checkpoint that it has loaded. `saving` are the files that are being written, in order: agents tell of
    them. `alarm`, of rank 0, hears how long a cut takes.
    """

    def __init__(
        self, folder: Path, rank: int, ranks: Sequence[int], keep: int, run: str, start: Complete | None
    ) -> None:
        self._folder, self._rank, self._run = folder, rank, run
        self._agents = {agent for agent, its in enumerate(ranks) if its == rank}
        self._first = 1 if start is None else start.number + 1
        self._reached: Counter[int] = Counter()
        self._open: dict[int, _Open] = {}
        self._manifests = Manifests(folder, ranks, keep, run, start)
        self.saving: deque[Future[Saved]] = deque()
        self.alarm: Alarm | None = None
        self.writer = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")

    @property
    def newest(self) -> Complete | None:
        """On rank 0: the last complete checkpoint."""
        return self._manifests.newest

    def save(self, agent: int, cut: Moment, state: State) -> Future[Saved] | None:
        """Take a picture of an agent's state at its next cut.

        The last agent of the process gets a future for the file of all, which a thread writes; the others
        get None. Raises CheckpointError when agents come to different cuts.
        """
        if self.alarm is not None:
            self.alarm.part(cut.exact)
        number = self._first + self._reached[agent]
        self._reached[agent] += 1
        if number not in self._open:
            self._open[number] = _Open(cut.exact)
        there = self._open[number]
        if there.time != cut.time:
            raise CheckpointError(
                f"Cut {number} should be at one time for all agents. Found {there.time}, and {cut.time} for "
                f"agent {agent}."
            )
        there.image.add(agent_key(agent), state | {MARK: mark(agent, cut.exact, self._run)})
        there.agents.add(agent)
        if there.agents < self._agents:
            return None
        del self._open[number]
        there.image.close()
        return self.writer.submit(self._write, number, there)

    def _write(self, number: int, cut: _Open) -> Saved:
        size, sha256 = cut.image.write(state_file(self._folder, number, self._rank))
        return Saved(number, cut.time, size, sha256, self._rank)

    def heard(self, saved: Saved) -> None:
        """On rank 0: a file of some process is on the disk."""
        complete = self._manifests.add(saved.rank, saved.cut, saved.time, saved.size, saved.sha256)
        if self.alarm is not None:
            self.alarm.part(saved.time)
            if complete:
                self.alarm.complete(saved.time)
