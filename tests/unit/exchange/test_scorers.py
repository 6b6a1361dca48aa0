"""Scorers against their formulas, and a pinned table."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import softmax

from mpidcl.exchange.data.scorers import score

LOGITS = np.array([[2.0, 0.0, -1.0], [0.5, 0.25, 0.0], [-3.0, 3.0, 2.5], [0.0, 0.0, 0.0]])
LABELS = np.array([0, 2, 0, 1])
PINNED = {
    "cross-entropy": [0.169846, 1.369338, 6.475619, 1.098612],
    "least-confidence": [-0.843795, -0.419229, -0.621500, -0.333333],
    "margin": [-2.0, -0.25, -0.5, 0.0],
    "entropy": [0.524267, 1.078100, 0.673342, 1.098612],
}
batches = st.integers(2, 6).flatmap(
    lambda classes: arrays(
        np.float32, st.tuples(st.integers(1, 20), st.just(classes)), elements=st.floats(-50, 50, width=32)
    )
)


def scores(kind, logits, labels):
    return score(kind, logits, labels, np.random.default_rng(0))


@pytest.mark.parametrize("kind", PINNED)
def test_pinned_scores(kind):
    np.testing.assert_allclose(scores(kind, LOGITS, LABELS), PINNED[kind], atol=2e-6)


@given(batches)
def test_scores_are_the_textbook_formulas(logits):
    labels = np.arange(len(logits)) % logits.shape[1]
    p = softmax(logits.astype(np.float64), axis=1)
    near = dict(rtol=1e-9, atol=1e-9)
    with np.errstate(divide="ignore"):
        expected = -np.log(p[np.arange(len(p)), labels])
    np.testing.assert_allclose(scores("cross-entropy", logits, labels), expected, **near)
    np.testing.assert_allclose(scores("least-confidence", logits, labels), -p.max(1), **near)
    ordered = np.sort(logits.astype(np.float64), axis=1)
    np.testing.assert_allclose(scores("margin", logits, labels), ordered[:, -2] - ordered[:, -1], **near)
    entropy = -(p * np.log(np.maximum(p, 1e-300))).sum(1)
    np.testing.assert_allclose(scores("entropy", logits, labels), entropy, **near)


@given(batches.filter(lambda logits: logits.shape[1] == 2))
def test_for_two_classes_the_unsupervised_scorers_rank_alike(logits):
    gap = np.abs(logits[:, 0].astype(np.float64) - logits[:, 1])
    order = np.argsort(gap, kind="stable")
    for kind in ("least-confidence", "margin", "entropy"):
        found = scores(kind, logits, np.zeros(len(logits), np.int64))[order]
        assert np.all(np.diff(found) <= 1e-12)


def test_extreme_logits_stay_finite():
    logits = np.array([[1e4, -1e4], [-1e4, 1e4]], np.float32)
    for kind in PINNED:
        assert np.all(np.isfinite(scores(kind, logits, np.array([0, 0]))))


def test_random_scores_come_from_the_given_generator_only():
    first, second = (np.random.default_rng(3) for _ in range(2))
    assert np.array_equal(score("random", LOGITS, LABELS, first), score("random", LOGITS, LABELS, second))
    assert not np.array_equal(score("random", LOGITS, LABELS, first), scores("random", LOGITS, LABELS))
