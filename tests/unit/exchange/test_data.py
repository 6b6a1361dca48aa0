"""Data exchanges on small networks, driven by hand: what is asked, answered, kept and charged."""

import dataclasses

import numpy as np
import pytest
from exchange_fakes import RING, UNLIMITED, FakeDataLearner, complete, meet, neighbourhoods
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from mpidcl.exchange.base import LinkUse, Received
from mpidcl.exchange.classes import class_key
from mpidcl.exchange.data.exchange import DataExchange, DataOptions
from mpidcl.exchange.packing.pixels import decode_pixels
from mpidcl.exchange.packing.rows import rows_message

D = 9  # floats of a row of the fake learner
TASKS = [
    [(0, 1), (2, 3), (4, 5)],
    [(1, 2), (3, 4), (5, 6)],
    [(5, 0), (1, 7), (2, 0)],
    [(8, 9), (9, 8), (8, 9)],
]


def network(edges, agents, task_classes=TASKS, seed=0, learner=None, **options):
    near = neighbourhoods(edges, agents, seed)
    learners = [FakeDataLearner(i, task_classes[i], **(learner or {})) for i in range(agents)]
    return [DataExchange(DataOptions(**options), *pair) for pair in zip(learners, near, strict=True)]


def rows_of(message):
    return decode_pixels(message.arrays["x"], message.scalars["coding"])


def pairs_of(message):
    return rows_of(message)[message.arrays["row"]], message.arrays["tag"]


def all_received(exchange):
    return [(u, x, y) for u, parts in exchange.learner.received.items() for x, y in parts]


# --- hard examples ------------------------------------------------------------------------------


def test_the_hardest_validation_rows_of_all_tasks_are_asked():
    exchange = network(complete(2), 2, queries=7)[0]
    exchange.begin_use(2)
    message = exchange.ask(LinkUse(0, 1, UNLIMITED, UNLIMITED, 0))
    scored = []
    for u in range(3):
        x, y = exchange.learner.validation(u)
        z = exchange.learner.logits(x, u).astype(np.float64)
        loss = np.log(np.exp(z).sum(1)) - z[np.arange(len(y)), y]
        scored += [(-value, u, i) for i, value in enumerate(loss)]
    expected = [exchange.learner.validation(u)[0][i] for _, u, i in sorted(scored)[:7]]
    assert np.array_equal(rows_of(message), expected)
    assert message.arrays["tag"].tolist() == [
        u * 2 + exchange.learner.validation(u)[1][i] for _, u, i in sorted(scored)[:7]
    ]
    assert message.floats == 7 * D


def test_only_the_current_task_is_asked_about_when_told_so():
    exchange = network(complete(2), 2, tasks="current")[0]
    exchange.begin_use(1)
    tags = exchange.ask(LinkUse(0, 1, UNLIMITED, UNLIMITED, 0)).arrays["tag"]
    assert set(tags // 2) == {1}


@pytest.mark.parametrize("prefilter", ["none", "oracle"])
def test_answers_are_the_nearest_allowed_rows_by_the_senders_own_encoder(prefilter):
    asker, sender = network(complete(2), 2, prefilter=prefilter, queries=6, neighbours=4)
    sent = meet([asker, sender])
    queries, tags = rows_of(sent[0, 1, 0]), sent[0, 1, 0].arrays["tag"]
    found, echoed = pairs_of(sent[1, 0, 1])
    mine, learner = asker.learner, sender.learner
    for query, tag in zip(queries, tags, strict=True):
        asked = mine.seen[tag // 2].classes[tag % 2]
        candidates = []
        for u, task in enumerate(learner.seen):
            if prefilter == "oracle" and asked not in task.classes:
                continue
            x, _ = learner.pool(u)
            a, b = learner.features(query[None], u)[0], learner.features(x, u)
            cosine = b @ a / np.linalg.norm(a) / np.linalg.norm(b, axis=1)
            candidates += [(-value, u, i) for i, value in enumerate(cosine)]
        best = [learner.pool(u)[0][i] for _, u, i in sorted(candidates)[:4]]
        given = list(found[echoed == tag])
        for row in best:
            assert any(np.array_equal(row, other) for other in given)


def test_ground_truth_labels_are_the_receivers_own_and_foreign_classes_are_dropped():
    exchanges = network(complete(4), 4, prefilter="none")
    meet(exchanges)
    by_agent = {e.learner.agent: e.learner for e in exchanges}
    for exchange in exchanges:
        for u, x, y in all_received(exchange):
            for row, label in zip(x, y, strict=True):
                source = next(c for a in by_agent.values() if (c := a.class_of(row)) is not None)
                assert exchange.learner.seen[u].classes[label] == source
    assert all_received(exchanges[3]) == []  # classes 8 and 9 are nobody else's
    assert exchanges[0].rows > exchanges[0].accepted > 0
    assert 0 < exchanges[0].matching <= exchanges[0].accepted


def test_same_as_query_needs_no_class_on_the_wire():
    exchanges = network(complete(2), 2, labels="same-as-query", prefilter="raw-distance")
    sent = meet(exchanges)
    assert all("class" not in message.arrays for message in sent.values())
    assert exchanges[0].oracles == []
    assert exchanges[0].matching == exchanges[0].rows == exchanges[0].accepted > 0


def test_oracle_information_is_named():
    assert network(complete(2), 2)[0].oracles == ["prefilter", "labels"]
    assert network(complete(2), 2, prefilter="none")[0].oracles == ["labels"]
    assert network(complete(2), 2, choose="class-needs")[0].oracles == ["class ids of needs"]


def test_paper_floats_are_the_published_charge_whatever_travels():
    everybody = [[(0, 1), (0, 1), (0, 1)]] * 2
    for pixels in ("float32", "uint8"):
        sent = meet(network(complete(2), 2, everybody, pixels=pixels))
        assert sent[0, 1, 0].floats == 20 * D
        assert sent[1, 0, 1].floats == 20 * 5 * D
    assert sum(m.floats for (s, t, _), m in sent.items() if s != t) == 2 * 20 * (5 + 1) * D


def test_a_row_that_answers_many_queries_travels_once():
    sent = meet(network(complete(2), 2, [[(0, 1)]] * 2, learner={"rows": 6}))
    message = sent[0, 1, 1]
    assert len(message.arrays["row"]) == 6 * 5
    assert len(message.arrays["x"]) <= 6
    assert len(np.unique(rows_of(message), axis=0)) == len(message.arrays["x"])


@pytest.mark.parametrize("choose", ["hard-examples", "class-needs"])
def test_zero_length_replies_and_silence_change_nothing(choose):
    exchanges = network([(0, 3)], 4, choose=choose)  # agent 3 has none of agent 0's classes
    sent = meet(exchanges)
    assert not [key for key in sent if key[2] == 1]
    none = np.empty(0, np.uint16)
    keys = np.empty(0, np.uint32)
    empty = rows_message(np.empty((0, 1, 3, 3), np.uint8), 1, none, none.astype(np.int32), keys, 0)
    exchanges[0].settle([Received(3, empty)])
    assert exchanges[0].learner.received == {}


@pytest.mark.parametrize("choose", ["hard-examples", "class-needs"])
def test_an_agent_without_tasks_neither_asks_nor_answers(choose):
    exchanges = network(complete(2), 2, [[], TASKS[0]], choose=choose)
    assert [(s, t) for s, t, _ in meet(exchanges)] == [(1, 0)]


# --- class needs ----------------------------------------------------------------------------------


def test_needs_are_one_minus_validation_accuracy_of_the_neediest_task():
    exchange = network(complete(2), 2, [TASKS[2], TASKS[0]], choose="class-needs")[0]
    exchange.begin_use(2)
    message = exchange.ask(LinkUse(0, 1, UNLIMITED, UNLIMITED, 0))
    need = {}
    for u, task in enumerate(exchange.learner.seen):
        x, y = exchange.learner.validation(u)
        missed = 1 - (exchange.learner.logits(x, u).argmax(1) == y).mean()
        for c in task.classes:
            need[class_key("shapes", c)] = max(need.get(class_key("shapes", c), 0), missed)
    found = dict(zip(message.arrays["class"].tolist(), message.arrays["need"].tolist(), strict=True))
    assert found == pytest.approx({key: value for key, value in need.items() if value > 0})
    assert list(message.arrays["need"]) == sorted(message.arrays["need"], reverse=True)
    assert message.floats == 0


def test_the_budget_is_split_by_largest_remainder_over_owned_classes():
    asker, sender = network(complete(2), 2, choose="class-needs", rows=20)
    sent = meet([asker, sender])
    asked, reply = sent[0, 1, 0], sent[1, 0, 1]
    owned = {class_key("shapes", c): c for task in sender.learner.seen for c in task.classes}
    weights = np.array(
        [n if k in owned else 0 for k, n in zip(asked.arrays["class"], asked.arrays["need"], strict=True)]
    )
    exact = 20 * weights / weights.sum()
    counts = np.array([(reply.arrays["tag"] == tag).sum() for tag in asked.arrays["tag"]])
    assert counts.sum() == 20 and np.all(np.abs(counts - exact) < 1)
    assert reply.floats == 20 * D
    x, tags = pairs_of(reply)
    for row, tag in zip(x, tags, strict=True):
        assert sender.learner.class_of(row) == asker.learner.seen[tag // 2].classes[tag % 2]
    assert len(np.unique(x, axis=0)) == 20  # drawn without replacement


def test_draws_are_uniform_over_the_rows_of_a_class():
    asker, sender = network(
        complete(2), 2, [[(0, 1)]] * 2, choose="class-needs", rows=4, learner={"rows": 20}
    )
    seen = np.zeros(20)
    asker.begin_use(0)
    message = asker.ask(LinkUse(0, 1, UNLIMITED, UNLIMITED, 0))
    for _ in range(400):
        x, _ = pairs_of(sender.answer(LinkUse(1, 0, UNLIMITED, 0, 0), message))
        for row in x:
            seen[np.flatnonzero((sender.learner.pool(0)[0] == row).all(axis=(1, 2, 3)))[0]] += 1
    for label in (0, 1):
        counts = seen[sender.learner.pool(0)[1] == label]
        expected = counts.sum() / len(counts)
        assert ((counts - expected) ** 2 / expected).sum() < 3 * len(counts)  # chi-square, far tail


def test_a_class_with_few_rows_gives_what_there_is():
    exchanges = network(complete(2), 2, [[(0, 1)]] * 2, choose="class-needs", rows=50, learner={"rows": 5})
    assert len(meet(exchanges)[0, 1, 1].arrays["tag"]) == 5


def test_balance_cuts_what_a_neighbour_sent_to_equal_numbers_per_class():
    def counts(balance):
        exchanges = network(complete(2), 2, [TASKS[2]] * 2, choose="class-needs", balance=balance)
        meet(exchanges)
        return [np.bincount(y)[np.unique(y)].tolist() for _, _, y in all_received(exchanges[0])]

    assert any(len(set(count)) > 1 for count in counts(False))
    assert all(len(set(count)) == 1 for count in counts(True))


# --- both ---------------------------------------------------------------------------------------


def test_capacity_and_duplicates_are_handed_to_the_learner():
    exchanges = network(RING, 4, capacity="7 rows per task", duplicates="keep")
    meet(exchanges)
    assert exchanges[0].learner.capacity == 7 and not exchanges[0].learner.rejects
    dropping = network(RING, 4)
    meet(dropping)
    assert dropping[0].learner.capacity == 32 and dropping[0].learner.rejects


def test_rows_are_kept_per_task_in_order_of_sender_whatever_came_first():
    exchanges = network(complete(3), 3, prefilter="none")
    sent = meet(exchanges)
    again = network(complete(3), 3, prefilter="none")[0]
    again.settle([Received(s, sent[s, 0, 1]) for s in (2, 1)])
    assert list(again.learner.received) == sorted(again.learner.received)
    assert again.learner.received.keys() == exchanges[0].learner.received.keys()
    for u, ((x, y),) in again.learner.received.items():
        (expected_x, expected_y) = exchanges[0].learner.received[u][0]
        assert np.array_equal(x, expected_x) and np.array_equal(y, expected_y)


@settings(max_examples=50)
@given(
    st.sampled_from(["hard-examples", "class-needs"]),
    st.sampled_from(["auto", "float32", "uint8"]),
    st.integers(0, 12_000),
    st.sampled_from([255, 16]),
)
def test_every_room_is_respected_and_the_least_brings_a_row(choose, pixels, room, levels):
    exchanges = network(complete(2), 2, choose=choose, pixels=pixels, learner={"levels": levels})
    least, most = exchanges[0].bytes_range(1, room)
    sent = meet(exchanges, room=min(room, most))  # `meet` checks every size against the room
    if room >= least:
        assert len(sent[0, 1, 1].arrays["row"]) >= 1
        assert len(sent[1, 0, 1].arrays["row"]) >= 1
    if room == 0:
        assert sent == {}


def test_more_room_brings_more_rows_until_all_are_there():
    counts = []
    for room in (600, 2000, 6000, 20_000):
        sent = meet(network(complete(2), 2, [[(0, 1)]] * 2, pixels="float32"), room=room)
        counts.append((len(sent[0, 1, 0].arrays["tag"]), len(sent[1, 0, 1].arrays["tag"])))
    assert counts == sorted(counts) and counts[0][0] < 5
    assert counts[-1] == (20, 100)


def test_bytes_range_is_exact_at_both_ends():
    exchanges = network(complete(2), 2, [[(0, 1)]] * 2, pixels="float32", learner={"rows": 300})
    least, most = exchanges[0].bytes_range(1, None)
    sent = meet(exchanges, room=least)
    assert [len(m.arrays["tag"]) for m in sent.values()] == [1] * 4
    used = meet(exchanges, room=most)
    assert len(used[0, 1, 1].arrays["row"]) == 100
    assert exchanges[0].bytes_range(1, 10**9).most == most
    assert exchanges[0].bytes_range(1, least + 5).most == least + 5


def test_a_small_answer_room_means_fewer_queries():
    exchange = network(complete(2), 2, pixels="float32")[0]
    exchange.begin_use(0)
    assert len(exchange.ask(LinkUse(0, 1, UNLIMITED, UNLIMITED, 0)).arrays["tag"]) == 20
    assert len(exchange.ask(LinkUse(0, 1, UNLIMITED, 3000, 0)).arrays["tag"]) < 20


@pytest.mark.parametrize("choose", ["hard-examples", "class-needs"])
def test_nothing_is_asked_when_no_row_could_come_back(choose):
    exchange = network(complete(2), 2, choose=choose)[0]
    exchange.begin_use(0)
    assert exchange.ask(LinkUse(0, 1, UNLIMITED, 10, 0)) is None


@pytest.mark.parametrize("options", [{"scorer": "random"}, {"choose": "class-needs"}, {"prefilter": "none"}])
def test_a_resumed_exchange_goes_on_with_the_same_bits(options):
    def hold(exchanges, meetings):
        return [meet(exchanges) for _ in range(meetings)]

    straight = network(RING, 4, **options)
    expected = hold(straight, 4)[2:]
    half = network(RING, 4, **options)
    hold(half, 2)
    resumed = network(RING, 4, **options)
    for old, new in zip(half, resumed, strict=True):
        new.load(old.state())
    for before, after in zip(expected, hold(resumed, 2), strict=True):
        assert before.keys() == after.keys()
        for key, message in before.items():
            for name, array in message.arrays.items():
                assert np.array_equal(array, after[key].arrays[name])
    assert [e.state() for e in straight] == [e.state() for e in resumed]


def test_different_agents_and_seeds_draw_differently():
    first, second = (network(RING, 4, seed=s, scorer="random") for s in (0, 1))
    tags = [meet(n)[0, 1, 0].arrays["tag"].tolist() for n in (first, second)]
    assert tags[0] != tags[1]


def test_agents_with_other_input_shapes_are_refused():
    mine = network(complete(2), 2)[0]
    other = network(complete(2), 2, learner={"shape": (1, 4, 4)})[1]
    message = mine.compare_facts(mine.start_facts(), other.start_facts())
    assert "agents 0 and 1" in message and "[1, 3, 3] at agent 0 and [1, 4, 4] at agent 1" in message
    assert mine.compare_facts(mine.start_facts(), mine.start_facts()) is None


def test_aliases_and_wrong_options():
    assert DataOptions(choose="recv").choose == "hard-examples"
    assert DataOptions(choose="simp").choose == "class-needs"
    for wrong in (
        {"choose": "all"},
        {"queries": 0},
        {"capacity": "32 rows"},
        {"capacity": "1 MiB"},
        {"rows": 0},
    ):
        with pytest.raises(ValidationError):
            DataOptions(**wrong)


def test_messages_are_plain_and_frozen():
    exchange = network(complete(2), 2)[0]
    exchange.begin_use(0)
    message = exchange.ask(LinkUse(0, 1, UNLIMITED, UNLIMITED, 0))
    with pytest.raises(dataclasses.FrozenInstanceError):
        message.kind = "other"
    assert all(isinstance(value, int | float | str | bool) for value in message.scalars.values())
