"""Writing a job script: directives and values first, then what all scripts have in common."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files

from mpidcl.jobs.plan import Layout, clock_text
from mpidcl.jobs.sites import EDIT, SITES, Site

PREFIX = {"pbs": "#PBS ", "slurm": "#SBATCH "}
SUBMIT = {"pbs": "qsub", "slurm": "sbatch"}
GIVE = {"pbs": "qsub -v NAME=VALUE", "slurm": "sbatch --export=ALL,NAME=VALUE"}
WARN_S, WARN_FROM_S = 120, 1800
"""Slurm's warning before the end, which may come a minute early: only to jobs that are long enough."""


@dataclass(frozen=True)
class Job:
    """What a script is written for. `account`, `queue`, `seeds`: None where they are not given."""

    site: str
    name: str
    experiment: str
    environment: str
    layout: Layout
    threads: int
    walltime_s: int
    options: Sequence[str] = ()
    resubmit: int = 0
    account: str | None = None
    queue: str | None = None
    seeds: str | None = None


def write(job: Job) -> str:
    """The job script, as text."""
    site = SITES[job.site]
    parts = (_directives(job, site), _values(job, site), _start(site))
    text = "\n\n".join("\n".join(part) for part in parts)
    return f"{text}\n\n{_common(site.batch)}\n{_common('body')}"


def _common(name: str) -> str:
    return files("mpidcl.jobs").joinpath("templates", f"{name}.sh").read_text(encoding="utf-8")


def _directives(job: Job, site: Site) -> Iterator[str]:
    """The head: nothing but directives between the first and the last, since sites ask for that."""
    prefix, submit = PREFIX[site.batch], SUBMIT[site.batch]
    yield "#!/bin/bash -l"
    yield f"# A job of mpidcl on {site.title}."
    yield f"# Change what is marked {EDIT}, then: {submit} FILE.  More: {site.batch}/README.md of mpidcl."
    for text in _options(job, site):
        yield prefix + text
    yield f"# {EDIT} the lines above. A comment must stay below them."
    for note in site.notes:
        yield f"# {note}"


def _options(job: Job, site: Site) -> Iterator[str]:
    pbs = site.batch == "pbs"
    yield f"-N {job.name}" if pbs else f"--job-name={job.name}"
    account, queue = job.account or site.account, job.queue or site.queue
    if account:
        yield f"-A {account}" if pbs else f"--account={account}"
    if queue:
        yield f"-q {queue}" if pbs else f"--partition={queue}"
    numbers = {
        "nodes": job.layout.nodes,
        "per_node": job.layout.per_node,
        "threads": job.threads,
        "cpus": job.layout.per_node * job.threads,
    }
    yield f"-l walltime={clock_text(job.walltime_s)}" if pbs else f"--time={clock_text(job.walltime_s)}"
    resources = [line.format_map(numbers) for line in site.resources]
    yield from (line.replace("%x-%j", "%x-%A_%a") if job.seeds else line for line in resources)
    if pbs:
        yield "-r y"
    elif job.walltime_s >= WARN_FROM_S:
        yield f"--signal=B:USR1@{WARN_S}"
    if job.seeds:
        yield f"-J {job.seeds}" if pbs else f"--array={job.seeds}"


def _values(job: Job, site: Site) -> Iterator[str]:
    yield f"# {EDIT} the values. A variable that was given with `{GIVE[site.batch]}` wins."
    yield from (
        _value("EXPERIMENT", job.experiment, "the experiment file, from the folder of the submission"),
        f"{f'options=({shlex.join(job.options)})':<42} # for `mpidcl run`: --set seed=1 --out 'my run'",
        _value("OPTIONS", "", "further words, without blanks inside one"),
        _value("VENV", job.environment, "a venv or conda environment with mpidcl, seen by all nodes"),
        _value("RESUBMIT", str(job.resubmit), "how often an unfinished job may go on in another one"),
        _value("RANKS", "", "MPI ranks; without a number as many as there are agents and room for"),
        _value(
            "RANKS_PER_NODE",
            "" if site.told else str(job.layout.per_node),
            "only where the node file has one line per node",
        ),
        _value("THREADS", str(job.threads), "of each rank, as learning.threads of the experiment"),
        _value("GPUS", site.gpus, 'a node\'s GPUs in the order of its ranks ("0 1 2 3"); none: CPUs'),
    )


def _value(name: str, default: str, meaning: str) -> str:
    quoted = shlex.quote(default) if default else ""
    return f"{f'{name}=${{{name}:-{quoted}}}':<42} # {meaning}"


def _start(site: Site) -> Iterator[str]:
    yield f"# {EDIT} what the site needs, and how it starts ranks (`exec`: signals go to the launcher)."
    yield from site.setup
    yield f'launch() {{ exec {site.launch} "$@"; }}'
