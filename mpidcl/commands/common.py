"""What several commands share."""

from __future__ import annotations

import sys
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from mpidcl.errors import EXIT_RESUMABLE

ExperimentFile = Annotated[Path, typer.Argument(metavar="FILE", help="Experiment file (TOML).")]
Sets = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        "-s",
        metavar="KEY=VALUE",
        help='Change one value: --set learning.lr=0.01 --set exchange.0.every="10 epochs".',
        show_default=False,
    ),
]


class DriverName(StrEnum):
    """What moves frames between agents."""

    mpi = "mpi"
    inprocess = "inprocess"


def look_beside(file: Path) -> None:
    """Find a user's own modules beside the experiment file and here, after the installed ones."""
    for folder in (str(file.resolve().parent), str(Path.cwd())):
        if folder not in sys.path:
            sys.path.append(folder)


def path_word(path: Path) -> str:
    """`path` as a word that nobody on the way takes for anything else: mpiexec reads `:`, and ranks `-x`."""
    word = str(path)
    return f"./{word}" if word == ":" or word.startswith("-") else word


def stoppable(body: Callable[[], int]) -> int:
    """Exit status of `body`; Ctrl-C means stopped early, and the run can be resumed."""
    try:
        return body()
    except KeyboardInterrupt:
        print("mpidcl: stopped. The same command goes on from the last checkpoint.", file=sys.stderr)
        return EXIT_RESUMABLE
