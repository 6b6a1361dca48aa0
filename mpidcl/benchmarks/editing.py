"""Editing of images, beside a chain of torch operations."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from mpidcl.base.arrays import Placed
from mpidcl.benchmarks.case import Case, Place, Work
from mpidcl_kernels.editing import edit_pixels

N, P = 1024, 3072
LIMIT = 0.5


def cases(place: Place) -> Iterator[Case]:
    """1,024 images of 3,072 floats, into another array and in place; with a limit for each move."""
    rng = np.random.default_rng(0)
    host = rng.random((N, P), np.float32), rng.standard_normal((N, P), np.float32)
    x, direction = (place(array) for array in host)
    out = place(np.ones((N, P), np.float32))
    size, moved = f"{N} x {P} float32", 3 * host[0].nbytes
    target = "80 % of copy bandwidth, 2.5 x torch"
    for words, into, limit in (
        ("to another array", out, None),
        ("in place", x, None),
        (f"in place, moves of at most {LIMIT}", x, LIMIT),
    ):
        work = partial(edit_pixels, x, direction, 0.01, 0.0, 1.0, into, limit)
        others = {"torch": _chain(x, direction, limit)}
        yield Case("edit_pixels", f"{size}, {words}", work, others, moved, "copy", target=target)


def _chain(x: Placed, direction: Placed, limit: float | None) -> Work:
    """The same in torch operations, whose results have their places already."""
    import torch

    rows, towards = torch.as_tensor(x), torch.as_tensor(direction)
    edited, move = torch.ones_like(rows), torch.ones_like(rows)

    def work() -> object:
        torch.mul(towards, 0.01, out=move)
        if limit is not None:
            move.mul_((limit / move.norm(dim=1, keepdim=True)).clamp_(max=1))
        torch.add(rows, move, out=edited).clamp_(0, 1)
        return torch.sub(edited, rows, out=move).norm(dim=1)

    return work
