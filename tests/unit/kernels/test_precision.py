"""Relation precision: every form against its definition and the slope of its objective."""

from __future__ import annotations

import numpy as np
import pytest
from cuda_on_cpu import EmulatedDevice
from hypothesis import given, settings
from hypothesis import strategies as st

from mpidcl_kernels import precision
from mpidcl_kernels.base import threads
from mpidcl_kernels.precision import cuda, forms
from mpidcl_kernels.precision.solve import Options

SETTINGS = settings(max_examples=40)
DEFINITIONS = {"logdet": forms.logdet_definition, "trace-one": forms.trace_one_definition}
CLOSED = st.sampled_from(sorted(DEFINITIONS))
TABLE = np.array([[1.0, 0.5, -1.0], [0.0, 1.0, 2.0], [2.0, 1.0, 0.0], [-1.0, 0.5, 1.0]])
PINNED = {
    "logdet": [1.456582633, -1.680672269, 0.980392157, 3.697478992, -1.680672269, 1.456582633],
    "trace-one": [2.407070047, -1.082974894, 0.685325717, 3.904626935, -1.082974894, 2.407070047],
    "sparse": [10 / 11, -8 / 11, 9 / 22, 24 / 11, -8 / 11, 10 / 11],
    "laplacian": [40 / 57, -40 / 57, 0.0, 80 / 57, -40 / 57, 40 / 57],
}


def means_of(rows, tasks, seed, dtype=np.float64):
    rng = np.random.default_rng(seed)
    mixed = rng.normal(size=(rows, tasks)) @ (np.eye(tasks) + 0.3 * rng.normal(size=(tasks, tasks)))
    return mixed.astype(dtype)


def laid_out(means, layout):
    """The same numbers in another order of memory."""
    if layout == "columns":
        return np.asfortranarray(means)
    if layout == "strided":
        wide = np.zeros((2 * len(means), 3 * means.shape[1]), means.dtype)
        wide[::2, ::3] = means
        return wide[::2, ::3]
    if layout == "unaligned":
        raw = np.zeros(means.nbytes + 1, np.uint8)[1:].view(means.dtype).reshape(means.shape)
        raw[:] = means
        return raw
    return means


def close(found, wanted, tolerance):
    assert np.abs(found - wanted).max(initial=0) <= tolerance * np.abs(wanted).max(initial=0)


@SETTINGS
@given(
    CLOSED,
    st.integers(1, 80),
    st.integers(1, 40),
    st.sampled_from([1e-3, 0.01, 1.0]),
    st.sampled_from(["rows", "columns", "strided", "unaligned"]),
    st.sampled_from([np.float32, np.float64]),
    st.integers(0, 99),
)
def test_closed_forms_are_their_definitions(form, rows, tasks, ridge, layout, dtype, seed):
    means = means_of(rows, tasks, seed, dtype)
    theta = precision.relation_precision(laid_out(means, layout), form, ridge)
    # Eigenvalues of W'W hide singular values below 1e-8 of the largest one, of which SVD keeps the digits.
    close(theta, DEFINITIONS[form](means, ridge), 1e-9 if form == "logdet" else 1e-6 + 2e-8 / ridge)
    assert theta.dtype == np.float64 and (theta == theta.T).all()
    assert np.linalg.eigvalsh(theta).min() > 0


@SETTINGS
@given(CLOSED, st.integers(1, 60), st.integers(1, 60), st.integers(0, 99))
def test_the_form_of_cuda_arrays_is_the_same(form, rows, tasks, seed):
    means = means_of(rows, tasks, seed)
    options = Options(form, 0.01, 0.0, 0.01, False, 1e-6, 1000)
    theta = cuda.relation_precision(EmulatedDevice(), options, means, None, None)
    close(theta, DEFINITIONS[form](means, 0.01), 1e-5)
    close(
        cuda.covariance(EmulatedDevice(), means, 0.01, None), forms.covariance_definition(means, 0.01), 1e-12
    )


@pytest.mark.parametrize(("rows", "tasks"), [(200, 150), (60, 150), (700, 130)])
def test_large_sizes_of_both_cases(rows, tasks):
    means = means_of(rows, tasks, 0)
    for form, definition in DEFINITIONS.items():
        close(precision.relation_precision(means, form, 0.01), definition(means, 0.01), 1e-6)


def directions(tasks, seed):
    for drawn in np.random.default_rng(seed).normal(size=(6, tasks, tasks)):
        yield (drawn + drawn.T) / np.linalg.norm(drawn + drawn.T)


def slope(objective, theta, direction, step=1e-5):
    return (objective(theta + step * direction) - objective(theta - step * direction)) / (2 * step)


@pytest.mark.parametrize(("rows", "tasks"), [(3, 5), (40, 4)])
def test_logdet_is_where_its_objective_is_flat_and_lowest(rows, tasks):
    means = means_of(rows, tasks, 1)
    c = precision.relation_covariance(means, 0.1)
    theta = precision.relation_precision(means, "logdet", 0.1)

    def objective(theta):
        return precision.sparse_objective(theta, c, 0.0)

    for direction in directions(tasks, 2):
        assert abs(slope(objective, theta, direction)) < 1e-6
        assert objective(theta + 0.01 * direction) > objective(theta)


def test_trace_one_is_where_its_objective_is_flat_among_traces_of_one():
    means = means_of(30, 5, 1)
    omega = np.linalg.inv(precision.relation_precision(means, "trace-one", 1e-9)) - 1e-9 * np.eye(5)
    assert omega.trace() == pytest.approx(1)

    def objective(omega):
        return np.trace(means @ np.linalg.solve(omega, means.T))

    for direction in directions(5, 3):
        direction -= np.eye(5) * direction.trace() / 5
        assert abs(slope(objective, omega, direction)) < 1e-5 * objective(omega)
        assert objective(omega + 0.01 * direction) > objective(omega)


@pytest.mark.parametrize("form", precision.FORMS)
@pytest.mark.parametrize(("rows", "tasks"), [(4, 5), (30, 6)])
def test_rescaled_forms_share_one_scale(form, rows, tasks):
    means = means_of(rows, tasks, 0)
    c = precision.relation_covariance(means, 0.1)
    plain = precision.relation_precision(means, form, 0.1, lam_1=0.1)
    theta = precision.relation_precision(means, form, 0.1, lam_1=0.1, rescale=True)
    assert np.trace(theta @ c) == pytest.approx(tasks)
    close(theta * plain[0, 0] / theta[0, 0], plain, 1e-9)


def test_attraction_has_a_negative_sign():
    means = np.array([[1.0, 1.1, -1.0], [2.0, 1.9, -2.0]])
    theta = precision.relation_precision(means, "logdet", 0.1)
    assert theta[0, 1] < 0 < theta[0, 2]


@pytest.mark.parametrize("form", precision.FORMS)
def test_defined_corners(form):
    def precision_of(means, **options):
        return precision.relation_precision(means, form, 0.5, **options)

    assert precision_of(np.zeros((3, 0))).shape == (0, 0)
    alone = precision_of(np.full((2, 1), 1.0))
    assert alone.item() == pytest.approx(
        {"logdet": 1 / 1.5, "trace-one": 1 / 1.5, "sparse": 1 / 1.5}.get(form, 0)
    )
    assert precision_of(np.full((2, 1), 1.0), rescale=True).item() == pytest.approx(
        0 if form == "laplacian" else 1 / 1.5
    )
    for tasks in (2, 30):  # without a mean all tasks are alike: Omega = I/K, C = ridge I
        theta = precision_of(np.zeros((1, tasks)))
        scale = {"logdet": 2, "sparse": 2, "trace-one": 1 / (1 / tasks + 0.5)}
        if form == "laplacian":
            np.testing.assert_allclose(theta.sum(1), 0, atol=1e-12)
        else:
            np.testing.assert_allclose(theta, np.eye(tasks) * scale[form], atol=1e-12)


@pytest.mark.parametrize("form", precision.FORMS)
@pytest.mark.parametrize("rows", [3, 90])
def test_the_same_bits_for_any_number_of_threads_and_into_any_out(form, rows):
    means = means_of(rows, 30, 0)
    found = []
    before = threads.get_threads()
    try:
        for count in (1, 2, 3):
            threads.set_threads(count)
            out = np.full((60, 90), np.nan)[::2, ::3]
            given_back = precision.relation_precision(means, form, 0.1, lam_1=0.1, out=out)
            assert given_back is out
            found.append(out.copy())
    finally:
        threads.set_threads(before)
    direct = precision.relation_precision(means, form, 0.1, lam_1=0.1)
    for bits in found:
        np.testing.assert_array_equal(bits, direct)


def test_tensors_come_back_as_tensors_and_are_written_in_place():
    torch = pytest.importorskip("torch")
    means = torch.from_numpy(means_of(6, 4, 0))
    out = torch.zeros((4, 4), dtype=torch.float64)
    before = out.data_ptr()
    assert precision.relation_precision(means, "logdet", 0.1, out=out) is out and out.data_ptr() == before
    theta = precision.relation_precision(means, "logdet", 0.1)
    assert isinstance(theta, torch.Tensor) and torch.equal(theta, out)
    np.testing.assert_allclose(theta.numpy(), forms.logdet_definition(means.numpy(), 0.1), rtol=1e-12)


@pytest.mark.parametrize("form", precision.FORMS)
def test_pinned(form):
    theta = precision.relation_precision(TABLE, form, 0.1, lam_1=0.1, tolerance=1e-9)
    np.testing.assert_allclose(theta[np.triu_indices(3)], PINNED[form], rtol=2e-5, atol=1e-6)
