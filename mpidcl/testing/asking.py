"""Generators that may ask other agents, run without any."""

from __future__ import annotations

from typing import TypeVar

from mpidcl.network.requests import Asking

T = TypeVar("T")


def result_of(work: Asking[T]) -> T:
    """What `work` gives, such as `learner.learn(0, 0)`. Raises AssertionError when it asks the others."""
    try:
        asked = next(work)
    except StopIteration as stop:
        found: T = stop.value
        return found
    raise AssertionError(f"It should ask the other agents nothing. It asked for {asked}.")
