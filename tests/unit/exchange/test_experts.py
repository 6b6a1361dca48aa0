"""Sharing models and experts: what is merged, and what stays."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from exchange_fakes import RING, STAR, complete, meet, neighbourhoods
from experts_fakes import EXPERTS, MLP, RESNET, Network
from hypothesis import given, settings
from hypothesis import strategies as st

from mpidcl.errors import ExperimentError
from mpidcl.exchange.averaging import Contribution
from mpidcl.exchange.experts.exchange import ExpertsExchange
from mpidcl.exchange.experts.merging import Own, coordinate_mean
from mpidcl.exchange.experts.options import ExpertsOptions
from mpidcl.exchange.parameters.exchange import ParametersExchange, ParametersOptions
from mpidcl.learning.importance import top
from mpidcl_kernels.average import fisher_average, weighted_average


def plain(network):
    """What the exchange of parameters makes of the same learners."""
    options = ParametersOptions(parts="all")
    exchanges = [ParametersExchange(options, e.learner, e.neighbourhood) for e in network.exchanges]
    meet(exchanges)
    return network


# --- whole --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"merge": "sparse", "fraction": 1.0},
        {"merge": "sparse", "fraction": 1.0, "score": "mixed", "rank": "all"},
    ],
)
@pytest.mark.parametrize("lost", [(), ((1, 0), (3, 2), (1, 2))])
def test_averages_and_sparse_ones_of_everything_are_plain_averages_bit_for_bit(options, lost):
    network = Network(agents=4, edges=RING, **options).begin().learn()
    other = Network(agents=4, edges=RING).begin().learn()
    network.meet(lost=lost)
    exchanges = [
        ParametersExchange(ParametersOptions(parts="all"), e.learner, e.neighbourhood)
        for e in other.exchanges
    ]
    meet(exchanges, lost=lost)
    assert np.array_equal(network.vectors(), other.vectors())
    assert [e.distances() for e in network.exchanges] == [e.distances() for e in exchanges]


def test_parts_that_are_not_named_stay_and_do_not_travel():
    network = Network(parts=["shared"]).begin().learn()
    heads = network.vectors("heads")
    sent = network.meet()
    assert np.array_equal(network.vectors("heads"), heads)
    assert sent[0, 1, 0].arrays["model"].size == network.vectors("shared").shape[1]
    np.testing.assert_allclose(network.vectors("shared")[0], network.vectors("shared")[1], atol=1e-6)
    alone = Network(parts=["heads"]).begin().learn()
    shared = alone.vectors("shared")
    alone.meet()
    assert np.array_equal(alone.vectors("shared"), shared)
    np.testing.assert_allclose(alone.vectors("heads")[0], alone.vectors("heads")[1], atol=1e-6)


def test_the_router_travels_only_when_it_is_named():
    private = Network(EXPERTS).begin().learn()
    before = private.vectors("structures")
    private.meet()
    assert np.array_equal(private.vectors("structures"), before)
    np.testing.assert_allclose(private.vectors("modules")[0], private.vectors("modules")[1], atol=1e-6)
    public = Network(EXPERTS, parts=["router", "shared"]).begin().learn()
    modules = public.vectors("modules")
    public.meet()
    assert np.array_equal(public.vectors("modules"), modules)
    for kind in ("structures", "shared"):
        np.testing.assert_allclose(public.vectors(kind)[0], public.vectors(kind)[2], atol=1e-6)


# --- experts ------------------------------------------------------------------------------------


@pytest.mark.parametrize("merge", ["average", "sparse", "matched"])
def test_experts_out_of_use_neither_leave_their_agent_nor_change(merge, monkeypatch):
    if merge == "matched":
        from mpidcl.model.experts.base import Experts
        from mpidcl.model.permutations import Axis, Permutation, Stack

        def permutations(self):
            stacks = [Stack(tuple(f"experts.{i}.{part}" for i in range(4))) for part in ("first", "second")]
            places = (*stacks, Axis("router.block", 0))
            return (Permutation("experts", 4, places, ("router",)),)

        monkeypatch.setattr(Experts, "permutations", permutations)
    options = {"fraction": 0.5} if merge == "sparse" else {}
    network = Network(EXPERTS, agents=2, merge=merge, **options).begin().learn()
    first, last = network.learners
    first.model.change(used=np.array([True, False, True, True]))
    last.model.change(used=np.array([True, True, False, True]))
    before = [learner.parameters.data.numpy().copy() for learner in network.learners]
    sent = network.meet()
    assert np.unpackbits(sent[0, 1, 0].arrays["used"]).tolist() == [1, 0, 1, 1, 0, 0, 0, 0]
    size = first.model.module_spans[0].stop - first.model.module_spans[0].start
    if merge != "sparse":
        assert sent[0, 1, 0].arrays["model"].size == first.host_view("all").size - size
    after = [learner.parameters.data.numpy() for learner in network.learners]
    spans = first.model.module_spans
    assert np.array_equal(after[0][spans[1]], before[0][spans[1]]), "not used by the receiver"
    assert np.array_equal(after[1][spans[2]], before[1][spans[2]])
    if merge != "matched":
        assert np.array_equal(after[0][spans[2]], before[0][spans[2]]), "not sent"
        mean = (before[0][spans[0]] + before[1][spans[0]]) / 2
        if merge == "average":
            np.testing.assert_allclose(after[0][spans[0]], mean, rtol=1e-5, atol=1e-7)
        assert not np.array_equal(after[0][spans[3]], before[0][spans[3]])


def test_who_does_not_use_an_expert_does_not_count_in_its_mean():
    network = Network(EXPERTS, agents=3).begin().learn()
    network.learners[2].model.change(used=np.array([True, True, True, False]))
    before = network.vectors("modules")
    start = network.learners[0].parameters.span("modules").start
    network.meet()
    span = network.learners[0].model.module_spans[3]
    here = slice(span.start - start, span.stop - start)
    wanted = (before[0] + before[1])[here] / 2
    np.testing.assert_allclose(network.vectors("modules")[0][here], wanted, rtol=1e-5, atol=1e-7)
    assert np.array_equal(network.vectors("modules")[2][here], before[2][here])


def test_another_number_of_experts_is_refused_with_both():
    mine = Network(EXPERTS, agents=2).exchanges[0]
    other = Network(EXPERTS, agents=2, sets=["model.experts=3"]).exchanges[1]
    message = mine.compare_facts(mine.start_facts(), other.start_facts())
    assert "agents 0 and 1 should have as many experts" in message
    assert "Found 4 at agent 0 and 3 at agent 1" in message
    wide = Network(EXPERTS, agents=2, sets=["model.hidden=7"]).exchanges[1]
    assert "experts.0.first" in mine.compare_facts(mine.start_facts(), wide.start_facts())
    assert mine.compare_facts(mine.start_facts(), mine.start_facts()) is None


def test_heads_of_agents_with_other_classes_are_refused():
    own = ["stream.draw=independent", "stream.incremental=task"]
    network = Network(sets=own)
    first, last = network.exchanges[0], network.exchanges[2]
    message = first.compare_facts(first.start_facts(), last.start_facts())
    assert 'to average their heads with parts that hold "heads"' in message
    assert 'Set parts = ["shared", "modules"]' in message
    network = Network(sets=own, parts=["shared"])
    first, last = network.exchanges[0], network.exchanges[2]
    assert first.compare_facts(first.start_facts(), last.start_facts()) is None


# --- sparse -------------------------------------------------------------------------------------


@pytest.mark.parametrize("rank", ["layer", "all"])
@pytest.mark.parametrize("score", ["magnitude", "fisher", "mixed"])
def test_sparse_sends_the_top_of_each_tensor_and_merges_these_alone(score, rank):
    network = Network(edges=STAR[:2], merge="sparse", fraction=0.2, score=score, rank=rank).begin().learn()
    before = network.vectors()
    fishers = [learner.label_fisher(256)[: before.shape[1]] for learner in network.learners]
    layers = [slice(s.start, s.stop) for s in network.learners[0].parameters.segments]
    sent = network.meet()
    named = {}
    for agent in range(3):
        scores = {"magnitude": np.abs(before[agent]), "fisher": fishers[agent]}.get(score)
        if scores is None:
            scores = np.sqrt(np.abs(before[agent])) * np.sqrt(fishers[agent])
            for layer in layers:
                most = np.abs(before[agent][layer]).max() * fishers[agent][layer].max()
                scores[layer] /= np.sqrt(most or 1)
        named[agent] = places_of(sent[agent, 0 if agent else 1, 0], before.shape[1])
        wanted = top(scores, 0.2, layers if rank == "layer" else ())
        assert len(set(wanted) & set(named[agent])) >= 0.99 * len(wanted) == 0.99 * len(named[agent])
    after = network.vectors()
    quiet = np.ones(before.shape[1], bool)
    quiet[named[0]] = False
    assert np.array_equal(after[1][quiet], before[1][quiet]), "nobody named them"
    mean = (before[1] + before[0])[~quiet] / 2
    np.testing.assert_allclose(after[1][~quiet], mean, rtol=1e-6, atol=1e-7)
    both = np.intersect1d(named[1], named[2])
    one = np.setdiff1d(named[1], named[2])
    np.testing.assert_allclose(after[0][both], before[:, both].mean(0), rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(after[0][one], before[:2, one].mean(0), rtol=1e-5, atol=1e-7)


def places_of(message, size):
    if "positions" in message.arrays:
        return message.arrays["positions"].astype(int)
    return np.flatnonzero(np.unpackbits(message.arrays["bitmap"])[:size])


def test_fisher_weights_each_parameter():
    network = (
        Network(agents=2, merge="sparse", fraction=0.3, score="fisher", fisher_mean=True).begin().learn()
    )
    before = network.vectors().astype(np.float64)
    fishers = np.array([learner.label_fisher(256)[: before.shape[1]] for learner in network.learners])
    message = network.meet()[1, 0, 0]
    places = places_of(message, before.shape[1])
    assert message.floats == 2 * places.size
    wanted = (fishers * before).sum(0) + 1e-8 * before.mean(0)
    wanted = (wanted / (fishers.sum(0) + 1e-8))[places]
    np.testing.assert_allclose(network.vectors()[0][places], wanted, rtol=1e-5, atol=1e-7)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.integers(0, 4), st.integers(0, 2**32 - 1), st.booleans())
def test_means_by_parameter_are_the_formula_and_those_of_whole_models_the_kernels(
    size, others, seed, informed
):
    rng = np.random.default_rng(seed)
    me = int(rng.integers(0, others + 1))
    values = rng.normal(size=(others + 1, size)).astype(np.float32)
    fishers = rng.exponential(size=(others + 1, size)).astype(np.float32)
    weights = dict(enumerate(rng.dirichlet(np.ones(others + 1))))
    own = Own(me, values[me], fishers[me] if informed else None)
    sources = [j for j in range(others + 1) if j != me]
    whole = [Contribution(j, slice(0, size), values[j], fishers[j]) for j in sources]
    if sources:
        merged = coordinate_mean(own, whole, weights, 1e-8)
        if informed:
            wanted = fisher_average([*values], [*fishers], list(weights.values()), 1e-8, own=me)
        else:
            wanted = weighted_average([*values], list(weights.values()), own=me)
        assert merged.positions.tolist() == list(range(size))
        assert np.array_equal(merged.values, wanted)
    some = {j: np.flatnonzero(rng.random(size) < 0.5).astype(np.uint64) for j in sources}
    part = [Contribution(j, some[j], values[j][some[j]], fishers[j][some[j]]) for j in sources]
    merged = coordinate_mean(own, part, weights, 1e-8)
    assert merged.positions.tolist() == sorted({int(p) for places in some.values() for p in places})
    for place, found in zip(merged.positions, merged.values, strict=True):
        there = [me, *(j for j in sources if place in some[j])]
        factors = np.array([weights[j] for j in there])
        mean = (factors * values[there, place]).sum() / factors.sum()
        if informed:
            f = fishers[there, place].astype(np.float64)
            mean = ((f * values[there, place]).sum() + 1e-8 * mean) / (f.sum() + 1e-8)
        assert found == pytest.approx(mean, rel=1e-5, abs=1e-6)


# --- matched ------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["activations", "weights"])
@pytest.mark.parametrize("model", [MLP, RESNET], ids=["mlp", "resnet"])
def test_a_neighbour_with_the_same_units_in_another_order_changes_nothing(model, by):
    import torch

    from mpidcl.model.permutations import permuted

    network = Network(model, agents=2, merge="matched", by=by).begin().learn()
    first, last = network.learners
    rng, net = np.random.default_rng(0), first.model
    orders = {one.name: torch.from_numpy(rng.permutation(one.size)) for one in net.permutations()}
    flat = first.parameters
    data, _ = permuted(net, flat, orders, net.permutations(), flat.data, flat.buffers)
    last.parameters.data.copy_(data)
    before = network.vectors()
    network.meet()
    np.testing.assert_array_equal(network.vectors(), before)
    assert network.exchanges[0].distances() == [(1, 0, 0)]


def test_batch_norm_statistics_are_of_the_merged_model_or_stay():
    fresh, local = (Network(RESNET, agents=2, bn=bn).begin().learn() for bn in ("refresh", "local"))
    before = [learner.parameters.buffers.numpy().copy() for learner in local.learners]
    for network in (fresh, local):
        network.meet()
    assert np.array_equal(fresh.vectors(), local.vectors())
    assert all(
        np.array_equal(b, learner.parameters.buffers)
        for b, learner in zip(before, local.learners, strict=True)
    )
    from mpidcl.learning.matching import refresh_statistics

    for ours, theirs in zip(fresh.learners, local.learners, strict=True):
        assert not np.array_equal(ours.parameters.buffers, theirs.parameters.buffers)
        refresh_statistics(theirs.model, theirs.probe(256))
        assert np.array_equal(ours.parameters.buffers, theirs.parameters.buffers)


def test_a_model_that_does_not_say_which_units_it_has_cannot_be_matched():
    with pytest.raises(ExperimentError, match='should be "average" or "sparse".*PtychoNN|NoUnits'):
        learner = Network(agents=2).learners[0]
        NoUnits = type("NoUnits", (type(learner.model),), {"permutations": lambda self: ()})
        learner.model.__class__ = NoUnits
        ExpertsExchange(ExpertsOptions(merge="matched"), learner, neighbourhoods(complete(2), 2)[0])


# --- teachers -----------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"merge": "matched"}, {"precision": "float16"}])
def test_what_came_teaches_by_kinds_of_segments(options):
    network = Network(agents=3, teach=True, **options).begin().learn()
    taken = [{} for _ in range(3)]
    for learner, mine in zip(network.learners, taken, strict=True):
        learner.take_teachers = mine.update
    before = network.vectors()
    network.meet()
    assert ExpertsExchange.teaches(ExpertsOptions(teach=True))
    assert not ExpertsExchange.teaches(ExpertsOptions())
    for agent, models in enumerate(taken):
        assert sorted(models) == [j for j in range(3) if j != agent]
        for source, kinds in models.items():
            assert list(kinds) == ["shared", "heads"]
            whole = np.concatenate(list(kinds.values()))
            tolerance = 1e-3 if options.get("precision") else 0
            if options.get("merge") == "matched":
                # units, and with them the weights, have changed places
                whole, before_sorted = np.sort(whole), np.sort(before[source])
                np.testing.assert_array_equal(whole, before_sorted)
            else:
                np.testing.assert_allclose(whole, before[source], rtol=tolerance, atol=tolerance)


def test_teachers_in_use_of_fewer_experts_are_filled_with_ones_own():
    network = Network(EXPERTS, agents=2, teach=True).begin().learn()
    first, last = network.learners
    last.model.change(used=np.array([True, True, False, True]))
    taken = {}
    first.take_teachers = taken.update
    span = first.model.module_spans[2]
    start = first.parameters.span("modules").start
    own = first.parameters.data[span].numpy().copy()
    theirs = last.host_view("modules").copy()
    network.meet()
    modules = taken[1]["modules"]
    here = slice(span.start - start, span.stop - start)
    assert np.array_equal(modules[here], own)
    assert np.array_equal(modules[: here.start], theirs[: here.start])


# --- silence, resuming, refusals ----------------------------------------------------------------


def test_the_newest_model_of_a_silent_neighbour_stands():
    network = Network(agents=2, silent="newest").begin().learn()
    first = network.vectors()
    network.meet()
    network.learn(1)
    second = network.vectors()
    network.meet(lost=((1, 0),))
    np.testing.assert_allclose(network.vectors()[0], (second[0] + first[1]) / 2, rtol=1e-5, atol=1e-6)
    again = Network(agents=2, silent="newest").exchanges[0]
    again.load(network.exchanges[0].state())
    assert again.state()["last"]["0"]["arrays"]["model"].tobytes() == first[1].tobytes()
    assert network.exchanges[0].state().keys() == {"last"}
    assert Network(agents=2).exchanges[0].state() == {}


WAYS = [
    {"merge": "sparse", "score": "mixed", "fisher_mean": True, "silent": "newest"},
    {"merge": "matched", "by": "weights", "precision": "int8"},
    {"merge": "matched", "silent": "newest"},
    {"teach": True, "parts": ["shared", "heads"]},
]


@pytest.mark.parametrize("options", WAYS)
def test_a_resumed_exchange_goes_on_with_the_same_bits(options):
    def live(network, first, last):
        for epoch in range(first, last):
            network.learn(epoch)
            network.meet(lost=((1, 0),) if epoch == 2 else ())

    straight, half, resumed = (Network(sets=["learning.epochs=4"], **options) for _ in range(3))
    live(straight.begin(), 0, 3)
    live(half.begin(), 0, 2)
    for old, new, stream in zip(half.exchanges, resumed.exchanges, resumed.streams, strict=True):
        new.learner.load(old.learner.state(), stream.task)
        new.load(old.state())
    live(resumed, 2, 3)
    assert straight.digests() == resumed.digests()
    assert straight.digests() != half.digests()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"merge": "sparse", "precision": "int8"}, 'with merge = "sparse".*Found "int8"'),
        ({"merge": "sparse", "teach": True}, "teach should be false"),
        ({"merge": "matched", "parts": ["heads"]}, 'parts should hold "shared"'),
        ({"fisher_mean": True}, "fisher_mean should be false"),
        ({"parts": ["heads", "heads"]}, "each part once"),
        ({"parts": []}, "at least 1"),
        ({"fraction": 0.0}, "greater than 0"),
        ({"probe": 1}, "at least|greater than or equal to 2"),
    ],
)
def test_options_that_do_not_fit_are_refused(wrong, said):
    with pytest.raises(ValueError, match=said):
        ExpertsOptions(**wrong)


def test_modules_of_learners_that_do_not_say_which_they_use_are_refused():
    segments = [
        SimpleNamespace(kind=kind, start=i, stop=i + 1) for i, kind in enumerate(("shared", "structures"))
    ]
    flat = SimpleNamespace(segments=segments, buffers=np.zeros(0), span=lambda kind: slice(0, 1))
    learner = SimpleNamespace(parameters=flat, model=SimpleNamespace(module_spans=()))
    near = neighbourhoods(complete(2), 2)[0]
    with pytest.raises(ExperimentError, match=r'should be \["shared"\] with modules.*structures'):
        ExpertsExchange(ExpertsOptions(parts=["shared", "router"]), learner, near)
    with pytest.raises(ExperimentError, match="should name what SimpleNamespace has. Found heads"):
        ExpertsExchange(ExpertsOptions(parts=["heads"]), learner, near)
    ExpertsExchange(ExpertsOptions(), learner, near)
