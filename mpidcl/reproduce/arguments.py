"""Values of the command line of `scripts/reproduce`."""

from __future__ import annotations

import argparse


def words(text: str) -> list[str]:
    """`a,b`, without spaces around the words."""
    found = [word.strip() for word in text.split(",") if word.strip()]
    if not found:
        raise argparse.ArgumentTypeError("should name at least one. Found nothing")
    return found


def numbers(text: str) -> list[int]:
    """`0,1,2`, `0-7` or both, each number once."""
    found: list[int] = []
    for word in words(text):
        first, dash, last = word.partition("-")
        last = last if dash else first
        if not (first.isdecimal() and last.isdecimal() and int(first) <= int(last)):
            raise argparse.ArgumentTypeError(f"should be like 0,1,2 or 0-7. Found {text}")
        found += range(int(first), int(last) + 1)
    return list(dict.fromkeys(found))


def positive(text: str) -> int:
    """A number of at least 1."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"should be at least 1. Found {number}")
    return number
