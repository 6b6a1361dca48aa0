"""Compiles the kernels, or loads them from the cache, before anybody waits for them."""

from __future__ import annotations

import numpy as np

from mpidcl_kernels import heads, step


def warm_up() -> None:
    """Call every kernel once on the smallest arrays of the types that learners use.

    The first process of a node fills the cache on disk; those that call it later only read it.
    """
    one = np.ones((1, 2), np.float32)
    index = np.zeros(1, np.int64)
    block = np.ones((1, 2, 3), np.float32)
    _, _, slope = heads.cross_entropy(one, block, index, index)
    heads.gradients(slope, one, block, index)
    w, g, m, v = (np.ones(2, np.float32) for _ in range(4))
    ends = (np.array([0]), np.array([2]))
    step.sgd(w, g, m, *ends, lr=1e-3)
    step.adam(w, g, m, v, *ends, np.array([1]), lr=1e-3)
