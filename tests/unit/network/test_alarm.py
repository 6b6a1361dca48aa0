"""The clock that asks to save, and to stop before the time is over; it learns how long that takes."""

from __future__ import annotations

from mpidcl.network.alarm import LEAST_S, SAFETY, UNKNOWN_S, Alarm


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def alarm(every: float | None = None, lasts: float | None = None) -> tuple[Alarm, Clock]:
    clock = Clock()
    return Alarm(every, None if lasts is None else clock.now + lasts, clock), clock


def asked(one: Alarm, clock: Clock, until: float, step: float = 1.0) -> list[tuple[float, str]]:
    """What is asked for, and when, in seconds from the beginning; a stop ends it."""
    found = []
    while clock.now < 100 + until:
        clock.now += step
        stop, save = one.due()
        if stop or save:
            found.append((clock.now - 100, "stop" if stop else "save"))
        if stop:
            break
    return found


def test_it_asks_to_save_so_often_after_the_last_checkpoint() -> None:
    one, clock = alarm(every=10)
    assert asked(one, clock, 25) == [(10, "save"), (20, "save")]
    one.part("cut")
    clock.now += 3
    one.complete("cut")  # whoever asked for it
    assert asked(one, clock, 45) == [(38, "save")]


def test_without_times_it_asks_for_nothing() -> None:
    one, clock = alarm()
    assert asked(one, clock, 1000) == []
    assert one.left() == float("inf")


def test_it_stops_in_time_and_saves_once_before() -> None:
    one, clock = alarm(lasts=90)
    assert asked(one, clock, 90, 0.5) == [(30, "save"), (90 - LEAST_S - SAFETY * UNKNOWN_S, "stop")]


def test_it_learns_from_cuts_and_from_steps() -> None:
    one, clock = alarm(lasts=300)
    one.part(1)
    one.part(1)
    clock.now += 10
    one.complete(1)
    for agent in (1, 2, 1):
        one.began(agent)
        clock.now += 4  # agent 1 took 8 seconds
    assert one.margin() == LEAST_S + SAFETY * (10 + 8)
    assert asked(one, clock, 300, 0.5) == [(300 - one.margin(), "stop")]  # a cut is there: no other is needed


def test_the_margin_is_at_most_half_of_the_time() -> None:
    one, clock = alarm(lasts=12)
    assert asked(one, clock, 12, 0.5) == [(4, "save"), (6, "stop")]


def test_one_cut_after_the_other() -> None:
    """Agents that are far apart would else leave parts of many cuts on the disk."""
    one, clock = alarm(every=10)
    one.part("cut")
    assert asked(one, clock, 35) == []
    one.complete("cut")
    assert asked(one, clock, 50) == [(45, "save")]
