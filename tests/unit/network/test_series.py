"""Series of numbers told in one order: the same as writing all of them down and sorting."""

from __future__ import annotations

from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from mpidcl.network.schedule.series import Series, merged

some = st.builds(Series, st.integers(-5, 30), st.integers(1, 9), st.integers(0, 12))


@given(st.lists(some, max_size=5), st.integers(-10, 60), st.integers(-10, 90))
def test_the_numbers_of_all_in_order_with_who_holds_them(series, after, last):
    held = defaultdict(list)
    for place, (first, step, length) in enumerate(series):
        for number in range(first, first + step * length, step):
            held[number].append(place)
    wanted = [(number, tuple(held[number])) for number in sorted(held) if after < number <= last]
    assert list(merged(series, after, last)) == wanted


def test_nothing_is_written_down():
    endless = merged([Series(0, 2, 10**30), Series(10**29, 3, 10**30)], after=10**29, last=10**40)
    assert next(endless) == (10**29 + 2, (0,))
    assert next(endless) == (10**29 + 3, (1,))
    assert list(merged([], -1, 10)) == []
