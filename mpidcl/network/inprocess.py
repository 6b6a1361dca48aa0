"""All agents in one process: what the MPI driver must equal bit for bit, and the way to test without MPI."""

from __future__ import annotations

import os
import zlib
from collections import deque
from collections.abc import Callable
from typing import Any

from mpidcl.errors import DeadlockError, FrameError
from mpidcl.network.frames.frame import Address, Packed, close_frame, open_head, pack
from mpidcl.network.requests import Halt, Life, Meet, Pulse, Reply, Saved, resume
from mpidcl.network.stopping import Stopping
from mpidcl.network.together.calls import RollCall, Together
from mpidcl.network.together.local import LocalCombining
from mpidcl.network.waits import DEBUG, describe_waits, meet_wait, together_wait


class InProcessDriver:
    """Drives every agent in turn. Frames go through the same codec as over MPI and are always copied."""

    def __init__(
        self,
        checksum_all: bool = False,
        on_saved: Callable[[Saved], None] | None = None,
        stopping: Stopping | None = None,
    ) -> None:
        self._checksum_all = checksum_all
        self._stopping = stopping or Stopping()
        self._on_saved = on_saved
        self._arrived: dict[int, deque[Packed]] = {}
        self._lent: dict[int, list[tuple[Any, int]]] = {}
        self._debug = bool(os.environ.get(DEBUG))
        self._roll = RollCall(())
        self._combining = LocalCombining(self._debug)

    def drive(self, lives: dict[int, Life]) -> dict[int, Any]:
        """Run all agents to their end. Raises DeadlockError when all wait for frames that nobody sends."""
        results: dict[int, Any] = {}
        waiting: dict[int, Meet] = {}
        together: dict[int, Together] = {}
        self._roll = RollCall(lives)
        ready: deque[tuple[int, Reply | None]] = deque((agent, None) for agent in sorted(lives))
        while ready:
            agent, reply = ready.popleft()
            try:
                request = resume(agent, lives[agent], reply)
            except StopIteration as stop:
                results[agent] = stop.value
            else:
                if isinstance(request, Meet):
                    self._post(agent, request)
                    waiting[agent] = request
                elif isinstance(request, Saved):
                    if self._on_saved:
                        self._on_saved(request)
                    ready.append((agent, []))
                elif isinstance(request, Pulse):
                    ready.append((agent, []))
                elif isinstance(request, Halt):
                    self._stopping.agree(self._stopping.furthest())
                    ready.append((agent, []))
                else:
                    together[agent] = request
                    ready.extend(self._ask(agent, request, together))
            if not ready:
                ready.extend(self._wake(waiting))
        if waiting or together:
            raise self._deadlock(waiting, together)
        return results

    def close(self) -> None:
        """Nothing is held."""

    def _ask(self, agent: int, request: Together, together: dict[int, Together]) -> list[tuple[int, Reply]]:
        """The answers to everybody, when this agent was the last to ask."""
        asked = self._roll.add(agent, request)
        if asked is None:
            return []
        for one in asked:
            del together[one]
        return list(self._combining.answer(asked).items())

    def _post(self, agent: int, meet: Meet) -> None:
        for out in meet.outgoing:
            address = Address(out.link.source, out.link.target, out.number, meet.leg)
            packed = pack(address, out.entries, self._checksum_all)
            if self._debug:
                self._lent.setdefault(agent, []).extend(
                    (array, zlib.crc32(array.data)) for array in packed.raw
                )
            copy = Packed(packed.head, tuple(array.copy() for array in packed.raw))
            self._arrived.setdefault(out.link.index, deque()).append(copy)

    def _missing(self, meet: Meet) -> list[str]:
        return [link.name for link, _ in meet.incoming if not self._arrived.get(link.index)]

    def _deadlock(self, waiting: dict[int, Meet], together: dict[int, Together]) -> DeadlockError:
        waits = {agent: meet_wait(meet, self._missing(meet)) for agent, meet in waiting.items()}
        for agent, request in together.items():
            waits[agent] = together_wait(request, self._roll.missing(request))
        return DeadlockError("nothing can arrive any more; " + describe_waits(waits))

    def _wake(self, waiting: dict[int, Meet]) -> list[tuple[int, Reply]]:
        woken = [agent for agent, meet in waiting.items() if not self._missing(meet)]
        return [(agent, self._receive(agent, waiting.pop(agent))) for agent in woken]

    def _receive(self, agent: int, meet: Meet) -> Reply:
        for array, crc in self._lent.pop(agent, ()):
            if zlib.crc32(array.data) != crc:
                raise FrameError(f"agent {agent}: an array changed while it was on its way ({meet.when}).")
        reply: Reply = []
        for link, number in meet.incoming:
            packed = self._arrived[link.index].popleft()
            address = Address(link.source, link.target, number, meet.leg)
            head = open_head(memoryview(packed.head), address, link.budget)
            reply.append(close_frame(head, list(packed.raw)))
        return reply
