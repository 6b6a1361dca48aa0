"""Requests that all agents make together, seen from one process: who has asked, and do they fit?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from mpidcl.errors import CombineError
from mpidcl.network.requests import Combine, Compare, Gather, Post, Row, Take

Together = Compare | Combine | Gather
Asked = dict[int, Together]
"""Agent -> its request."""
Array = NDArray[np.generic]
MOST_DIMENSIONS = 8
"""Of an array that is gathered: its shape travels in a head of fixed size."""


class RollCall:
    """Collects what the agents of this process ask together; they may come in any order."""

    def __init__(self, agents: Iterable[int]) -> None:
        self._agents = sorted(agents)
        self._asked: dict[tuple[type, int], Asked] = {}

    def add(self, agent: int, request: Together) -> Asked | None:
        """The requests of all agents of this process, by agent, when this was the last; else None."""
        key = type(request), request.number
        asked = self._asked.setdefault(key, {})
        asked[agent] = request
        if len(asked) < len(self._agents):
            return None
        del self._asked[key]
        return dict(sorted(asked.items()))

    def missing(self, request: Together) -> list[int]:
        """Agents of this process that have not asked yet; none when the request is under way."""
        asked = self._asked.get((type(request), request.number))
        return [] if asked is None else [agent for agent in self._agents if agent not in asked]


def called(request: Together | Post | Take) -> str:
    """`Compare 5 at step 17`."""
    return f"{type(request).__name__} {request.number} at {request.when}"


def rows_of(asked: Asked) -> list[Row]:
    """All rows of this process in list order. Raises CombineError when they do not fit `owners`."""
    calls = {agent: call for agent, call in asked.items() if isinstance(call, Compare)}
    first_agent, first = next(iter(calls.items()))
    if not first.owners:
        raise CombineError(f"{called(first)}: there should be a gradient to compare. Found none at all.")
    for agent, call in calls.items():
        if call.owners != first.owners:
            raise CombineError(
                f"{called(call)}: all agents should know the same owners of rows. "
                f"Found {first.owners} in agent {first_agent} and {call.owners} in agent {agent}."
            )
        if call.gram != first.gram:
            raise CombineError(
                f"{called(call)}: all agents should want the Gram matrix, or none. "
                f"Found {first.gram} in agent {first_agent} and {call.gram} in agent {agent}."
            )
        _check_places(agent, call)
    rows = sorted((row for call in calls.values() for row in call.rows), key=lambda row: row.place)
    for row in rows:
        _check_row(row, rows[0], first)
    return rows


def _check_places(agent: int, call: Compare) -> None:
    want = [place for place, owner in enumerate(call.owners) if owner == agent]
    found = sorted(row.place for row in call.rows)
    if found != want:
        raise CombineError(f"{called(call)}: agent {agent} should bring rows {want}. Found {found}.")


def _check_row(row: Row, first: Row, call: Compare) -> None:
    where = f"{called(call)}: row {row.place} of agent {call.owners[row.place]}"
    for name in ("vector", "facts"):
        array, other = getattr(row, name), getattr(first, name)
        if array.dtype != np.float32 or array.ndim != 1 or not array.flags.c_contiguous:
            raise CombineError(
                f"{where}: {name} should be a contiguous float32 vector. "
                f"Found {array.dtype} of shape {list(array.shape)} and strides {list(array.strides)}."
            )
        if array.size != other.size:
            raise CombineError(
                f"{where}: {name} should have {other.size} elements, like that of row {first.place} of agent "
                f"{call.owners[first.place]}. Found {array.size}: their models differ."
            )


def check_combine(asked: Asked, rows: int, number: int, floats: int | None) -> list[Combine]:
    """The `Combine` of all agents of this process, checked against the last `Compare`.

    `rows`, `number` and `floats` are the last Compare's. Raises CombineError.
    """
    calls = {agent: call for agent, call in asked.items() if isinstance(call, Combine)}
    first_agent, first = next(iter(calls.items()))
    for agent, call in calls.items():
        if call.number != number:
            raise CombineError(f"{called(call)} of agent {agent}: the last Compare was number {number}.")
        _check_weights(agent, call, rows)
        _check_out(agent, call, floats)
        if _bits(call) != _bits(first):
            raise CombineError(
                f"{called(call)}: all agents should have found the same weights. Found {first.weights} in "
                f"agent {first_agent} and {call.weights} in agent {agent}."
            )
    return list(calls.values())


def _check_weights(agent: int, call: Combine, rows: int) -> None:
    weights = call.weights
    if callable(weights):
        return
    if not isinstance(weights, np.ndarray) or weights.dtype != np.float64 or weights.shape != (rows,):
        raise CombineError(
            f"{called(call)}: weights of agent {agent} should be [{rows}] float64, one for each row. "
            f"Found {weights!r}."
        )


def _check_out(agent: int, call: Combine, floats: int | None) -> None:
    out = call.out
    if out.dtype != np.float32 or out.ndim != 1 or not out.flags.carray:
        raise CombineError(
            f"{called(call)}: out of agent {agent} should be a contiguous, writable float32 vector. "
            f"Found {out.dtype} of shape {list(out.shape)}."
        )
    if floats is not None and out.size != floats:
        raise CombineError(
            f"{called(call)}: out of agent {agent} should have {floats} elements, like the gradients. "
            f"Found {out.size}: their models differ."
        )


def _bits(call: Combine) -> bytes:
    return b"a rule per coordinate" if callable(call.weights) else call.weights.tobytes()


def arrays_of(asked: Asked) -> tuple[dict[int, Array | None], int | None]:
    """The arrays of a `Gather` by agent, and who gets them (None: everybody).

    Raises CombineError when agents disagree on that, or bring something else than numbers.
    """
    calls = {agent: call for agent, call in asked.items() if isinstance(call, Gather)}
    first_agent, first = next(iter(calls.items()))
    for agent, call in calls.items():
        if call.to != first.to:
            raise CombineError(
                f"{called(call)}: all agents should name the same receiver. Found {first.to} in agent "
                f"{first_agent} and {call.to} in agent {agent}."
            )
    return {agent: _numbers(agent, call) for agent, call in calls.items()}, first.to


def _numbers(agent: int, call: Gather) -> Array | None:
    array = call.array
    if array is None:
        return None
    if array.dtype.kind not in "biufc" or array.ndim > MOST_DIMENSIONS:
        raise CombineError(
            f"{called(call)}: agent {agent} should bring numbers in up to {MOST_DIMENSIONS} dimensions. "
            f"Found {array.dtype} of shape {list(array.shape)}."
        )
    return np.ascontiguousarray(array).reshape(array.shape)


def describe_missing(agents: Sequence[int]) -> str:
    """`agent 3` or `agents 3, 4`."""
    return ("agent " if len(agents) == 1 else "agents ") + ", ".join(map(str, agents))
