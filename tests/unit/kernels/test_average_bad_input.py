"""Averages: what is refused, in which words; torch tensors are used where they are."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from mpidcl_kernels import average
from mpidcl_kernels.average import parts as average_parts

F = np.float32
A, B = np.ones(6, F), np.zeros(6, F)


def index(*values):
    return np.array(values)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (([], [1.0]), ValueError, "`arrays` should be at least one array. Found none."),
        ((np.zeros((0, 3), F), []), ValueError, "`arrays` should be at least one array."),
        (([A, None], [0.5, 0.5]), ValueError, r"`arrays\[1\]` should be an array. Found None."),
        ((A, [1.0]), ValueError, "`arrays` should be a list of flat arrays, or a matrix"),
        (([A, B[:5]], [0.5, 0.5]), ValueError, r"`arrays\[1\]` should be 6 values, or have places"),
        (([A, A.reshape(2, 3)], [0.5, 0.5]), ValueError, r"`arrays\[1\]` should be a flat array"),
        (([A, A.astype(float)], [0.5, 0.5]), TypeError, r"`arrays\[1\]` should be float32, like the first"),
        (([A.astype(np.float16)], [1.0]), TypeError, r"`arrays\[0\]` should be float32 or float64"),
        (([A.tolist()], [1.0]), TypeError, "NumPy or CuPy array or a torch tensor"),
        (([A, B], [1.0]), ValueError, "`weights` should be a vector of 2 numbers"),
        (([A, B], ["a", 1]), ValueError, "`weights` should be a vector of 2 numbers"),
        (([A, B], 1.0), TypeError, "`weights` should be a NumPy or CuPy array"),
        (([A, B], np.ones(2, complex)), TypeError, "`weights` should be real numbers. Found complex128."),
        (([A, B], np.ones((2, 1))), ValueError, "`weights` should be a vector of 2 numbers"),
        (([A, B], [1, 1], np.zeros(5, F)), ValueError, "`out` should be a vector of 6 values"),
        (([A, B], [1, 1], np.zeros(6)), TypeError, "`out` should be float32"),
        (([A, B], [1, 1], np.frombuffer(bytes(24), F)), ValueError, "`out` should be writable"),
        (([A, B], [1, 1], None, [None]), ValueError, "`places` should be one for each of 2 arrays. Found 1."),
        (([A, B[:3]], [1, 1], None, [None, 4]), ValueError, r"`places\[1\]` should be between 0 and 3"),
        (([A, B[:3]], [1, 1], None, [None, -1]), ValueError, r"`places\[1\]` should be between 0 and 3"),
        (([A, B[:3]], [1, 1], None, [None, 1.5]), TypeError, r"`places\[1\]` should be"),
        (([A, B[:3]], [1, 1], None, [None, index(0, 1)]), ValueError, "3 places, one per value"),
        (([A, B[:2]], [1, 1], None, [None, index(0.0, 1.0)]), TypeError, "should be integers"),
        (([A, B[:2]], [1, 1], None, [None, index(1, 0)]), ValueError, "ascending, between 0 and 5"),
        (([A, B[:2]], [1, 1], None, [None, index(2, 2)]), ValueError, "ascending, between 0 and 5"),
        (([A, B[:3]], [1, 1], None, [None, index(1, 99, 3)]), ValueError, "ascending, between 0 and 5"),
        (([A, B[:2]], [1, 1], None, [None, index(-1, 3)]), ValueError, "ascending, between 0 and 5"),
        (([A, B[:2]], [1, 1], None, [None, index(3, 6)]), ValueError, "ascending, between 0 and 5"),
        (([A, B], [1, 1], None, None, 2), ValueError, "`own` should be the number of one of 2 arrays"),
        (([A, B], [1, 1], None, None, -1), ValueError, "`own` should be the number of one of 2 arrays"),
        (([A[:2], B], [1, 1], None, [1, None], 0), ValueError, r"`places\[0\]` should be between 0 and 0"),
        (([A, B], [1, 1], None, [np.arange(6), None]), ValueError, r"`arrays\[0\]` should be all 6 values"),
    ],
)
def test_what_does_not_fit_is_refused(arguments, error, words):
    with pytest.raises(error, match=words):
        average.weighted_average(*arguments)


@pytest.mark.parametrize(
    ("fishers", "eps", "error", "words"),
    [
        ([A], 1.0, ValueError, "`fishers` should be one for each of 2 arrays"),
        ([A, A[:3]], 1.0, ValueError, r"`fishers\[1\]` should be as long as arrays\[1\], 6. Found 3."),
        ([A, A.astype(float)], 1.0, TypeError, r"`fishers\[1\]` should be float32"),
        ([A, A], 0.0, ValueError, "`eps` should be above 0. Found 0.0."),
        ([A, A], float("nan"), ValueError, "`eps` should be above 0. Found nan."),
    ],
)
def test_fisher_information_that_does_not_fit_is_refused(fishers, eps, error, words):
    with pytest.raises(error, match=words):
        average.fisher_average([A, B], fishers, [0.5, 0.5], eps)


def test_a_size_that_no_vector_has_is_refused():
    with pytest.raises(ValueError, match="`size` should be at least 0. Found -1."):
        average.fisher_sums([A], [A], -1)
    with pytest.raises(TypeError, match="`size` should be a whole number. Found 6.0."):
        average.fisher_sums([A], [A], 6.0)


def test_fisher_information_is_called_by_its_name():
    with pytest.raises(ValueError, match="`fishers` should be a list of flat arrays, or a matrix"):
        average.fisher_average([A, B], A, [0.5, 0.5], 1.0)


def test_places_on_a_gpu_do_not_go_with_arrays_on_the_cpu(monkeypatch):
    far = SimpleNamespace(device=SimpleNamespace(id=1), dtype=np.dtype(int), shape=(1,))
    monkeypatch.setattr(average_parts, "view", lambda array, name: array)
    with pytest.raises(TypeError, match=r"`places\[1\]` should be on the CPU, .* Found it on cuda:1"):
        average.weighted_average([A, B[:1]], [0.5, 0.5], None, [None, far])


def test_weights_may_lie_where_the_result_goes():
    out = np.array([0.5, 0.25, 0.25])
    average.weighted_average([np.full(3, 2.0), np.full(3, 4.0), np.full(3, 8.0)], out, out=out)
    assert out.tolist() == [4.0, 4.0, 4.0]


def test_an_output_that_would_spoil_what_is_read_later_is_refused():
    memory = np.arange(20, dtype=F)
    with pytest.raises(ValueError, match="`out` should be one of the arrays or apart from them"):
        average.weighted_average([memory[:10], memory[5:15]], [0.5, 0.5], out=memory[5:15])
    places = [None, np.array([2, 9])]
    with pytest.raises(ValueError, match="overlaps places of array 1"):
        average.weighted_average([A.repeat(2)[:10], memory[:2]], [0.5, 0.5], memory[:10], places)
    # nothing overlaps an array of no values
    average.weighted_average([A.repeat(2)[:10], memory[3:3]], [0.5, 0.5], memory[:10], [None, 0])
    # a piece of the output at its own place is in step
    average.weighted_average([memory[:10].copy(), memory[2:5]], [0.5, 0.5], memory[:10], [None, 2])


def test_torch_tensors_are_neither_copied_nor_imported():
    a, b, out = torch.zeros(100), torch.ones(100), torch.empty(100)
    assert average.weighted_average([a, b], [0.25, 0.75], out=out) is out
    assert out.unique().tolist() == [0.75]
    found = average.weighted_average([a, b], torch.tensor([0.25, 0.75]))
    assert isinstance(found, torch.Tensor) and torch.equal(found, out)
    average.weighted_average([a, b.numpy()], [0.5, 0.5], out=a)  # a model and what came for it
    assert a.unique().tolist() == [0.5]
    code = "import sys, mpidcl_kernels.average; print(*{'numba', 'torch', 'cupy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_nothing_is_allocated_but_small_change():
    import tracemalloc

    arrays, out = [np.ones(300_000, F) for _ in range(4)], np.ones(300_000, F)
    average.weighted_average(arrays, [0.25] * 4, out=out)
    tracemalloc.start()
    average.weighted_average(arrays, [0.25] * 4, out=out)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 50_000
