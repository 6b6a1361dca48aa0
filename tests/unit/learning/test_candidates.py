"""Candidate modules: which one stays, what moves with it, modules of others, trials, checkpoints."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from typing import Any

import numpy as np
import pytest
import torch
from learning_fakes import accuracies, compositional, live, task
from modular_fakes import CNN, TASKS, floats, foreign, grown

from mpidcl.learning.compositional.learner import CompositionalLearner
from mpidcl.learning.compositional.modular import Origin
from mpidcl.testing.asking import result_of


def decided(without: int, *found: int, rows: int = 100, **how: Any) -> CompositionalLearner:
    """The end of a task in which so many of `rows` validation rows were right."""
    who = compositional(joint=2, how={"candidates": len(found)} | how)
    live(who, TASKS[:2], joint=2)
    who.begin_task(task(2, rows=24))
    who.seen[2].validation.y.resize(rows, refcheck=False)
    places = dict(zip(who.candidates.places, found, strict=True))
    who.validation_accuracy = lambda place: (without if place is None else places[place]) / rows
    result_of(who.end_task())
    return who


@pytest.mark.parametrize(
    ("without", "found", "kept"),
    [
        (60, 62, False),
        (60, 63, False),  # exactly 5 %: 0.63 - 0.6 is a little more than 0.05 * 0.6 in floats
        (60, 64, True),
        (80, 84, False),
        (80, 85, True),
        (20, 21, False),
        (100, 100, False),
        (50, 40, False),
        (0, 0, False),
        (0, 1, True),
    ],
)
def test_a_candidate_stays_if_it_gains_more_than_five_percent(without, found, kept):
    who = decided(without, found)
    made = who.decisions[0]
    assert made.kept is kept and who.model.kept == 3 + kept and made.modules == 3 + kept
    assert (made.with_accuracy, made.without_accuracy) == (found / 100, without / 100)
    assert made.module == (3 if kept else -1) and (made.task, made.candidate, made.source) == (2, 0, -1)
    assert who.added() == ([(2, 3)] if kept else [])


@pytest.mark.parametrize(("threshold", "kept"), [(0.0, True), (0.03, False), (0.029, True), (-1.0, True)])
def test_the_threshold_can_be_chosen(threshold, kept):
    assert (decided(100, 103, rows=200, threshold=threshold).model.kept == 4) is kept


def test_the_best_of_several_stays_and_moves_into_the_first_place():
    who = compositional(joint=2, how={"candidates": 3, "threshold": 0.0})
    live(who, TASKS[:2], joint=2)
    who.begin_task(TASKS[2])
    for tick in range(3):
        list(who.learn(2, tick))
    assert who.candidates.places == (3, 4, 5)
    best, row = who.module(5), who.model.structures.detach()[2, 5].clone()
    moments = {name: moment.clone() for name, moment in who.optimizer.moments.items()}
    steps = who.optimizer.steps.copy()
    assert steps[5] > 0 and len({who.module(place).tobytes() for place in (3, 4, 5)}) == 3
    who.validation_accuracy = {None: 0.2, 3: 0.6, 4: 0.4, 5: 0.8}.__getitem__
    result_of(who.end_task())
    assert [made.module for made in who.decisions] == [-1, -1, 3]
    assert [made.with_accuracy for made in who.decisions] == [0.6, 0.4, 0.8]
    assert np.array_equal(who.module(3), best) and torch.equal(who.model.structures.detach()[2, 3], row)
    assert not who.module(4).any() and not who.module(5).any()
    size = len(best)
    for name, moment in who.optimizer.moments.items():
        assert torch.equal(moment[3 * size : 4 * size], moments[name][5 * size : 6 * size]) and moment.any()
    assert who.optimizer.steps[3] == steps[5] and not len(who.candidates)


def test_of_equal_candidates_the_first_stays():
    assert [made.module for made in decided(50, 70, 80, 80).decisions] == [-1, 3, -1]


def test_dropping_all_changes_no_answer_but_that_of_the_candidate():
    who = grown(how={"candidates": 2, "threshold": -1.0})
    for tick in range(3):
        list(who.learn(3, tick))
    x = TASKS[0].test.x()
    with who.candidates.hidden():
        before = [who.logits(x, u) for u in range(4)]
    who.validation_accuracy = lambda place: 0.0
    result_of(who.end_task())
    assert who.model.kept == 4 and [made.module for made in who.decisions[-2:]] == [-1, -1]
    for u in range(4):
        np.testing.assert_array_equal(who.logits(x, u), before[u])


def test_a_kept_candidate_answers_as_it_did_when_it_was_measured():
    who = grown(how={"candidates": 2, "threshold": -1.0})
    for tick in range(3):
        list(who.learn(3, tick))
    x = TASKS[0].test.x()
    with who.candidates.shown(5):
        before = who.logits(x, 3)
    who.validation_accuracy = {None: 0.1, 4: 0.2, 5: 0.3}.__getitem__
    result_of(who.end_task())
    np.testing.assert_allclose(who.logits(x, 3), before, rtol=1e-5, atol=1e-6)
    assert [made.module for made in who.decisions[-2:]] == [-1, 4]


def test_candidates_begin_with_no_moments_and_no_steps():
    who = grown()
    size, place = who.model.module(0).numel(), who.candidates.places[0]
    for tick in range(3):
        list(who.learn(3, tick))
    assert who.optimizer.steps[place] > 0
    who.validation_accuracy = lambda place: 0.0
    result_of(who.end_task())
    who.begin_task(TASKS[4])
    assert who.candidates.places[0] == place and who.optimizer.steps[place] == 0
    for moment in who.optimizer.moments.values():
        assert not moment[place * size : (place + 1) * size].any()
    bound = 1 / np.sqrt(8)
    assert np.abs(who.module(place)).max() <= bound and np.abs(who.module(place)).max() > 0.8 * bound


@pytest.mark.parametrize(("most", "modules"), [(3, 3), (4, 4), (5, 5), (None, 6), (1, 3)])
def test_there_are_never_more_modules_than_allowed(most, modules):
    who = compositional(joint=2, how={"max_modules": most, "threshold": -1.0, "candidates": 2})
    live(who, TASKS, joint=2)
    assert who.model.kept == modules and [made.modules for made in who.decisions][-1:] in ([], [modules])
    assert np.isfinite(accuracies(who, 4)).all()
    # while one may still stay, all candidates compete for it
    assert len(who.decisions) == 2 * min(3, modules - 3)


@pytest.mark.parametrize("settings", [{}, CNN])
def test_no_candidates_is_a_learner_that_never_grows(settings):
    who = compositional(joint=2, how={"candidates": 0}, **settings)
    live(who, TASKS, joint=2)
    assert who.model.kept == who.model.depth and not who.decisions and not who.added()
    who.take_candidates([])
    assert accuracies(who, 4).shape == (5,) and len(who.digest()) == 64


# --- modules of others --------------------------------------------------------------------------


def test_received_modules_take_the_first_places():
    who = grown(how={"candidates": 3, "threshold": -1.0})
    random = who.module(6)
    given = [foreign(who, 0), foreign(who, 1, head=False, structure=False)]
    who.take_candidates(given)
    for place, module in zip((4, 5), given, strict=True):
        assert np.array_equal(who.module(place), module.weights)
    assert np.array_equal(who.module(6), random)
    assert who.candidates.origins == [given[0].origin, given[1].origin, Origin()]
    assert np.array_equal(who.head_of(3), given[0].head)
    structure = who.model.structures.detach()[3].numpy()
    assert np.array_equal(structure[:3], given[0].structure[:3])
    assert np.array_equal(structure[4], given[0].structure[3])
    assert not structure[3].any() and not structure[5:].any()
    who.validation_accuracy = {None: 0.1, 4: 0.4, 5: 0.3, 6: 0.2}.__getitem__
    result_of(who.end_task())
    made = who.decisions[-3:]
    assert [(one.source, one.source_task, one.source_module) for one in made] == [(3, 1, 3)] * 2 + [
        (-1, -1, -1)
    ]
    assert made[0].kept and made[0].received and made[0].similarity == 0.5 and np.isnan(made[2].similarity)


def test_more_modules_than_places_are_left():
    who = grown()
    given = [foreign(who, seed, head=False, structure=False) for seed in range(3)]
    before = floats(who)
    who.take_candidates(given)
    assert np.array_equal(who.module(4), given[0].weights) and len(who.candidates) == 1
    assert {name for name, values in floats(who).items() if not torch.equal(values, before[name])} == {
        "module.4"
    }


def test_what_comes_while_a_task_is_learned_begins_without_moments():
    who = grown()
    list(who.learn(3, 0))
    names = [s.name for s in who.parameters.segments if s.kind != "frozen"]
    new = {"added.1", "heads.block.3", "structures.3"}
    assert new <= {name for name, steps in zip(names, who.optimizer.steps, strict=True) if steps}
    who.take_candidates([foreign(who)])
    for name, steps, *span in zip(
        names, who.optimizer.steps, who.optimizer.starts, who.optimizer.stops, strict=True
    ):
        moments = [moment[slice(*span)].any() for moment in who.optimizer.moments.values()]
        assert any([steps, *moments]) == (name not in new and steps > 0)


@pytest.mark.parametrize("settings", [{}, CNN])
def test_logits_under_a_foreign_module_are_those_after_taking_it_without_ones_own(settings):
    who, x = grown(**settings), TASKS[3].validation.x()
    module = foreign(who)
    before = who.state()
    told = who.logits_with(module, x)
    assert same(who.state(), before)
    who.take_candidates([module])
    assert not np.array_equal(told, who.logits(x, 3))
    who.model.seen[3] = who.model.depth
    np.testing.assert_array_equal(told, who.logits(x, 3))


# --- trials -------------------------------------------------------------------------------------


def same(one: Any, other: Any) -> bool:
    """Whether two states are equal, bit for bit."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()
    if isinstance(one, float):
        return one == other or (one != one and other != other)
    return type(one) is type(other) and one == other


@pytest.mark.parametrize("together", [1, 2, 9])
@pytest.mark.parametrize("settings", [{}, {"options": {"width": 8, "depth": 3}}, CNN])
def test_a_trial_leaves_no_trace(settings, together):
    who = grown(how={"candidates": 2, "threshold": -1.0}, **settings)
    list(who.learn(3, 0))
    before = who.state()
    found = who.try_out([foreign(who, seed) for seed in range(3)], 3, together)
    after = who.state()
    assert after.pop("flops") > before.pop("flops")  # it was work
    assert same(after, before) and len(found) == 3 and all(0 <= accuracy <= 1 for accuracy in found)


def test_a_trial_tells_what_learning_with_the_module_gives():
    who = grown()
    module = foreign(who)
    (told,) = who.try_out([module], 2, 1)
    who.take_candidates([module])
    for tick in range(2):
        list(who.learn(3, tick))
    assert who.validation_accuracy(4) == told


def test_trials_by_one_do_not_depend_on_each_other():
    who = grown()
    modules = [foreign(who, seed) for seed in range(3)]
    alone = [who.try_out([module], 2, 1)[0] for module in modules]
    assert who.try_out(modules, 2, 1) == alone
    assert who.try_out([], 2, 1) == []


def test_a_trial_where_there_is_no_room_says_nothing_good():
    who = compositional(joint=4, how={"candidates": 0})
    live(who, TASKS, joint=4)
    who.model.kept = who.model.places
    assert who.try_out([foreign(who), foreign(who, 1)], 2, 1) == [0.0, 0.0]


# --- going on from a state ----------------------------------------------------------------------

SETTINGS = {
    "plain": {"options": {"width": 8, "depth": 3}},
    "several": {"how": {"candidates": 3, "threshold": -1.0, "accommodate": 2}},
    "frozen": {"how": {"candidate": "frozen", "threshold": 0.0}, "options": {"width": 8, "depth": 2}},
    "images": {**CNN, "options": {"width": 3, "depth": 2}, "how": {"candidates": 2, "threshold": -1.0}},
    "alone": {"joint": 0, "how": {"max_modules": 4, "threshold": -1.0}},
    "none": {"how": {"candidates": 0}, "terms": ()},
}


def make(name: str) -> CompositionalLearner:
    who = compositional(**{"joint": 2, **SETTINGS[name]})
    who.set_received_capacity(3)
    return who


def drive(name: str, cuts: Collection[int] = ()) -> tuple[Any, ...]:
    """Four tasks with modules and rows of others; go on in a new learner at each event of `cuts`."""
    who, event = make(name), 0
    joint, told = SETTINGS[name].get("joint", 2), []

    def maybe_cut() -> None:
        nonlocal who, event
        if event in cuts:
            state, tables, who = who.state(), who.tables(), make(name)
            who.load(state, TASKS.__getitem__)
            who.load_tables(tables)
        event += 1

    for item in TASKS[:4]:
        who.begin_task(item)
        maybe_cut()
        if len(who.candidates):
            told += who.try_out([foreign(who, seed) for seed in range(2)], 1, 2)
            who.take_candidates([foreign(who, item.index)])
            maybe_cut()
        for tick in range(0 if item.index + 1 < joint else 3):
            list(who.learn(item.index, tick))
            maybe_cut()
            told += accuracies(who, item.index).tolist()
            sent = task(20 + item.index, rows=2).train
            who.receive_rows(item.index, sent.x(), sent.y, reject_duplicates=True)
            maybe_cut()
        result_of(who.end_task())
        maybe_cut()
    structures = hashlib.sha256(who.tables()["structures"]["share"].tobytes()).hexdigest()
    return who.digest(), told, who.counters()["flops"], structures, repr(who.decisions), event


@pytest.mark.parametrize("name", SETTINGS)
def test_going_on_from_a_state_gives_the_same_bits(name):
    """At every event, and from one state to the end."""
    whole = drive(name)
    events = whole[-1]
    for cuts in (range(events), [events // 3], [2 * events // 3]):
        assert drive(name, cuts) == whole, f"cut at {cuts}"


def test_a_state_holds_the_candidates_and_the_one_whose_turn_it_is():
    who = grown(how={"candidates": 2, "threshold": -1.0}, batch=24)
    who.take_candidates([foreign(who)])
    list(who.learn(3, 0))
    again = compositional(joint=2, how={"candidates": 2, "threshold": -1.0}, batch=24)
    again.load(who.state(), TASKS.__getitem__)
    assert who.model.active == again.model.active == 5  # one batch per epoch: the second one's turn
    assert repr(again.candidates.origins) == repr(who.candidates.origins)
    assert same(again.state(), who.state())


def test_pinned_values():
    """Two later tasks with dropout, two candidates and a neighbour's module, on any machine."""
    options = {"width": 8, "depth": 3}
    who = compositional(joint=2, options=options, how={"candidates": 2, "threshold": -1.0}, epochs=4)
    live(who, TASKS[:3], ticks=4, joint=2)
    who.begin_task(TASKS[3])
    who.take_candidates([foreign(who)])
    for tick in range(4):
        list(who.learn(3, tick))
    result_of(who.end_task())
    assert who.model.orders[:2].tolist() == [[0, 0, 1], [0, 2, 0]]
    assert [made.module for made in who.decisions] == [3, -1, 4, -1]
    weights = [
        [0.3432, 0.1228, 0.1634],
        [0.1943, 0.3193, 0.2392],
        [0.1414, 0.2055, 0.2025],
        [0.1622, 0.1867, 0.1817],
        [0.1589, 0.1657, 0.2132],
    ]
    np.testing.assert_allclose(who.tables()["structures"]["share"][3], weights, atol=2e-3)
    norms = [np.linalg.norm(who.module(number)) for number in range(5)]
    np.testing.assert_allclose(norms, [2.2670, 2.0515, 2.0229, 1.7515, 2.1337], rtol=2e-3)
    np.testing.assert_allclose(accuracies(who, 3), [0.8, 0.375, 0.525, 0.6], atol=0.051)
