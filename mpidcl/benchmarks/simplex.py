"""Weights of gradients: beside non-negative least squares, a QP package and TorchJD, where these succeed."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Iterator

import numpy as np
import scipy.linalg
import scipy.optimize

from mpidcl.base.quantities import share_text
from mpidcl.benchmarks.case import Case, Place, Work
from mpidcl_kernels import simplex
from mpidcl_kernels.base.types import Doubles

Solver = Callable[[Doubles], Doubles]


def cases(place: Place) -> Iterator[Case]:
    """The MGDA point of n gradients in 2 n directions; singular and badly scaled matrices at n = 64.

    What a solver misses is measured here and named: "(+3 %)" is how far the squared length of its step lies
    above the least; one that raises an error is not measured, and named in the size.
    """
    for n, target in ((10, "12 us"), (64, "150 us"), (128, "800 us"), (256, "10 ms")):
        yield _case(place, _gram(n, 2 * n), f"n = {n}", target)
    yield _case(place, _gram(64, 32), "n = 64, singular", "150 us")
    yield _case(place, _gram(64, 128, decades=6), "n = 64, lengths 1e-6 to 1e6", "150 us")


def _gram(n: int, p: int, decades: float = 0.0) -> Doubles:
    rng = np.random.default_rng(n)
    rows = rng.normal(size=(n, p)) + 0.3 * rng.normal(size=p)
    rows *= 10 ** rng.uniform(-decades, decades, (n, 1))
    return rows @ rows.T


def _case(place: Place, gram: Doubles, size: str, target: str) -> Case:
    placed, others, failed = place(gram), {}, []
    best = _squared(gram, simplex.min_norm_weights(gram))
    for name, solver in _solvers().items():
        try:
            excess = _squared(gram, solver(gram)) / best - 1
        except (ValueError, RuntimeError, np.linalg.LinAlgError):
            failed.append(name)
            continue
        label = f"{name} (+{share_text(excess)})" if excess > 1e-6 else name
        others[label] = _work(solver, gram)
    return Case(
        "min_norm_weights",
        size + (f" ({', '.join(failed)}: error)" if failed else ""),
        lambda: simplex.min_norm_weights(placed),
        others,
        threads=1,
        target=target,
    )


def _work(solver: Solver, gram: Doubles) -> Work:
    return lambda: solver(gram)


def _squared(gram: Doubles, weights: Doubles) -> float:
    return float(weights @ gram @ weights)


def _solvers() -> dict[str, Solver]:
    """What is installed of what one would call instead."""
    solvers: dict[str, Solver] = {"scipy nnls": _non_negative_least_squares}
    if importlib.util.find_spec("quadprog"):
        solvers["quadprog"] = _quadratic_program
    if importlib.util.find_spec("torchjd"):
        solvers["torchjd"] = _frank_wolfe
    return solvers


def _non_negative_least_squares(gram: Doubles) -> Doubles:
    root = scipy.linalg.cholesky(gram)
    ones = np.ones(len(gram))
    stacked = np.vstack([root / np.sqrt((root**2).mean()), ones])
    nu = scipy.optimize.nnls(stacked, np.append(0 * ones, 1.0))[0]
    weights: Doubles = nu / nu.sum()
    return weights


def _quadratic_program(gram: Doubles) -> Doubles:
    n = len(gram)
    quadprog = importlib.import_module("quadprog")
    conditions = np.hstack([np.ones((n, 1)), np.eye(n)])
    weights: Doubles = quadprog.solve_qp(gram, np.zeros(n), conditions, np.append(1.0, np.zeros(n)), 1)[0]
    return weights


def _frank_wolfe(gram: Doubles) -> Doubles:
    import torch

    weighting = importlib.import_module("torchjd.aggregation").MGDAWeighting()
    weights: Doubles = weighting(torch.from_numpy(gram)).numpy()
    return weights
