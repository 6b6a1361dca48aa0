"""What answers requests: each service knows some types, and a driver is a loop over its services."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Collection, Iterable
from typing import Any, ClassVar, Generic, TypeVar

from mpidcl.errors import RequestError
from mpidcl.network.requests import Life, Reply, Request, resume

R = TypeVar("R")

Answer = Callable[[int, Reply], None]
"""Called with an agent and the reply to what it asked."""


class Service(ABC, Generic[R]):
    """Answers requests of the types `answers`, of all agents of this process.

    It is given an `Answer` where it is made, and calls it once for each request: in `ask` already, or later.
    """

    answers: ClassVar[tuple[type, ...]]
    patience: ClassVar[int] = 1
    """So many deadlines may pass while all agents of this process wait in it."""

    def begin(self, agents: Iterable[int]) -> None:
        """These agents of this process live from now on."""

    @abstractmethod
    def ask(self, agent: int, request: R) -> None:
        """Take an agent's request. An agent asks one thing at a time."""

    @abstractmethod
    def waits_in(self, agent: int, request: R) -> str:
        """For an error: what an agent with this request waits in and for."""

    def poll(self) -> None:
        """See what has come. Called while all agents wait, and now and then between two requests."""

    def expects(self) -> bool:
        """Whether something may still come for it that is not under way as far as MPI tells."""
        return False

    def awaited(self, agent: int, request: R) -> set[int]:
        """The other processes from which something should come for this request."""
        return set()

    def ended(self, agent: int) -> None:
        """The agent's life is over. Raises RequestError when it has left something open."""

    def close(self) -> None:
        """Give back what is held; collective over MPI."""


class Served:
    """The loop of both drivers: it resumes agents in turn and hands what they ask to the service for it."""

    def __init__(self) -> None:
        self._ready: deque[tuple[int, Reply | None]] = deque()
        self._waiting: dict[int, Request] = {}
        self._services: tuple[Service[Any], ...] = ()
        self._service_of: dict[type, Service[Any]] = {}

    def _offer(self, *services: Service[Any]) -> None:
        """These answer from now on."""
        self._services = services
        self._service_of = {kind: service for service in services for kind in service.answers}

    def _answer(self, agent: int, reply: Reply) -> None:
        self._ready.append((agent, reply))

    def _live(self, lives: dict[int, Life]) -> dict[int, Any]:
        """Run all agents to their end; agent -> what its generator returned."""
        results: dict[int, Any] = {}
        ready, waiting = self._ready, self._waiting
        ready.clear()
        waiting.clear()
        for service in self._services:
            service.begin(lives)
        ready.extend((agent, None) for agent in sorted(lives))
        while True:
            while ready:
                agent, reply = ready.popleft()
                waiting.pop(agent, None)
                try:
                    request = self._resume(agent, lives[agent], reply)
                except StopIteration as stop:
                    results[agent] = stop.value
                    for service in self._services:
                        service.ended(agent)
                    continue
                waiting[agent] = request
                self._service(agent, request).ask(agent, request)
                self._between()
            if not waiting:
                return results
            self._wait()

    def _resume(self, agent: int, life: Life, reply: Reply | None) -> Request:
        return resume(agent, life, reply)

    def _between(self) -> None:
        """Called after every request."""

    def _service(self, agent: int, request: Request) -> Service[Any]:
        service = self._service_of.get(type(request))
        if service is None:
            raise unknown(agent, request, self._service_of)
        return service

    def _wait(self) -> None:
        """Until some agent can go on. Raises DeadlockError when none ever will."""
        raise NotImplementedError

    def _waits(self) -> dict[int, str]:
        """What every agent waits in and for."""
        return {
            agent: self._service(agent, request).waits_in(agent, request)
            for agent, request in self._waiting.items()
        }


def unknown(agent: int, request: object, known: Collection[type]) -> RequestError:
    """The error of an agent that asks what nobody answers."""
    names = ", ".join(sorted(kind.__name__ for kind in known))
    return RequestError(
        f"agent {agent} should yield a request that this driver answers: {names}. "
        f"Found {type(request).__name__}: {str(request)[:200]}. "
        "Where a method asks something, call it with `yield from`."
    )
