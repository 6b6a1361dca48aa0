"""Writes to and reads from a replay buffer, beside torch and NumPy, and what each policy adds to a write.

Batches of slots are many and come in turn, so that the caches do not hold the rows that are asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle
from typing import Literal, TypedDict, Unpack

import numpy as np
import numpy.typing as npt

from mpidcl.base.arrays import Placed
from mpidcl.benchmarks.case import Case, Place, Work
from mpidcl_kernels import slots
from mpidcl_kernels.gather import gather_rows, insert_rows

Batches = npt.NDArray[np.int64]

HELD = 1_000_000
WIDE = 3 * 224 * 224
BATCH = 256
SHORT_SIZE = f"{BATCH} rows of 64 float32, {HELD:,} held"
QUARTER = f"a quarter of 18 M rows/s: {BATCH / 18 / 4:.1f} us"


class _More(TypedDict, total=False):
    bytes: int
    limit: Literal["read", "copy"]
    threads: int
    target: str


def cases(place: Place) -> Iterator[Case]:
    """Short rows with every policy's slots, then images."""
    yield from _short(place)
    yield from _policies()
    yield from _wide(place)


def _short(place: Place) -> Iterator[Case]:
    rng = np.random.default_rng(0)
    store, rows = place(_touched(HELD, 64)), place(_touched(BATCH, 64))
    ring = np.stack([slots.fifo_slots(BATCH, BATCH * k, HELD) for k in range(4000)])
    random = rng.integers(0, HELD, (4000, BATCH))
    for name, batches in (("ring", ring), ("random slots", random)):
        yield _insert(f"{SHORT_SIZE}, {name}", store, rows, batches, threads=1, target="18 M rows/s")
    yield _gather(SHORT_SIZE, store, random, threads=1, target="14 M rows/s")


def _wide(place: Place) -> Iterator[Case]:
    rng, held, size = np.random.default_rng(0), 400, "602 KB rows, 241 MB held"
    store = place(_touched(held, WIDE))
    insert, gather = (np.stack([rng.permutation(held)[:n] for _ in range(50)]) for n in (56, 8))
    target, bytes_of_row = "no slower than torch", 2 * 4 * WIDE
    rows = place(_touched(56, WIDE))
    more: _More = {"bytes": 56 * bytes_of_row, "limit": "copy", "target": target}
    yield _insert(f"56 {size}", store, rows, insert, **more)
    # No limit: a copy of so few bytes would stay in the caches, which these rows are not in.
    yield _gather(f"8 {size}", store, gather, bytes=8 * bytes_of_row, target=target)


def _policies() -> Iterator[Case]:
    rng, labels, late = np.random.default_rng(0), np.random.default_rng(1).integers(0, 10, BATCH), 10 * HELD
    table, held = slots.ClassTable(10_000), np.full(10, HELD // 10)
    for _ in range(200):
        slots.class_balanced_slots(labels, table, rng)
    rules: dict[str, Work] = {
        "fifo_slots": lambda: slots.fifo_slots(BATCH, late, HELD),
        "reservoir_slots": lambda: slots.reservoir_slots(BATCH, late, HELD, rng),
        "candidate_slots": lambda: slots.candidate_slots(labels, held, HELD // 10, 0.25, rng),
        "class_balanced_slots": lambda: slots.class_balanced_slots(labels, table, rng),
    }
    for name, rule in rules.items():
        yield Case(name, f"{BATCH} rows, 10 classes, full store", rule, rows=BATCH, threads=1, target=QUARTER)


def _touched(count: int, width: int) -> npt.NDArray[np.float32]:
    return np.ones((count, width), np.float32)


def _insert(size: str, store: Placed, rows: Placed, batches: Batches, **more: Unpack[_More]) -> Case:
    import torch

    turns, store_t, rows_t = cycle(batches), torch.as_tensor(store), torch.as_tensor(rows)
    turns_t = cycle(list(torch.from_numpy(batches).to(store_t.device)))
    others: dict[str, Work] = {"torch index_copy_": lambda: store_t.index_copy_(0, next(turns_t), rows_t)}
    if isinstance(store, np.ndarray):
        others["numpy store[slots] = rows"] = lambda: store.__setitem__(next(turns), rows)
    work = lambda: insert_rows(store, rows, next(turns))  # noqa: E731
    return Case("insert_rows", size, work, others, rows=batches.shape[1], **more)


def _gather(size: str, store: Placed, batches: Batches, **more: Unpack[_More]) -> Case:
    import torch

    turns, store_t = cycle(batches), torch.as_tensor(store)
    turns_t, count = cycle(list(torch.from_numpy(batches).to(store_t.device))), batches.shape[1]
    out_t = torch.ones((count, store_t.shape[1]), device=store_t.device)
    others: dict[str, Work] = {
        "torch index_select": lambda: torch.index_select(store_t, 0, next(turns_t), out=out_t)
    }
    out: Placed = out_t
    if isinstance(store, np.ndarray):
        out = into = out_t.numpy()
        others["numpy store[index]"] = lambda: store[next(turns)]
        others["numpy take, clipped"] = lambda: np.take(store, next(turns), 0, into, mode="clip")
    return Case("gather_rows", size, lambda: gather_rows(store, next(turns), out), others, rows=count, **more)
