"""`mpidcl pbs` and `mpidcl slurm`: write a job script for an experiment."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from mpidcl.commands.common import ExperimentFile, Sets, look_beside, path_word
from mpidcl.errors import ExperimentError, OutputError

PBS_EXAMPLES = """Examples:

mpidcl pbs big.toml > big.pbs

mpidcl pbs big.toml --site polaris --account MyProject --nodes 2 --walltime "55 min"

mpidcl pbs big.toml --seeds 0-7 --resubmit 5 --out sweep.pbs

Then look for EDIT in the file, and: qsub big.pbs"""
SLURM_EXAMPLES = """Examples:

mpidcl slurm big.toml > big.sbatch

mpidcl slurm big.toml --nodes 2 --ranks-per-node 8 --walltime "2 h" --queue long

mpidcl slurm big.toml --seeds 0-7 --resubmit 5 --out sweep.sbatch

Then look for EDIT in the file, and: sbatch big.sbatch"""


class PbsSite(StrEnum):
    """Machines with PBS whose demands are known."""

    generic = "generic"
    polaris = "polaris"
    aurora = "aurora"
    derecho = "derecho"


Out = Annotated[Path | None, typer.Option(metavar="FILE", help="Default: standard output.")]
Nodes = Annotated[int | None, typer.Option(metavar="N", min=1, help="Default: what the ranks need.")]
RanksPerNode = Annotated[
    int | None, typer.Option(metavar="N", min=1, help="Default: one rank per agent, spread over the nodes.")
]
Walltime = Annotated[str, typer.Option(metavar="TIME", help='Such as "55 min", "2 h" or 01:30:00.')]
Account = Annotated[str | None, typer.Option(metavar="NAME", help="Who pays for the job.")]
Queue = Annotated[
    str | None, typer.Option("--queue", "--partition", metavar="NAME", help="Queue, or Slurm's partition.")
]
Resubmit = Annotated[
    int, typer.Option(metavar="N", min=0, help="How often an unfinished job goes on in another one.")
]
Seeds = Annotated[
    str | None, typer.Option(metavar="FIRST-LAST", help="An array: one job for each of these seeds.")
]


@dataclass(frozen=True)
class Asked:
    """What the command line says of the job, beside the experiment."""

    nodes: int | None
    ranks_per_node: int | None
    walltime: str
    account: str | None
    queue: str | None
    resubmit: int
    seeds: str | None


def pbs(
    file: ExperimentFile,
    sets: Sets = None,
    out: Out = None,
    site: Annotated[PbsSite, typer.Option(help="Whose demands to meet.")] = PbsSite.generic,
    nodes: Nodes = None,
    ranks_per_node: RanksPerNode = None,
    walltime: Walltime = "1 h",
    account: Account = None,
    queue: Queue = None,
    resubmit: Resubmit = 0,
    seeds: Seeds = None,
) -> None:
    """Write a PBS job script for an experiment.

    The script is one file of its own: edit it, keep it, send it. It goes
    on with the run when it is submitted again. What is not known stays
    marked with EDIT.
    """
    asked = Asked(nodes, ranks_per_node, walltime, account, queue, resubmit, seeds)
    _give(_script(file, sets or [], site.value, asked), out)


def slurm(
    file: ExperimentFile,
    sets: Sets = None,
    out: Out = None,
    nodes: Nodes = None,
    ranks_per_node: RanksPerNode = None,
    walltime: Walltime = "1 h",
    account: Account = None,
    queue: Queue = None,
    resubmit: Resubmit = 0,
    seeds: Seeds = None,
) -> None:
    """Write a Slurm job script for an experiment.

    The script is one file of its own: edit it, keep it, send it. It goes
    on with the run when it is submitted again. What is not known stays
    marked with EDIT.
    """
    asked = Asked(nodes, ranks_per_node, walltime, account, queue, resubmit, seeds)
    _give(_script(file, sets or [], "slurm", asked), out)


def _script(file: Path, sets: list[str], site: str, asked: Asked) -> str:
    from mpidcl.experiment.reading import load
    from mpidcl.jobs import plan
    from mpidcl.jobs.script import Job, write
    from mpidcl.jobs.sites import SITES

    look_beside(file)
    experiment = load(file, sets)
    threads = experiment.learning.threads
    layout = plan.layout(experiment.agents, asked.nodes, asked.ranks_per_node, SITES[site].cores, threads)
    return write(
        Job(
            site=site,
            name=plan.job_name(experiment.name),
            experiment=_shown(file),
            environment=sys.prefix,
            layout=layout,
            threads=threads,
            walltime_s=plan.walltime_s(asked.walltime),
            options=[word for text in sets for word in ("--set", text)],
            resubmit=asked.resubmit,
            account=asked.account and plan.word(asked.account, "--account"),
            queue=asked.queue and plan.word(asked.queue, "--queue"),
            seeds=asked.seeds and plan.seeds(asked.seeds),
        )
    )


def _shown(file: Path) -> str:
    """The file's name as a line of a script can hold it."""
    text = path_word(file)
    if not text.isprintable():
        raise ExperimentError(f"A file for a job should have a name of visible characters. Found {text!r}")
    return text


def _give(text: str, out: Path | None) -> None:
    if out is None:
        print(text, end="")
        return
    if out.exists():
        raise OutputError(f"--out should be a new file. `{out}` is there, and may have been edited by hand")
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"`{out}` cannot be written: {error.strerror or error}") from error
    out.chmod(0o755)
    print(f"{out}: look for EDIT in it, then submit it")
