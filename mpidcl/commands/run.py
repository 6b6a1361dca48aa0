"""`mpidcl run`: run an experiment, or go on with it."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mpidcl.base.notices import say, warn
from mpidcl.commands.common import DriverName, ExperimentFile, Sets, look_beside, path_word
from mpidcl.errors import ExperimentError

if TYPE_CHECKING:
    from mpidcl.experiment.units import Cadence
    from mpidcl.launch.walltime import JobEnd
    from mpidcl.network.stopping import Stopping

RANKS_PER_CORE = 32
"""More processes than this per core are only started when `-n` asks for them."""
BEGAN = "MPIDCL_BEGAN"
"""Environment variable of the ranks: when the command was given that started them."""
EXAMPLES = """Examples:

mpidcl run quickstart.toml

mpidcl run quickstart.toml -n 2 --set seed=1 --out runs/seed-1

mpiexec -n 8 mpidcl run big.toml

mpidcl run long.toml --until "3 tasks"     status 75; goes on when run without --until

mpidcl run long.toml --walltime "55 min"   saves and ends before that, status 75

mpidcl run longer.toml --from runs/long    the same with more samples: learns what is new"""


def run(
    file: ExperimentFile,
    ranks: Annotated[
        int | None,
        typer.Option("-n", "--ranks", metavar="N", min=1, help="MPI processes; default: one per agent."),
    ] = None,
    sets: Sets = None,
    out: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Default: runs/NAME.")] = None,
    driver: Annotated[
        DriverName,
        typer.Option(help="mpi: one process per agent. inprocess: all agents in this one, without MPI."),
    ] = DriverName.mpi,
    until: Annotated[
        str | None, typer.Option(metavar="CADENCE", help='Stop early, e.g. "3 tasks"; status 75.')
    ] = None,
    walltime: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help='Save and end before so much time has passed, e.g. "55 min" or "1:30:00"; status 75.'
            ' Default: the end of the Slurm or PBS job. "none": no end.',
        ),
    ] = None,
    begin: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="FOLDER",
            help="Begin with what a shorter run there has learned: the same experiment with fewer samples.",
        ),
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Start a new run beside the old one.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print no progress, only the table.")] = False,
) -> int:
    """Run an experiment, or go on with it.

    Under mpiexec this process joins the job as one rank. Otherwise
    mpidcl starts the ranks on this machine.

    The same command resumes an unfinished run; a finished one prints
    its table again.
    """
    request = Request(file, tuple(sets or ()), out, driver, until, walltime, begin, again, quiet)
    return _start(request, ranks)


@dataclass(frozen=True)
class Request:
    """What the command line asked for."""

    file: Path
    sets: tuple[str, ...]
    out: Path | None
    driver: DriverName
    until: str | None
    walltime: str | None
    begin: Path | None
    again: bool
    quiet: bool

    def words(self) -> list[str]:
        """The command line that each rank gets."""
        words = ["run", path_word(self.file)]
        for text in self.sets:
            words += ["--set", text]
        words += [] if self.out is None else ["--out", path_word(self.out)]
        words += [] if self.until is None else ["--until", self.until]
        words += [] if self.walltime is None else ["--walltime", self.walltime]
        words += [] if self.begin is None else ["--from", path_word(self.begin)]
        return words + [flag for flag, given in (("--again", self.again), ("--quiet", self.quiet)) if given]

    def limit(self) -> Cadence | None:
        """Where to stop early. Raises ExperimentError when `--until` cannot be read."""
        from mpidcl.experiment.units import Cadence

        try:
            return None if self.until is None else Cadence.parse(self.until)
        except ValueError as error:
            raise ExperimentError(f'--until {error}. Found "{self.until}"') from None

    def job_end(self) -> Callable[[], JobEnd | None]:
        """What finds out when the time is over. Raises ExperimentError when `--walltime` cannot be read."""
        from mpidcl.launch import walltime

        if self.walltime is None:
            return walltime.of_job
        end = walltime.given(self.walltime, _launched())
        return lambda: end


def _launched() -> float | None:
    """When the command was given that started this rank, in seconds since 1970, as it said itself."""
    from mpidcl.launch.job import STATUS_FILE

    with suppress(KeyError, ValueError):
        return float(os.environ[BEGAN]) if STATUS_FILE in os.environ else None
    return None


def _start(request: Request, ranks: int | None) -> int:
    from mpidcl.base.rank_variables import joins
    from mpidcl.launch.ending import GOES_ON, guard

    request.limit()
    job_end = request.job_end()
    if request.driver is DriverName.inprocess:
        if ranks is not None:
            raise ExperimentError("`-n` starts MPI ranks; --driver inprocess has none. Leave one of them out")
        stopping = _stopping()
        return guard(lambda: _run_here(request, stopping, job_end), f" {GOES_ON}", stopping.ask)
    if joins(ranks):
        from mpidcl.launch.rank import run_rank

        _say_that_it_starts(request)
        stopping = _stopping()
        run_rank(lambda: _run_here(request, stopping, job_end), stopping.ask)
    return _launch(request, ranks)


def _launch(request: Request, ranks: int | None) -> int:
    from mpidcl.launch.start import launch

    os.environ[BEGAN] = str(time.time())  # the time counts from here, not from when the ranks are up
    agents, threads = _size(request)
    if ranks is not None and ranks > agents:
        raise ExperimentError(
            f"`-n` should be between 1 and {agents}, the number of agents; a rank without an agent would have"
            f" nothing to do. Found {ranks}"
        )
    most = RANKS_PER_CORE * (os.cpu_count() or 1)
    if ranks is None and agents > most:
        raise ExperimentError(
            f"One process for each of {agents} agents is more than this machine should be asked for"
            f" ({os.cpu_count()} cores). Say how many with -n, such as -n {os.cpu_count()}: each then runs"
            " several agents, with the same results"
        )
    if not request.quiet:
        say(f"[{request.file.stem}] starting {ranks or agents} ranks ...")
    return launch(request.words(), ranks or agents, threads)


def _say_that_it_starts(request: Request) -> None:
    """On rank 0 of somebody else's mpiexec; `launch` has said it before."""
    from mpidcl.base.rank_variables import rank_and_size
    from mpidcl.launch.job import STATUS_FILE

    rank, size = rank_and_size()
    if rank == 0 and not request.quiet and STATUS_FILE not in os.environ:
        of = f" of {size}" if size else ""
        say(f"[{request.file.stem}] rank 0{of} has started on {socket.gethostname()} ...")


def _size(request: Request) -> tuple[int, int]:
    """Agents and threads of each, read without importing what the experiment uses: the ranks do that."""
    from mpidcl.experiment import overrides, toml
    from mpidcl.experiment.reading import load, read
    from mpidcl.experiment.sections import MOST_THREADS

    agents = threads = None
    with suppress(ValueError, KeyError, AttributeError):
        tables: Any = overrides.apply(toml.loads(read(request.file)), request.sets)
        agents, threads = tables["agents"], tables.get("learning", {}).get("threads", 1)
    if type(agents) is int and type(threads) is int and agents >= 1 and 1 <= threads <= MOST_THREADS:
        return agents, threads
    look_beside(request.file)
    experiment = load(request.file, request.sets)  # says what is wrong
    return experiment.agents, experiment.learning.threads


def _stopping() -> Stopping:
    from mpidcl.network.stopping import Stopping

    return Stopping()


def _run_here(request: Request, stopping: Stopping, job_end: Callable[[], JobEnd | None]) -> int:
    from mpidcl.base.rank_variables import rank_and_size
    from mpidcl.run.phases import Phases

    first = request.driver is DriverName.inprocess or rank_and_size()[0] == 0
    with Phases(request.file.stem, first and not request.quiet) as phases:
        phases.begin("reading the experiment")
        from mpidcl.experiment.reading import load
        from mpidcl.run import simulation

        look_beside(request.file)
        read_by_all = simulation.load_everywhere if request.driver is DriverName.mpi else load
        experiment = read_by_all(request.file, request.sets)
        if request.driver is DriverName.mpi:
            _say_who_decided(experiment.agents)
        return simulation.run(
            experiment,
            request.out,
            driver=request.driver.value,
            until=request.limit(),
            again=request.again,
            quiet=request.quiet,
            table=True,
            stopping=stopping,
            job_end=job_end,
            phases=phases,
            begin=request.begin,
        )


def _say_who_decided(agents: int) -> None:
    """One rank for all agents is rarely meant: it may come from another job's variables."""
    from mpidcl.base.rank_variables import launcher
    from mpidcl.launch.job import STATUS_FILE

    found = launcher()
    if found is not None and found.size == 1 and agents > 1 and STATUS_FILE not in os.environ:
        warn(
            f"this one rank runs all {agents} agents, because {found.named} says that mpiexec started"
            f" it alone. `-n {agents}` starts one rank per agent all the same."
        )
