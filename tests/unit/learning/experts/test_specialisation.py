"""How specialised experts are, by tables of which the answer is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import mutual_info_score

from mpidcl.learning.experts.specialisation import Specialisation, specialisation


def measured(
    gates: np.ndarray, labels: np.ndarray, classes: int = 4, used: int | None = None, active: int = 1
) -> Specialisation:
    used = gates.shape[1] if used is None else used
    return specialisation(gates, labels, classes, used, active, np.random.default_rng(0))


def one_hot(chosen: np.ndarray, experts: int) -> np.ndarray:
    return np.eye(experts)[chosen]


LABELS = np.arange(40) % 4


def test_an_expert_of_one_class_has_one_and_one_that_knows_no_classes_has_none() -> None:
    gates = np.zeros((40, 3))
    gates[:, 1] = 0.5  # the same for every row
    gates[LABELS == 2, 0] = 0.5
    gates[LABELS != 2, 2] = 0.5
    found = measured(gates, LABELS, active=2)
    assert found.specialisation[:2] == pytest.approx([1, 0], abs=1e-12)
    assert found.specialisation[2] == pytest.approx(1 - math.log(3) / math.log(4))
    assert found.load == pytest.approx([1 / 8, 1 / 2, 3 / 8])
    assert found.entropy == pytest.approx([0, math.log(4), math.log(3)], abs=1e-12)


def test_information_of_rows_with_one_expert_each_is_that_of_the_contingency_table() -> None:
    chosen = np.random.default_rng(1).integers(0, 5, 40)
    found = measured(one_hot(chosen, 5), LABELS)
    assert found.information == pytest.approx(mutual_info_score(LABELS, chosen))
    # and of gates that are shares, the classes' entropy less what is left of it inside experts
    gates = np.random.default_rng(2).dirichlet(np.ones(5), 40)
    found = measured(gates, LABELS, active=5)
    assert found.information == pytest.approx(math.log(4) - float((found.load * found.entropy).sum()))


@given(st.lists(st.integers(1, 9), min_size=2, max_size=5), st.integers(0, 9))
def test_classes_count_the_same_however_many_rows_they_have(rows: list[int], seed: int) -> None:
    """An expert that gets a share of each row, whatever its class, knows nothing of classes."""
    labels = np.repeat(np.arange(len(rows)), rows)
    share = 0.1 + 0.8 * np.random.default_rng(seed).random()
    gates = np.column_stack([np.full(len(labels), share), np.full(len(labels), 1 - share)])
    found = measured(gates, labels, classes=len(rows), active=2)
    assert found.specialisation == pytest.approx([0, 0], abs=1e-9)
    assert found.information == pytest.approx(0, abs=1e-9)
    assert found.load == pytest.approx([share, 1 - share])
    assert found.mass.sum(1) == pytest.approx(np.full(len(rows), len(labels) / len(rows)))


def test_shuffled_labels_tell_what_chance_gives() -> None:
    rng = np.random.default_rng(3)
    chance = measured(one_hot(rng.integers(0, 4, 400), 4), np.arange(400) % 4)
    assert 0 < chance.information < 3 * chance.shuffled
    assert chance.shuffled == pytest.approx(3 * 3 / (2 * 400), rel=0.3)
    known = measured(one_hot(np.arange(400) % 4, 4), np.arange(400) % 4)
    assert known.information == pytest.approx(math.log(4))
    assert known.shuffled < 0.03 * known.information


def test_an_expert_without_weight_has_load_zero_and_no_specialisation() -> None:
    found = measured(one_hot(LABELS % 2, 3), LABELS)
    assert found.load[2] == 0
    assert math.isnan(found.entropy[2]) and math.isnan(found.specialisation[2])
    assert np.isfinite(found.specialisation[:2]).all()


def test_balance_is_one_for_even_use_of_those_in_use_and_zero_for_collapse() -> None:
    even = one_hot(np.arange(40) // 10 % 3, 8)  # 3 of 8 experts are in use
    labels = np.zeros(30, np.int64)
    assert measured(even[:30], labels, used=3).balance == pytest.approx(1)
    assert measured(one_hot(np.zeros(30, int), 8), labels, used=3).balance == 0
    assert measured(one_hot(np.zeros(30, int), 1), labels).balance == 0  # one expert, no choice


def test_confidence_is_that_of_single_rows_and_not_specialisation() -> None:
    even = np.full((40, 2), 0.5)
    assert measured(even, LABELS, active=2).confidence == pytest.approx(0)
    sure = measured(one_hot(np.arange(40) // 4 % 2, 2), LABELS, active=2)
    assert sure.confidence == 1
    assert sure.specialisation == pytest.approx([0, 0], abs=1e-12)


def test_one_class_is_no_other_and_no_rows_are_nothing() -> None:
    alone = measured(one_hot(np.arange(6) % 2, 2), np.zeros(6, np.int64))
    assert np.isnan(alone.specialisation).all() and alone.information == 0
    assert alone.load == pytest.approx([0.5, 0.5])
    nothing = measured(np.zeros((0, 3)), np.zeros(0, np.int64))
    assert nothing.load.tolist() == [0, 0, 0] and nothing.information == nothing.shuffled == 0
    assert np.isnan(nothing.specialisation).all() and math.isnan(nothing.confidence)
