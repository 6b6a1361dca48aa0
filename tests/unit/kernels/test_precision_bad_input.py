"""What the relation precision refuses, and what it says."""

from __future__ import annotations

import re

import numpy as np
import pytest

from mpidcl_kernels import precision

MEANS = np.random.default_rng(0).normal(size=(4, 3))
EYE, SHARED = np.eye(3), np.eye(3)
LOPSIDED = EYE + np.triu(np.full((3, 3), 0.1), 1)
HOLED = np.array([[1.0, np.nan, 0], [np.nan, 1, 0], [0, 0, 1]])


def relate(*arguments, **options):
    return lambda: precision.relation_precision(*arguments, **options)


def huge(value):
    means = MEANS.copy()
    means[1, 2] = value
    return means


REFUSED = {
    "form": (
        relate(MEANS, "log"),
        "`form` should be one of logdet, trace-one, sparse, laplacian. Found log.",
    ),
    "ridge": (relate(MEANS, "logdet", -0.1), "`ridge` should be non-negative. Found -0.1."),
    "ridge nan": (relate(MEANS, "logdet", np.nan), "`ridge` should be non-negative. Found nan."),
    "no inverse": (
        relate(MEANS.T, "logdet", 0.0),
        "`ridge` should be larger, because C has no inverse",
    ),
    "no inverse beside rounding": (
        relate(np.repeat(MEANS, 2, 1)[:, :4], "logdet", 1e-17),
        "`ridge` should be larger, because C has no inverse",
    ),
    "no inverse, LAPACK": (
        relate(np.random.default_rng(1).normal(size=(60, 30)).repeat(2, 1)[:, :40], "logdet", 0.0),
        "`ridge` should be larger, because C has no inverse",
    ),
    "rank of the means": (
        relate(np.random.default_rng(0).normal(size=(10, 11)), "logdet", 0.0),
        "`ridge` should be larger, because C has no inverse",
    ),
    "an inverse too large": (
        relate(np.zeros((3, 40)), "logdet", 1e-320),
        "`ridge` should be larger, because C has no inverse",
    ),
    "an eps too small": (
        relate(np.ones((3, 4)), "trace-one", 1e-320),
        "`ridge` should be larger, because C has no inverse",
    ),
    "blended nan": (
        lambda: precision.damped_update(HOLED, EYE, 0.5, (0.1, 2.0)),
        "`theta` should be finite. Found nan or inf.",
    ),
    "taken to rounding": (
        lambda: precision.inverse_update(EYE, EYE[:, :1] * (1 - 1e-14), -1),
        "`columns` should be of a smaller change.",
    ),
    "thin": (
        relate(np.ones((2, 40)), "logdet", 0.0),
        "`ridge` should be larger, because C has no inverse",
    ),
    "wide": (relate(np.ones((40, 40)), "logdet", 0.0), "`ridge` should be larger, because C has no"),
    "no eps": (
        relate(MEANS.T, "trace-one", 0.1, eps=0.0),
        "`ridge` should be larger, because C has no",
    ),
    "thin eps": (
        relate(np.ones((2, 40)), "trace-one", 0.0),
        "`ridge` should be larger, because C has no",
    ),
    "no edge cost": (
        relate(np.ones((2, 3)), "laplacian", 0.0),
        "`ridge` should be positive where lam_1 is 0",
    ),
    "no mean": (
        relate(np.zeros((2, 3)), "sparse", 0.0, lam_1=1.0),
        "`ridge` should be positive where the mean",
    ),
    "lam_1": (relate(MEANS, "sparse", lam_1=-1.0), "`lam_1` should be non-negative. Found -1.0."),
    "eps": (relate(MEANS, "trace-one", eps=-1.0), "`eps` should be non-negative. Found -1.0."),
    "tolerance": (relate(MEANS, "sparse", tolerance=0), "`tolerance` should be positive. Found 0."),
    "iterations": (relate(MEANS, "sparse", iterations=0), "`iterations` should be at least 1. Found 0."),
    "rows": (relate(np.zeros((0, 3))), "`means` should be [d, K] with at least one row. Found [0, 3]."),
    "flat": (relate(np.zeros(3)), "`means` should be an array of 2 dimensions. Found shape [3]."),
    "out": (relate(MEANS, out=np.zeros((2, 2))), "`out` should be of shape [3, 3]. Found [2, 2]."),
    "out apart": (
        relate(SHARED, out=SHARED),
        "`out` should be apart from `means`. Found both in the same memory.",
    ),
    "change apart": (
        lambda: precision.covariance_update(EYE, SHARED, out=SHARED),
        "`out` should be apart from `columns`. Found both in the same memory.",
    ),
    "start": (relate(MEANS, "sparse", start=np.eye(2)), "`start` should be of shape [3, 3]. Found [2, 2]."),
    "least": (
        lambda: precision.clip_spectrum(EYE, 2.0, 1.0),
        "`limits` should be two finite numbers, the smaller",
    ),
    "square": (
        lambda: precision.clip_spectrum(MEANS, 0.0, 1.0),
        "`matrix` should be square. Found shape [4, 3].",
    ),
    "clip nan": (
        lambda: precision.clip_spectrum(HOLED, 0.0, 1.0),
        "`matrix` should be finite. Found nan or inf.",
    ),
    "beta": (lambda: precision.damped_update(EYE, EYE, 1.5), "`beta` should be between 0 and 1. Found 1.5."),
    "target": (
        lambda: precision.damped_update(EYE, np.eye(2), 0.5),
        "`target` should be of shape [3, 3]. Found [2, 2]",
    ),
    "lopsided": (
        lambda: precision.inverse_update(LOPSIDED, EYE),
        "`theta` should be symmetric. Found elements ij",
    ),
    "holed": (
        lambda: precision.covariance_update(HOLED, EYE),
        "`covariance` should be finite. Found nan or inf.",
    ),
    "columns": (
        lambda: precision.inverse_update(EYE, np.ones((2, 1))),
        "`columns` should be of shape [3, 1].",
    ),
    "columns nan": (
        lambda: precision.inverse_update(EYE, HOLED),
        "`columns` should be finite. Found nan or inf.",
    ),
    "taken": (lambda: precision.inverse_update(EYE, 2 * EYE, -1), "`columns` should be of a smaller change."),
    "sign": (
        lambda: precision.inverse_update(EYE, EYE, 2),
        "`sign` should be 1, -1, or one of them for each",
    ),
    "signs": (
        lambda: precision.inverse_update(EYE, EYE, [1, -1]),
        "`sign` should be 1, -1, or one of them for",
    ),
    "indefinite": (lambda: precision.gradient_update(-EYE, EYE, 0.1), "`theta` should be positive definite."),
    "task": (
        lambda: precision.mean_change(MEANS, 3, MEANS[:, 0]),
        "`task` should be between 0 and 2. Found 3.",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_values(name):
    call, message = REFUSED[name]
    with pytest.raises(ValueError, match=re.escape(message)):
        call()


@pytest.mark.parametrize("form", precision.FORMS)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e200])
@pytest.mark.parametrize("rows", [1, 20])
def test_means_that_are_not_finite(form, value, rows):
    for means in (huge(value), np.tile(huge(value), (rows, 20))):
        with np.errstate(all="ignore"), pytest.raises(ValueError, match="`means` should be finite"):
            precision.relation_precision(means, form, 0.1)


@pytest.mark.parametrize(
    "call",
    [
        relate(MEANS.astype(int)),
        relate(MEANS.astype(np.float16)),
        relate(MEANS.astype(">f8")),
        relate(MEANS.tolist()),
        relate(MEANS, out=np.zeros((3, 3), np.float32)),
        lambda: precision.clip_spectrum(EYE.astype(int), 0.0, 1.0),
        lambda: precision.inverse_update(EYE, EYE.astype(int)),
    ],
)
def test_types(call):
    with pytest.raises(TypeError, match="should be"):
        call()


def test_a_read_only_out_is_refused():
    out = np.zeros((3, 3))
    out.flags.writeable = False
    with pytest.raises(ValueError, match="`out` should be writeable"):
        precision.relation_precision(MEANS, out=out)
    assert not out.any()
