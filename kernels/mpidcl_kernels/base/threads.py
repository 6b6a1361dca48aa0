"""How many threads a kernel may use, and how it uses them.

Compiled kernels release Python's lock, so plain threads run them side by side. Every kernel cuts its
work into pieces that do not depend on the number of threads, and adds their results in order: any number of
threads gives the same bits. With one thread nothing is started.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from mpidcl_kernels.base.errors import bad

_chosen: list[int] = []


def set_threads(count: int) -> None:
    """Use at most `count` threads per call, in this process. Raises ValueError below 1."""
    if count < 1:
        raise bad("threads", "at least 1", count)
    _chosen[:] = [count]


def get_threads() -> int:
    """Threads per call: what `set_threads` chose, else OMP_NUM_THREADS, else all cores of this process.

    Of a list in OMP_NUM_THREADS, one number per level of nested threads, the first counts.
    """
    if _chosen:
        return _chosen[0]
    told = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return int(told) if told.isdecimal() and int(told) else len(os.sched_getaffinity(0))


@functools.cache
def _pool(threads: int, process: int) -> ThreadPoolExecutor:
    # The process is part of the key: threads do not survive a fork, and their pool would wait for ever.
    return ThreadPoolExecutor(threads, thread_name_prefix="mpidcl-kernels")


def for_pieces(work: Callable[[int, int], object], pieces: int) -> None:
    """Call `work(first, last)` until `pieces` pieces are covered, by up to `get_threads()` threads.

    `work` must write to places that belong to its pieces alone. An error in any of them is raised here.
    """
    threads = min(get_threads(), pieces)
    if threads <= 1:
        if pieces:
            work(0, pieces)
        return
    ends = [pieces * number // threads for number in range(threads + 1)]
    pool = _pool(get_threads() - 1, os.getpid())
    others = []
    try:
        for first, last in zip(ends[1:], ends[2:], strict=False):
            others.append(pool.submit(work, first, last))
        work(ends[0], ends[1])
    finally:
        # All must have ended before the caller's arrays may go away.
        errors = [other.exception() for other in others]
    for error in errors:
        if error is not None:
            raise error
