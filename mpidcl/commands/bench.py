"""`mpidcl bench`: how fast are messages on this machine?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

EXAMPLES = """Examples:

mpidcl bench ring

mpidcl bench exchange -n 2 --json bench.jsonl

mpiexec -n 64 mpidcl bench ring"""
Ranks = Annotated[
    int | None, typer.Option("-n", "--ranks", metavar="N", min=2, help="MPI processes to start.")
]
Json = Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Append one JSON line per row.")]

app = typer.Typer(
    help="Measure this machine: tables, and JSON lines for later.", epilog=EXAMPLES, no_args_is_help=True
)


@app.command()
def ring(ranks: Ranks = None, json: Json = None) -> None:
    """Latency of a message that goes once around all ranks. Run it first on a new cluster."""
    raise typer.Exit(_measure("ring", ranks or 4, ranks is not None, json))


@app.command()
def exchange(ranks: Ranks = None, json: Json = None) -> None:
    """Bandwidth of frames between two ranks, next to the same buffers with bare Isend and Irecv."""
    raise typer.Exit(_measure("exchange", ranks or 2, ranks is not None, json))


def _measure(name: str, ranks: int, given: bool, json: Path | None) -> int:
    from mpidcl.errors import ExperimentError
    from mpidcl.launch import launch, under_mpiexec

    if not under_mpiexec():
        _see_that_it_can_be_written(json)
        return launch(["bench", name, *(["--json", str(json)] if json else [])], ranks)
    if given:
        raise ExperimentError(f"`-n {ranks}` starts ranks, but mpiexec has started this one. Leave `-n` out")
    from mpidcl.network.mpi_bench import exchange, ring

    (ring if name == "ring" else exchange)(json)
    return 0


def _see_that_it_can_be_written(json: Path | None) -> None:
    """Before the measurement and not after it."""
    from mpidcl.errors import ExperimentError

    try:
        if json is not None:
            json.open("a").close()
    except OSError as error:
        raise ExperimentError(
            f"--json should be a file that can be written. `{json}`: {error.strerror}"
        ) from None
