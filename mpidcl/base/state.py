"""What is saved of a part of a run, and what is told of it: plain data that comes back as it was."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from mpidcl.errors import CheckpointError

State = dict[str, Any]
"""A nested dict. Its leaves are arrays of numbers, int, float, bool, str, None, or flat lists of those.

Whoever loads a state knows what it has written; `record.checkpoint` refuses everything else.
"""
Facts = dict[str, Any]
"""What an agent tells its neighbours of itself before they begin: values that JSON holds."""


class Saved(Protocol):
    """A part with a state."""

    def state(self) -> State:
        """Everything that a resumed run needs of it."""
        ...


class OwnState(State):
    """A state that says whose it is, `owner`: a message about what cannot be saved names the class."""

    owner: str


def state_of(part: Saved) -> State:
    """The state of a part, which a user may have written. Raises CheckpointError when it is no dict."""
    found, owner = part.state(), type(part).__name__
    if not isinstance(found, Mapping):
        raise CheckpointError(
            f"{owner}.state() should give a dict of what a resumed run needs, {{}} if nothing. Found"
            f" {type(found).__name__}."
        )
    own = OwnState(found)
    own.owner = owner
    return own
