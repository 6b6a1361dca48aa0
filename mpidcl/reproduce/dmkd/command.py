"""`python -m mpidcl.reproduce dmkd`: networks of experts on Fashion-MNIST, and every part left out in turn.

Examples:

  scripts/reproduce dmkd --quick                      minutes, small: the embedded digits
  scripts/reproduce dmkd --only dmkd,er,fedavg-er     some rows
  scripts/reproduce dmkd --list                       one command per line, for a cluster
  scripts/reproduce dmkd --tables                     tables of what is there

Exit status: 0 done, 2 wrong input, 70 a run failed, 75 stopped: the same command goes on.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from mpidcl.reproduce.arguments import add_running, check_running, numbers, words
from mpidcl.reproduce.command import carry_out, folder_of, written
from mpidcl.reproduce.dmkd.rows import SEEDS, WAYS, chosen, plan


def parsed(arguments: Sequence[str]) -> argparse.Namespace:
    """What these arguments ask for, `dmkd` not among them. A mistake ends the process with status 2."""
    return _parser().parse_args(arguments)


def reproduce(asked: argparse.Namespace) -> int:
    """Exit status of the command."""
    check_running(asked, "examples/dmkd")
    out = folder_of(asked, "dmkd")
    seeds = asked.seeds or SEEDS[: 1 if asked.quick else None]
    runs = plan(chosen(asked.only), seeds, asked.quick, asked.set, asked.examples, out)
    return carry_out(asked, runs, out, lambda: _write(out))


def _write(out: Path) -> list[str]:
    """Tables of what is there; nothing where nothing is."""
    from mpidcl.reproduce.dmkd.found import find
    from mpidcl.reproduce.dmkd.page import short_lines, write_page

    found = find(out)
    if not found.outcomes:
        return []
    return written(short_lines(found), write_page(found, out), "numbers.csv and a figure")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/reproduce dmkd",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    add = parser.add_argument
    add("--quick", action="store_true", help="small: digits, two passes, seed 0")
    add("--only", type=words, metavar="ROWS", help=f"of {', '.join(WAYS)}; default: all")
    add("--seeds", type=numbers, metavar="0,1,2", help="or 0-4, which is the default")
    add("--out", type=Path, metavar="FOLDER", help="default: runs/reproduce-dmkd, or -dmkd-quick")
    add_running(parser, "examples/dmkd")
    return parser
