"""`mpidcl bench`: how fast are messages and kernels on this machine?"""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

EXAMPLES = """Examples:

mpidcl bench ring

mpidcl bench exchange -n 2 --json bench.jsonl

mpidcl bench kernels --only gram

mpidcl bench combine -n 4

mpidcl bench learner

mpidcl bench first-step -n 8

mpiexec -n 64 mpidcl bench ring"""
COUNTED = {"combine": {"OMPI_MCA_pml_monitoring_enable": "1"}}
"""Environment with which Open MPI counts what it sends, the messages of collective calls included."""
Ranks = Annotated[
    int | None, typer.Option("-n", "--ranks", metavar="N", min=2, help="MPI processes to start.")
]
Json = Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Append one JSON line per row.")]


class DeviceName(StrEnum):
    """Where kernels are measured."""

    cpu = "cpu"
    cuda = "cuda"


class Part(StrEnum):
    """What `bench combine` measures."""

    ranks = "ranks"
    step = "step"
    both = "both"


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


@app.command()
def combine(
    ranks: Ranks = None,
    part: Annotated[Part, typer.Option(help="Between ranks, one process, or both in turn.")] = Part.both,
    rounds: Annotated[int, typer.Option(min=1, max=14, help="Of the steps in one process.")] = 3,
    json: Json = None,
) -> None:
    """Gradients of all ranks made one direction, beside one allreduce; a step in one process, beside TorchJD.

    The steps in one process take some minutes.
    """
    from mpidcl.launch import under_mpiexec

    status = 0
    if under_mpiexec() or part is not Part.step:
        status = _measure("combine", ranks or 4, ranks is not None, json)
    if not under_mpiexec() and part is not Part.ranks and status == 0:
        from mpidcl.benchmarks.combine_step import measure

        _see_that_it_can_be_written(json)
        measure(rounds, json)
    raise typer.Exit(status)


@app.command("first-step")
def first_step(ranks: Ranks = None, json: Json = None) -> None:
    """Seconds until a job learns, with an empty cache of compiled kernels and with a full one."""
    from mpidcl.benchmarks import first_step
    from mpidcl.launch import under_mpiexec

    if under_mpiexec():
        first_step.on_rank(json)
        raise typer.Exit(0)
    _see_that_it_can_be_written(json)
    raise typer.Exit(first_step.from_outside(ranks or 4, json))


@app.command()
def kernels(
    only: Annotated[
        str, typer.Option(metavar="TEXT", help="Only kernels whose name contains TEXT.", show_default=False)
    ] = "",
    device: Annotated[DeviceName, typer.Option(help="Where the arrays are.")] = DeviceName.cpu,
    rounds: Annotated[int, typer.Option(min=1, help="Contestants take turns so often; medians count.")] = 7,
    json: Json = None,
) -> None:
    """Every kernel beside what one would call instead, and the share of the memory's bandwidth.

    Needs up to 2 GiB of memory and 2 minutes. "2.10x": the other takes 2.10 times as long as ours.
    """
    from mpidcl.benchmarks.devices import choose
    from mpidcl.benchmarks.kernels import measure
    from mpidcl.benchmarks.table import json_line, lines

    _see_that_it_can_be_written(json)
    for row in measure(choose(device.value), only, rounds):
        typer.echo(lines(row))
        if json is not None:
            with json.open("a", encoding="utf-8") as file:
                file.write(json_line(row))


@app.command()
def editing(
    device: Annotated[DeviceName, typer.Option(help="Where the arrays are.")] = DeviceName.cpu,
    rounds: Annotated[int, typer.Option(min=1, help="Contestants take turns so often; medians count.")] = 5,
    json: Json = None,
) -> None:
    """One edit of a batch of the memory, beside the same rule by double backward, on one thread.

    What recording adds to the memory's gradient counts as part of our edit. Needs up to 2 GiB of memory and
    2 minutes. On the CPU seconds are those that the process worked.
    """
    from mpidcl.benchmarks.devices import choose
    from mpidcl.benchmarks.editing_batch import line, measure
    from mpidcl.benchmarks.table import json_line

    _see_that_it_can_be_written(json)
    for row in measure(choose(device.value), rounds):
        typer.echo(line(row))
        if json is not None:
            with json.open("a", encoding="utf-8") as file:
                file.write(json_line(row))


@app.command()
def learner(
    rounds: Annotated[int, typer.Option(min=1, help="Contestants take turns so often; medians count.")] = 7,
    json: Json = None,
) -> None:
    """Steps of the gradient learner beside a loop in plain PyTorch: the net of DCL, and ordinary perceptrons.

    On one thread; seconds are those that the process worked. Takes half a minute.
    """
    from mpidcl.benchmarks.learner_step import line, measure
    from mpidcl.benchmarks.table import json_line

    _see_that_it_can_be_written(json)
    for row in measure(rounds):
        typer.echo(line(row))
        if json is not None:
            with json.open("a", encoding="utf-8") as file:
                file.write(json_line(row))


def _measure(name: str, ranks: int, given: bool, json: Path | None) -> int:
    from mpidcl.errors import ExperimentError
    from mpidcl.launch import launch, under_mpiexec

    if not under_mpiexec():
        _see_that_it_can_be_written(json)
        os.environ.update(COUNTED.get(name, {}))
        return launch(["bench", name, *(["--json", str(json)] if json else [])], ranks)
    if given:
        raise ExperimentError(f"`-n {ranks}` starts ranks, but mpiexec has started this one. Leave `-n` out")
    from mpidcl.network import mpi_bench, mpi_bench_combine

    works = {"ring": mpi_bench.ring, "exchange": mpi_bench.exchange, "combine": mpi_bench_combine.combine}
    works[name](json)
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
