"""Messages of experts exchanges: their bytes under budgets, and what a damaged one is told."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from exchange_fakes import UNLIMITED, complete
from experts_fakes import EXPERIMENT, EXPERTS, MLP, Network
from hypothesis import given, settings
from hypothesis import strategies as st

from mpidcl.errors import FrameError
from mpidcl.exchange.base import LinkUse, Received
from mpidcl.exchange.experts.offers import Offers
from mpidcl.exchange.experts.options import ExpertsOptions
from mpidcl.experiment.reading import from_toml
from mpidcl.network.frames.frame import message_bytes
from mpidcl.network.inprocess import InProcessDriver
from mpidcl.network.schedule.graphs import build_topology
from mpidcl.run.building import build_agent, set_timetables

FORMS = [
    {},
    {"precision": "float16"},
    {"precision": "int8"},
    {"merge": "matched"},
    {"merge": "sparse"},
    {"merge": "sparse", "fraction": 1.0},
    {"merge": "sparse", "fraction": 0.02, "precision": "float32"},
    {"merge": "sparse", "fraction": 0.6, "precision": "float16", "fisher_mean": True},
    {"merge": "sparse", "rank": "all", "score": "fisher"},
]


class FakeTravel:
    """A vector of tensors of these sizes, some of which belong to experts."""

    def __init__(self, sizes, experts=0):
        ends = np.cumsum([0, *sizes]).tolist()
        self.layers = [slice(a, b) for a, b in zip(ends, ends[1:], strict=False)]
        self.modules = tuple(self.layers[:experts])
        self.size = ends[-1]

    def mask(self, used):
        found = np.ones(self.size, bool)
        for one, use in zip(self.modules, used, strict=True):
            found[one] = use
        return found

    def layers_of(self, used):
        idle = [one for one, use in zip(self.modules, used, strict=True) if not use]
        return [one for one in self.layers if one not in idle]

    def size_of(self, used):
        return int(self.mask(used).sum())


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(FORMS),
    st.lists(st.integers(1, 1500), min_size=1, max_size=6),
    st.integers(0, 3),
    st.integers(0, 40_000),
    st.integers(0, 2**16),
)
def test_every_offer_fits_its_room_and_the_least_is_enough(options, sizes, experts, room, seed):
    rng = np.random.default_rng(seed)
    travel = FakeTravel(sizes, min(experts, len(sizes) - 1))
    offers = Offers(ExpertsOptions(**options), travel)
    vectors = {name: rng.exponential(size=travel.size).astype(np.float32) for name in ("model", "fisher")}
    every = np.ones(len(travel.modules), bool)
    least, most = offers.bytes_range(room)

    def sent(room, used):
        offer = offers.plan(room, used)
        return None if offer is None else offers.message(offer, vectors, used, vectors["model"])

    assert sent(least - 1, every) is None
    assert message_bytes(sent(least, every)) <= least
    assert (sent(room, every) is None) == (room < least)
    if room >= least:
        assert message_bytes(sent(room, every)) == most <= room
    used = rng.random(len(travel.modules)) < 0.5
    message = sent(max(room, least), used)
    assert message_bytes(message) <= max(room, least)
    kept = travel.mask(used)
    if "positions" in message.arrays:
        assert kept[message.arrays["positions"]].all()
    elif "bitmap" in message.arrays:
        assert not (np.unpackbits(message.arrays["bitmap"])[: travel.size].astype(bool) & ~kept).any()
    else:
        assert message.arrays["model"].size == kept.sum()
    assert message_bytes(sent(UNLIMITED, used)) <= offers.bytes_range(None).most


@pytest.mark.parametrize(
    ("share", "named"), [(0.01, "positions"), (0.05, "positions"), (0.07, "bitmap"), (0.5, "bitmap")]
)
def test_places_are_named_by_whichever_is_smaller(share, named):
    """2 bytes for each position against a bit for each parameter: equal at 1 / 16; 4 bytes: at 1 / 32."""
    size = 60_000
    offers = Offers(ExpertsOptions(merge="sparse", fraction=share), FakeTravel([size]))
    values = np.random.default_rng(0).random(size).astype(np.float32)
    used = np.ones(0, bool)
    message = offers.message(offers.plan(UNLIMITED, used), {"model": values}, used, values)
    assert named in message.arrays
    count = round(share * size)
    assert message.payload_bytes() == 4 * count + min(2 * count, size // 8)
    large = Offers(ExpertsOptions(merge="sparse", fraction=share), FakeTravel([2 * size]))
    least = large.bytes_range(None).most - 8 * count
    assert least == pytest.approx(min(8 * count, 2 * size // 8), abs=200)  # names and shapes


def test_less_room_means_fewer_parameters_in_proportion():
    travel = FakeTravel([8000, 4000, 40])
    offers = Offers(ExpertsOptions(merge="sparse", fraction=0.5, precision="float32"), travel)
    values = np.random.default_rng(0).random(travel.size).astype(np.float32)
    used = np.ones(0, bool)
    message = offers.message(offers.plan(9000, used), {"model": values}, used, values)
    assert 8900 < message_bytes(message) <= 9000
    places = np.flatnonzero(np.unpackbits(message.arrays["bitmap"])[: travel.size])
    counts = [int(((places >= one.start) & (places < one.stop)).sum()) for one in travel.layers]
    assert counts[0] == pytest.approx(2 * counts[1], abs=1) and counts[2] >= 1
    highest = np.sort(values[:8000])[-counts[0] :]
    np.testing.assert_array_equal(np.sort(message.arrays["model"][: counts[0]]), highest)
    auto = Offers(ExpertsOptions(merge="sparse", fraction=0.5), travel)
    whole = auto.plan(14_500, used)
    assert (whole.form, whole.count) == ("float16", 6020)


def test_auto_takes_the_best_whole_model_that_fits_and_no_part_of_one():
    network = Network(agents=2).begin()
    exchange, size = network.exchanges[0], network.vectors().shape[1]
    found = []
    for room in (5 * size, 3 * size, 3 * size // 2, size // 2):
        exchange.begin_use(0)
        message = exchange.ask(LinkUse(0, 1, room, 0, 0))
        found.append(message and (str(message.arrays["model"].dtype), message.arrays["model"].size))
    assert found == [("float32", size), ("float16", size), ("int8", size), None]
    assert exchange.bytes_range(1, None).least == message_bytes(message_of(exchange, "int8"))


def message_of(exchange, precision):
    options = exchange.options.model_copy(update={"precision": precision})
    offers = Offers(options, exchange._travel)
    used = exchange._travel.used()
    return offers.message(offers.plan(UNLIMITED, used), {"model": exchange._travel.read()}, used, None)


def test_float32_is_not_copied_and_a_message_is_made_once_for_all_links():
    exchange = Network(agents=3).begin().exchanges[0]
    exchange.begin_use(0)
    messages = [exchange.ask(LinkUse(0, target, UNLIMITED, 0, 0)) for target in (1, 2)]
    assert messages[0] is messages[1]
    assert np.shares_memory(messages[0].arrays["model"], exchange.learner.host_view("all"))
    assert messages[0].floats == exchange.learner.host_view("all").size


@pytest.mark.parametrize("merge", ["average", "sparse"])
def test_half_precision_rounds_each_value_by_a_2048th_at_most(merge):
    network = Network(agents=2, merge=merge, precision="float16").begin().learn()
    before = network.vectors()
    network.meet()
    after = network.vectors()
    exact = before.mean(0)
    moved = after[0] != before[0]
    assert moved.sum() >= (0.1 if merge == "sparse" else 0.9) * before.shape[1]
    bound = np.abs(before[1]) / 2**12 + np.abs(before[1]).max() / 2**24
    assert np.all((np.abs(after[0] - exact) <= bound + 1e-7 * np.abs(exact))[moved])
    assert np.abs(after[0] - exact)[moved].max() > 0


@pytest.mark.parametrize("options", FORMS)
@pytest.mark.parametrize("model", [MLP, EXPERTS], ids=["mlp", "experts"])
def test_the_ledger_counts_what_was_declared(model, options):
    """Bytes of equal budgets are compared between runs: what is declared is what is counted."""
    table = "[[exchange]]\nkind = 'experts'\nwhen = 'after'\nevery = '1 epoch'\nfrom_task = 0\n" + "".join(
        f"{name} = {str(value).lower() if isinstance(value, bool) else repr(value)}\n"
        for name, value in options.items()
    )
    sets = ["agents=2", *(["learning.kind=experts"] if model == EXPERTS else [])]
    experiment = from_toml(EXPERIMENT + model + table, sets)
    topology = build_topology(experiment.network, 2, experiment.seed)
    agents = [build_agent(experiment, topology, number) for number in range(2)]
    set_timetables(agents, experiment, topology, [tuple(agent.stream.ticks) for agent in agents])
    InProcessDriver().drive({agent.number: agent.live() for agent in agents})
    for agent in agents:
        most = agent.meetings.exchanges[0].bytes_range(1 - agent.number, None).most
        (row,) = [row for row in agent.ledger.rows() if row.exchange == 0]
        assert row.frames == 2
        assert row.payload_bytes + row.header_bytes == 2 * most


# --- damaged ------------------------------------------------------------------------------------


def meeting(model=MLP, **options):
    network = Network(model, agents=2, **options).begin().learn()
    exchange = network.exchanges[1]
    exchange.begin_use(0)
    return network, exchange.ask(LinkUse(1, 0, UNLIMITED, 0, 0))


def told(network, message, arrays=None, scalars=None, without=()):
    changed = {k: v for k, v in {**message.arrays, **(arrays or {})}.items() if k not in without}
    kept = {k: v for k, v in {**message.scalars, **(scalars or {})}.items() if k not in without}
    bad = dataclasses.replace(message, arrays=changed, scalars=kept)
    before = network.vectors()
    with pytest.raises(FrameError) as found:
        network.exchanges[0].settle([Received(1, bad)])
    assert np.array_equal(network.vectors(), before)
    assert "a model from agent 1" in str(found.value)
    return str(found.value)


def test_damaged_positions_are_refused():
    network, message = meeting(merge="sparse", fraction=0.02)
    good = message.arrays["positions"]
    size = network.vectors().shape[1]
    twice, outside = good.copy(), good.copy()
    twice[1] = twice[0]
    outside[-1] = size
    assert "should ascend" in told(network, message, {"positions": twice})
    assert f"inside its {size}" in told(network, message, {"positions": outside})
    assert "should ascend" in told(network, message, {"positions": good[::-1].copy()})
    assert f"{good.size - 1} positions for" in told(network, message, {"positions": good[:-1]})
    assert "should be a vector of uint16" in told(network, message, {"positions": good.astype(np.int64)})
    both = told(network, message, without=("positions",))
    assert f"`model` should have {size} values. Found {good.size}" in both


def test_damaged_bitmaps_are_refused():
    network, message = meeting(merge="sparse", fraction=0.3)
    good = message.arrays["bitmap"]
    size = network.vectors().shape[1]
    assert f"{math.ceil(size / 8)} bytes" in told(network, message, {"bitmap": good[:-1]})
    assert "Found uint16" in told(network, message, {"bitmap": good.astype(np.uint16)})
    more = good.copy()
    more[0] ^= 0x80
    assert "values. Found" in told(network, message, {"bitmap": more})
    behind = good.copy()
    behind[-1] |= 1
    assert size % 8 and "Found others behind them" in told(network, message, {"bitmap": behind})


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_no_finite_numbers_are_refused(value):
    network, message = meeting()
    wrong = message.arrays["model"].copy()
    wrong[7] = value
    assert f"Found {value} at place 7" in told(network, message, {"model": wrong})


def test_values_of_another_number_or_form_are_refused():
    network, message = meeting()
    good = message.arrays["model"]
    assert "values. Found" in told(network, message, {"model": good[:-1].copy()})
    assert "Found float64" in told(network, message, {"model": good.astype(np.float64)})
    assert "Found float32 [1, " in told(network, message, {"model": good.reshape(1, -1)})
    assert "Found none" in told(network, message, without=("model",))
    network, message = meeting(precision="float16")
    assert "should come with its scale" in told(network, message, without=("model_scale",))
    network, message = meeting(precision="int8")
    assert "should come with its steps" in told(network, message, without=("model_steps",))
    wrong = {"model_steps": message.arrays["model_steps"][:0]}
    assert "int8 values should come with" in told(network, message, wrong)


def test_fisher_information_below_zero_is_refused():
    network, message = meeting(merge="sparse", fisher_mean=True)
    wrong = -message.arrays["fisher"]
    assert "`fisher` should be at least 0" in told(network, message, {"fisher": wrong})
    assert "`fisher` should be a vector" in told(network, message, without=("fisher",))


def test_experts_that_nobody_has_are_refused():
    network, message = meeting(EXPERTS)
    assert "`used` should be 1 bytes, 4 bits. Found none" in told(network, message, without=("used",))
    other = {"used": np.array([0xE0], np.uint8)}
    assert "values. Found" in told(network, message, other)
    assert "behind them" in told(network, message, {"used": np.array([0xF1], np.uint8)})


def test_a_share_of_one_parameter_of_a_small_model():
    network = Network(agents=2, edges=complete(2), merge="sparse", fraction=1e-9).begin()
    message = network.exchanges[0].ask(LinkUse(0, 1, UNLIMITED, 0, 0))
    assert message.arrays["model"].size == len(network.learners[0].parameters.segments)
