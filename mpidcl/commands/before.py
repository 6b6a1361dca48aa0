"""What a job script asks before it starts ranks: `python -m mpidcl.commands.before FILE [OPTION]...`.

Takes the words of `mpidcl run`. Prints how many agents there are, and the run folder, a line each. Wrong
input ends with its message and status 2, once and not once per rank.
"""

from __future__ import annotations

import functools
from typing import Any

import typer

from mpidcl.commands.common import Command, look_beside
from mpidcl.commands.program import carry_out
from mpidcl.commands.run import Request, run
from mpidcl.errors import ExperimentError


@functools.wraps(run)  # typer reads the same options
def before(ranks: int | None, sets: list[str] | None, **others: Any) -> None:
    """Print agents and run folder of `mpidcl run` with these options. Raises ExperimentError."""
    from mpidcl.experiment.reading import load
    from mpidcl.record.folder import locate

    if ranks is not None:
        raise ExperimentError(
            "`-n` starts ranks on one machine. In a job RANKS says how many; leave `-n` out"
        )
    if others["again"]:
        raise ExperimentError(
            "`--again` starts a new run whenever a job goes on. In a job say another folder by `--out`"
        )
    request = Request(sets=tuple(sets or ()), **others)
    request.limit()
    request.job_end()
    look_beside(request.file)
    experiment = load(request.file, request.sets)
    print(f"{experiment.agents}\n{locate(experiment.name, request.out).path}")


app = typer.Typer(name="mpidcl run", add_completion=False)
app.command(cls=Command)(before)

if __name__ == "__main__":
    carry_out(app)
