"""What a job script asks before it starts ranks: `python -m mpidcl.jobs.before FILE [OPTION]...`.

Takes the words of `mpidcl run`. Prints how many agents there are, and the run folder, a line each. Wrong
input ends with its message and status 2, once and not once per rank.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import typer

from mpidcl.commands.common import Command, look_beside
from mpidcl.commands.run import run


@functools.wraps(run)  # typer reads the same options
def before(file: Path, sets: list[str] | None, out: Path | None, **_: Any) -> None:
    """Print agents and run folder of `mpidcl run` with these options. Raises ExperimentError."""
    from mpidcl.experiment import load
    from mpidcl.record.folder import locate

    look_beside(file)
    experiment = load(file, sets or ())
    print(f"{experiment.agents}\n{locate(experiment.name, out).path}")


app = typer.Typer(name="mpidcl run", add_completion=False)
app.command(cls=Command)(before)

if __name__ == "__main__":
    from mpidcl.cli import main

    main(app=app)
