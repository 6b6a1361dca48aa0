"""Closed forms on the rows of all agents, against what they minimise."""

from __future__ import annotations

import numpy as np
import pytest

from mpidcl.reproduce.damtl.central import Doubles, Group, moments, mtrl, pooled, related, ridge, scores
from mpidcl.stream.regression.task import RegressionTask

TRUTH = np.array([[1.0, 2.0, 0.5], [1.0, 1.0, -0.5], [0.5, 2.0, 1.0]])


def groups(noise: float, rows: tuple[int, ...] = (200, 30, 8)) -> list[Group]:
    rng = np.random.default_rng(7)

    def drawn(count: int, number: int) -> tuple[Doubles, Doubles]:
        x = rng.standard_normal((count, 3))
        return x, x @ TRUTH[number] + noise * rng.standard_normal(count)

    return [
        Group(
            *drawn(count, number),
            RegressionTask(0, number, 3, lambda at: drawn(8, 0), *drawn(50, number), TRUTH),
        )
        for number, count in enumerate(rows)
    ]


def objective(given: list[Group], models: Doubles, mean: Doubles, theta: Doubles, lam: float) -> float:
    loss = sum(
        float(np.mean((one.y - one.x @ models[:, number]) ** 2)) / 2 for number, one in enumerate(given)
    )
    around = models - mean[:, None]
    return loss + lam / 2 * float(np.trace(around @ theta @ around.T))


def test_without_noise_groups_are_found_exactly_and_one_model_is_not_enough() -> None:
    given = groups(0.0)
    for models in (ridge(given, 1e-12), mtrl(given, 1e-12), mtrl(given, 1e-12, common=True)):
        np.testing.assert_allclose(models.T, TRUTH, atol=1e-6)
        assert scores(given, models)["r2"] == pytest.approx(1)
    assert scores(given, pooled(given))["error"] > 0.1
    assert np.ptp(pooled(given), axis=1).max() == 0


def test_ridge_has_no_slope_at_its_minimum() -> None:
    given, lam = groups(1.0), 0.3
    grams, sides = moments(given)
    models = ridge(given, lam)
    slope = np.einsum("kij,jk->ki", grams, models) - sides + lam * models.T
    np.testing.assert_allclose(slope, 0, atol=1e-12)


def test_related_models_cost_least_given_the_relation_and_the_mean() -> None:
    given, lam = groups(1.0), 0.3
    rng = np.random.default_rng(0)
    root, mean = rng.standard_normal((3, 3)), rng.standard_normal(3)
    theta = root @ root.T
    models = related(given, lam, theta, mean)
    least = objective(given, models, mean, theta, lam)
    for _ in range(20):
        step = 1e-3 * rng.standard_normal(models.shape)
        assert objective(given, models + step, mean, theta, lam) > least


@pytest.mark.parametrize("common", [False, True])
def test_relationship_learning_ends_where_another_turn_changes_little(common: bool) -> None:
    given, lam = groups(1.0), 0.01
    models, later = mtrl(given, lam, common), mtrl(given, lam, common, turns=200)
    assert np.abs(models - later).max() < 0.01 * np.abs(models).max()
    assert np.abs(models - mtrl(given, lam, not common)).max() > 1e-3


def test_a_small_group_gains_from_related_ones() -> None:
    given = groups(2.0)
    alone = ((ridge(given, 1e-9)[:, 2] - TRUTH[2]) ** 2).sum()
    together = ((mtrl(given, 0.1, common=True)[:, 2] - TRUTH[2]) ** 2).sum()
    assert together < alone
