"""How bad arguments are refused: what should be, what was found."""

from __future__ import annotations


def bad(name: str, should: str, found: object) -> ValueError:
    """The error for an argument of the wrong value or shape.

    >>> bad("k", "between 1 and 100", 250)
    ValueError('`k` should be between 1 and 100. Found 250.')
    """
    return ValueError(f"`{name}` should be {should}. Found {found}.")


def bad_type(name: str, should: str, found: object) -> TypeError:
    """The error for an argument of the wrong type or dtype."""
    return TypeError(f"`{name}` should be {should}. Found {found}.")
