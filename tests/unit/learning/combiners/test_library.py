"""`combine`: the same arithmetic for anybody's arrays."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from combiner_cases import DRAWN, KINDS
from pydantic import ValidationError

from mpidcl.errors import ExperimentError
from mpidcl.learning.combiners import combine, make

LOSSES = (0.5, 1.0, 2.0)


@pytest.fixture
def rows() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(3, 70000)).astype(np.float32)


@pytest.mark.parametrize("kind", KINDS)
def test_arrays_lists_and_tensors_give_the_same(kind, rows):
    found = combine(rows, kind, losses=LOSSES)
    assert found.shape == (70000,) and found.dtype == np.float32 and np.isfinite(found).all()
    for form in (list(rows), torch.from_numpy(rows), list(torch.from_numpy(rows))):
        again = combine(form, kind, losses=LOSSES)
        assert isinstance(again, type(form[0]))
        np.testing.assert_array_equal(np.asarray(again), found)


@pytest.mark.parametrize("kind", KINDS)
def test_doubles_stay_doubles(kind, rows):
    found = combine(rows.astype(np.float64), kind, losses=LOSSES)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, combine(rows, kind, losses=LOSSES), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", sorted({*DRAWN, "graddrop"}))
def test_what_is_drawn_depends_on_seed_and_step(kind):
    opposed = np.random.default_rng(1).normal(size=(6, 3)).astype(np.float32)
    losses = np.ones(6)
    base = combine(opposed, kind, losses=losses)
    np.testing.assert_array_equal(combine(opposed, kind, losses=losses), base)
    others = [combine(opposed, kind, losses=losses, seed=s, step=t) for s, t in ((1, 0), (0, 1), (2, 5))]
    assert any(not np.array_equal(other, base) for other in others)


def test_one_row_is_returned_as_it_is(rows):
    for kind in KINDS:
        np.testing.assert_array_equal(combine(rows[:1], kind), rows[0])


def test_an_object_remembers(rows):
    combiner = make("elastic", sigma="gmc", tau=0.1)
    first = combine(rows, combiner)
    longer = rows * np.array([[1], [3], [1]], np.float32)
    assert not np.allclose(combine(longer, combiner), combine(longer, "elastic", sigma="gmc", tau=0.1))
    np.testing.assert_array_equal(first, combine(rows, "elastic", sigma="gmc", tau=0.1))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_rows_that_are_not_finite_are_named(rows, value):
    rows[1, 5] = value
    with pytest.raises(ValueError, match="`rows` should be finite. Found .* in row 1"):
        combine(rows, "mean")


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"combiner": "elastc"}, ExperimentError, 'Did you mean "elastic"'),
        ({"combiner": "elastic", "sigm": "ones"}, ValidationError, "sigm"),
        ({"combiner": "mean", "losses": (1, 2)}, ValueError, r"losses of shape \[2\]"),
        ({"combiner": "mean", "tasks": (1, 1, 2)}, ValueError, "2 tasks"),
        ({"combiner": make("mean"), "c": 1}, ValueError, "`options` should be given to `make`"),
        (
            {"combiner": "mega"},
            ExperimentError,
            "mega compares losses: it should be given the loss of every gradient",
        ),
    ],
)
def test_wrong_arguments_say_what_should_be(rows, arguments, error, message):
    with pytest.raises(error, match=message):
        combine(rows, **{"tasks": (-1, 0, 1), **arguments})


def test_no_rows_are_refused():
    with pytest.raises(ValueError, match="at least one row"):
        combine(np.zeros((0, 4)), "mean")
