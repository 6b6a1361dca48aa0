"""Student Performance (UCI, Cortez and Silva 2008), where MPIDCL_DATA has it: counts, what can be told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from regression_fakes import experiment_of, stream_of

from mpidcl.stream.regression.table.dealing import groups_in
from mpidcl.stream.regression.table.options import TableOptions
from mpidcl.stream.regression.table.reading import read_table
from mpidcl.stream.regression.task import Doubles, RegressionTask


@pytest.fixture
def files(data_folder: Callable[[str], Path]) -> dict[str, str]:
    folder = data_folder("student-performance")
    return {subject: str(folder / f"student-{subject[:3]}.csv") for subject in ("mathematics", "portuguese")}


def test_counts_of_the_groups(files: dict[str, str]) -> None:
    table = read_table(TableOptions(files=files, target="G3", group=("school", "file")))
    assert table.rows == 395 + 649 and len(table.columns) == 34 and table.skipped == 0
    names, rows = groups_in(table, ("school", "file"))
    found = dict(zip(names, map(len, rows), strict=True))
    assert found == {"GP mathematics": 349, "GP portuguese": 423, "MS mathematics": 46, "MS portuguese": 226}
    assert table.doubles("G3").max() == 20 and table.doubles("G3").sum() == 11841


def all_rows(task: RegressionTask) -> tuple[Doubles, Doubles]:
    parts = [task.block(number) for number in range(4)]
    x, y = (np.concatenate([part[place] for part in parts]) for place in (0, 1))
    return x, y


@pytest.mark.parametrize(("drop", "least", "most"), [((), 0.75, 0.9), (("G1", "G2"), 0.0, 0.3)])
def test_grades_are_told_from_grades_and_hardly_without(
    files: dict[str, str], drop: tuple[str, ...], least: float, most: float
) -> None:
    """Others report R^2 .78 (mathematics) and .86 (Portuguese) with prior grades; here means of 5 splits."""
    for group in (0, 1):
        found = []
        for seed in range(5):
            options = {"files": files, "target": "G3", "group": ["file"], "drop": list(drop)}
            task = stream_of(experiment_of("table", 1, 2, seed, **options), group).task(0)
            x, y = all_rows(task)
            model = np.linalg.lstsq(x, y, rcond=None)[0]
            found.append(1 - ((task.test_y - task.test_x @ model) ** 2).mean() / task.test_y.var())
        assert least < np.mean(found) < most
