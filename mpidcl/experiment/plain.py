"""What may stand in an experiment file at all, whatever the key: depth, length, sizes of numbers, characters.

Every table is walked once before anything reads it, so that no reader has to think of these.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mpidcl.experiment.problems import Problem

MOST_NESTED = 12
"""Tables and lists inside each other; ours need 5, and those of somebody's own method few more."""
MOST_ENTRIES = 100_000
MOST_CHARACTERS = 10_000
LARGEST = 2**63 - 1
"""Of whole numbers: what TOML promises, and what every file that a run writes can hold."""

LARGEST_FLOAT = 1e38
"""Models compute in 32 bits, where larger numbers are infinite."""

Key = tuple[str | int, ...]


def problems(value: object, key: Key = ()) -> Iterator[Problem]:
    """What can be no value of an experiment, at any depth of nested dicts and lists."""
    if len(key) > MOST_NESTED:
        yield Problem(key[:2], f"should be nested at most {MOST_NESTED} deep. Found more")
    elif isinstance(value, dict):
        for name, inner in value.items():
            wrong = _text(name)
            yield from (
                [Problem(key, f"should have a key that {wrong}")] if wrong else problems(inner, (*key, name))
            )
    elif isinstance(value, (list, tuple)):
        yield from _entries(value, key)
    elif isinstance(value, str) and (wrong := _text(value)):
        yield Problem(key, f"should be a text that {wrong}")
    elif isinstance(value, float) and not abs(value) <= LARGEST_FLOAT:
        much = "a finite number" if value != value or abs(value) == float("inf") else "at most 1e38"
        yield Problem(key, f"should be {much}. Found {value}")
    elif isinstance(value, int) and not -LARGEST - 1 <= value <= LARGEST:
        yield Problem(key, f"should be much smaller: no key takes more than 64 bits. Found {_digits(value)}")


def _entries(values: Sequence[object], key: Key) -> Iterator[Problem]:
    if len(values) > MOST_ENTRIES:
        yield Problem(key, f"should have at most {MOST_ENTRIES:,} entries. Found {len(values):,}")
        return
    for number, inner in enumerate(values):
        yield from problems(inner, (*key, number))


def _text(value: str) -> str:
    """What is wrong with a text; nothing for most."""
    if len(value) > MOST_CHARACTERS:
        return f"has at most {MOST_CHARACTERS:,} characters. Found {len(value):,}"
    strange = next((c for c in value if not c.isprintable() and c not in "\n\t\N{NO-BREAK SPACE}"), None)
    return (
        "" if strange is None else f"has no control characters. Found {ascii(strange)} in {ascii(value)[:60]}"
    )


def _digits(value: int) -> str:
    return str(value) if abs(value) < 10**60 else "one of more than 60 digits"
