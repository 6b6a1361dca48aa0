"""Parameters exchanges on small networks, driven by hand."""

import numpy as np
import pytest
from exchange_fakes import (
    RING,
    STAR,
    UNLIMITED,
    FakeCurvature,
    FakeModelLearner,
    FakeProximal,
    complete,
    meet,
    neighbourhoods,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from mpidcl.exchange.base import LinkUse
from mpidcl.exchange.parameters import exchange as parameters
from mpidcl.exchange.parameters.exchange import ParametersExchange, ParametersOptions
from mpidcl.exchange.parameters.offers import Offers
from mpidcl.network.frames.frame import message_bytes

SIZE = 5000


@pytest.fixture(autouse=True)
def fake_terms(monkeypatch):
    def install(kind):
        def add(learner, weight, parts):
            learner.add_term(kind(learner, weight))
            return learner.terms[-1]

        return add

    monkeypatch.setattr(parameters, "install_proximal", install(FakeProximal))
    monkeypatch.setattr(parameters, "install_curvature", install(FakeCurvature))


def network(edges, agents, size=SIZE, buffers=0, **options):
    random = np.random.default_rng(7)
    learners = [
        FakeModelLearner(random.normal(size=size), random.exponential(size=size), random.normal(size=buffers))
        for _ in range(agents)
    ]
    settings_ = ParametersOptions(**options)
    near = neighbourhoods(edges, agents)
    return [ParametersExchange(settings_, *pair) for pair in zip(learners, near, strict=True)]


def models(exchanges):
    return np.array([e.learner.parameters.shared for e in exchanges], np.float64)


def test_uniform_averages_on_a_star_are_the_published_rows():
    exchanges = network(STAR, 4)
    before = models(exchanges)
    meet(exchanges)
    expected = np.array([before.mean(0), *((before[0] + before[i]) / 2 for i in (1, 2, 3))])
    np.testing.assert_allclose(models(exchanges), expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("edges", [RING, STAR, [(0, 1), (2, 3)]])
def test_metropolis_keeps_the_global_mean_and_uniform_on_a_star_does_not(edges):
    exchanges = network(edges, 4, weights="metropolis")
    mean = models(exchanges).mean(0)
    for _ in range(5):
        meet(exchanges)
    np.testing.assert_allclose(models(exchanges).mean(0), mean, rtol=0, atol=1e-6)
    star = network(STAR, 4, weights="uniform")
    meet(star)
    assert np.abs(models(star).mean(0) - mean).max() > 0.1


def test_many_meetings_reach_consensus_on_a_connected_graph_only():
    exchanges = network(RING, 4, weights="metropolis")
    for _ in range(60):
        meet(exchanges)
    assert np.ptp(models(exchanges), axis=0).max() < 1e-5
    parted = network([(0, 1), (2, 3)], 4)
    for _ in range(60):
        meet(parted)
    assert np.ptp(models(parted), axis=0).max() > 0.1


def test_offers_are_made_from_the_state_before_and_float32_is_not_copied():
    exchanges = network(RING, 4)
    exchanges[0].begin_use(0)
    message = exchanges[0].ask(LinkUse(0, 1, UNLIMITED, 0, 0))
    assert np.shares_memory(message.arrays["model"], exchanges[0].learner.parameters.shared)
    assert message.floats == SIZE


def test_the_weight_of_a_silent_neighbour_goes_to_the_agent_itself():
    exchanges = network(RING, 4)
    before = models(exchanges)
    meet(exchanges, lost=((1, 0), (3, 2), (1, 2)))
    np.testing.assert_allclose(models(exchanges)[0], (2 * before[0] + before[3]) / 3, rtol=1e-5, atol=1e-6)
    assert np.array_equal(models(exchanges)[2], before[2])  # heard nobody


def test_the_newest_model_of_a_silent_neighbour_can_stand():
    exchanges = network(RING, 4, silent="newest")
    first = models(exchanges)
    meet(exchanges)
    second = models(exchanges)
    meet(exchanges, lost=((1, 0), (3, 2), (1, 2)))
    expected = (second[0] + first[1] + second[3]) / 3  # agent 1 was heard the first time alone
    np.testing.assert_allclose(models(exchanges)[0], expected, rtol=1e-5, atol=1e-6)
    again = network(RING, 4, silent="newest")
    again[0].load(exchanges[0].state())
    assert again[0].state()["last"]["0"]["arrays"]["model"].tobytes() == first_bytes(exchanges[0])
    assert "last" not in network(RING, 4)[0].state()


def first_bytes(exchange):
    return exchange.state()["last"]["0"]["arrays"]["model"].tobytes()


def test_heads_never_move_or_travel():
    exchanges = network(complete(3), 3, method="fisher")
    sent = meet(exchanges)
    for exchange in exchanges:
        assert np.all(exchange.learner.parameters.heads == 5)
    assert all(m.arrays["model"].size == SIZE for m in sent.values())


@pytest.mark.parametrize("precision", ["float32", "int8", "block", "top-k"])
def test_parts_all_is_the_same_average_of_a_longer_vector(precision):
    exchanges = network(RING, 4, size=SIZE - 7, parts="all", precision=precision)
    longer = network(RING, 4, precision=precision)
    for one, other in zip(exchanges, longer, strict=True):
        one.learner.parameters.flat[:] = other.learner.parameters.shared
    for _ in range(5):
        sent = meet(exchanges)
        meet(longer)
    for one, other in zip(exchanges, longer, strict=True):
        assert np.array_equal(one.learner.parameters.flat, other.learner.parameters.shared)
        assert np.ptp(one.learner.parameters.heads) > 0.01
    assert precision != "float32" or sent[0, 1, 0].arrays["model"].size == SIZE
    assert exchanges[0].bytes_range(1, None) == longer[0].bytes_range(1, None)


def test_heads_that_mean_something_else_are_refused_by_name():
    mine, other = network(complete(2), 2, parts="all")
    for one, classes in ((mine, (3, 4)), (other, (3, 5))):
        means = {f"output {o} of head 0": f"class {c} of shapes" for o, c in enumerate(classes)}
        one.learner.shape.meanings = lambda means=means: means
    message = mine.compare_facts(mine.start_facts(), other.start_facts())
    assert "output 1 of head 0: class 4 of shapes at agent 0, class 5 of shapes at agent 1" in message
    assert mine.compare_facts(mine.start_facts(), mine.start_facts()) is None
    silent = network(complete(2), 2, parts="all")[1]
    assert mine.compare_facts(mine.start_facts(), silent.start_facts()) is None


def test_fedprox_averages_and_renews_the_reference_to_the_model_at_chunk_start():
    exchanges = network(RING, 4, method="fedprox", mu=0.5)
    meet(exchanges)
    for exchange in exchanges:
        (term,) = exchange.learner.terms
        assert term.mu == 0.5
        assert np.array_equal(term.reference, exchange.learner.parameters.shared)
    assert np.array_equal(models(exchanges), models(after_meeting(network(RING, 4))))


def after_meeting(exchanges):
    meet(exchanges)
    return exchanges


def test_fedcurv_averages_and_installs_the_sums_of_the_others():
    exchanges = network(STAR, 4, method="fedcurv")
    before = models(exchanges)
    fishers = np.array([e.learner.fisher_values for e in exchanges], np.float64)
    sent = meet(exchanges)
    assert sent[0, 1, 0].floats == 2 * SIZE
    information, weighted = exchanges[0].learner.terms[0].sums
    np.testing.assert_allclose(information, fishers[1:].sum(0), rtol=1e-6)
    np.testing.assert_allclose(weighted, (fishers * before)[1:].sum(0), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(exchanges[1].learner.terms[0].sums[0], fishers[0], rtol=1e-6)
    np.testing.assert_allclose(models(exchanges)[0], before.mean(0), rtol=1e-5, atol=1e-6)


def test_fisher_weighted_average_is_the_formula():
    exchanges = network(complete(3), 3, method="fisher", eps=1e-12)
    before = models(exchanges)
    fishers = np.array([e.learner.fisher_values for e in exchanges], np.float64)
    meet(exchanges)
    expected = (fishers * before).sum(0) / fishers.sum(0)
    for model in models(exchanges):
        np.testing.assert_allclose(model, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("bn", ["local", "average"])
def test_batch_norm_statistics_stay_or_are_averaged(bn):
    exchanges = network(complete(3), 3, buffers=11, bn=bn)
    before = np.array([e.learner.parameters.buffers.numpy().copy() for e in exchanges])
    sent = meet(exchanges)
    assert ("buffers" in sent[0, 1, 0].arrays) == (bn == "average")
    after = np.array([e.learner.parameters.buffers.numpy() for e in exchanges])
    expected = before if bn == "local" else np.tile(before.mean(0), (3, 1))
    np.testing.assert_allclose(after, expected, rtol=1e-6, atol=1e-7)


PRECISIONS = ("auto", "float32", "float16", "int8", "top-k", "block")


@settings(max_examples=60)
@given(
    st.sampled_from(PRECISIONS),
    st.sampled_from(["average", "fedcurv", "fisher"]),
    st.integers(0, 60_000),
    st.sampled_from([1, 30, 1023, 1025, SIZE, 70_000]),
)
def test_every_form_fits_every_room_and_the_least_is_enough(precision, method, room, size):
    exchange = network(complete(2), 2, size=size, precision=precision, method=method)[0]
    least, most = exchange.bytes_range(1, room)
    for _ in range(3):
        exchange.begin_use(0)
        message = exchange.ask(LinkUse(0, 1, room, 0, 0))
        assert (message is not None) == (room >= least)
        if message is not None:
            assert message_bytes(message) <= min(room, most)
    exchange.begin_use(0)
    assert exchange.ask(LinkUse(0, 1, least, 0, 0)) is not None


@pytest.mark.parametrize("method", ["average", "fisher"])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_least_that_is_declared_is_the_least_that_is_sent(precision, method):
    names = ("model", "fisher") if method == "fisher" else ("model",)
    options = ParametersOptions(precision=precision, method=method)
    for size in (*range(1, 201), 1023, 1024, 1025, 1500, 2047, 2049, 5000):
        offers = Offers(options, size, names, 0)
        least, most = offers.bytes_range(None)
        vectors = dict.fromkeys(names, np.ones(size, np.float32))

        def sent(room, offers=offers, vectors=vectors):
            offer, target = (
                offers.plan(room),
                room,
            )  # each link begins with a first piece; the last may be a rest
            return None if offer is None else message_bytes(offers.message(offer, target, vectors, None))

        assert sent(least - 1) is None, (size, least)
        assert sent(least) == least == offers.bytes_range(least).most, size
        assert sent(UNLIMITED) == most
        middle = (least + most) // 2
        assert least <= sent(middle) == offers.bytes_range(middle).most <= middle


@pytest.mark.parametrize("precision", ["float16", "int8", "block", "top-k"])
@pytest.mark.parametrize("room", [0, UNLIMITED])
def test_a_model_without_shared_values_has_nothing_to_offer(precision, room):
    assert Offers(ParametersOptions(precision=precision), 0, ("model",), 0).plan(room) is None


def test_byte_sizes_of_whole_models_are_exact():
    for form, payload in {"float32": 4 * SIZE, "float16": 2 * SIZE, "int8": SIZE + 4 * 5}.items():
        exchange = network(complete(2), 2, precision=form)[0]
        exchange.begin_use(0)
        message = exchange.ask(LinkUse(0, 1, UNLIMITED, 0, 0))
        assert message.payload_bytes() == payload
        assert exchange.bytes_range(1, None).most == message_bytes(message)


def test_auto_takes_the_best_whole_model_that_fits():
    exchange = network(complete(2), 2)[0]
    kinds = []
    for room in (5 * SIZE, 3 * SIZE, 3 * SIZE // 2, SIZE // 2):
        exchange.begin_use(0)
        model = exchange.ask(LinkUse(0, 1, room, 0, 0)).arrays["model"]
        kinds.append((str(model.dtype), model.size == SIZE))
    assert kinds == [("float32", True), ("float16", True), ("int8", True), ("int8", False)]


@pytest.mark.parametrize("precision", ["block", "float32", "int8", "auto"])
def test_blocks_in_turn_reach_every_position(precision):
    exchanges = network(complete(2), 2, precision=precision, blocks=3)
    before = models(exchanges)
    seen = np.zeros(SIZE, int)
    room = 8000 if precision != "int8" else 2500
    uses = {"block": 3, "float32": 3, "int8": 3, "auto": 1}[precision]
    for _ in range(uses):
        message = meet(exchanges, room=room)[0, 1, 0]
        start = message.scalars["start"]
        seen[start : start + message.arrays["model"].size] += 1
    assert np.all(seen == 1)
    np.testing.assert_allclose(models(exchanges)[0], before.mean(0), atol=0.03)


def test_block_splits_the_model_also_without_a_budget():
    exchanges = network(complete(2), 2, precision="block", blocks=4)
    sizes = [meet(exchanges)[0, 1, 0].arrays["model"].size for _ in range(5)]
    assert sizes == [1250] * 5


def test_top_k_sends_the_largest_first_and_then_what_changed():
    exchanges = network(complete(2), 2, size=20, precision="top-k", fraction=0.25)
    sender = exchanges[0]
    values = sender.learner.parameters.shared
    values[:] = np.arange(20)
    sender.begin_use(0)
    use = LinkUse(0, 1, UNLIMITED, 0, 0)
    assert sender.ask(use).arrays["positions"].tolist() == [15, 16, 17, 18, 19]
    assert sender.ask(use).arrays["positions"].tolist() == [10, 11, 12, 13, 14]  # what waits is not lost
    values[3] += 100
    message = sender.ask(use)
    assert message.arrays["positions"].tolist() == [3, 6, 7, 8, 9]
    assert message.arrays["model"].tolist() == [103, 6, 7, 8, 9]
    assert message.arrays["positions"].dtype == np.uint16


def test_top_k_memory_belongs_to_the_link():
    sender = network(STAR, 4, size=20, precision="top-k", fraction=0.25)[0]
    sender.begin_use(0)
    first = [sender.ask(LinkUse(0, t, UNLIMITED, 0, 0)).arrays["positions"].tolist() for t in (1, 2)]
    assert first[0] == first[1]


def test_top_k_averages_only_what_came():
    exchanges = network(complete(2), 2, precision="top-k", fraction=0.1)
    before = models(exchanges)
    sent = meet(exchanges)
    came = np.zeros(SIZE, bool)
    came[sent[1, 0, 0].arrays["positions"]] = True
    assert came.sum() == SIZE // 10
    after = models(exchanges)[0]
    assert np.array_equal(after[~came], before[0][~came])
    np.testing.assert_allclose(after[came], before.mean(0)[came], rtol=1e-5, atol=1e-6)


def test_distances_to_each_neighbour_before_and_after():
    exchanges = network(complete(2), 2)
    before = models(exchanges)
    meet(exchanges)
    apart = np.abs(before[0] - before[1]).mean()
    (distance,) = exchanges[0].distances()
    assert distance == (1, pytest.approx(apart, rel=1e-5), pytest.approx(apart / 2, rel=1e-5))
    meet(exchanges)
    assert exchanges[0].distances() == [(1, 0, 0)]  # both have the same model now


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_resumed_exchange_goes_on_with_the_same_bits(precision):
    straight = network(RING, 4, precision=precision)
    for _ in range(4):
        meet(straight, room=9000)
    half = network(RING, 4, precision=precision)
    for _ in range(2):
        meet(half, room=9000)
    resumed = network(RING, 4, precision=precision)
    for old, new in zip(half, resumed, strict=True):
        new.learner.load_span("shared", old.learner.parameters.shared)
        new.load(old.state())
    for _ in range(2):
        meet(resumed, room=9000)
    assert np.array_equal(models(straight), models(resumed))
    assert [e.distances() for e in straight] == [e.distances() for e in resumed]


def test_models_that_cannot_be_averaged_are_refused_by_name():
    mine, other = network(complete(2), 2)[0], network(complete(2), 2, size=30)[1]
    message = mine.compare_facts(mine.start_facts(), other.start_facts())
    for part in ("agents 0 and 1", "encoder.weight", "[5000] at agent 0", "[30] at agent 1"):
        assert part in message
    assert mine.compare_facts(mine.start_facts(), mine.start_facts()) is None


@pytest.mark.parametrize("wrong", [{"fraction": 0}, {"mu": -1}, {"blocks": 0}, {"eps": 0}, {"method": "sum"}])
def test_wrong_options_are_refused(wrong):
    with pytest.raises(ValidationError):
        ParametersOptions(**wrong)
