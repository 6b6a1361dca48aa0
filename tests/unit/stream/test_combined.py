"""Combined: agents learn from several data sets in turn."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from official_files import write_mnist

from mpidcl.errors import DataError, ExperimentError
from mpidcl.stream.datasets.catalogue import make
from mpidcl.stream.serial.stream import SerialStream

NAMES = ("mnist", "kmnist", "fashion-mnist")


def stream(agent: int, agents: int = 8, **options: Any) -> SerialStream:
    settings = SerialStream.Options(**options)
    return SerialStream(
        SimpleNamespace(  # type: ignore[arg-type]
            seed=0,
            agents=agents,
            learning=SimpleNamespace(epochs=1),
            stream=SimpleNamespace(dataset="combined", options=settings),
        ),
        agent,
    )


def test_agent_i_has_number_i_mod_3(written: Path) -> None:
    for number, name in enumerate(NAMES):
        write_mnist(written / name, train=200 + number * 100)
    found = [
        (task.dataset, len(make(task.dataset).load().train_y))
        for task in (stream(i).task(0) for i in range(8))
    ]
    expected = list(zip(NAMES, (200, 300, 400), strict=True))
    assert found == (expected * 3)[:8]


def test_the_list_can_be_chosen_and_an_agent_needs_only_its_own_files(written: Path) -> None:
    options = {"data": {"of": ["digits", "mnist"]}}
    assert stream(2, **options).task(0).dataset == "digits"
    assert stream(2, **options).shape.input_shape == (1, 8, 8)
    with pytest.raises(DataError, match="mpidcl data fetch mnist"):
        stream(3, **options).task(0)


@pytest.mark.parametrize("draw", ["iid", "dirichlet", "classes"])
def test_rows_are_dealt_among_the_agents_of_a_data_set(draw: str) -> None:
    rows = []
    for agent in (0, 2, 4):
        made = stream(agent, agents=5, draw=draw, data={"of": ["digits", "mnist"]})
        rows += [r.index for t in map(made.task, range(5)) for r in (t.train, t.validation)]
    assert np.array_equal(np.sort(np.concatenate(rows)), np.arange(1442))


def test_wrong_lists() -> None:
    for of, says in (
        (["mnist", "combined"], "inside itself"),
        (["mnst"], 'Did you mean "mnist"'),
        ([], "`stream.data.of` should have at least 1 entries"),
    ):
        with pytest.raises(ExperimentError, match=says):
            make("combined", {"of": of})
