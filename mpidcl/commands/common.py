"""What several commands share."""

from __future__ import annotations

import sys
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

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


class Command(TyperCommand):
    """A command that typer reads; `cli.main` carries it out afterwards, from the list in the context's `obj`.

    typer would take `EOFError`, `KeyboardInterrupt`, `SystemExit` and broken pipes for endings of its own,
    whoever raised them.
    """

    def invoke(self, ctx: Any) -> None:
        """Only note what is to be done."""
        ctx.obj.append(partial(super().invoke, ctx))


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
