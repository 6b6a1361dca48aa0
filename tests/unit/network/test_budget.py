"""Budgets are served in file order, loss is a function of link and number, the ledger adds up."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpidcl.errors import ExperimentError, FrameError
from mpidcl.network.frames.budget import UNLIMITED, Allowance, check_budget, check_room
from mpidcl.network.frames.conditions import is_lost, jitter
from mpidcl.network.frames.frame import PREFIX_BYTES, Address, message_bytes, pack
from mpidcl.network.frames.ledger import FRAME, Count, Ledger
from mpidcl.network.frames.message import Message
from mpidcl.network.schedule.topology import Link

LINK = Link(0, 2, 5, budget=1000)


# --- budget --------------------------------------------------------------------------------------


@given(
    st.lists(st.tuples(st.integers(0, 100), st.integers(0, 400), st.floats(0, 1)), max_size=5),
    st.integers(1, 3),
    st.integers(0, 2000),
)
def test_rooms_never_exceed_the_budget_and_never_fall_below_the_least(wishes, legs, more):
    leasts = [least for least, _, _ in wishes]
    budget = sum(leasts) + legs * PREFIX_BYTES + more
    allowance = Allowance(replace(LINK, budget=budget), leasts, legs)
    spent = legs * PREFIX_BYTES
    for least, extra, share in wishes:
        room = allowance.room(least, least + extra)
        assert least <= room <= least + extra
        used = int(share * room)
        allowance.take(least, used)
        spent += used
    assert spent <= budget


def test_first_come_first_served_and_what_is_left_passes_on():
    allowance = Allowance(replace(LINK, budget=PREFIX_BYTES + 100), [10, 10, 10], 1)
    assert allowance.room(10, 60) == 60
    allowance.take(10, 60)
    assert allowance.room(10, 60) == 30  # 100 - 60, and the least of the third is kept back
    allowance.take(10, 5)
    assert allowance.room(10, 60) == 35
    allowance.take(10, 35)


def test_a_link_without_budget_gives_what_is_asked_for():
    allowance = Allowance(replace(LINK, budget=None), [5], 2)
    assert allowance.room(5, 2**40) == 2**40
    assert allowance.room(5, UNLIMITED * 2) < UNLIMITED * 2


def test_more_than_the_room_is_the_exchanges_mistake():
    check_room(LINK, "data", 100, 100)
    with pytest.raises(
        FrameError, match="link 2 -> 5: exchange 'data' may use at most 100 bytes here. Found 101"
    ):
        check_room(LINK, "data", 101, 100)


def test_a_budget_below_the_least_bytes_is_refused():
    need = 1000 + 2 * PREFIX_BYTES
    check_budget(replace(LINK, budget=need), ["a", "b"], [600, 400], 2)
    check_budget(replace(LINK, budget=None), ["a", "b"], [600, 400], 2)
    with pytest.raises(ExperimentError) as error:
        check_budget(replace(LINK, budget=need - 1), ["a", "b"], [600, 400], 2)
    text = str(error.value)
    for word in (f"at least {need} bytes", "link 2 -> 5", "a 600 bytes, b 400 bytes", f"Found {need - 1}"):
        assert word in text


# --- loss ----------------------------------------------------------------------------------------


def test_loss_is_a_function_of_seed_link_and_number():
    link = replace(LINK, loss=0.3)
    lost = [is_lost(0, link, n) for n in range(4000)]
    assert lost == [is_lost(0, replace(link, index=9, budget=None), n) for n in range(4000)]
    assert abs(np.mean(lost) - 0.3) < 4 * np.sqrt(0.3 * 0.7 / 4000)
    assert lost != [is_lost(1, link, n) for n in range(4000)]
    back = replace(link, source=5, target=2)
    assert lost != [is_lost(0, back, n) for n in range(4000)]


@pytest.mark.parametrize(("loss", "found"), [(0.0, False), (1.0, True)])
def test_never_and_always(loss, found):
    assert {is_lost(0, replace(LINK, loss=loss), n) for n in range(200)} == {found}


def test_pinned_losses():
    assert [n for n in range(20) if is_lost(0, replace(LINK, loss=0.3), n)] == [0, 9, 10, 11, 18]


# --- ledger --------------------------------------------------------------------------------------

sizes = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5000)), max_size=4)


@given(st.lists(sizes, max_size=4))
def test_the_ledger_counts_the_bytes_of_the_frames(frames):
    ledger, total = Ledger(2), 0
    for number, items in enumerate(frames):
        entries = tuple(
            (n, Message("m", {"n": n}, {"x": np.zeros(size, np.uint8)}, floats=7)) for n, size in items
        )
        packed = pack(Address(2, 5, number, 0), entries)
        total += len(packed.head) + sum(array.nbytes for array in packed.raw)
        ledger.count(LINK, number, entries)
    rows = ledger.rows()
    assert sum(row.payload_bytes + row.header_bytes for row in rows) == total
    assert sum(row.payload_bytes for row in rows) == sum(size for items in frames for _, size in items)
    assert sum(row.paper_floats for row in rows) == 7 * sum(map(len, frames))
    assert [(row.target, row.exchange) for row in rows] == sorted(
        {(5, n) for f in frames for n, _ in f} | ({(5, FRAME)} if frames else set())
    )


def test_rows_are_in_order_and_frames_count_their_headers():
    ledger = Ledger(0)
    message = Message("m", {}, {"x": np.zeros(10)}, floats=10)
    ledger.count(Link(1, 0, 9), 0, ((1, message), (0, message)))
    ledger.count(Link(0, 0, 3), 0, ())
    each = message_bytes(message) - 80
    assert ledger.rows() == [
        Count(3, FRAME, 1, 0, PREFIX_BYTES, 0, 0.0),
        Count(9, FRAME, 1, 0, PREFIX_BYTES, 0, 0.0),
        Count(9, 0, 1, 80, each, 10, 0.0),
        Count(9, 1, 1, 80, each, 10, 0.0),
    ]


def test_seconds_on_the_described_network():
    ledger = Ledger(0)
    message = Message("m", {}, {"x": np.zeros(1000)})
    ledger.count(Link(0, 0, 1, latency=0.5, bandwidth=100.0), 0, ((0, message),))
    assert ledger.rows()[0].simulated_s == 0.5 + (PREFIX_BYTES + message_bytes(message)) / 100.0


def test_jitter_is_a_function_of_seed_link_and_number():
    """Not of what was counted before: a frame takes as long in whatever order frames leave."""
    link = replace(LINK, jitter=2.0)
    found = [jitter(0, link, n) for n in range(4000)]
    assert found == [jitter(0, replace(link, index=9, loss=0.5), n) for n in range(4000)]
    assert min(found) >= 0 and max(found) < 2
    assert abs(np.mean(found) - 1) < 4 * 2 / np.sqrt(12 * 4000)
    assert found != [jitter(1, link, n) for n in range(4000)]
    assert found != [jitter(0, replace(link, source=5, target=2), n) for n in range(4000)]
    assert abs(np.corrcoef(found, [is_lost(0, replace(link, loss=0.5), n) for n in range(4000)])[0, 1]) < 0.1
    assert jitter(0, replace(link, jitter=0.0), 7) == 0
    one, two = Ledger(0), Ledger(0)
    for number in range(3):
        one.count(link, number, ())
        two.count(link, 2 - number, ())
    assert one.rows()[0].simulated_s == pytest.approx(sum(found[:3]))
    assert one.rows()[0].simulated_s == pytest.approx(two.rows()[0].simulated_s)


def test_an_empty_ledger_has_a_state():
    ledger = Ledger(0)
    ledger.load(Ledger(0).state())
    assert ledger.rows() == []
