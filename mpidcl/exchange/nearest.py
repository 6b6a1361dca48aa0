"""Nearest rows by cosine similarity."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]


def cosine_similarity(queries: Floats, rows: Floats) -> Floats:
    """Similarities [q, n] of queries [q, ...] and rows [n, ...]; a zero vector is similar to nothing (0)."""
    similarity: Floats = _unit(queries) @ _unit(rows).T
    return similarity


def _unit(vectors: Floats) -> Floats:
    flat = vectors.reshape(len(vectors), math.prod(vectors.shape[1:]))
    norm = np.sqrt(np.einsum("nd,nd->n", flat, flat))[:, None]
    unit: Floats = np.divide(flat, norm, out=np.zeros_like(flat), where=norm > 0)
    return unit


def best_rows(similarity: Floats, allowed: Mask, count: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Pairs (query, row) of the `count` most similar allowed rows of every query.

    Ordered by rank first and query second: all first choices, then all second choices, so that a cut
    of the list (small room) takes the same from every query. Equal similarities: the first row wins.
    """
    masked = np.where(allowed, similarity, -np.inf)
    order = np.argsort(-masked, axis=1, kind="stable")[:, :count]
    kept = np.take_along_axis(allowed, order, axis=1)
    ranks, queries = np.nonzero(kept.T)
    return queries, order[queries, ranks]
