"""Lives that compare and combine made-up gradients."""

from __future__ import annotations

import functools
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import numpy as np

from mpidcl.network.requests import Combine, Compare, Row
from mpidcl.network.schedule.topology import Topology
from mpidcl_kernels.gram import BLOCK, combine_rows

FACTS = 3


@functools.cache
def gradients(rows: int, floats: int, step: int = 0) -> Any:
    """[rows, floats] float32, the same in every process."""
    return np.random.default_rng([rows, floats, step]).normal(size=(rows, floats)).astype(np.float32)


def share(agent: int, owners: list[int], matrix: Any) -> tuple[Row, ...]:
    """The rows of an agent, each with some facts."""
    mine = [place for place, owner in enumerate(owners) if owner == agent]
    return tuple(Row(place, matrix[place], matrix[place, :1].repeat(FACTS)) for place in mine)


def weights_of(gram: Any) -> Any:
    """Weights that depend on every bit of the Gram matrix."""
    return np.cos(1000 * gram.sum(0))


def direction_of(matrix: Any, gram: Any) -> Any:
    return combine_rows(matrix, weights_of(gram))


def drive(lives: Callable[[int], Any], agents: int, rank_of: Any = None, **keys: Any) -> dict[int, Any]:
    """What the agents of this rank return; `rank_of` says who lives where. All ranks must call."""
    from mpi4py import MPI

    from mpidcl.network.mpi.driver import MpiDriver

    comm = MPI.COMM_WORLD
    rank_of = [agent * comm.size // agents for agent in range(agents)] if rank_of is None else rank_of
    driver = MpiDriver(comm, Topology.of("none", agents, ()), rank_of, **keys)
    found = driver.drive({agent: lives(agent) for agent in range(agents) if rank_of[agent] == comm.rank})
    driver.close()
    return found


def life(agent: int, owners: list[int], floats: int, steps: int = 1) -> Any:
    """Compares and combines so often; returns digests of all that it got."""
    digests = []
    for step in range(steps):
        matrix = gradients(len(owners), floats, step)
        out = np.full(floats, np.nan, np.float32)
        when = f"step {step}"
        compared = yield Compare(when, step, tuple(owners), share(agent, owners, matrix))
        yield Combine(when, step, weights_of(compared.gram), out)
        parts = (compared.gram, compared.facts, out)
        digests.append(sha256(b"".join(part.tobytes() for part in parts)).hexdigest())
    return digests


__all__ = ["BLOCK", "direction_of", "drive", "gradients", "life", "share", "weights_of"]
