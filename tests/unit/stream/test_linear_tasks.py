"""Linear tasks: truths of the wanted precision, noise of the wanted sizes, the same samples in any order."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest
from regression_fakes import experiment_of, stream_of

from mpidcl.errors import ExperimentError
from mpidcl.experiment import kinds
from mpidcl.experiment.reading import from_tables, from_toml
from mpidcl.stream.regression import fields
from mpidcl.stream.regression.linear import LinearTasksStream
from mpidcl.stream.regression.noise import Noise
from mpidcl.stream.regression.options import LinearTasksOptions
from mpidcl.stream.regression.task import BLOCK
from mpidcl.testing import check_stream


def stream(
    agent: int = 0, groups: Any = 3, agents: int = 6, seed: int = 0, **options: Any
) -> LinearTasksStream:
    found = stream_of(experiment_of("linear-tasks", groups, agents, seed, **options), agent)
    assert isinstance(found, LinearTasksStream)
    return found


@pytest.mark.parametrize(("relation", "nodes"), [("ring", 5), ("chain", 4), ("ring", 2), ("independent", 3)])
def test_truths_have_the_precision_that_they_say(relation: str, nodes: int) -> None:
    """Columns are draws: 8,000 of them tell the covariance, whose inverse is the precision."""
    made = stream(0, 1, nodes, features=8000, relation=relation, rho=0.7)
    truth = made.task(0).truth
    assert truth is not None and truth.shape == (nodes, 8000)
    np.testing.assert_allclose(np.linalg.inv(truth @ truth.T / 8000), made.precision, atol=0.15)
    assert np.trace(np.linalg.inv(made.precision)) == pytest.approx(nodes)


def test_a_precision_by_hand() -> None:
    """Chain of three, rho 1/2: D - A/2 has the inverse of trace 15/6, so tau = 5/6."""
    plain = np.array([[1, -0.5, 0], [-0.5, 2, -0.5], [0, -0.5, 1]])
    tau = np.trace(np.linalg.inv(plain)) / 3
    np.testing.assert_allclose(fields.precision_of(fields.chain(3), 0.5), plain * tau)
    assert np.array_equal(fields.precision_of(fields.ring(1), 0.9), [[1]])
    assert np.array_equal(fields.ring(2), [[0, 1], [1, 0]])
    assert np.array_equal(fields.ring(4)[0], [0, 1, 0, 1])


def test_samples_are_linear_in_the_truth_with_noise_of_their_size() -> None:
    made = stream(1, noise=2.0)
    task = made.task(0)
    assert task.truth is not None
    parts = [task.block(number) for number in range(200)]
    x, y = (np.concatenate([part[n] for part in parts]) for n in (0, 1))
    assert x.shape == (200 * BLOCK, 4) and x.dtype == y.dtype == np.float64
    np.testing.assert_allclose(x.T @ x / len(x), np.eye(4), atol=0.02)
    error = y - x @ task.truth[task.group]
    assert error.std() == pytest.approx(made.noise.deviation, rel=0.01)
    assert abs(error.mean()) < 0.02 * made.noise.deviation


def test_sizes_of_noise_are_log_normal_around_the_nominal_one() -> None:
    options = LinearTasksOptions(noise=2.0)
    logs = np.log([Noise.of(options, 0, agent, 0).deviation / 2 for agent in range(4000)])
    assert abs(logs.mean()) < 0.03 and logs.std() == pytest.approx(0.5, rel=0.05)
    plain = LinearTasksOptions(noise=2.0, spread=0)
    assert {Noise.of(plain, 0, agent, 0).deviation for agent in range(5)} == {2.0}


@pytest.mark.parametrize("wanted", [0.0, 0.6])
def test_noise_correlates_inside_a_group_alone(wanted: float) -> None:
    agents = [stream(agent, correlation=wanted) for agent in (0, 1, 3)]
    noise = [np.concatenate([one.noise.block(0, number) for number in range(100)]) for one in agents]
    found = np.corrcoef(noise)
    assert found[0, 1] == pytest.approx(wanted, abs=0.02)
    assert abs(found[0, 2]) < 0.02
    for one, each in zip(agents, noise, strict=True):
        assert each.std() == pytest.approx(one.noise.deviation, rel=0.02)


def test_a_block_is_a_function_of_its_number() -> None:
    forwards, again = stream(2, tasks=2).task(1), stream(2, tasks=2).task(1)
    wanted = [forwards.block(number) for number in range(3)]
    for number in (2, 0, 1):
        for one, other in zip(wanted[number], again.block(number), strict=True):
            assert np.array_equal(one, other)
    assert not np.array_equal(wanted[0][0], wanted[1][0])


def test_who_shares_what() -> None:
    first, second, third = (stream(agent).task(0) for agent in (0, 1, 3))
    assert (first.group, second.group, third.group, first.groups) == (0, 0, 1, 2)
    assert np.array_equal(first.truth, third.truth)  # type: ignore[arg-type]
    for name in ("test_x", "test_y"):
        assert np.array_equal(getattr(first, name), getattr(second, name))
        assert not np.array_equal(getattr(first, name), getattr(third, name))
    blocks = [one.block(0) for one in (first, second, third)]
    for part in (0, 1):
        assert len({one[part].tobytes() for one in blocks}) == 3
    other = stream(0, seed=1).task(0)
    assert not np.array_equal(first.truth, other.truth)  # type: ignore[arg-type]


def test_nothing_of_an_agent_depends_on_how_many_there_are() -> None:
    """Their rows and sizes of noise; the truths are those of all groups together."""
    few, many = stream(1, 2, 4), stream(1, 2, 8)
    assert few.noise == many.noise
    assert np.array_equal(few.task(0).block(3)[0], many.task(0).block(3)[0])


def test_test_rows_have_the_nominal_noise() -> None:
    task = stream(0, test_rows=20_000, noise=3.0).task(0)
    assert task.truth is not None
    assert (task.test_y - task.test_x @ task.truth[0]).std() == pytest.approx(3, rel=0.03)
    assert len(stream(0, test_rows=0).task(0).test_y) == 0


@pytest.mark.parametrize("move", [0.0, 0.3, 1.0])
def test_truths_move_as_far_as_they_say(move: float) -> None:
    made = stream(0, 1, 2, features=8000, tasks=4, move=move)
    truths = [cast(np.ndarray, made.task(index).truth) for index in (3, 0, 1, 2)]
    last, first, second, third = truths
    for one, other in ((first, second), (second, third), (third, last)):
        assert (one * other).mean() / (one * one).mean() == pytest.approx(np.sqrt(1 - move**2), abs=0.05)
        assert (other**2).mean() == pytest.approx(1, abs=0.08)
    assert np.array_equal(first, second) is (move == 0)


def test_agents_of_another_topology_are_groups_of_one() -> None:
    file = 'name = "x"\nagents = 3\nstream.kind = "linear-tasks"\nlearning.kind = "regression_fakes:Watcher"'
    tasks = [stream_of(from_toml(file), agent).task(0) for agent in range(3)]
    assert [task.group for task in tasks] == [0, 1, 2] and tasks[0].groups == 3


def test_it_is_a_stream() -> None:
    tables = {"agents": 2, "stream": {"samples": 5, "tasks": 3}}
    check_stream(LinearTasksStream, {**tables, "learning": {"kind": "regression_fakes:Watcher"}})
    made = stream(0, samples=7, tasks=2)
    assert made.knows_truth and made.ticks == (7, 7) and made.shape.input_shape == (4,)
    assert kinds.resolve("stream", "linear-tasks").planned(LinearTasksOptions(tasks=4)).tasks == 4


def test_what_may_differ_between_agents() -> None:
    base = experiment_of("linear-tasks", 2, 4).to_tables()
    fine = from_tables({**base, "agent": [{"ids": [1], "stream": {"samples": 3}}]})
    assert [stream_of(fine, agent).ticks for agent in (0, 1)] == [(10_000,), (3,)]
    with pytest.raises(ExperimentError, match=r"agent.0.stream.noise: should not be there .* only `samples`"):
        from_tables({**base, "agent": [{"ids": [1], "stream": {"noise": 3.0}}]})
    with pytest.raises(ExperimentError, match=r"agent.0.stream.kind: should "):
        from_tables({**base, "agent": [{"ids": [1], "stream": {"kind": "serial"}}]})


def test_what_cannot_be_is_said() -> None:
    with pytest.raises(ExperimentError, match=r"stream.tasks: should be fewer: .* Found 3 x 1,000 x 10,000"):
        stream(0, 2, 6, features=1000, tasks=10_000)
    with pytest.raises(ExperimentError, match=r'stream.relation: should be "independent"'):
        stream(0, 1, 2001)
    with pytest.raises(ExperimentError, match=r'learning.kind: should be "linear", because stream.kind'):
        from_toml('name = "x"\nagents = 3\nstream.kind = "linear-tasks"')


def test_the_first_numbers_are_what_they_were() -> None:
    made = stream(0, correlation=0.25, tasks=2, move=0.5)
    task = made.task(1)
    assert task.truth is not None
    x, y = task.block(2)
    found = [*task.truth[:, 0], made.noise.deviation, x[0, 0], y[0], task.test_x[0, 0], task.test_y[0]]
    np.testing.assert_allclose(found, PINNED, rtol=1e-9)


PINNED = [
    -0.21742990939646004,
    -0.24022796065907115,
    0.5637451347891312,
    0.9034740278444151,
    -0.4205623223082373,
    -1.3599930745207063,
    -0.46717652200833915,
]
