"""Slots of rows of many rooms, all at once: those that the policy finds room by room."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpidcl.memory.policies import REFUSED, Candidate, Fifo, Offered, Overwrite, Reservoir
from mpidcl.memory.rooms import slots_of_all, together

POLICIES = [Reservoir(), Fifo(), *(Candidate(Candidate.Options(accept=a)) for a in (0.0, 1e-300, 0.3, 1.0))]


@pytest.mark.parametrize("policy", POLICIES)
@settings(max_examples=40)
@given(
    st.lists(st.integers(0, 5), max_size=40), st.lists(st.integers(0, 7), min_size=6, max_size=6),
    st.lists(st.integers(0, 30), min_size=6, max_size=6), st.integers(0, 9),
)  # fmt: skip
def test_all_rooms_at_once_are_as_one_after_the_other(policy, rooms, capacities, seen, seed):
    rooms, capacities = np.array(rooms, np.int64), np.array(capacities)
    one, other = np.random.default_rng(seed), np.random.default_rng(seed)
    before, after = np.array(seen), np.array(seen)
    found = slots_of_all(policy, rooms, after, capacities, one)
    for room in range(6):
        mine = np.flatnonzero(rooms == room)
        offered = Offered(len(mine), int(before[room]), int(capacities[room]), None, lambda: None)
        assert found[mine].tolist() == policy.place(offered, other).tolist()
        assert after[room] == before[room] + len(mine)
        assert ((found[mine] >= REFUSED) & (found[mine] < capacities[room])).all()
    assert one.bit_generator.state == other.bit_generator.state


def test_a_derived_policy_is_asked_room_by_room():
    class Late(Reservoir):
        """Another rule."""

    assert together(Reservoir()) and not together(Late()) and not together(Overwrite())
