"""A batch system that starts nothing: job scripts run in bash, and every program they call is a stand-in.

Each stand-in notes its words in a file of its name. The ranks do what `ranks` says, a piece of bash.
"""

from __future__ import annotations

import os
import subprocess
import time
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

LIMIT_S = 300
"""For anything that is waited for: the machine may be busy."""
SAVE = 'cut=runs/tiny/checkpoints/00$RANDOM; mkdir -p $cut; touch $cut/manifest.json; echo "ranks saved"'
STOP_IN_ORDER = f"trap '{SAVE}; exit 75' USR1; touch running; while :; do sleep 0.05; done"
"""Ranks as ours: they run until USR1 comes, save and leave with 75."""
NOTE = '#!/bin/bash\nfor word; do printf "%s\\n" "$word"; done >>"$NOTES/{name}"\n'


@dataclass
class Batch:
    """One job after the other in `folder`; `variables` are those of the batch system and of its user."""

    folder: Path
    script: Path
    variables: dict[str, str]
    ranks: str = "exit 0"
    notes: Path = field(init=False)

    def __post_init__(self) -> None:
        self.notes = self.folder.parent / "notes"
        programs = self.folder.parent / "programs" / "bin"
        for folder in (self.notes, programs, self.folder):
            folder.mkdir(exist_ok=True, parents=True)
        run = NOTE + 'source "$NOTES/ranks.sh"\n'
        tell = NOTE + 'cat "$NOTES/{name}.says" 2>/dev/null\n'
        ours = NOTE + 'case "$*" in *-m\\ mpidcl.commands.before*) printf "4\\nruns/tiny\\n" ;; esac\n'
        submit = NOTE + 'env >"$NOTES/qsub.env"; cat >"$NOTES/qsub.stdin"; echo 1235.server\n'
        texts = {"mpiexec": run, "srun": run, "qstat": tell, "squeue": tell, "python3": ours, "qsub": submit}
        for name, text in (texts | {"scontrol": NOTE, "module": "#!/bin/sh\n"}).items():
            (programs / name).write_text(text.replace("{name}", name))
            (programs / name).chmod(0o755)
        self.variables = {
            "PATH": f"{programs}:{os.environ['PATH']}",
            "HOME": str(self.folder),
            "USER": "nobody",
            "NOTES": str(self.notes),
            "VENV": str(programs.parent),
            "EXPERIMENT": "tiny.toml",
        } | self.variables
        (self.folder / "tiny.toml").write_text("")

    def start(self, **variables: str) -> subprocess.Popen[str]:
        """The job, as the batch system starts it: a copy of the script, from another folder."""
        (self.notes / "ranks.sh").write_text(self.ranks)
        spooled = self.notes / "1234.SC"
        spooled.write_text(self.script.read_text())
        return subprocess.Popen(
            ["bash", str(spooled)],
            env=self.variables | variables,
            cwd="/",
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, **variables: str) -> tuple[int, str]:
        """Status and output of a job that nobody stops."""
        job = self.start(**variables)
        out, _ = job.communicate(timeout=LIMIT_S)
        return job.returncode, out

    def stop(self, number: int, **variables: str) -> tuple[int, str]:
        """Status and output of a job that gets a signal while its ranks run."""
        job = self.start(**variables)
        wait_for(self.folder / "running", job)
        job.send_signal(number)
        out, _ = job.communicate(timeout=LIMIT_S)
        return job.returncode, out

    def words(self, program: str) -> list[str] | None:
        """What a program was called with; None: it was not."""
        file = self.notes / program
        return file.read_text().split("\n")[:-1] if file.exists() else None


def wait_for(file: Path, job: subprocess.Popen[str]) -> None:
    """Until `file` is there; an error where the job ends before."""
    began = time.monotonic()
    while not file.exists():
        assert job.poll() is None and time.monotonic() - began < LIMIT_S, job.stdout and job.stdout.read()
        time.sleep(0.02)


def pbs(folder: Path, script: Path, nodes: str = "n1\nn1\nn2\nn2\n") -> Batch:
    """A job of PBS, submitted a minute ago, with an hour to go."""
    variables = {"PBS_JOBID": "1234.server", "PBS_O_WORKDIR": str(folder), "ENVIRONMENT": "BATCH"}
    batch = Batch(folder, script, variables | {"PBS_NODEFILE": str(folder.parent / "nodes")})
    (folder.parent / "nodes").write_text(nodes)
    tell(batch, 3600)
    return batch


def slurm(folder: Path, script: Path) -> Batch:
    """The same of Slurm."""
    variables = {"SLURM_JOB_ID": "1234", "SLURM_SUBMIT_DIR": str(folder), "ENVIRONMENT": "BATCH"}
    batch = Batch(folder, script, variables | {"SLURM_JOB_NUM_NODES": "2", "SLURM_NTASKS": "4"})
    tell(batch, 3600)
    return batch


def tell(batch: Batch, walltime_s: int, began_s: int = 0) -> None:
    """What qstat and squeue say: submitted a minute ago, begun `began_s` from now, for `walltime_s`."""
    submitted, ends = (datetime.fromtimestamp(time.time() + s) for s in (-60, began_s + walltime_s))
    walltime = f"{walltime_s // 3600:02}:{walltime_s // 60 % 60:02}:{walltime_s % 60:02}"
    (batch.notes / "qstat.says").write_text(
        f"Job Id: 1234.server\n    qtime = {submitted:%a %b %e %H:%M:%S %Y}\n"
        f"    Resource_List.walltime = {walltime}\n    stime = {time.ctime(time.time() + began_s)}\n"
    )
    (batch.notes / "squeue.says").write_text(f"{submitted:%FT%T} {ends:%FT%T}\n")
