"""Herding: the rows whose mean is nearest to that of their class, and equal shares for all classes."""

from __future__ import annotations

import numpy as np
import pytest

from mpidcl.errors import ExperimentError
from mpidcl.experiment.units import Capacity
from mpidcl.memory.buffer import Column
from mpidcl.memory.grouped import Memory
from mpidcl.memory.herding import Herding, herded

COLUMNS = (Column("x", "float32", (3,)), Column("mark", "int64"))


def encodings(count: int, width: int = 4, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.5, 1, (count, width)).astype(np.float32)


def unit(features: np.ndarray) -> np.ndarray:
    return features.astype(np.float64) / np.linalg.norm(features.astype(np.float64), axis=1, keepdims=True)


def by_definition(features: np.ndarray, count: int) -> list[int]:
    """Algorithm 4 as it is written: argmin of |mean - (row + sum of those chosen) / k|."""
    rows, chosen = unit(features), list[int]()
    while len(chosen) < min(count, len(rows)):
        far = np.linalg.norm(rows.mean(0) - (rows + rows[chosen].sum(0)) / (len(chosen) + 1), axis=1)
        far[chosen] = np.inf
        chosen.append(int(far.argmin()))
    return chosen


@pytest.mark.parametrize(("rows", "count"), [(60, 20), (7, 7), (5, 9), (1, 3)])
def test_the_choice_is_that_of_the_paper(rows: int, count: int) -> None:
    features = encodings(rows)
    assert Herding().choose(features, count).tolist() == by_definition(features, count)


def test_the_mean_of_chosen_rows_is_nearer_than_that_of_50_random_choices() -> None:
    rows, rng = unit(encodings(80)), np.random.default_rng(1)

    def away(chosen: np.ndarray) -> float:
        return float(np.linalg.norm(rows[chosen].mean(0) - rows.mean(0)))

    for count in (10, 20, 40):
        assert away(herded(rows, count)) < min(away(rng.permutation(80)[:count]) for _ in range(50))


def test_fewer_rows_are_the_first_of_more_and_their_lengths_do_not_matter() -> None:
    features = encodings(40)
    features[3] = 0  # what a net of ReLUs may say of a row
    many = Herding().choose(features, 20)
    assert len(set(many.tolist())) == 20
    np.testing.assert_array_equal(Herding().choose(features, 6), many[:6])
    longer = features * np.linspace(0.1, 9, 40, dtype=np.float32)[:, None]
    np.testing.assert_array_equal(Herding().choose(longer, 20), many)


def memory(capacity: str = "12 rows") -> Memory:
    return Memory(Capacity.parse(capacity), COLUMNS, Herding(), np.random.default_rng(0))


def offer(into: Memory, task: int, classes: list[int], rows: int = 30) -> dict[str, np.ndarray]:
    """Offer rows of some classes; gives the columns offered."""
    y = np.random.default_rng(task).permutation(np.repeat(classes, rows))
    columns = {"x": encodings(len(y), 3, task), "mark": 1000 * task + np.arange(len(y))}
    into.select(task, 0, y, columns, lambda found: found["x"])
    return columns | {"y": y}


def test_classes_share_the_room_and_give_back_their_last_rows() -> None:
    held = memory()
    first = offer(held, 0, [0, 1])
    marks = {}
    for one in (0, 1):
        mine = first["y"] == one
        marks[one] = first["mark"][mine][by_definition(first["x"][mine], 6)].tolist()
    assert held.rows()["mark"].tolist() == marks[0] + marks[1]
    before = held.version
    offer(held, 1, [2])
    found = held.rows()
    assert held.version > before and len(held) == 12
    assert found["mark"].tolist()[:8] == marks[0][:4] + marks[1][:4]
    assert found["task"].tolist() == 8 * [0] + 4 * [1] and found["y"].tolist()[8:] == 4 * [2]
    offer(held, 2, [3, 4])
    assert np.bincount(held.rows()["y"]).tolist() == 5 * [2] and len(held) == 10 == len(held.only)


def test_a_class_that_comes_again_chooses_among_all_its_rows() -> None:
    held = memory("6 rows")
    offer(held, 0, [0, 1])
    old = {name: values[held.rows()["y"] == 1] for name, values in held.rows().items()}
    new = offer(held, 1, [1])
    everything = np.concatenate([old["mark"], new["mark"]])
    chosen = by_definition(np.concatenate([old["x"], new["x"]]), 3)
    assert held.rows()["mark"].tolist()[3:] == everything[chosen].tolist()


def test_room_for_each_class_is_not_shared() -> None:
    held = memory("4 rows per class")
    for task in range(3):
        offer(held, task, [2 * task, 2 * task + 1])
    assert np.bincount(held.rows()["y"]).tolist() == 6 * [4]


def test_a_loaded_memory_goes_on_like_the_saved_one() -> None:
    held, again = memory(), memory()
    offer(held, 0, [0, 1])
    again.load(held.state())
    for one in (held, again):
        offer(one, 1, [2, 3, 4])
    for name, values in held.rows().items():
        np.testing.assert_array_equal(again.rows()[name], values)


def test_less_than_a_row_for_each_class_is_refused_before_anything_changes() -> None:
    held = memory("2 rows")
    offer(held, 0, [0, 1])
    before = held.rows()
    with pytest.raises(ExperimentError, match="at least 3 rows, one of each class so far. Found room for 2"):
        offer(held, 1, [2])
    assert held.rows()["mark"].tolist() == before["mark"].tolist()
