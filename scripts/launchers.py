#!/usr/bin/env python
"""How a run starts, ends, fails and stops under launchers: status, seconds, processes left, digest.

python scripts/launchers.py [--launch "srun -n 2"]... [--submit "slurm --nodes 2"]... [--emulate nodes,slurm]

Every cell is a real run of a tiny experiment: exit status, and seconds from the event (or the start) to the
end. A run that was stopped is gone on with, and has to end with the bits of one process. Marked are a status
that `mpidcl run` would not give (`!`; launchers have statuses of their own), processes that were left, and
another digest; the exit status of this script is 1 where there is any of these.

The last rank is the one that raises or is killed: where there are several nodes, it is not on the first.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Generator
from contextlib import closing
from pathlib import Path

from under_launchers import clusters, events, jobs
from under_launchers.events import NOT_FOR_IT
from under_launchers.place import EXPERIMENT, PACED, Cell, Launcher, Place, in_one_process
from word_lists import listed

from mpidcl.launch.mpiexec import find_mpiexec, settings

EVENTS = list(events.EVENTS | jobs.EVENTS)
WANTED = {"run": 0, "wrong file": 2, "rank raises": 70, "rank killed": 70, "node lost": 70}
WANTED |= {"requeue": 0, "array": 0, "chain": 0}
"""The exit status that `mpidcl run` and its job scripts give, if not 75."""
CLUSTERS = {"nodes": clusters.two_nodes, "apart": clusters.apart, "slurm": clusters.slurm}
"""What --emulate can bring up."""


def launchers(asked: argparse.Namespace, folder: Path) -> Generator[Launcher, None, None]:
    """The launchers that were asked for, one after the other; a cluster lives as long as its launchers."""
    for words in asked.launch:
        yield Launcher(f"`{words}`", tuple(shlex.split(words)))
    for words in asked.submit:
        batch, *options = shlex.split(words)
        yield jobs.Batch(f"`mpidcl {words}`", batch=batch, options=tuple(options))
    for name in asked.emulate:
        with CLUSTERS[name](folder, asked.ranks) as made:
            yield from made
    if not (asked.launch or asked.submit or asked.emulate):
        n = str(asked.ranks)
        yield Launcher("`mpidcl run -n`", (), ("-n", n))
        with tempfile.TemporaryDirectory(prefix="mpi-") as session:  # a short path, for sockets
            found = find_mpiexec()
            given = settings(found, 1, Path(session), os.environ)
            yield Launcher("`mpiexec`", (found.path, "-n", n), environment=given)


def table(rows: list[tuple[str, str, Cell]]) -> str:
    """The cells as a table of Markdown: an event per line, a launcher per column."""
    names = list(dict.fromkeys(launcher for launcher, _, _ in rows))
    found = {(launcher, event): cell.shown(WANTED.get(event, 75)) for launcher, event, cell in rows}
    tried = [event for event in EVENTS if any(event == name for _, name, _ in rows)]
    lines = [["event", *names], ["---"] * (len(names) + 1)]
    lines += [[event, *(found.get((launcher, event), NOT_FOR_IT) for launcher in names)] for event in tried]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def arguments() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add(
        "--launch",
        action="append",
        default=[],
        metavar="WORDS",
        help="a launcher; again for each further one",
    )
    add(
        "--submit",
        action="append",
        default=[],
        metavar="WORDS",
        help='job scripts of `mpidcl WORDS`, as "slurm --nodes 2 --queue debug" or "pbs --site polaris"',
    )
    add(
        "--emulate",
        type=listed(CLUSTERS),
        default=[],
        metavar="CLUSTER,...",
        help="two nodes on this machine: nodes, apart (the launcher on a third one), slurm (srun, salloc,"
        " sbatch; installs Debian's packages beside the system). As root",
    )
    add("--ranks", type=int, default=2, help="agents of the experiment, and ranks of `-n`; default: 2")
    add("--only", type=listed(EVENTS), default=EVENTS, metavar="EVENT,...", help=f"of {', '.join(EVENTS)}")
    add("--folder", type=Path, default=Path.cwd(), help="where all nodes can write; default: here")
    add("--out", type=Path, help="write the table there, too")
    add("--verbose", action="store_true", help="show what every run has said")
    asked = parser.parse_args()
    if unknown := [words for words in asked.submit if words.split()[:1] not in (["slurm"], ["pbs"])]:
        parser.error(f"--submit should begin with slurm or pbs. Found {unknown[0]!r}")
    return asked


def tried(asked: argparse.Namespace, folder: Path) -> Generator[tuple[str, str, Cell], None, None]:
    """Every event under every launcher that has it: (launcher, event, what it gave)."""
    (folder / "tiny.toml").write_text(EXPERIMENT.format(agents=asked.ranks))
    (folder / "paced.py").write_text(PACED)
    digest = in_one_process(folder)
    with closing(launchers(asked, folder)) as all_of_them:
        for launcher in all_of_them:
            known = jobs.EVENTS if isinstance(launcher, jobs.Batch) else events.EVENTS
            for name in (name for name in EVENTS if name in asked.only and name in known):
                shutil.rmtree(folder / "runs", ignore_errors=True)
                yield launcher.name, name, one_cell(known[name], Place(folder, launcher, digest))


def one_cell(event: events.Event, place: Place) -> Cell:
    """What the event gives, or why it could not be seen; nothing of it is left running."""
    try:
        return event(place)
    except (OSError, RuntimeError, subprocess.SubprocessError) as error:
        return Cell(said=traceback.format_exc(), why_not=f"**could not be tried: {error}**")
    except BaseException:
        place.close()
        raise


def main() -> int:
    """Try every event under every launcher."""
    asked = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped by SIGTERM"))
    folder = Path(tempfile.mkdtemp(prefix="launchers-", dir=asked.folder))
    rows = []
    try:
        with closing(tried(asked, folder)) as cells:
            for launcher, name, cell in cells:
                rows.append((launcher, name, cell))
                print(f"{launcher}: {name}: {cell.shown(WANTED.get(name, 75))}", flush=True)
                if asked.verbose:
                    print(cell.said, flush=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    text = table(rows)
    print(f"\n{text}")
    if asked.out is not None:
        asked.out.write_text(text + "\n")
    return 0 if all(cell.is_right(WANTED.get(name, 75)) for _, name, cell in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
