"""The search for nearest rows, beside torch, NumPy and, where it is installed, faiss."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from functools import partial

import numpy as np
from numpy.typing import NDArray

from mpidcl.base.arrays import Placed
from mpidcl.benchmarks.case import Case, Place, Work
from mpidcl_kernels.base.types import Index
from mpidcl_kernels.nearest import nearest_rows

K = 5


def cases(place: Place) -> Iterator[Case]:
    """Encodings (64 wide) and images (3,072 wide): by cosine, with a mask, by distance."""
    rng = np.random.default_rng(0)
    for q, n, d, target in ((20, 100_000, 64, "no slower than torch"), (20, 10_000, 3072, "")):
        queries, rows = (rng.standard_normal((m, d), np.float32) for m in (q, n))
        size = f"{q} queries, {n:,} x {d}, k = {K}"
        a, b, mask = place(queries), place(rows), place(rng.random((q, n)) < 0.5)
        search = partial(nearest_rows, a, b, K)
        yield Case("nearest_rows", size, search, _cosine(queries, rows, a, b), threads=1, target=target)
        yield Case("nearest_rows", f"{size}, masked", partial(search, allowed=mask), threads=1)
        others = {"torch": _torch_distance(a, b)}
        yield Case("nearest_rows", f"{size}, euclidean", partial(search, "euclidean"), others, threads=1)


def _cosine(queries: NDArray[np.float32], rows: NDArray[np.float32], a: Placed, b: Placed) -> dict[str, Work]:
    others = {"torch": _torch_cosine(a, b)}
    if a is queries:
        others["numpy"] = lambda: _numpy_cosine(queries, rows)
        if importlib.util.find_spec("faiss"):
            others["faiss"] = _faiss(queries, rows)
    return others


def _torch_cosine(a: Placed, b: Placed) -> Work:
    import torch

    x, y = torch.as_tensor(a), torch.as_tensor(b)
    unit = torch.nn.functional.normalize
    return lambda: torch.topk(unit(x, dim=1) @ unit(y, dim=1).T, K)


def _torch_distance(a: Placed, b: Placed) -> Work:
    import torch

    x, y = torch.as_tensor(a), torch.as_tensor(b)
    return lambda: torch.topk(torch.cdist(x, y), K, largest=False)


def _numpy_cosine(queries: NDArray[np.float32], rows: NDArray[np.float32]) -> Index:
    a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (queries, rows))
    similarity = a @ b.T
    return np.argpartition(-similarity, K, axis=1)[:, :K]


def _faiss(queries: NDArray[np.float32], rows: NDArray[np.float32]) -> Work:
    import faiss  # type: ignore[import-not-found]

    index = faiss.IndexFlatIP(rows.shape[1])
    index.add(rows / np.linalg.norm(rows, axis=1, keepdims=True))
    unit = queries / np.linalg.norm(queries, axis=1, keepdims=True)
    return lambda: index.search(unit, K)
