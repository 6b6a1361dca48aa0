"""`python -m mpidcl.reproduce emgd`: compare methods on streams of parallel continual learning.

Examples:

  scripts/reproduce emgd --quick                                       minutes, small
  scripts/reproduce emgd --datasets emnist --seeds 1234 --label-sets 0
  scripts/reproduce emgd --datasets emnist --memory 5,50               two sizes of the memory, side by side
  scripts/reproduce emgd --list                                        one command per line, for a cluster
  scripts/reproduce emgd --tables                                      tables of what is there

Exit status: 0 done, 2 wrong input, 70 a run failed, 75 stopped: the same command goes on.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from mpidcl.errors import ExperimentError
from mpidcl.reproduce.arguments import add_running, check_running, numbers, words
from mpidcl.reproduce.command import carry_out, folder_of, written
from mpidcl.reproduce.emgd.methods import GROUPS, METHODS
from mpidcl.reproduce.emgd.plan import Asked, places, plan
from mpidcl.reproduce.emgd.streams import MODES, NUMBERS, PUBLISHED, SEEDS, STREAMS, data_sets
from mpidcl.reproduce.plan import Planned, missing_data


def parsed(arguments: Sequence[str]) -> argparse.Namespace:
    """What these arguments ask for, `emgd` not among them. A mistake ends the process with status 2."""
    return _parser().parse_args(arguments)


def reproduce(asked: argparse.Namespace) -> int:
    """Exit status of the command."""
    _check(asked)
    out = folder_of(asked, "emgd")
    return carry_out(asked, _planned(asked, out), out, lambda: _write(out, asked.examples))


def _check(asked: argparse.Namespace) -> None:
    check_running(asked, "examples/emgd")
    if asked.memory and 0 in asked.memory:
        raise ExperimentError("--memory should be at least 1 row per class. Found 0")
    wrong = [mode for mode in asked.modes or () if mode not in MODES]
    if wrong:
        raise ExperimentError(f"--modes should be of {', '.join(MODES)}. Found {wrong[0]}")


def _planned(asked: argparse.Namespace, out: Path) -> list[Planned]:
    most = 1 if asked.quick else None
    wanted = Asked(
        asked.datasets or _usual_datasets(asked.quick, asked.split),
        asked.modes or MODES,
        places(
            asked.label_sets or NUMBERS[:most],
            asked.timelines or NUMBERS[:most],
            asked.seeds or SEEDS[:most],
        ),
        asked.methods,
        asked.quick,
        asked.split,
        tuple(asked.set),
        asked.memory,
    )
    return plan(wanted, asked.examples, out)


def _usual_datasets(quick: bool, split: str | None) -> list[str]:
    """Of a quick look: EMNIST where files of it are, else digits, which need none."""
    if not quick:
        return list(PUBLISHED)
    name, part = (value.partition("=")[2] for value in data_sets("emnist", split))
    return ["digits"] if missing_data("emnist", {"split": name, "part": part}) else ["emnist"]


def _write(out: Path, examples: Path) -> list[str]:
    """Tables of what is there; nothing where nothing is."""
    from mpidcl.reproduce.emgd.found import find
    from mpidcl.reproduce.emgd.page import short_lines, write_page

    found = find(out, examples)
    if not found.outcomes:
        return []
    return written(short_lines(found), write_page(found, out), "numbers.csv, runs.csv and numbers.json")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/reproduce emgd", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    add = parser.add_argument
    add("--quick", action="store_true", help="small: one place, few steps, EMNIST or digits")
    add("--datasets", type=words, metavar="A,B", help=f"of {', '.join(STREAMS)}; default: all but digits")
    add("--modes", type=words, metavar="A,B", help="of class, task; default: both")
    add("--methods", type=words, metavar="NAMES", help=f"of {', '.join(METHODS)};\nor {', '.join(GROUPS)}")
    add("--label-sets", type=numbers, metavar="0,1,2", help="which classes go to which task (0-2)")
    add("--timelines", type=numbers, metavar="0,1,2", help="when tasks start (0-2)")
    memory = "rows per class that are remembered, each beside the others; default: as published"
    add("--memory", type=numbers, metavar="5,50", help=memory)
    add("--seeds", type=numbers, metavar="1234,1235", help="or 1234-1236, which is the default")
    add("--split", metavar="SPLIT", help="of EMNIST: byclass, or bymerge:test for its test files alone")
    add("--out", type=Path, metavar="FOLDER", help="default: runs/reproduce-emgd, or -emgd-quick")
    add_running(parser, "examples/emgd")
    return parser
