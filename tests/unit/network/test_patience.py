"""How long a rank waits for neighbours that say nothing."""

from __future__ import annotations

import pytest

from mpidcl.network.patience import DEADLINE_S, NOTICE_S, Patience, where_they_are


def test_who_has_done_nothing_long_gives_up_after_minutes() -> None:
    patience = Patience()
    patience.lived(2.5)
    assert patience.deadline == DEADLINE_S <= 1800


def test_who_has_long_epochs_waits_for_those_of_others() -> None:
    patience = Patience()
    patience.lived(1200)
    patience.lived(3)
    assert patience.deadline == 12_000
    assert not patience.notices(1800) and patience.notices(3600)


@pytest.mark.parametrize("deadline", [0.3, 100, 1e6])
def test_a_deadline_that_is_given_is_kept(deadline: float) -> None:
    patience = Patience(deadline)
    patience.lived(10_000)
    assert patience.deadline == deadline


def test_it_is_said_once() -> None:
    patience = Patience()
    assert [patience.notices(waited) for waited in (1, NOTICE_S - 1, NOTICE_S, 2 * NOTICE_S)] == [
        False,
        False,
        True,
        False,
    ]


def test_ranks_are_named_with_their_hosts() -> None:
    assert where_they_are({2, 1}, ["a", "b", "c"]) == "\nThey wait for rank 1 on b, rank 2 on c."
    assert where_they_are({1}, []) == "\nThey wait for rank 1."
    assert where_they_are(set(), ["a"]) == ""
    assert where_they_are(set(range(20)), []).endswith("rank 7 and more.")
