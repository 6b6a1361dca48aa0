"""One thing to measure: a kernel at a size, and what a user would call instead."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from mpidcl.base.arrays import Placed
from mpidcl_kernels.base.types import View

Work = Callable[[], object]
Place = Callable[[View], Placed]
"""Puts a NumPy array on the device that is measured; on the CPU it is returned as it is."""


@dataclass(frozen=True)
class Case:
    """`work` is mpidcl's call; `others` are called in turn with it, on the same data.

    `bytes` is what one call has to read (`limit = "read"`) or to read and write (`limit = "copy"`): it gives
    GB/s, and the share of the bandwidth that the same run measures. `rows`: per call, shown per second.
    `threads`: how many all contestants may use; None: all cores of this process.
    """

    kernel: str
    size: str
    work: Work
    others: Mapping[str, Work] = field(default_factory=dict)
    bytes: int = 0
    limit: Literal["read", "copy"] | None = None
    rows: int = 0
    threads: int | None = None
    target: str = ""
