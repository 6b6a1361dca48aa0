"""Values of the command line of `scripts/reproduce`."""

from __future__ import annotations

import argparse
from pathlib import Path

from mpidcl.errors import ExperimentError


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


def check_running(asked: argparse.Namespace, examples: str) -> None:
    """Raises ExperimentError for options of `add_running` that do not go together; `examples`: its files."""
    if not asked.examples.is_dir():
        raise ExperimentError(
            f"--examples should be the folder {examples} of the repository. Found nothing at {asked.examples}"
        )
    if (asked.index is None) != (asked.of is None):
        raise ExperimentError("--index and --of go together: --index 0 --of 16 is the first of 16 parts")
    if asked.index is not None and asked.tables:
        raise ExperimentError("--tables shows all that is there: leave out --index and --of")


def add_running(parser: argparse.ArgumentParser, examples: str) -> None:
    """Options of every protocol: how its runs are made, listed and parted; `examples`: their files."""
    add = parser.add_argument
    add("--jobs", type=positive, default=2, metavar="N", help="runs at a time, each with one thread (2)")
    add("--list", action="store_true", help="print one command per line and run nothing")
    add("--tables", action="store_true", help="write the tables of what is there and run nothing")
    add("--index", type=int, metavar="I", help="run part I (from 0) of the list; no tables")
    add("--of", type=positive, metavar="N", help="number of parts")
    every = "a value for every run, as in mpidcl run"
    add("--set", action="append", default=[], metavar="KEY=VALUE", help=every)
    add("--driver", choices=["inprocess", "mpi"], default="inprocess", help="of every run (inprocess)")
    add("--examples", type=Path, default=Path(examples), metavar="FOLDER", help=argparse.SUPPRESS)
