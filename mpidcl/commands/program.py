"""A command line as a program: what it was asked, and how its process ends."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

import typer

from mpidcl.launch.ending import guard, ignore_stops
from mpidcl.launch.output import prepare_streams


def carry_out(app: typer.Typer, arguments: Sequence[str] | None = None) -> NoReturn:
    """Run a command of `app`, and end the process with its exit status. Default: the words of the process."""
    prepare_streams()
    status = guard(lambda: _run(app, sys.argv[1:] if arguments is None else arguments))
    if arguments is None:
        ignore_stops()
    sys.exit(status)


def _run(app: typer.Typer, words: Sequence[str]) -> int | None:
    asked: list[Callable[[], int | None]] = []
    try:
        app(list(words), obj=asked)
    except SystemExit as end:  # typer has read the words, and has said what is wrong with them
        if not asked:
            return end.code if isinstance(end.code, int) else None
    return asked[0]()
