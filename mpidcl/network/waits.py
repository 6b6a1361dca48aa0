"""Who waits for whom, for what, at which time: the words of both drivers."""

from __future__ import annotations

from mpidcl.network.requests import Meet, Post, Take
from mpidcl.network.together.calls import Together, called, describe_missing

DEBUG = "MPIDCL_DEBUG"
"""Environment variable: when set, check that nothing changes while it is on its way."""


def describe_waits(waits: dict[int, str]) -> str:
    """Who waits for whom, for what, at which time. Agent -> what it waits in and for."""
    return "these agents wait:\n" + "\n".join(f"  agent {agent} {waits[agent]}" for agent in sorted(waits))


def meet_wait(meet: Meet, missing: list[str]) -> str:
    """What an agent in a meeting waits for; `missing` are the links without a frame."""
    what = f"a frame on {', '.join(missing)}" if missing else "the rest of what is on its way"
    return f"at {meet.when}, leg {meet.leg}: waits for {what}"


def together_wait(request: Together | Post | Take, missing: list[int], under_way: str = "") -> str:
    """The same in a request that all make together; `missing` are agents that have not asked yet."""
    what = f"{describe_missing(missing)} of this process" if missing else under_way
    return f"in {called(request)}: waits for {what}"
