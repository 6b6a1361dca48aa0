"""Noise of group means: what is taken off their scatter, and how strongly a relation is best followed."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.linalg import solve_continuous_lyapunov
from scipy.optimize import minimize_scalar

from mpidcl.learning.linear.relation import Relation, RelationOptions, root_of
from mpidcl.learning.linear.stability import together
from mpidcl.learning.linear.strength import Settling, least_error, scatter

Doubles = NDArray[np.float64]
SIZES = (6, 3, 3, 1)
SHARES = np.array(SIZES) / sum(SIZES)
NOISES = np.array([0.1, 0.4, 0.2, 1.0])
TRUE = np.random.default_rng(0).normal(size=(4, 30))
DRAWS = 500


def told(rng: np.random.Generator, true: Doubles = TRUE) -> Doubles:
    """Means as messengers tell them."""
    return true + np.sqrt(NOISES)[:, None] * rng.normal(size=true.shape)


def errors_of(found: list[Doubles], want: Doubles) -> Doubles:
    """How far the mean of what was found is off, in standard errors."""
    standard = np.std(found, axis=0, ddof=1) / np.sqrt(len(found))
    return np.abs(np.mean(found, axis=0) - want) / standard


@pytest.mark.parametrize("shares", [SHARES, np.zeros(4)], ids=["learned", "zero"])
def test_the_scatter_without_noise_is_unbiased_and_that_with_it_is_not(shares: Doubles) -> None:
    rng = np.random.default_rng(1)
    around = TRUE - shares @ TRUE
    want = around @ around.T / 30
    means = [told(rng) for _ in range(DRAWS)]
    left = errors_of([scatter(one, np.zeros(4), shares) for one in means], want)
    off = errors_of([scatter(one, NOISES, shares) for one in means], want)
    assert off.max() < 4
    assert left.diagonal().min() > 20


def test_a_scatter_below_its_noise_is_none() -> None:
    found = scatter(TRUE, np.full(4, 100.0), SHARES)
    np.testing.assert_allclose(found, 0, atol=1e-12)
    one = scatter(TRUE, np.array([0.0, 0.0, 0.0, 100.0]), np.zeros(4))
    assert np.linalg.eigvalsh(one).min() > -1e-12
    np.testing.assert_allclose(root_of(one).T @ root_of(one) / 4, one, atol=1e-12)


def test_the_relation_is_that_of_true_means_where_noise_is_subtracted() -> None:
    """Of many features, so that a scatter without its noise is hardly noisy itself."""
    true = np.random.default_rng(2).normal(size=(4, 2000))
    want = np.linalg.inv(true @ true.T / 2000 + 0.01 * np.eye(4)).diagonal()
    found = {}
    for noise in ("leave", "subtract"):
        relation = Relation(RelationOptions(mean="zero", noise=noise, beta=1.0), SIZES)
        relation.step(told(np.random.default_rng(3), true), NOISES)
        found[noise] = relation.theta.diagonal() / want
    np.testing.assert_allclose(found["subtract"], 1, atol=0.1)
    np.testing.assert_allclose(found["leave"], 1 / (1 + NOISES), atol=0.1)


@pytest.mark.parametrize("noise", [2.0, 4.0, 10.0])
def test_the_strength_is_that_of_the_least_error_of_the_coupled_models(noise: float) -> None:
    """Theta = 2 I: a direction has A P + P A' = alpha h s^2 I, A = (h + g) I + L; off by g / (h + g) w."""
    rate, scale, variances = 0.02, 0.5, (0.3, 2.0)
    hears = np.roll(np.eye(6), 1, 0)
    laplacian = np.eye(6) - hears

    def error(weight: float) -> float:
        found = 0.0
        for h in variances:
            drift = (h + weight) * np.eye(6) + laplacian
            left = solve_continuous_lyapunov(drift, rate * h * noise**2 * np.eye(6)).trace() / 6
            found += h * (left + scale * (weight / (h + weight)) ** 2)
        return found

    lone = rate * noise**2 / 2
    settling = Settling(lone, lone / 6, together(hears, 1.0), np.array(variances), 40.0)
    found = 2 * least_error(2 * np.eye(3), scale * np.eye(3), 1, settling)
    best = minimize_scalar(error, bounds=(0, 40), method="bounded")
    assert error(found) == pytest.approx(best.fun, rel=0.003)
    assert error(found) < 0.999 * error(0)


def test_groups_that_are_alike_are_drawn_as_strongly_as_may_be_and_those_without_noise_are_not() -> None:
    theta, noisy = 2 * np.eye(3), Settling(1.0, 1.0, np.zeros(1), np.ones(20), 30.0)
    assert 2 * least_error(theta, np.zeros((3, 3)), 0, noisy) == pytest.approx(30)
    assert least_error(theta, np.eye(3), 0, noisy._replace(lone=0.0, noise=0.0)) == 0
    assert least_error(np.zeros((3, 3)), np.eye(3), 0, noisy) == 0  # related to nobody
