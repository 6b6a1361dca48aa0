"""`mpidcl bench`: how fast are messages and kernels on this machine?"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import typer

from mpidcl.commands.common import Command, path_word

EXAMPLES = """Examples:

mpidcl bench ring

mpidcl bench exchange -n 2 --json bench.jsonl

mpidcl bench kernels --only gram

mpidcl bench combine -n 4

mpidcl bench learner

mpidcl bench baselines

mpidcl bench first-step -n 8

mpidcl bench replay -n 2

mpiexec -n 64 mpidcl bench ring"""
COUNTED = {"combine": {"OMPI_MCA_pml_monitoring_enable": "1"}}
"""Environment with which Open MPI counts what it sends, the messages of collective calls included."""
Row = TypeVar("Row", bound=Mapping[str, Any])
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


class ReplayPart(StrEnum):
    """What `bench replay` measures."""

    steps = "steps"
    start = "start"
    alone = "alone"
    all = "all"


app = typer.Typer(
    help="Measure this machine: tables, and JSON lines for later.", epilog=EXAMPLES, no_args_is_help=True
)


@app.command(cls=Command)
def ring(ranks: Ranks = None, json: Json = None) -> int:
    """Latency of a message that goes once around all ranks. Run it first on a new cluster."""
    return _measure("ring", ranks, 4, json)


@app.command(cls=Command)
def exchange(ranks: Ranks = None, json: Json = None) -> int:
    """Bandwidth of frames between two ranks, next to the same buffers with bare Isend and Irecv."""
    return _measure("exchange", ranks, 2, json)


@app.command(cls=Command)
def combine(
    ranks: Ranks = None,
    part: Annotated[Part, typer.Option(help="Between ranks, one process, or both in turn.")] = Part.both,
    rounds: Annotated[int, typer.Option(min=1, max=14, help="Of the steps in one process.")] = 3,
    json: Json = None,
) -> int:
    """Gradients of all ranks made one direction, beside one allreduce; a step in one process, beside TorchJD.

    The steps in one process take some minutes.
    """
    rank = _is_rank(ranks)
    status = 0
    if rank or part is not Part.step:
        status = _measure("combine", ranks, 4, json)
    if not rank and part is not Part.ranks and status == 0:
        from mpidcl.benchmarks.combine_step import measure

        _see_that_it_can_be_written(json)
        measure(rounds, json)
    return status


@app.command(cls=Command)
def replay(
    ranks: Ranks = None,
    part: Annotated[
        ReplayPart, typer.Option(help="Training steps, the start, one process alone, or all of it.")
    ] = ReplayPart.all,
    json: Json = None,
) -> int:
    """One replay buffer across ranks: what `push` and `wait` take of a step of 100 ms. Takes a minute or two.

    Rows of images (602 KB) and of vectors, with every way of moving them meanwhile; the time until the first
    row, and memory; then rows per second that one process stores and draws.
    """
    return _measure("replay", ranks, 2, json, part)


@app.command("first-step", cls=Command)
def first_step(ranks: Ranks = None, json: Json = None) -> int:
    """Seconds until a job learns, with an empty cache of compiled kernels and with a full one."""
    from mpidcl.benchmarks import first_step

    if _is_rank(ranks):
        _as_rank(lambda: first_step.on_rank(json))
    _see_that_it_can_be_written(json)
    return first_step.from_outside(ranks or 4, json)


@app.command(cls=Command)
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
        print(lines(row))
        if json is not None:
            with json.open("a", encoding="utf-8") as file:
                file.write(json_line(row))


@app.command(cls=Command)
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

    _see_that_it_can_be_written(json)
    _print(measure(choose(device.value), rounds), line, json)


@app.command(cls=Command)
def learner(
    rounds: Annotated[int, typer.Option(min=1, help="Contestants take turns so often; medians count.")] = 7,
    json: Json = None,
) -> None:
    """Steps of the gradient learner beside a loop in plain PyTorch: the net of DCL, and ordinary perceptrons.

    On one thread; seconds are those that the process worked. Takes half a minute.
    """
    from mpidcl.benchmarks.learner_step import line, measure

    _see_that_it_can_be_written(json)
    _print(measure(rounds), line, json)


@app.command(cls=Command)
def baselines(
    rounds: Annotated[int, typer.Option(min=1, help="Contestants take turns so often; medians count.")] = 7,
    json: Json = None,
) -> None:
    """A step of each continual baseline beside the same in plain PyTorch, and what ours is made of.

    On one thread; seconds are those that the process worked. Takes half a minute.
    """
    from mpidcl.benchmarks.baseline_step import line, measure

    _see_that_it_can_be_written(json)
    _print(measure(rounds), line, json)


@app.command(cls=Command)
def experts(
    rounds: Annotated[int, typer.Option(min=1, help="Contestants take turns so often; medians count.")] = 5,
    json: Json = None,
) -> None:
    """Steps of a model of 4 to 64 experts, 2 for each row, beside a dense net of as many operations.

    And beside the same model in plain PyTorch. On one thread. Takes two minutes.
    """
    from mpidcl.benchmarks.experts_step import line, measure

    _see_that_it_can_be_written(json)
    _print(measure(rounds), line, json)


@app.command(cls=Command)
def timetable(json: Json = None) -> None:
    """When an agent does what: until the first event of a long task, and for each event. Takes 10 seconds."""
    from mpidcl.benchmarks.timetable import line, measure

    _see_that_it_can_be_written(json)
    _print(measure(), line, json)


@app.command(cls=Command)
def driver(
    rounds: Annotated[int, typer.Option(min=1, help="Of every size; medians count.")] = 3,
    json: Json = None,
) -> None:
    """What a tick costs beside learning: timetable, meetings, frames and driver, with 8 and 1,000 agents.

    In one process, on one thread; seconds are those that the process worked. Takes half a minute.
    """
    from mpidcl.benchmarks.driver_tick import line, measure

    _see_that_it_can_be_written(json)
    _print(measure(rounds), line, json)


@app.command(cls=Command)
def linear(
    rounds: Annotated[int, typer.Option(min=1, help="Of every size and way; medians count.")] = 3,
    json: Json = None,
) -> None:
    """Ticks of linear agents in one process: compiled, lived one by one, and a plain loop over a heap.

    8 to 1,000 agents in rings of eight, with delay and loss, on one thread. Takes some minutes.
    """
    from mpidcl.benchmarks.linear_run import line, measure

    _see_that_it_can_be_written(json)
    _print(measure(rounds), line, json)


def _print(rows: Iterable[Row], line: Callable[[Row], str], json: Path | None) -> None:
    """Every row as soon as it is measured, on the terminal and behind the lines of a file."""
    from mpidcl.benchmarks.table import json_line

    for row in rows:
        print(line(row))
        if json is not None:
            with json.open("a", encoding="utf-8") as file:
                file.write(json_line(row))


def _measure(
    name: str, ranks: int | None, usual: int, json: Path | None, part: ReplayPart | None = None
) -> int:
    """Between the ranks of this job, or in a job of `ranks` or the `usual` number that is started here."""
    if _is_rank(ranks):
        _as_rank(lambda: _between_ranks(name, json, part))
    from mpidcl.launch.start import launch

    _see_that_it_can_be_written(json)
    os.environ.update(COUNTED.get(name, {}))
    words = [*(["--part", part.value] if part else []), *(["--json", path_word(json)] if json else [])]
    return launch(["bench", name, *words], ranks or usual)


def _between_ranks(name: str, json: Path | None, part: ReplayPart | None) -> None:
    from mpidcl.benchmarks import between_ranks, between_ranks_combine

    works = {
        "ring": between_ranks.ring,
        "exchange": between_ranks.exchange,
        "combine": between_ranks_combine.combine,
        "replay": lambda lines: _replay(part or ReplayPart.all, lines),
    }
    works[name](json)


def _replay(part: ReplayPart, json: Path | None) -> None:
    from mpidcl.benchmarks.replay import start, step

    parts = {"start": start.start, "steps": step.steps, "alone": step.alone}
    for name in parts if part is ReplayPart.all else [part.value]:
        parts[name](json)


def _is_rank(ranks: int | None) -> bool:
    """Whether this is one of several ranks: one alone has nobody to measure with."""
    from mpidcl.base.rank_variables import joins, rank_and_size

    return rank_and_size()[1] != 1 and joins(ranks)


def _as_rank(work: Callable[[], None]) -> NoReturn:
    from mpidcl.launch.rank import run_rank

    run_rank(work)


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
