"""Module exchanges on small networks, driven by hand: what is asked, offered, chosen, taken over."""

import numpy as np
import pytest
from exchange_fakes import RING, UNLIMITED, complete, meet, neighbourhoods
from module_fakes import FakeModuleLearner

from mpidcl.errors import ExperimentError
from mpidcl.exchange.base import LinkUse
from mpidcl.exchange.modules.choice import head_in_own_order
from mpidcl.exchange.modules.exchange import ModulesExchange, ModulesOptions

TASKS = [
    [(0, 1), (2, 3), (4, 5), (2, 9)],
    [(1, 2), (9, 4), (2, 3), (0, 5)],
    [(5, 0), (9, 2), (2, 0), (3, 4)],
    [(6, 7), (8, 6), (7, 8), (6, 8)],
]
KEPT = [(1, 2), (0, 1, 2), (1, 2), (1,)]
LAST = 3
QUERIES = ["rows", "prepared", "class-means", "none"]


def network(edges, agents, task_classes=TASKS, kept=KEPT, learner=None, **options):
    near = neighbourhoods(edges, agents)
    learners = [FakeModuleLearner(i, task_classes[i], kept[i], **(learner or {})) for i in range(agents)]
    return [ModulesExchange(ModulesOptions(**options), *pair) for pair in zip(learners, near, strict=True)]


def taken(exchange):
    """(source, task) of what the learner was handed in its only meeting."""
    return [(m.origin.source, m.origin.task) for parts in exchange.learner.handed for m in parts]


# --- ranking -------------------------------------------------------------------------------------


def test_by_label_the_module_of_the_task_with_most_classes_in_common_comes():
    exchanges = network(complete(4), 4)
    meet(exchanges, task=LAST)
    for exchange in exchanges:
        mine = set(exchange.learner.seen[LAST].classes)
        offers = []
        for other in exchanges:
            if other is not exchange:
                for u in other.learner.kept:
                    theirs = set(other.learner.seen[u].classes)
                    iou = len(mine & theirs) / len(mine | theirs)
                    offers.append((-iou, u, other.learner.agent))
        similarity, task, source = min(offers)
        (module,) = exchange.learner.handed[0]
        assert (module.origin.source, module.origin.task) == (source, task)
        assert module.origin.similarity == pytest.approx(-similarity)


def test_what_comes_is_the_neighbours_module_bit_for_bit():
    exchanges = network(complete(2), 2)
    meet(exchanges, task=LAST)
    (module,) = exchanges[0].learner.handed[0]
    sender = exchanges[1].learner
    assert np.array_equal(module.weights, sender.module(module.origin.module))
    assert module.origin.module == dict(sender.added())[module.origin.task]
    logits = sender.structure_of(module.origin.task)
    assert np.array_equal(module.structure, logits[[0, 1, module.origin.module]])
    module.weights[:] = 0  # a copy: the sender keeps its own
    assert sender.module(module.origin.module).any()


def test_equal_similarities_go_to_the_lower_task_then_to_the_lower_sender():
    same = [[(0, 1)] * 4] * 3
    exchanges = network(complete(3), 3, same, [(1, 2), (2, 1), (1, 2)], count=2, keep=3)
    meet(exchanges, task=LAST)
    assert taken(exchanges[2]) == [(0, 1), (1, 1), (0, 2)]


@pytest.mark.parametrize("query", QUERIES)
def test_leep_prefers_the_task_whose_answers_tell_the_classes(query):
    tasks = [[(0, 1), (2, 9), (2, 9), (2, 9)]] * 2
    exchanges = network(complete(2), 2, tasks, [(0, 1)] * 2, rank_by="leep", query=query, count=2)
    sender = exchanges[1].learner
    x, _ = exchanges[0].learner.validation(LAST)
    z = exchanges[0].learner.prepared(x)
    y = exchanges[0].learner.validation(LAST)[1]
    difference = z[y == 1].mean(axis=0) - z[y == 0].mean(axis=0)
    sender.modules[:] = 0
    for u, number in sender.added():
        sender.modules[number][:, :-1] = np.eye(6)
        sender.modules[number][:, -1] = -z.min(axis=0)
        sender.heads[u] = 0
    middle = difference @ (z.mean(axis=0) - z.min(axis=0))
    sender.heads[1, 1, :-1], sender.heads[1, 1, -1] = difference, -middle  # task 0 knows nothing
    meet(exchanges, task=LAST)
    assert taken(exchanges[0]) == [(1, 1)]
    (module,) = exchanges[0].learner.handed[0]
    assert -0.3 < module.origin.similarity <= 0
    assert np.array_equal(module.head, sender.heads[1])  # its classes are the asker's, in the same order


def test_prepared_rows_give_the_leep_of_the_rows_themselves():
    found = []
    for query in ("rows", "prepared"):
        exchanges = network(complete(4), 4, rank_by="leep", query=query)
        sent = meet(exchanges, task=LAST)
        found.append([
            (key, m.arrays["task"].tolist(), m.arrays["similarity"].tobytes(), m.arrays["sources"].tolist())
            for key, m in sent.items() if key[2] == 1
        ])  # fmt: skip
    assert found[0] == found[1] and len(found[0]) == 12


def test_at_most_so_many_rows_per_class_are_shown():
    exchanges = network(complete(2), 2, rank_by="leep", query_rows=4)
    labels = meet(exchanges, task=LAST)[0, 1, 0].arrays["y"]
    assert np.bincount(labels).tolist() == [4, 4]
    means = network(complete(2), 2, rank_by="leep", query="class-means")
    assert meet(means, task=LAST)[0, 1, 0].arrays["y"].tolist() == [0, 1]


def test_without_a_question_the_latest_modules_come_and_the_receiver_scores_them():
    exchanges = network(complete(2), 2, rank_by="leep", query="none", count=2)
    sent = meet(exchanges, task=LAST)
    assert sent[0, 1, 0].arrays == {}
    assert sent[1, 0, 1].arrays["task"].tolist() == [2, 1]  # of the tasks 0, 1 and 2
    assert np.isnan(sent[1, 0, 1].arrays["similarity"]).all()
    assert exchanges[0].learner.handed[0][0].origin.similarity <= 0


# --- heads and structures ------------------------------------------------------------------------


def test_the_head_is_permuted_to_the_receivers_order_and_foreign_rows_are_zero():
    exchanges = network(complete(2), 2, [[(9, 2)] * 2, [(2, 5)] * 2], [(0,), (0,)])
    meet(exchanges, task=1)
    (module,) = exchanges[0].learner.handed[0]
    theirs = exchanges[1].learner.heads[0]
    assert np.array_equal(module.head, [np.zeros(7), theirs[0]])


def test_disjoint_classes_give_a_head_of_zeros():
    exchanges = network([(0, 3)], 4)
    meet(exchanges, task=LAST)
    (module,) = exchanges[0].learner.handed[0]
    assert module.origin.similarity == 0
    assert module.head.shape == (2, 7) and not module.head.any()


def test_the_permutation_is_the_published_matrix_product():
    random = np.random.default_rng(5)
    head = random.normal(size=(5, 4)).astype(np.float32)
    mine, theirs = [10, 11, 12, 13, 14], [13, 10, 99, 98, 12]
    product = np.zeros((5, 5))
    for target, name in enumerate(mine):
        for source, other in enumerate(theirs):
            product[target, source] = name == other
    sources = np.array([theirs.index(c) if c in theirs else -1 for c in mine], np.int16)
    assert np.array_equal(head_in_own_order(head, sources, np.arange(5)), product @ head)


@pytest.mark.parametrize(("head", "structure"), [("none", False), ("none", True), ("leep", False)])
def test_what_is_not_wanted_is_not_taken_over(head, structure):
    exchanges = network(complete(2), 2, head=head, structure=structure)
    sent = meet(exchanges, task=LAST)
    (module,) = exchanges[0].learner.handed[0]
    assert (module.head is None) == (head == "none")
    assert (module.structure is None) == (not structure)
    # LEEP at the receiver needs both, whatever becomes of them
    assert ("structure" in sent[1, 0, 1].arrays) == (structure or head == "leep")


def test_class_ids_travel_only_where_they_are_named_as_oracle():
    for options, oracles in (
        ({}, ["class ids of tasks", "class ids of heads"]),
        ({"head": "none"}, ["class ids of tasks"]),
        ({"rank_by": "leep"}, []),
        ({"rank_by": "leep", "query": "none"}, []),
        ({"rank_by": "leep", "head": "classes"}, ["class ids of heads"]),
    ):
        exchanges = network(complete(2), 2, **options)
        sent = meet(exchanges, task=LAST)
        assert exchanges[0].oracles == oracles
        assert ("class" in sent[0, 1, 0].arrays) == bool(oracles)
        assert "class" not in sent[1, 0, 1].arrays


# --- choice --------------------------------------------------------------------------------------


def test_try_out_takes_the_best_trial_and_ties_go_to_the_lower_task():
    exchanges = network(complete(3), 3, choose="try-out", trial_epochs=7, together=2, count=3)
    exchanges[0].learner.accuracy = {2: 0.9}
    meet(exchanges, task=LAST)
    assert exchanges[0].learner.trials == [([0, 1, 2, 1, 2], 7, 2)]
    assert taken(exchanges[0]) == [(1, 2)]
    assert taken(exchanges[1]) == [(0, 1)]  # all trials equal


def test_several_modules_may_become_candidates():
    exchanges = network(complete(3), 3, count=2, keep=3)
    meet(exchanges, task=LAST)
    assert len(exchanges[0].learner.handed[0]) == 3
    similarities = [m.origin.similarity for m in exchanges[0].learner.handed[0]]
    assert similarities == sorted(similarities, reverse=True)


def test_an_agent_asks_once_per_task():
    exchanges = network(complete(2), 2)
    meet(exchanges, task=LAST)
    assert meet(exchanges, task=LAST) == {}
    assert [exchange.asked for exchange in exchanges] == [1, 1]
    assert [len(exchange.learner.handed) for exchange in exchanges] == [1, 1]


# --- silence -------------------------------------------------------------------------------------


def test_a_neighbour_without_an_added_module_says_nothing_and_the_candidate_stays_random():
    exchanges = network(complete(2), 2, kept=[(1,), ()])
    sent = meet(exchanges, task=LAST)
    assert sorted(sent) == [(0, 1, 0), (0, 1, 1), (1, 0, 0)]
    assert exchanges[0].learner.handed == [] and exchanges[0].taken == 0
    assert taken(exchanges[1]) == [(0, 1)]


@pytest.mark.parametrize("lost", [((0, 1),), ((1, 0),)])
def test_a_lost_question_or_answer_leaves_the_candidate_random(lost):
    exchanges = network(complete(2), 2)
    meet(exchanges, task=LAST, lost=lost)
    assert exchanges[0].learner.handed == []


def test_nobody_looks_at_the_order_of_arrival_or_changes_the_others():
    first, again = network(RING, 4, count=2, keep=3), network(RING, 4, count=2, keep=3)
    meet(first, task=LAST)
    meet(list(reversed(again))[::-1], task=LAST)
    for one, other in zip(first, again, strict=True):
        assert taken(one) == taken(other)
        assert np.array_equal(one.learner.modules, other.learner.modules)


def test_diverged_modules_are_not_offered():
    exchanges = network(complete(2), 2)
    exchanges[1].learner.modules[2:] = np.nan
    meet(exchanges, task=LAST)
    assert taken(exchanges[0]) == []


# --- start and state -----------------------------------------------------------------------------


def test_more_kept_than_the_learner_has_places_for_is_refused():
    learner, near = FakeModuleLearner(0, TASKS[0], places=2), neighbourhoods(RING, 4)[0]
    with pytest.raises(ExperimentError, match=r"at most \[learning\] candidates, 2 at agent 0"):
        ModulesExchange(ModulesOptions(keep=3), learner, near)
    ModulesExchange(ModulesOptions(keep=2), learner, near)


def test_an_agent_that_may_not_grow_asks_nothing_but_gives():
    exchanges = network(complete(2), 2)
    exchanges[0].learner.candidates = ()
    sent = meet(exchanges, task=LAST)
    assert sorted(sent) == [(0, 1, 1), (1, 0, 0)]
    assert len(taken(exchanges[1])) == 1


def acquainted(one, other):
    """Both ends learn each other's facts; the notes that they would say."""
    pairs = ((one, other), (other, one))
    return [a.learn_facts(b.learner.agent, a.start_facts(), b.start_facts()) for a, b in pairs]


def mixed(first, second, **options):
    near = neighbourhoods(complete(2), 2)
    learners = [FakeModuleLearner(0, TASKS[0], (1,), **first), FakeModuleLearner(1, TASKS[1], (1,), **second)]
    return [ModulesExchange(ModulesOptions(**options), *pair) for pair in zip(learners, near, strict=True)]


def test_modules_of_other_shapes_are_said_and_nothing_is_asked():
    exchanges = mixed({}, {"width": 5})
    note, _ = acquainted(*exchanges)
    assert "agents 0 and 1 exchange no modules" in note
    assert "linear [6, 7] at agent 0" in note and "linear [5, 6] at agent 1" in note
    assert meet(exchanges, task=LAST) == {}


def test_with_other_heads_modules_travel_alone():
    exchanges = mixed({}, {})
    exchanges[1].learner.shape.classes_per_head = 3
    note, _ = acquainted(*exchanges)
    assert note == "agents 0 and 1 exchange modules without heads ([2, 7] at agent 0 and [3, 7] at agent 1)."
    meet(exchanges, task=LAST)
    (module,) = exchanges[0].learner.handed[0]
    assert module.head is None and module.structure is not None


def test_rows_of_another_shape_ask_nothing_but_class_ids_do():
    for options, silent in (({"rank_by": "leep"}, True), ({}, False)):
        exchanges = mixed({}, {"shape": (1, 2, 2)}, **options)
        note, _ = acquainted(*exchanges)
        assert (note is not None) == silent
        assert (meet(exchanges, task=LAST) == {}) == silent
    assert acquainted(*mixed({}, {})) == [None, None]


def test_a_resumed_exchange_goes_on_with_its_counts_and_does_not_ask_again():
    exchanges = network(complete(2), 2)
    meet(exchanges, task=2)
    resumed = network(complete(2), 2)
    for old, new in zip(exchanges, resumed, strict=True):
        new.load(old.state())
        assert new.state() == old.state()
        assert (new.asked, new.received, new.taken) == (1, 1, 1)
    assert meet(resumed, task=2) == {}
    assert meet(resumed, task=LAST) != {}


def test_a_task_that_has_not_begun_is_not_asked_about():
    exchange = network(complete(2), 2)[0]
    exchange.begin_use(LAST + 1)
    assert exchange.ask(LinkUse(0, 1, UNLIMITED, UNLIMITED, 0)) is None
