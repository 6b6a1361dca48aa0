"""Ptychography: the forward model holds its equations, tasks depend on the seed, rows are dealt once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mpidcl.errors import ExperimentError
from mpidcl.experiment import kinds
from mpidcl.experiment.reading import from_toml
from mpidcl.randomness import numpy_generator
from mpidcl.run import simulation
from mpidcl.stream.ptychography import optics
from mpidcl.stream.ptychography.stream import PtychographyStream
from mpidcl.testing import check_stream

FILE = 'name = "x"\nagents = 3\n[learning]\nobjective = "images"\n[model]\nkind = "ptychonn"\n'


def stream(agent: int = 0, seed: int = 0, **options: Any) -> PtychographyStream:
    sets = [f"seed={seed}", 'stream.kind="ptychography"', "stream.size=16", "stream.positions=6"]
    sets += ["stream.correlation=[0.2,0.4]", "stream.probe_width=[0.15,0.185]", "stream.curvature=2"]
    sets += [f"stream.{name}={value}" for name, value in options.items()]
    made: PtychographyStream = kinds.resolve("stream", "ptychography")(from_toml(FILE, sets), agent)
    return made


def scene() -> tuple[optics.Waves, optics.Waves, optics.Indices]:
    image = optics.make_object(20, 3.0, numpy_generator(0, 0, "test"))
    return image, optics.make_probe(8, 1.3, 2.0), optics.raster(4, 4)


def test_a_pattern_is_the_sum_over_all_pixels() -> None:
    """The discrete Fourier transform by its definition, frequency 0 in the middle."""
    image, probe, corners = scene()
    found = optics.patterns(image, probe, corners)
    places, around = np.arange(8), np.arange(-4, 4)
    turns = np.exp(-2j * np.pi * np.outer(around, places) / 8)
    for (down, right), pattern in zip(corners, found, strict=True):
        wave = probe * image[down : down + 8, right : right + 8]
        np.testing.assert_allclose(pattern, np.abs(turns @ wave @ turns.T), atol=1e-12)


def test_the_power_of_a_pattern_is_that_of_the_lit_patch() -> None:
    image, probe, corners = scene()
    power = (optics.patterns(image, probe, corners) ** 2).sum((1, 2))
    lit = (np.abs(probe * optics.cut(image, corners, 8)) ** 2).sum((1, 2))
    np.testing.assert_allclose(power, 64 * lit, rtol=1e-12)


def test_a_curved_beam_tells_an_object_from_its_mirrored_conjugate() -> None:
    image, _, _ = scene()
    here = np.zeros((1, 2), np.int64)
    for curvature, same in ((0.0, True), (2.0, False)):
        probe = optics.make_probe(20, 3.0, curvature)
        one, other = (optics.patterns(each, probe, here) for each in (image, image[::-1, ::-1].conj()))
        assert np.allclose(one, other) is same


def test_fields_fill_their_range_and_correlate_as_they_say() -> None:
    rng = numpy_generator(0, 0, "test")
    length, distances = 6.0, np.array([3, 6, 9])
    found = []
    for _ in range(20):
        field = optics.smooth_field(128, length, rng)
        assert field.min() == 0 and field.max() == 1
        away = field - field.mean()
        found.append(
            [(away * np.roll(away, d, axis)).mean() / away.var() for d in distances for axis in (0, 1)]
        )
    wanted = np.exp(-(distances**2) / (2 * length**2))
    np.testing.assert_allclose(np.mean(found, 0).reshape(3, 2).mean(1), wanted, atol=0.05)


def test_an_object_has_the_amplitudes_and_phases_of_the_definition() -> None:
    image, probe, _ = scene()
    amplitude, phase = np.abs(image), np.angle(image)
    np.testing.assert_allclose((amplitude.min(), amplitude.max()), (0.5, 1))
    np.testing.assert_allclose((phase.min(), phase.max()), (-np.pi / 2, np.pi / 2))
    np.testing.assert_allclose(np.abs(probe[3, 4]), np.exp(-0.5 / (2 * 1.3**2)))
    np.testing.assert_allclose(np.angle(probe[3, 4]), -2 * 0.5 / (2 * 1.3**2))


def test_rows_are_patterns_and_what_lies_in_their_patches() -> None:
    who = stream()
    task = who.task(1)
    parts = [task.train, task.test]
    x, y = (np.concatenate([value(part) for part in parts]) for value in (lambda p: p.x(), lambda p: p.y))
    assert x.shape == (36, *who.shape.input_shape) and y.shape == (36, 2, 16, 16)
    assert x.dtype == y.dtype == np.float32 and x.min() >= 0 and x.max() == 1
    width = 16 * np.sqrt(np.sqrt(0.15**3 * 0.185))  # task 1 of 5: a quarter of the way, by factors
    probe = optics.make_probe(16, width, 2.0)
    again = np.abs(np.fft.fftshift(np.fft.fft2(probe * y[:, 0] * np.exp(1j * y[:, 1])), axes=(1, 2)))
    np.testing.assert_allclose(x[:, 0], again / again.max(), atol=1e-6)
    some = task.train.part(np.array([4, 2]))
    assert np.array_equal(some.x(), task.train.x()[[4, 2]]) and np.array_equal(some.y, task.train.y[[4, 2]])
    some.x()[:] = 7
    assert some.x().max() <= 1


def test_the_first_row_is_what_it_was() -> None:
    first = stream().task(0).train.part(slice(0, 1))
    np.testing.assert_allclose(first.x()[0, 0, 7:9, 7:9], PINNED_X, rtol=1e-5)
    np.testing.assert_allclose(first.y[0, :, 0, :2], PINNED_Y, rtol=1e-5)


PINNED_X = [[0.5703297, 0.7963888], [0.5934258, 0.8163535]]
PINNED_Y = [[0.7228274, 0.6388582], [0.3334265, 0.1698417]]


@pytest.mark.parametrize("draw", ["independent", "shared", "iid"])
def test_it_is_a_stream(draw: str) -> None:
    tables = {"agents": 2, "stream": {"size": 16, "positions": 5, "tasks": 2, "draw": draw}}
    check_stream(PtychographyStream, {**tables, "learning": {"objective": "images"}})


def test_dealt_rows_are_trained_on_by_one_agent_and_never_tested() -> None:
    agents = [stream(agent, draw="iid", validation_share=0.25).task(2) for agent in range(3)]
    train, held = (
        [part(task).index for task in agents] for part in (lambda t: t.train, lambda t: t.validation)
    )
    every = np.concatenate([*train, *held, agents[0].test.index])
    assert sorted(every.tolist()) == list(range(36))
    assert [len(rows) for rows in train] == [9, 9, 8] and [len(rows) for rows in held] == [2, 2, 2]
    assert all(np.array_equal(task.test.index, agents[0].test.index) for task in agents)


def test_who_shares_objects() -> None:
    def first(agent: int, draw: str, seed: int = 0) -> np.ndarray:
        return stream(agent, seed, draw=draw).task(0).test.y

    assert np.array_equal(first(0, "shared"), first(1, "shared"))
    assert not np.array_equal(first(0, "independent"), first(1, "independent"))
    assert not np.array_equal(first(0, "shared"), first(0, "shared", seed=1))


def test_what_cannot_be_is_said() -> None:
    with pytest.raises(ExperimentError, match=r"stream.positions. should be larger: of 1\^2 rows no row"):
        stream(positions=1)
    with pytest.raises(ExperimentError, match="no row is left for agent 2 to train on"):
        stream(2, positions=2, draw="iid", test_share=0.5)


def test_a_data_set_that_is_not_read_stands_in_no_file() -> None:
    sets = ['stream.kind="ptychography"']
    experiment = from_toml(FILE, sets)
    assert "dataset" not in experiment.to_toml() and from_toml(experiment.to_toml()) == experiment
    named = from_toml(FILE, [*sets, "stream.dataset=mnist"])
    assert from_toml(named.to_toml()) == named
    assert 'stream.dataset = "mnist" is not read' in simulation.check(named)
