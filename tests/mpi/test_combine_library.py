"""`Combination`: gradients of somebody's own program, on any number of ranks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from combine_fakes import BLOCK, gradients
from mpi4py import MPI

from mpidcl.combining import Combination
from mpidcl.errors import CombineError, DeadlockError
from mpidcl.learning.combiners import MEMORY, combine

COMM = MPI.COMM_WORLD
KINDS = ["sum", "mean", "mgda", "elastic", "pcgrad", "upgrad", "graddrop", "rlw"]


def spread(matrix, tasks) -> dict:
    """The rows of this rank: dealt out in turn."""
    return {
        task: row
        for n, (task, row) in enumerate(zip(tasks, matrix, strict=True))
        if n % COMM.size == COMM.rank
    }


@pytest.mark.parametrize("kind", KINDS)
def test_the_direction_is_that_of_the_local_form(kind):
    tasks = [MEMORY, 0, 3, 4, 9]
    with Combination(COMM, kind, seed=5) as combination:
        for step in range(2):
            matrix = gradients(5, BLOCK + 3, step)
            found = combination.direction(spread(matrix, tasks))
            if kind != "elastic" or step == 0:  # elastic remembers the lengths
                want = combine(matrix, kind, tasks=tasks, step=step, seed=5)
                np.testing.assert_array_equal(found, want)
        assert combination.last is not None
        assert combination.last.tasks == tuple(tasks)
        assert combination.last.ranks == tuple(n % COMM.size for n in range(5))


def test_a_vector_per_rank_stands_for_the_task_of_that_number():
    matrix = gradients(COMM.size, 100)
    with Combination(COMM, "mean") as combination:
        out = torch.empty(100)
        same = combination.direction(torch.from_numpy(matrix[COMM.rank].copy()), 0.5, out=out)
        assert same is out
        assert combination.last.tasks == tuple(range(COMM.size)) and (combination.last.losses == 0.5).all()
        np.testing.assert_allclose(out.numpy(), matrix.mean(0), rtol=1e-5, atol=1e-6)
        fresh = combination.direction(torch.from_numpy(matrix[COMM.rank].copy()))
        assert torch.equal(fresh, out)


def test_ranks_without_a_gradient_get_the_direction():
    row = gradients(1, 100)[0]
    with Combination(COMM, "elastic") as combination:
        found = combination.direction({7: row} if COMM.rank == COMM.size - 1 else None)
        np.testing.assert_array_equal(found, row)


def test_losses_reach_the_combiner():
    with Combination(COMM, "elastic", sigma="loss") as combination:
        rows = np.eye(2, 6, dtype=np.float32)
        tasks = {t: rows[t] for t in range(2) if t % COMM.size == COMM.rank}
        combination.direction(tasks, {t: 1.0 + 2 * t for t in tasks})
        np.testing.assert_allclose(combination.combiner.sigma, [0.25, 0.75])
        np.testing.assert_allclose(combination.last.weights, np.array([0.25, 0.75]) / (0.25**2 + 0.75**2))


def test_a_gradient_that_is_not_finite_is_named_or_left_out():
    matrix = gradients(4, 50).copy()
    matrix[2, 7] = np.inf
    mine = spread(matrix, range(4))
    with Combination(COMM, "mean", not_finite="skip") as combination:
        found = combination.direction(mine)
        np.testing.assert_array_equal(found, combine(matrix[[0, 1, 3]], "mean"))
        assert combination.last.weights[2] == 0
        with pytest.raises(CombineError, match="should be a gradient"):
            combination.direction(None)
    stops = Combination(COMM, "mean")
    with pytest.raises(CombineError, match=f"in that of task 2 on rank {2 % COMM.size}"):
        stops.direction(mine)
    stops.close()


def test_a_task_on_two_ranks_is_an_error():
    with Combination(COMM, "mean") as combination:
        if COMM.size > 1:
            with pytest.raises(CombineError, match="task 0 on ranks 0 and 1"):
                combination.direction({0: np.ones(3, np.float32)})


def test_a_rank_that_does_not_come_is_named():
    combination = Combination(COMM, "mean", deadline=0.3)
    if COMM.rank:
        with pytest.raises(
            DeadlockError, match=rf"agent {COMM.rank} in Gather 0 at step 0: waits for rank 0"
        ):
            combination.direction(None)
    COMM.Barrier()
    combination.close()


def test_doubles_are_refused():
    with (
        Combination(COMM, "mean") as combination,
        pytest.raises(CombineError, match="float32 vector. Found float64"),
    ):
        combination.direction(np.ones(3))
