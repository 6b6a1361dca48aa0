"""`mpidcl bench kernels`: every kernel beside what a user would call instead, and the memory's bandwidth."""

from __future__ import annotations

import importlib
import statistics
from collections.abc import Iterator

from mpidcl.benchmarks.case import Case
from mpidcl.benchmarks.devices import Bench, cores, use_threads
from mpidcl.benchmarks.table import KernelRow, Other
from mpidcl.benchmarks.timing import in_turn, ratio
from mpidcl.errors import ExperimentError

MODULES = ("gram", "simplex", "editing", "gather", "nearest", "precision", "linear", "average", "quantise")
ROUNDS = 7
OURS = "mpidcl"


def measure(bench: Bench, only: str = "", rounds: int = ROUNDS) -> Iterator[KernelRow]:
    """One row per case and number of threads; `only` keeps the kernels whose name contains it.

    Raises ExperimentError when no kernel has such a name.
    """
    found = False
    for name in MODULES:
        module = importlib.import_module(f"mpidcl.benchmarks.{name}")
        for case in module.cases(bench.place):
            if only in case.kernel:
                found = True
                yield from (_row(bench, case, threads, rounds) for threads in _threads(bench, case))
    if not found:
        raise ExperimentError(f"--only should be part of a kernel's name. No kernel is named like {only!r}")


def _threads(bench: Bench, case: Case) -> list[int]:
    if case.threads is not None or bench.name != "cpu":
        return [case.threads or 1]
    return sorted({1, cores()})


def _row(bench: Bench, case: Case, threads: int, rounds: int) -> KernelRow:
    """Measured figures of one case: seconds, ratios, GB/s and the share of the limit of the same moment."""
    use_threads(threads)
    limits = bench.limits(case.limit, case.bytes) if case.limit else {}
    seconds = in_turn({OURS: case.work, **case.others, **limits}, rounds, bench.finish)
    others = {
        name: Other(seconds=statistics.median(seconds[name]), times_ours=ratio(seconds[name], seconds[OURS]))
        for name in case.others
    }
    row: KernelRow = {
        "bench": "kernels",
        "kernel": case.kernel,
        "size": case.size,
        "threads": threads,
        "device": bench.name,
        "target": case.target,
        "seconds": statistics.median(seconds[OURS]),
        "others": others,
    }
    if case.bytes:
        row["GB_per_s"] = case.bytes / row["seconds"] / 1e9
    if case.rows:
        row["rows_per_s"] = case.rows / row["seconds"]
    if limits:
        best = [min(moment) for moment in zip(*(seconds[name] for name in limits), strict=True)]
        row["limit"], row["limit_GB_per_s"] = case.limit, case.bytes / statistics.median(best) / 1e9
        row["share_of_limit"] = ratio(best, seconds[OURS])
    return row
