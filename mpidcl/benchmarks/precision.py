"""Relation precision beside NumPy's and SciPy's closed forms, at the sizes where one outer step matters."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import numpy as np

from mpidcl.benchmarks.case import Case, Place, Work
from mpidcl_kernels import precision
from mpidcl_kernels.base.types import Doubles

RIDGE, LAM_1 = 0.01, 0.2
SIZES = ((64, 16), (256, 128), (1024, 512), (64, 512))
"""(d, K); the last one is a long list of small models."""


def cases(place: Place) -> Iterator[Case]:
    """Closed forms, iterative forms, changes of small rank, outer steps."""
    for rows, tasks in SIZES:
        means = _means(rows, tasks)
        there, out = place(means), place(np.zeros((tasks, tasks)))
        yield Case(
            "relation_precision logdet",
            f"K = {tasks}, d = {rows}",
            lambda there=there, out=out: precision.relation_precision(there, "logdet", RIDGE, out=out),  # type: ignore[misc]
            _logdet(means),
            target="no slower than numpy/scipy",
            threads=1,
        )
        yield Case(
            "relation_precision trace-one",
            f"K = {tasks}, d = {rows}",
            lambda there=there, out=out: precision.relation_precision(there, "trace-one", RIDGE, out=out),  # type: ignore[misc]
            {"numpy eigh": _trace_one(means)},
            target="no slower than numpy/scipy",
            threads=1,
        )
    for tasks in (16, 128, 512):
        yield from _steps(tasks, place)
    for tasks in (16, 128):
        yield from _iterative(tasks, place)


def _means(rows: int, tasks: int) -> Doubles:
    return np.random.default_rng(0).normal(size=(rows, tasks))


def _inverse(positive: Doubles) -> Doubles:
    """scipy's inverse of a positive matrix; `assume_a` is there from scipy 1.17 on."""
    from scipy import linalg

    found: Doubles
    try:
        found = linalg.inv(positive, assume_a="pos")
    except TypeError:
        found = linalg.cho_solve(linalg.cho_factor(positive), np.eye(len(positive)))
    return found


def _logdet(means: Doubles) -> dict[str, Work]:
    rows, tasks = means.shape
    return {
        "numpy inv": lambda: np.linalg.inv(means.T @ means / rows + RIDGE * np.eye(tasks)),
        "scipy inv, positive": lambda: _inverse(means.T @ means / rows + RIDGE * np.eye(tasks)),
    }


def _trace_one(means: Doubles) -> Work:
    def work() -> object:
        values, directions = np.linalg.eigh(means.T @ means)
        scales = np.sqrt(values.clip(0))
        return directions / (scales / scales.sum() + RIDGE) @ directions.T

    return work


def _steps(tasks: int, place: Place) -> Iterator[Case]:
    """A change of rank 8 and the damped step, for `tasks` tasks."""
    c = precision.relation_covariance(_means(2 * tasks, tasks), RIDGE)
    theta = precision.relation_precision(_means(2 * tasks, tasks), "logdet", RIDGE)
    columns = 0.01 * np.random.default_rng(1).normal(size=(tasks, 8))
    there, change, target, out = place(theta), place(columns), place(c), place(theta.copy())
    yield Case(
        "inverse_update",
        f"K = {tasks}, r = 8",
        lambda: precision.inverse_update(there, change, 1, out=out),
        {
            "numpy refactored": lambda: np.linalg.inv(c + columns @ columns.T),
            "scipy refactored, positive": lambda: _inverse(c + columns @ columns.T),
        },
        target="5 times faster than refactoring" if tasks == 512 else "",
        threads=1,
    )
    limits = (1e-4, 1e4)

    def numpy_step() -> object:
        mixed = 0.9 * theta + 0.1 * c
        values, directions = np.linalg.eigh((mixed + mixed.T) / 2)
        return directions * values.clip(*limits) @ directions.T

    yield Case(
        "damped_update",
        f"K = {tasks}, nothing to clip",
        lambda: precision.damped_update(there, target, 0.1, limits, out=out),
        {"numpy eigh": numpy_step},
        threads=1,
    )


def _iterative(tasks: int, place: Place) -> Iterator[Case]:
    means = place(_means(64, tasks))
    c = precision.relation_covariance(_means(64, tasks), RIDGE)
    yield Case(
        "relation_precision sparse",
        f"K = {tasks}, d = 64",
        lambda: precision.relation_precision(means, "sparse", RIDGE, lam_1=LAM_1),
        {"scikit-learn": lambda: _scikit_learn(c)},
        threads=1,
    )
    yield Case(
        "relation_precision laplacian",
        f"K = {tasks}, d = 64",
        lambda: precision.relation_precision(means, "laplacian", RIDGE, lam_1=LAM_1),
        threads=1,
    )


def _scikit_learn(c: Doubles) -> object:
    from sklearn.covariance import graphical_lasso

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says where it stopped before its tolerance
        return graphical_lasso(c, alpha=LAM_1, tol=1e-4)
