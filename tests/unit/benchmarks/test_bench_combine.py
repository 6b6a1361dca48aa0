"""`mpidcl bench combine`: contestants do what they say, and rows can be read."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest
import torch

from mpidcl.benchmarks import combine_noise, combine_step
from mpidcl.cli import main
from mpidcl.commands import bench

TASKS = 3


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(combine_step, "BATCH", 2)
    monkeypatch.setattr(combine_step, "STEPS", 2)


def test_our_step_is_that_of_the_learner(monkeypatch: pytest.MonkeyPatch) -> None:
    learner = combine_step._learner(TASKS)
    monkeypatch.setattr(combine_step, "_learner", lambda tasks: learner)
    digest = learner.digest()
    step = combine_step._ours(TASKS)
    for _ in range(2):
        step()
    assert learner.digest() != digest
    gram = learner.log.gram[1, 1 : TASKS + 1, 1 : TASKS + 1]
    assert np.isfinite(gram).all() and np.linalg.matrix_rank(gram) == TASKS


def test_the_plain_passes_leave_a_gradient_each() -> None:
    model, losses = combine_step._losses(TASKS)
    assert len({float(loss().detach()) for loss in losses}) == TASKS
    combine_step._plain(TASKS)()
    losses[0]().backward()
    assert any(float(p.grad.abs().max()) > 0 for p in model.parameters() if p.grad is not None)


def test_separate_gradients_are_rows_of_a_matrix() -> None:
    model, losses = combine_step._losses(TASKS)
    parameters = [p for p in model.parameters() if p.requires_grad]
    matrix = torch.full((TASKS, sum(p.numel() for p in parameters)), torch.nan)
    combine_step.fill_rows(matrix, losses, parameters)
    for row, loss in zip(matrix, losses, strict=True):
        for parameter in parameters:
            parameter.grad = None
        loss().backward()
        torch.testing.assert_close(row, torch.cat([p.grad.flatten() for p in parameters]))


def test_both_ways_to_torchjd_take_part() -> None:
    names = set(combine_step._makers())
    ways = [f"TorchJD {way}, {name}" for way in ("autojac", "aggregator(J)") for name in ("MGDA", "UPGrad")]
    assert names == {combine_step.PLAIN, combine_step.OURS, *ways}


def test_images_of_noise_fill_all_batches() -> None:
    noise = combine_noise.Noise(combine_noise.NoiseOptions(per_class=5))
    arrays = noise.decode()
    assert len(arrays.train_y) == 4 * combine_noise.CLASSES
    assert len(arrays.test_y) == combine_noise.CLASSES


RANKS_ROW = {
    "bench": "combine", "ranks": 4, "floats": 1000, "allreduce_ms": 2.0, "mpidcl_ms": 1.0, "times_bare": 0.5,
    "bytes_ledger": 6001, "bytes_by_mpi": 6001, "bytes_allreduce_by_mpi": 6000, "bytes_ring": 6000,
}  # fmt: skip
STEP_ROW: dict[str, Any] = {"bench": "combine step", "tasks": 4, "batch": 32, "name": "mpidcl, elastic"}


def test_rows_become_two_tables() -> None:
    known = STEP_ROW | {"cpu_s": 1.5, "peak_mib": 900.0, "times_plain": 1.02, "times_peak": 1.9}
    missing = STEP_ROW | {"name": "TorchJD, MGDA", "why": "not installed"}
    lines = combine_step.markdown([RANKS_ROW, known, missing])
    assert "| 1,000 | 2.0 ms | 1.0 ms | 0.50 | 6,001 | 6,001 | 6,000 |" in lines
    assert "| 4 | mpidcl, elastic | 1.500 | 1.020 | 900 | 1.90 |" in lines
    assert "| 4 | TorchJD, MGDA | not installed |  |  |  |" in lines


def test_a_library_that_is_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def work() -> None:
        sum(range(100))

    works = {combine_step.PLAIN: work, combine_step.OURS: work, "TorchJD, MGDA": None}
    monkeypatch.setattr(combine_step, "contestants", lambda tasks: works)
    monkeypatch.setattr(combine_step, "one_thread", lambda: None)
    monkeypatch.setattr(combine_step, "_peak_mib", lambda name, tasks: 100.0)
    rows = combine_step._rows(2, rounds=2)
    assert [row["name"] for row in rows] == list(works)
    assert "not installed" in rows[-1]["why"] and "why" not in rows[0]


@pytest.mark.parametrize(
    ("part", "want"), [("ranks", ["ranks"]), ("step", ["step"]), ("both", ["ranks", "step"])]
)
def test_parts_of_the_command(part: str, want: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    monkeypatch.setattr("mpidcl.launch.start.launch", lambda words, ranks: done.append("ranks") or 0)
    monkeypatch.setattr("mpidcl.base.rank_variables.launcher", lambda: None)
    monkeypatch.setattr(combine_step, "measure", lambda rounds, json: done.append("step"))
    monkeypatch.setattr(os, "environ", dict(os.environ))
    with pytest.raises(SystemExit) as end:
        main(["bench", "combine", "--part", part])
    assert end.value.code == 0
    assert done == want
    if "ranks" in want:
        assert bench.COUNTED["combine"].items() <= os.environ.items()
