"""Job scripts of a batch system as a launcher, and what is done to jobs: slices, arrays, chains, STOP."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from under_launchers import events
from under_launchers.place import LIMIT_S, Cell, Launcher, Place, digest_of, in_one_process

SLICE = "1 min"
"""Time limit of jobs that are not to get to their end; Slurm counts in minutes."""
LONG = "20 min"
"""Time limit of all others."""
SLOW = "1"
"""Seconds per step with which the experiment needs more than one SLICE."""
NO_MORE = "no other job goes on"
"""What a script says where a STOP file has ended its chain."""


@dataclass(frozen=True)
class System:
    """How a batch system is spoken to. `wait`: submit, wait for the end, and give the job's exit status."""

    wait: str
    submit: str
    after_not_ok: str
    jobs: str
    cancel: str
    warn: str


SYSTEMS = {
    "slurm": System(
        wait="sbatch --wait",
        submit="sbatch --parsable",
        after_not_ok="sbatch --parsable --kill-on-invalid-dep=yes --dependency=afternotok:",
        jobs="squeue -h -o %A --me --name=tiny",
        cancel="scancel ",
        warn="scancel --batch --signal=USR1 ",
    ),
    "pbs": System(
        wait="qsub -V -W block=true",
        submit="qsub -V",
        after_not_ok="qsub -V -W depend=afternotok:",
        jobs='qselect -u "$USER" -N tiny',
        cancel="qdel ",
        warn="",
    ),
}
"""By the command of mpidcl that writes the script. An empty command: there is no such thing."""


@dataclass(frozen=True)
class Batch(Launcher):
    """Jobs of `mpidcl slurm tiny.toml OPTIONS`, or `pbs`; `words` lead to the node where one submits."""

    batch: str = "slurm"
    options: tuple[str, ...] = ()

    @property
    def system(self) -> System:
        """How it is spoken to."""
        return SYSTEMS[self.batch]

    def command(self, *words: str) -> list[str]:
        """Submit a job of `mpidcl run tiny.toml WORDS`, and wait for its end."""
        return self.job(*words)

    def job(self, *words: str, walltime: str = LONG, submit: str | None = None, **options: str) -> list[str]:
        """Write a job script, with more `options`, and submit it; `submit`: without waiting."""
        given = shlex.quote(" ".join(words))  # a word of OPTIONS has no blanks
        script = self.script("job.sh", walltime, **options)
        return self.line(f"{script} && OPTIONS={given} {submit or self.system.wait} job.sh")

    def script(self, file: str, walltime: str, **options: str) -> str:
        """The command line that writes a job script."""
        more = [word for name, value in options.items() for word in (f"--{name}", value)]
        write = [sys.executable, "-m", "mpidcl", self.batch, "tiny.toml", "--walltime", walltime]
        return f"{shlex.join([*write, *self.options, *more])} >{file}"

    def line(self, text: str) -> list[str]:
        """A command line of the shell, on the node where one submits."""
        return [*self.words, "bash", "-c", text]

    def ended(self, folder: Path, status: int | None) -> tuple[int | None, str]:
        """The exit status of the last script, and the logs of all jobs."""
        said = "".join(path.read_text(errors="replace") for path in self.logs(folder))
        found = statuses(said)
        return found[-1] if found else status, said

    def clear(self, folder: Path) -> None:
        """Remove what earlier jobs have said."""
        for path in self.logs(folder):
            path.unlink()

    def logs(self, folder: Path) -> list[Path]:
        """What jobs have said, in the order of their submission."""
        found = [path for path in folder.glob("tiny*") if path.suffix != ".toml" and path.is_file()]
        return sorted(found, key=lambda path: (len(path.name), path.name))

    def ids(self, folder: Path) -> list[str]:
        """The numbers of this user's jobs of that name. Raises RuntimeError: the system does not answer."""
        for _ in range(5):
            asked = subprocess.run(
                self.line(self.system.jobs), cwd=folder, capture_output=True, text=True, check=False
            )
            if asked.returncode == 0:
                return asked.stdout.split()
            time.sleep(2.0)
        raise RuntimeError(f"`{self.system.jobs}` ended with {asked.returncode}: {asked.stderr}")

    def cancel(self, folder: Path) -> None:
        """Cancel this user's jobs of that name."""
        for number in self.ids(folder):
            subprocess.run(self.line(f"{self.system.cancel}{number}"), cwd=folder, check=False)

    def until_done(self, place: Place) -> None:
        """Wait until no job is left, nor has been put back into the queue."""
        limit, quiet = time.monotonic() + 2 * LIMIT_S, 0
        while quiet < 3 and time.monotonic() < limit:
            quiet = 0 if self.ids(place.folder) else quiet + 1
            time.sleep(1.0)
        if quiet < 3:
            self.cancel(place.folder)


def statuses(said: str) -> list[int]:
    """How the jobs whose logs these are have ended."""
    return [int(found) for found in re.findall(r"^job \S+: ended with status (\d+)", said, re.MULTILINE)]


def batch_of(place: Place) -> Batch:
    """The launcher, which is a batch system."""
    if not isinstance(place.launcher, Batch):
        raise TypeError(f"{place.launcher.name} is no batch system")
    return place.launcher


def limit(place: Place) -> Cell:
    """The job's time is over before the run is done."""
    command = batch_of(place).job(walltime=SLICE)
    return place.went_on(place.end(place.start_command(command, SLOW), time.monotonic()))


def requeue(place: Place) -> Cell:
    """Jobs of one SLICE each go on by themselves until the run is done."""
    batch = batch_of(place)
    command = batch.job(walltime=SLICE, submit=batch.system.submit, resubmit="9")
    cell = _to_the_end(place, command)
    cell.notes.append(f"{len(statuses(cell.said))} jobs")
    return cell


def array(place: Place) -> Cell:
    """A run for each of two seeds, each with the bits of its own run in one process."""
    command = batch_of(place).job(seeds="0-1")
    cell = place.end(place.start_command(command), time.monotonic())
    found = [digest_of(place.folder / "runs" / f"tiny-seed-{seed}") for seed in (0, 1)]
    wanted = [in_one_process(place.folder, "--set", f"seed={seed}") for seed in (0, 1)]
    cell.digest = found == wanted
    return cell


def chain(place: Place) -> Cell:
    """Three jobs, each to begin only after the one before has not got to the end; the second one does."""
    batch = batch_of(place)
    submit, after = batch.system.submit, batch.system.after_not_ok
    lines = [batch.script("first.sh", SLICE), batch.script("next.sh", LONG), f"one=$({submit} first.sh)"]
    lines += [f"two=$({after}$one next.sh)", f"{after}$two next.sh"]
    cell = _to_the_end(place, batch.line(" && ".join(lines)))
    cell.notes.append(f"statuses {' and '.join(map(str, statuses(cell.said)))}")
    return cell


def _to_the_end(place: Place, command: list[str]) -> Cell:
    """What a command gives that submits jobs which need more than a SLICE, once none of them is left."""
    began = time.monotonic()
    job = place.start_command(command, SLOW)
    job.wait()
    batch_of(place).until_done(place)
    cell = place.end(job, began)
    cell.digest = place.has_digest()
    return cell


def warned(place: Place) -> Cell:
    """The batch system warns the script: it saves, and goes on in another job."""
    if not batch_of(place).system.warn:
        return Cell(why_not=events.NOT_FOR_IT)
    return _told(place, batch_of(place).system.warn, goes_on=True)


def cancelled(place: Place) -> Cell:
    """Somebody cancels the job: it saves if there is time, and no other goes on."""
    return _told(place, batch_of(place).system.cancel, goes_on=False)


def _told(place: Place, command: str, goes_on: bool) -> Cell:
    batch = batch_of(place)
    job = place.start_command(batch.job(submit=batch.system.submit, resubmit="5"), events.PACE)
    job.wait()
    place.learning(None)
    before, began = place.cuts(), time.monotonic()
    for number in batch.ids(place.folder):
        subprocess.run(batch.line(f"{command}{number}"), check=True)
    (place.folder / "pace").write_text("0")
    batch.until_done(place)
    cell = place.end(job, began)
    cell.saved = place.cuts() > before
    found = statuses(cell.said)
    if len(found) > 1:
        cell.status, cell.digest = found[0], place.has_digest()
        said = f"went on by itself: {' and '.join(map(str, found[1:]))}"
        cell.notes.append(said if goes_on else f"**{said}**")
        return cell
    cell.notes += ["**went on by itself no more**"] * goes_on
    return place.went_on(cell)


def stop_file(place: Place) -> Cell:
    """A STOP file is made while a job runs that would go on by itself."""
    batch = batch_of(place)
    command = batch.job("--until", "1task", submit=batch.system.submit, resubmit="5")
    began = time.monotonic()
    job = place.start_command(command, events.PACE)
    job.wait()
    place.learning(None)
    place.run.with_name(f"{place.run.name}.STOP").touch()
    batch.until_done(place)
    cell = place.end(job, began)
    cell.notes.append("no other job" if NO_MORE in cell.said else "**another job**")
    return place.went_on(cell)


EVENTS: dict[str, events.Event] = {
    **{name: events.EVENTS[name] for name in ("run", "resume", "wrong file", "rank raises", "rank killed")},
    "SIGUSR1": warned,
    "SIGTERM": cancelled,
    "time limit": limit,
    "requeue": requeue,
    "array": array,
    "chain": chain,
    "STOP file": stop_file,
}
