"""What a learner of regression streams is given: samples in blocks, rows to test on, the truth if known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]
BLOCK = 512
"""Samples of a block: each block is a function of (seed, agent, task, number)."""


@dataclass(frozen=True, slots=True)
class RegressionTask:
    """One task of one agent, a member of group `group` of `groups`.

    block: samples of block `number`, x [BLOCK, d] and y [BLOCK], finite; sample s is row s % BLOCK of block
    s // BLOCK. The learner takes one at each tick
    test_x [m, d], test_y [m]: rows that nobody learns; m may be 0
    truth [groups, d]: the model of every group, None: not known
    """

    index: int
    group: int
    groups: int
    block: Callable[[int], tuple[Doubles, Doubles]]
    test_x: Doubles
    test_y: Doubles
    truth: Doubles | None = None
