"""Closed forms on the rows of all agents in one place: what groups that never share a row are held against.

    pooled      one model: least squares on all rows
    ridge       min over w_k of |y_k - X_k w_k|^2 / (2 n_k) + lam / 2 |w_k|^2, each group alone
    mtrl        min over W of sum_k |y_k - X_k w_k|^2 / (2 n_k) + lam / 2 tr((W - m1') Theta (W - m1')'),
                Theta = (Omega + eps I)^-1, Omega = (V'V)^(1/2) of trace 1, V = W - m1'

The last is multi-task relationship learning (Zhang and Yeung): W and Theta in turn. m is 0, or the mean that
costs least. Rows are the samples that agents learn, as often as they learn them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mpidcl.experiment import kinds
from mpidcl.experiment.file import Experiment
from mpidcl.reproduce.damtl.methods import Method
from mpidcl.stream.regression.task import BLOCK, RegressionTask
from mpidcl_kernels.precision import relation_precision

Doubles = NDArray[np.float64]
PENALTIES = (0.0001, 0.001, 0.01, 0.1, 1.0)
"""lam between which a closed form is tuned."""
EPS, TURNS = 1e-3, 50


class Group(NamedTuple):
    """Rows x [n, d], y [n] that the agents of a group learn, and its task."""

    x: Doubles
    y: Doubles
    task: RegressionTask


def groups_of(experiment: Experiment) -> list[Group]:
    """The rows of all groups, from the streams of all agents. Raises DataError without the files."""
    found: dict[int, list[tuple[Doubles, Doubles]]] = {}
    tasks = {}
    for agent in range(experiment.agents):
        mine = experiment.for_agent(agent)
        stream = kinds.resolve("stream", mine.stream.kind)(mine, agent)
        task, count = stream.task(0), stream.ticks[0]
        blocks = [task.block(number) for number in range(-(-count // BLOCK))]
        rows = [np.concatenate(part)[:count] for part in zip(*blocks, strict=True)]
        tasks[task.group] = task
        found.setdefault(task.group, []).append((rows[0], rows[1]))
    return [
        Group(
            np.concatenate([x for x, _ in found[group]]),
            np.concatenate([y for _, y in found[group]]),
            tasks[group],
        )
        for group in sorted(found)
    ]


def solutions(groups: list[Group]) -> dict[str, dict[str, float]]:
    """Name of a method -> its numbers, for every closed form and penalty."""
    found = {Method("pooled"): pooled(groups)}
    for lam in PENALTIES:
        found[Method("ridge", lam)] = ridge(groups, lam)
        found[Method("mtrl", lam)] = mtrl(groups, lam)
        found[Method("mtrl-mean", lam)] = mtrl(groups, lam, common=True)
    return {method.name: scores(groups, models) for method, models in found.items()}


def pooled(groups: list[Group]) -> Doubles:
    """One model for all, the smallest of those that fit as well: W [d, K] of equal columns."""
    x, y = (np.concatenate([group[part] for group in groups]) for part in (0, 1))
    return np.tile(np.linalg.lstsq(x, y, rcond=None)[0][:, None], len(groups))


def ridge(groups: list[Group], lam: float) -> Doubles:
    """W [d, K]; lam > 0."""
    grams, sides = moments(groups)
    found = np.linalg.solve(grams + lam * np.eye(grams.shape[1]), sides[..., None])[..., 0]
    return np.asarray(found.T, np.float64)


def mtrl(groups: list[Group], lam: float, common: bool = False, turns: int = TURNS) -> Doubles:
    """W [d, K] after so many turns; with `common` about a mean that is learned, too."""
    count, width = len(groups), groups[0].x.shape[1]
    theta: Doubles = count * np.eye(count)
    mean, models = np.zeros(width), np.zeros((width, count))
    for _ in range(turns):
        models = related(groups, lam, theta, mean)
        if common:
            mean = models @ theta.sum(1) / theta.sum()
        theta = relation_precision(models - mean[:, None], "trace-one", EPS)
    return models


def related(groups: list[Group], lam: float, theta: Doubles, mean: Doubles) -> Doubles:
    """W [d, K] of the least cost given Theta [K, K] and m [d]."""
    grams, sides = moments(groups)
    count, width = sides.shape
    whole = lam * np.kron(theta, np.eye(width))
    for group, gram in enumerate(grams):
        own = slice(group * width, (group + 1) * width)
        whole[own, own] += gram
    right = sides + lam * np.outer(theta.sum(1), mean)
    found = np.linalg.solve(whole, right.ravel()).reshape(count, width)
    return np.asarray(found.T, np.float64)


def moments(groups: list[Group]) -> tuple[Doubles, Doubles]:
    """X_k'X_k / n_k [K, d, d] and X_k'y_k / n_k [K, d]."""
    grams = np.array([group.x.T @ group.x / len(group.y) for group in groups])
    return grams, np.array([group.x.T @ group.y / len(group.y) for group in groups])


def scores(groups: list[Group], models: Doubles) -> dict[str, float]:
    """error (where the truth is known), mse and r2, means over groups; r2_K of each group."""
    found: dict[str, list[float]] = {"mse": [], "r2": []}
    for number, group in enumerate(groups):
        task, model = group.task, models[:, number]
        mse = float(np.mean((task.test_y - task.test_x @ model) ** 2))
        found["mse"].append(mse)
        found["r2"].append(1 - mse / float(task.test_y.var()))
        if task.truth is not None:
            found.setdefault("error", []).append(float(((model - task.truth[number]) ** 2).sum()))
    by_group = {f"r2_{number}": value for number, value in enumerate(found["r2"])}
    return {name: float(np.mean(values)) for name, values in found.items()} | by_group
