#!/usr/bin/env python
"""Do results stay what they were? Small experiments, here and on another commit, compared bit for bit.

python scripts/unchanged.py [COMMIT] [--only NAME,...] [--ways alone,resumed,...] [--but results,...]

Every experiment runs once on the commit, in one process. Here it runs in one process, stopped after a task
and gone on with, and over MPI on 2 and 3 ranks. All of them must agree in the digest, in summary.json (but
for times and memory), in the journals and in what results.h5 holds (but for times), whatever its format; in
one process also in what `mpidcl check` and `mpidcl report` say, which takes most of the time (`--but
check,report`: left out). Exit status 1: something differs.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from unchanged_runs.cases import ALL, ALONE, CASES, RESUMED, Case
from unchanged_runs.traces import of_run, of_words, said
from word_lists import listed

ROOT = Path(__file__).parents[1]
PARTS = ("digest", "summary", "journals", "results", "check", "report")
Trace = dict[str, str]


def environment(root: Path) -> dict[str, str]:
    """The environment in which the code of `root` runs."""
    return {**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{root / 'kernels'}"}


def trace(case: Case, way: str, root: Path, folder: Path, words_too: bool) -> Trace:
    """What the experiment leaves when it runs in some way on the code of `root`; `words_too`: and says."""
    place = folder / way.replace(" ", "-") / case.name
    place.mkdir(parents=True)
    around, file = environment(root), case.write(place, root)
    words = ["run", str(file), "-q", "--out", "run"]
    words += ["-n", way.split()[0]] if way.endswith("ranks") else ["--driver", "inprocess"]
    try:
        if way == RESUMED:
            said([*words, "--until", "1 task"], place, around, wanted=75)
        said(words, place, around)
        found = of_run(place / "run")
        if way == ALONE and words_too:
            found |= of_words(place / "run", file, around)
    except RuntimeError as error:
        return {"failed": str(error)}
    shutil.rmtree(place)
    return found


@contextmanager
def other(commit: str, folder: Path) -> Iterator[Path]:
    """The code of a commit."""
    tree = folder / "code"
    git = ["git", "-C", str(ROOT), "worktree"]
    subprocess.run([*git, "add", "--detach", "--quiet", str(tree), commit], check=True)
    try:
        yield tree
    finally:
        subprocess.run([*git, "remove", "--force", str(tree)], check=False)


def traces(
    jobs: list[tuple[Case, str]], root: Path, folder: Path, at_once: int, words_too: bool = True
) -> Iterator[Trace]:
    """The traces of all jobs, in their order."""
    with ThreadPoolExecutor(at_once) as pool:
        yield from pool.map(lambda job: trace(job[0], job[1], root, folder, words_too), jobs)


def before(asked: argparse.Namespace, cases: list[Case], folder: Path) -> dict[str, Trace]:
    """What the commit gives; kept in a file, for the next time."""
    name = subprocess.run(
        ["git", "-C", str(ROOT), "rev-parse", "--short=12", asked.commit],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    kept = asked.keep / f"{name}.json" if asked.keep else None
    known: dict[str, Trace] = json.loads(kept.read_text()) if kept and kept.exists() else {}
    jobs = [(case, ALONE) for case in cases if case.name not in known]
    if jobs:
        with other(asked.commit, folder) as tree:
            for (case, _), found in zip(
                jobs, traces(jobs, tree, folder / "before", asked.at_once), strict=True
            ):
                print(f"{name}: {case.name}", flush=True)
                known[case.name] = found
        if kept:
            kept.parent.mkdir(parents=True, exist_ok=True)
            whole = {name: found for name, found in known.items() if "failed" not in found}
            kept.write_text(json.dumps(whole, indent=1))
    return known


def differences(was: Trace, found: Trace, but: Collection[str]) -> list[str]:
    """The parts in which two traces differ."""
    if "failed" in was or "failed" in found:
        return [found.get("failed", was.get("failed", ""))]
    return [part for part in found if part not in but and found[part] != was.get(part)]


def arguments() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add, names = parser.add_argument, [case.name for case in CASES]
    add("commit", nargs="?", default="HEAD", help="with what to compare; default: HEAD")
    add("--only", type=listed(names), default=names, metavar="NAME,...", help=f"of {', '.join(names)}")
    add("--ways", type=listed(ALL), default=list(ALL), metavar="WAY,...", help=f"of {', '.join(ALL)}")
    add(
        "--but", type=listed(PARTS), default=[], metavar="PART,...", help=f"may differ: of {', '.join(PARTS)}"
    )
    add("--at-once", type=int, default=os.cpu_count(), help="experiments at a time; default: one per core")
    add("--keep", type=Path, metavar="FOLDER", help="keep what commits give there, and take it from there")
    return parser.parse_args()


def main() -> int:
    """Compare all experiments, and say what differs."""
    asked = arguments()
    cases = [case for case in CASES if case.name in asked.only]
    folder = Path(tempfile.mkdtemp(prefix="unchanged-"))
    bad = 0
    jobs = [(case, way) for way in ALL if way in asked.ways for case in cases if way in case.ways]
    if not jobs:
        raise SystemExit("Nothing to compare: none of these experiments runs in any of these ways")
    try:
        was = before(asked, cases, folder)
        words_too = not {"check", "report"} <= set(asked.but)
        found_now = traces(jobs, ROOT, folder / "now", asked.at_once, words_too)
        for (case, way), found in zip(jobs, found_now, strict=True):
            differs = differences(was[case.name], found, asked.but)
            bad += bool(differs)
            print(
                f"{case.name}, {way}: {'differs: ' + ', '.join(differs) if differs else 'same'}", flush=True
            )
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(
        f"{bad} of {len(jobs)} runs differ from {asked.commit}"
        if bad
        else f"all {len(jobs)} runs are the same"
    )
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
