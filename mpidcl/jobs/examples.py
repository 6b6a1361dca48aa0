"""The scripts in `pbs/` and `slurm/`, written anew: `python -m mpidcl.jobs.examples FOLDER`."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from mpidcl.jobs.plan import Layout
from mpidcl.jobs.script import Job, write

QUICKSTART = Job(
    site="generic",
    name="mpidcl",
    experiment="examples/quickstart.toml",
    environment=".venv",
    layout=Layout(nodes=1, per_node=4, ranks=4),
    threads=1,
    walltime_s=3600,
)


def examples() -> dict[str, str]:
    """Text of each script, by its path in the repository."""
    sites = ("generic", "polaris", "aurora", "derecho")
    jobs = {f"pbs/{site}.pbs": replace(QUICKSTART, site=site) for site in sites}
    jobs["pbs/sweep_array.pbs"] = replace(QUICKSTART, seeds="0-4")
    jobs["slurm/generic.sbatch"] = replace(QUICKSTART, site="slurm")
    jobs["slurm/sweep_array.sbatch"] = replace(QUICKSTART, site="slurm", seeds="0-4")
    return {path: write(job) for path, job in jobs.items()}


if __name__ == "__main__":
    for name, text in examples().items():
        file = Path(sys.argv[1]) / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text, encoding="utf-8")
