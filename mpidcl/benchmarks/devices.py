"""The device that is measured: the CPU with some threads, or the GPU of this process."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mpidcl.benchmarks.case import Place, Work
from mpidcl.errors import ExperimentError
from mpidcl_kernels.base.cache import compiled
from mpidcl_kernels.base.threads import for_pieces, set_threads

PIECE = 1 << 16


@dataclass(frozen=True)
class Bench:
    """Where arrays go, how to wait for work, and what reads or copies a number of bytes as fast as it can."""

    name: str
    place: Place
    finish: Callable[[], None]
    limits: Callable[[str, int], dict[str, Work]]


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


def use_threads(count: int) -> None:
    """mpidcl's kernels, torch and BLAS use `count` threads."""
    import threadpoolctl
    import torch

    set_threads(count)
    torch.set_num_threads(count)
    threadpoolctl.threadpool_limits(count)


def choose(name: str) -> Bench:
    """The bench for "cpu" or "cuda". Raises ExperimentError where there is no GPU."""
    if name == "cpu":
        return Bench("cpu", lambda array: array, lambda: None, _cpu_limits)
    import torch

    if not torch.cuda.is_available():
        raise ExperimentError(
            "--device cuda needs an NVIDIA GPU and a CUDA build of torch. None was found; leave it out"
        )
    return Bench(
        torch.cuda.get_device_name(),
        lambda array: torch.from_numpy(np.ascontiguousarray(array)).cuda(),
        torch.cuda.synchronize,
        _cuda_limits,
    )


def _sum(x):  # type: ignore[no-untyped-def]
    total = x.dtype.type(0)
    for i in range(x.size):
        total += x[i]
    return total


_sum_compiled = compiled(_sum, reorder=True)


def _cpu_limits(limit: str, size: int) -> dict[str, Work]:
    """Ways to read `size` bytes, or to copy them (`size` counts what is read and what is written)."""
    import torch

    if limit == "copy":
        out, source = (np.ones(max(1, size // 8), np.float32) for _ in range(2))
        out_t, source_t = torch.from_numpy(out), torch.from_numpy(source)
        return {"torch copy": lambda: out_t.copy_(source_t), "numpy copy": lambda: np.copyto(out, source)}
    source = np.ones(max(1, size // 4), np.float32)
    tensor, sums = torch.from_numpy(source), np.zeros(-(-source.size // PIECE))

    def part(first: int, last: int) -> None:
        sums[first] = _sum_compiled(source[first * PIECE : last * PIECE])

    return {"torch sum": tensor.sum, "own sum": lambda: for_pieces(part, len(sums))}


def _cuda_limits(limit: str, size: int) -> dict[str, Work]:
    """On a GPU the limit is always its copy bandwidth (design: kernels reach 70 % of it)."""
    import torch

    out, source = (torch.ones(max(1, size // 8), device="cuda") for _ in range(2))
    return {"copy": lambda: out.copy_(source)}
