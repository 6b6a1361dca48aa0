"""LEEP: its bounds, a case by hand, and the formula of the paper term by term."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpidcl.exchange.modules.leep import conditional, head_sources, joint, leep, probabilities


def direct(theta, y, classes):
    """Nguyen et al. (ICML 2020), equations 1 and 2, sum by sum."""
    n, outputs = theta.shape
    both = [
        [sum(theta[i, z] for i in range(n) if y[i] == c) / n for z in range(outputs)] for c in range(classes)
    ]
    given = [[both[c][z] / sum(b[z] for b in both) for z in range(outputs)] for c in range(classes)]
    total = 0.0
    for i in range(n):
        total += math.log(sum(given[y[i]][z] * theta[i, z] for z in range(outputs)))
    return total / n


def case(seed, n, classes, outputs):
    random = np.random.default_rng(seed)
    logits = random.normal(size=(n, outputs)).astype(np.float32) * 3
    return logits, random.integers(0, classes, n)


sizes = st.tuples(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 5), st.integers(1, 6))


@settings(max_examples=60)
@given(sizes)
def test_it_equals_the_direct_formula_and_is_never_positive(size):
    logits, y = case(*size)
    found = leep(logits, y, size[2]).score
    assert found == pytest.approx(direct(probabilities(logits), y, size[2]), rel=1e-12, abs=1e-12)
    assert found <= 0


@settings(max_examples=60)
@given(sizes)
def test_it_does_not_depend_on_the_order_of_source_classes_or_rows(size):
    logits, y = case(*size)
    random = np.random.default_rng(size[0])
    rows, outputs = random.permutation(len(y)), random.permutation(logits.shape[1])
    again = leep(logits[rows][:, outputs], y[rows], size[2]).score
    assert again == pytest.approx(leep(logits, y, size[2]).score, rel=1e-9, abs=1e-12)


def test_two_rows_and_two_classes_by_hand():
    # theta = [[.9, .1], [.2, .8]], y = [0, 1]: P(y, z) = [[.45, .05], [.1, .4]],
    # P(y|z) = [[9/11, 1/9], [2/11, 8/9]], so the two rows have .81/1.1 + .01/.9 and .04/1.1 + .64/.9
    theta = np.array([[0.9, 0.1], [0.2, 0.8]])
    expected = (math.log(0.81 / 1.1 + 0.01 / 0.9) + math.log(0.04 / 1.1 + 0.64 / 0.9)) / 2
    found = leep(np.log(theta), np.array([0, 1]), 2)
    assert found.score == pytest.approx(expected, abs=1e-12)
    assert found.score == pytest.approx(-0.291054756930, abs=1e-12)
    assert found.sources.tolist() == [0, 1]


def test_a_perfect_predictor_has_zero_whatever_it_calls_the_classes():
    y = np.array([0, 1, 2, 1, 0])
    names = np.array([2, 0, 1])
    logits = np.where(np.arange(3) == names[y][:, None], 1000.0, 0.0)
    found = leep(logits, y, 3)
    assert found.score == 0
    assert found.sources.tolist() == names.tolist()


def test_a_classifier_that_always_says_the_same_has_minus_the_entropy_of_the_labels():
    y = np.array([0, 0, 0, 1])
    found = leep(np.zeros((4, 2)), y, 2)
    assert found.score == pytest.approx(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert found.sources.tolist() == [-1, -1]  # it knows nothing of either class


def test_a_source_class_without_mass_does_no_harm():
    logits = np.array([[0.0, -2000.0], [0.0, -2000.0]])
    found = leep(logits, np.array([0, 1]), 2)
    assert found.score == pytest.approx(math.log(0.5))
    assert np.isfinite(conditional(joint(probabilities(logits), np.array([0, 1]), 2))).all()


def test_rows_of_a_head_are_those_that_make_a_class_likelier():
    both = np.array([[0.30, 0.02, 0.08], [0.03, 0.20, 0.07], [0.12, 0.08, 0.10]])
    assert head_sources(both).tolist() == [0, 1, 2]
    absent = np.array([[0.5, 0.5], [0.0, 0.0]])  # no row of class 1; every row is of class 0
    assert head_sources(absent).tolist() == [-1, -1]


def test_without_rows_or_finite_answers_nothing_is_known():
    for logits in (np.zeros((0, 2)), np.array([[np.nan, 0.0]])):
        found = leep(logits, np.zeros(len(logits), np.int64), 2)
        assert math.isnan(found.score) and found.sources.tolist() == [-1, -1]
