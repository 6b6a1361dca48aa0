"""Gaussian Markov random fields: precisions over graphs, draws from them, and draws that move.

Rue and Held, "Gaussian Markov Random Fields" (2005): with Q = L L', the solution x of L' x = z for white
noise z has precision Q.
"""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt

import numpy as np

from mpidcl.stream.regression.task import Doubles


def ring(nodes: int) -> Doubles:
    """Adjacency [nodes, nodes] of a ring; of two nodes: one edge, of one: none."""
    found = chain(nodes)
    if nodes > 2:
        found[0, -1] = found[-1, 0] = 1
    return found


def chain(nodes: int) -> Doubles:
    """Adjacency [nodes, nodes] of a line."""
    return np.eye(nodes, k=1) + np.eye(nodes, k=-1)


def grid(side: int) -> Doubles:
    """Adjacency [side^2, side^2] of a square grid with 4 neighbours, row by row."""
    line, same = chain(side), np.eye(side)
    found: Doubles = np.kron(line, same) + np.kron(same, line)
    return found


def precision_of(adjacency: Doubles, rho: float) -> Doubles:
    """Q = tau (D - rho A), D the degrees, tau such that the mean variance is 1. Of a lone node it is 1."""
    degrees = adjacency.sum(1)
    plain: Doubles = np.diag(np.where(degrees > 0, degrees, 1.0)) - rho * adjacency
    # trace(Q^-1) is the squared norm of L^-1
    inverse_root = np.linalg.inv(np.linalg.cholesky(plain))
    variance = float((inverse_root**2).sum()) / len(plain)
    found: Doubles = plain * variance
    return found


class Moving:
    """Draws [nodes, columns], one for each task: X' = sqrt(1 - move^2) X + move x a fresh draw.

    Each column of a draw has precision `precision` [nodes, nodes]; None: the identity, which needs no matrix.
    `white(task)` gives white noise [nodes, columns].
    """

    def __init__(self, precision: Doubles | None, move: float, white: Callable[[int], Doubles]) -> None:
        self._precision, self._move, self._white = precision, move, white
        # of Q = L L' the inverse of L', once for all tasks
        self._root = None if precision is None else np.linalg.inv(np.linalg.cholesky(precision)).T
        self._made: list[Doubles] = []

    @property
    def precision(self) -> Doubles:
        """Of each column of a draw [nodes, nodes]."""
        return np.eye(len(self.at(0))) if self._precision is None else self._precision

    def at(self, task: int) -> Doubles:
        """The draw [nodes, columns] of a task, read-only, in whatever order tasks are asked for."""
        while len(self._made) <= task:
            white = self._white(len(self._made))
            fresh: Doubles = white if self._root is None else self._root @ white
            if self._made:
                fresh = sqrt(1 - self._move**2) * self._made[-1] + self._move * fresh
            fresh.setflags(write=False)
            self._made.append(fresh)
        return self._made[task]
