"""`mpidcl check`: is the experiment right, and what will it do?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mpidcl.commands.common import Sets, look_beside
from mpidcl.errors import ExperimentError

EXAMPLES = """Examples:

mpidcl check quickstart.toml

mpidcl check quickstart.toml --set network.topology=star

mpidcl check --schema"""


def check(
    file: Annotated[Path | None, typer.Argument(metavar="FILE", help="Experiment file (TOML).")] = None,
    sets: Sets = None,
    schema: Annotated[
        bool, typer.Option("--schema", help="Print every key of the file: meaning, type, default, spellings.")
    ] = False,
) -> None:
    """Check an experiment without running it; needs no MPI.

    Prints the experiment with all defaults, the network, the timetable,
    where the data come from, the memory that agents need, and the bytes
    that each link will carry. Data may be missing: that is a note.
    """
    if schema:
        from mpidcl.experiment.schema import reference

        print(reference())
    if file is None and not schema:
        raise ExperimentError("mpidcl check should have a FILE or --schema. Found neither")
    if file is not None:
        print(_checked(file, sets or []))


def _checked(file: Path, sets: list[str]) -> str:
    from mpidcl.experiment.reading import load
    from mpidcl.run import simulation

    look_beside(file)
    return simulation.check(load(file, sets))
