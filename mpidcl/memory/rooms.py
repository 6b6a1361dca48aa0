"""Which slots the rows of many rooms take, found for all rooms at once: a thousand classes cost as one.

The slots, and the numbers drawn for them, are those of `Policy.place` room by room, in order of the rooms.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mpidcl.memory.policies import REFUSED, Candidate, Fifo, Policy, Reservoir

Indices = NDArray[np.int64]
Late = Callable[[Any, Indices, Indices, np.random.Generator], Indices]
"""Slots [n] in their rooms, as `Policy.late` gives, of rows whose rooms have each a capacity [n]."""


def _reservoir(policy: Reservoir, arrival: Indices, capacity: Indices, rng: np.random.Generator) -> Indices:
    place = (rng.random(len(arrival)) * (arrival + 1)).astype(np.int64)
    return np.where(place < capacity, place, REFUSED)


def _candidate(policy: Candidate, arrival: Indices, capacity: Indices, rng: np.random.Generator) -> Indices:
    u = rng.random(len(arrival))
    scale = np.minimum(capacity / policy.accept, 1e300) if policy.accept > 0 else 0.0
    place = np.minimum(u * scale, capacity - 1).astype(np.int64)
    return np.where((u < policy.accept) & (capacity > 0), place, REFUSED)


def _fifo(policy: Fifo, arrival: Indices, capacity: Indices, rng: np.random.Generator) -> Indices:
    return np.where(capacity > 0, arrival % np.maximum(capacity, 1), REFUSED)


TOGETHER: dict[type[Policy], Late] = {Reservoir: _reservoir, Candidate: _candidate, Fifo: _fifo}
"""Of these policies and no others: one that is derived from them may do something else."""


def together(policy: Policy) -> bool:
    """Whether `slots_of_all` knows a policy."""
    return type(policy) in TOGETHER


def slots_of_all(
    policy: Policy, rooms: Indices, seen: Indices, capacities: Indices, rng: np.random.Generator
) -> Indices:
    """Slots [n] in their rooms of rows that arrive in order; REFUSED for none.

    rooms [n]: the room of each row. seen, capacities [rooms]: rows offered to each before, and how many fit;
    `seen` is updated.
    """
    order = np.argsort(rooms, kind="stable")
    room, counts = rooms[order], np.bincount(rooms, minlength=len(seen))
    first = np.cumsum(counts) - counts
    arrival = np.arange(len(rooms)) + (seen - first)[room]
    capacity = capacities[room]
    late = np.flatnonzero(arrival >= capacity)
    if len(late):
        arrival[late] = TOGETHER[type(policy)](policy, arrival[late], capacity[late], rng)
    seen += counts
    slots = np.empty_like(arrival)
    slots[order] = arrival
    return slots
