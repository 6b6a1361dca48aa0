"""A field: its precision, regions that are dealt whole, sensors in them, and maps out of models."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from regression_fakes import experiment_of, stream_of

from mpidcl.errors import ExperimentError
from mpidcl.experiment.part import Use
from mpidcl.stream.regression import fields
from mpidcl.stream.regression.field import FieldStream
from mpidcl.stream.regression.grid import make_grid
from mpidcl.testing import check_stream


def stream(agent: int = 0, groups: Any = 2, agents: int = 8, seed: int = 0, **options: Any) -> FieldStream:
    found = stream_of(experiment_of("field", groups, agents, seed, **options), agent)
    assert isinstance(found, FieldStream)
    return found


def test_many_fields_have_the_precision_of_the_grid() -> None:
    made = stream(side=3, rho=0.8, tasks=4000)  # each task is a fresh draw
    draws = np.stack([made.field(task).ravel() for task in range(4000)])
    wanted = fields.precision_of(fields.grid(3), 0.8)
    np.testing.assert_allclose(np.linalg.inv(draws.T @ draws / len(draws)), wanted, atol=0.35)
    assert np.trace(np.linalg.inv(wanted)) == pytest.approx(9)


def test_neighbours_on_the_grid() -> None:
    found = fields.grid(4)
    assert np.array_equal(found, found.T)
    assert np.flatnonzero(found[5]).tolist() == [1, 4, 6, 9]
    assert np.flatnonzero(found[0]).tolist() == [1, 4]


def test_regions_are_all_cells_each_once() -> None:
    for grid, sizes in (
        (make_grid(5, "quadrants", 4, "region"), [9, 6, 6, 4]),
        (make_grid(10, "stripes", 5, "region"), [20] * 5),
        (make_grid(4, "stripes", 1, "region"), [16]),
    ):
        cells = [grid.cells(number) for number in range(len(sizes))]
        assert [len(each) for each in cells] == sizes
        assert sorted(np.concatenate(cells).tolist()) == list(range(grid.side**2))
    quadrants = make_grid(4, "quadrants", 4, "region").region.reshape(4, 4)
    assert quadrants.tolist() == [[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 3, 3], [2, 2, 3, 3]]


def test_coordinates_go_across_the_region_or_the_grid() -> None:
    whole = make_grid(4, "quadrants", 4, "grid").x.reshape(4, 4, 6)
    u, v = -0.75, 0.25
    np.testing.assert_allclose(whole[2, 0], [1, u, v, u * u, v * v, u * v])
    parts = make_grid(4, "quadrants", 4, "region").x.reshape(4, 4, 6)
    np.testing.assert_allclose(parts[2, 0], parts[0, 0])
    np.testing.assert_allclose(parts[0, 1, :3], [1, 0.5, -0.5])


@pytest.mark.parametrize("coordinates", ["region", "grid"])
def test_a_quadratic_field_is_fitted_exactly(coordinates: Any) -> None:
    grid = make_grid(10, "quadrants", 4, coordinates)
    field = np.fromfunction(lambda row, column: 1 + row - column + row * column / 5 + row**2 / 9, (10, 10))
    np.testing.assert_allclose(grid.estimated(grid.fitted(field)), field, atol=1e-9)


def test_the_truth_is_the_best_quadratic_of_the_region() -> None:
    made = stream(5)
    task = made.task(0)
    assert task.truth is not None and task.truth.shape == (4, 6)
    assert np.array_equal(task.test_x, made.grid.x[made.grid.cells(2)])
    assert np.array_equal(task.test_y, made.field(0)[5:, :5].ravel())
    rest = task.test_y - task.test_x @ task.truth[task.group]
    np.testing.assert_allclose(task.test_x.T @ rest, 0, atol=1e-9)
    error = made.estimated(task.truth) - made.field(0)
    np.testing.assert_allclose(error[5:, :5].ravel(), -rest)
    assert 0 < (rest**2).mean() < task.test_y.var()


def test_two_rows_have_the_smallest_of_the_best_models() -> None:
    experiment = experiment_of("field", 1, 5, regions="stripes")
    truth = stream_of(experiment).task(0).truth
    assert truth is not None
    # v^2 is 1/4 everywhere: as large a part of the constant as it may take without cost
    np.testing.assert_allclose(truth[:, 4], truth[:, 0] / 4)
    (said,) = FieldStream.notes(Use(("stream",), experiment.stream.options, experiment, experiment))
    assert "regions of the field with 2 rows do not tell v from v^2" in said
    larger = experiment_of("field", 1, 5, regions="stripes", side=15)
    assert not list(FieldStream.notes(Use(("stream",), larger.stream.options, larger, larger)))


def test_sensors_stand_in_the_region_and_measure_the_field() -> None:
    made = stream(3, noise=0.0)
    task = made.task(0)
    assert len(made.sensors) == 8 and set(made.sensors) <= set(made.grid.cells(1).tolist())
    x, y = task.block(7)
    places = {
        tuple(row): heat for row, heat in zip(made.grid.x[made.grid.cells(1)], task.test_y, strict=True)
    }
    seen = {tuple(row) for row in x}
    assert len(seen) == 8
    assert [places[tuple(row)] for row in x] == y.tolist()


def test_who_shares_what() -> None:
    first, second, third = (stream(agent) for agent in (0, 1, 2))
    assert not np.array_equal(first.sensors, second.sensors)
    assert np.array_equal(first.field(0), third.field(0))
    assert np.array_equal(first.task(0).test_y, second.task(0).test_y)
    assert not np.array_equal(first.task(0).block(0)[1], second.task(0).block(0)[1])
    assert np.array_equal(first.task(0).block(1)[1], stream(0).task(0).block(1)[1])
    assert not np.array_equal(first.field(0), stream(0, seed=1).field(0))


def test_a_field_moves_from_task_to_task() -> None:
    made = stream(0, tasks=3, move=0.6, side=40)
    fresh = (made.field(1) - 0.8 * made.field(0)) / 0.6
    assert fresh.std() == pytest.approx(1, abs=0.5)
    assert np.array_equal(stream(0, tasks=3, move=0.6, side=40).field(2), made.field(2))
    assert len(stream(0, tasks=3, sensors=1600).sensors) == 25


def test_it_is_a_stream() -> None:
    tables = {"agents": 4, "stream": {"samples": 5, "tasks": 2, "side": 6}}
    assert FieldStream.knows_truth
    check_stream(FieldStream, {**tables, "learning": {"kind": "regression_fakes:Watcher"}})


def test_what_cannot_be_is_said() -> None:
    with pytest.raises(
        ExperimentError, match='stream.regions: should be "stripes" unless there are 4 groups'
    ):
        stream(groups=2, agents=6)
    with pytest.raises(ExperimentError, match="stream.side: should be at least 5, a row for the stripe"):
        stream(groups=1, agents=5, side=4, regions="stripes")


def test_the_first_numbers_are_what_they_were() -> None:
    made = stream(0)
    task = made.task(0)
    assert task.truth is not None
    found = [
        made.field(0)[0, 0],
        made.noise.deviation,
        made.sensors[0],
        task.block(0)[1][0],
        task.truth[1, 2],
    ]
    np.testing.assert_allclose(found, PINNED, rtol=1e-9)


PINNED = [1.5090950497382367, 0.5637451347891312, 3.0, 0.6314589877047415, -0.37196686248779764]
