"""`python -m mpidcl.reproduce rehearsal`: one replay buffer across all agents, on Split CIFAR-100.

Examples:

  scripts/reproduce rehearsal --quick                 an hour or two on two cores, small
  scripts/reproduce rehearsal --list                  the full scale, one command per line, for a cluster
  scripts/reproduce rehearsal --quick --tables        tables of what is there

Exit status: 0 done, 2 wrong input, 70 a run failed, 75 stopped: the same command goes on.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from mpidcl.reproduce.arguments import add_running, check_running, numbers, words
from mpidcl.reproduce.command import carry_out, folder_of, written
from mpidcl.reproduce.rehearsal.rows import FULL, QUICK, SEEDS, WAYS, chosen, plan


def parsed(arguments: Sequence[str]) -> argparse.Namespace:
    """What these arguments ask for, `rehearsal` not among them. A mistake ends the process with status 2."""
    return _parser().parse_args(arguments)


def reproduce(asked: argparse.Namespace) -> int:
    """Exit status of the command."""
    check_running(asked, "examples/replay")
    out = folder_of(asked, "rehearsal")
    scale = QUICK if asked.quick else FULL
    runs = plan(chosen(asked.only), asked.seeds or SEEDS, scale, asked.set, asked.examples, out)
    return carry_out(asked, runs, out, lambda: _write(out))


def _write(out: Path) -> list[str]:
    """Tables of what is there; nothing where nothing is."""
    from mpidcl.reproduce.rehearsal.found import find
    from mpidcl.reproduce.rehearsal.page import short_lines, write_page

    found = find(out)
    if not found.outcomes:
        return []
    return written(short_lines(found), write_page(found, out), "numbers.csv and a figure")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/reproduce rehearsal",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    add = parser.add_argument
    add("--quick", action="store_true", help="small: few rows, a narrow net, 8 epochs")
    add("--only", type=words, metavar="ROWS", help=f"of {', '.join(WAYS)}; default: all")
    add("--seeds", type=numbers, metavar="0,1,2", help="or 0-2, which is the default")
    add("--out", type=Path, metavar="FOLDER", help="default: runs/reproduce-rehearsal, or -rehearsal-quick")
    add_running(parser, "examples/replay")
    return parser
