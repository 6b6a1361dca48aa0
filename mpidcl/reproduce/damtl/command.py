"""`python -m mpidcl.reproduce damtl`: groups of linear learners, what they are compared with, hard networks.

Examples:

  scripts/reproduce damtl --quick --only ring             acceptance rules, small
  scripts/reproduce damtl --quick --files data/student    all parts; FOLDER holds the two tables
  scripts/reproduce damtl --list                          the full scale, one command per line, for a cluster
  scripts/reproduce damtl --quick --tables                tables of what is there

Exit status: 0 done, 2 wrong input, 70 a run failed, 75 stopped: the same command goes on.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from mpidcl.reproduce.arguments import add_running, check_running, numbers, words
from mpidcl.reproduce.command import carry_out, folder_of, written
from mpidcl.reproduce.damtl.cells import FULL, PARTS, QUICK, SEEDS, TABLES, check_files
from mpidcl.reproduce.damtl.plan import chosen, plan


def parsed(arguments: Sequence[str]) -> argparse.Namespace:
    """What these arguments ask for, `damtl` not among them. A mistake ends the process with status 2."""
    return _parser().parse_args(arguments)


def reproduce(asked: argparse.Namespace) -> int:
    """Exit status of the command."""
    check_running(asked, "examples/damtl")
    if asked.files is not None:
        check_files(asked.files)
    out = folder_of(asked, "damtl")
    parts, scale = chosen(asked.only), QUICK if asked.quick else FULL
    runs = plan(parts, asked.seeds or SEEDS, scale, asked.set, asked.examples, out, asked.files)
    if "student" in parts and asked.files is None and not (asked.list or asked.tables):
        print(f"student is left out: --files should be a folder with {' and '.join(TABLES.values())}")
    return carry_out(asked, runs, out, lambda: _write(out))


def _write(out: Path) -> list[str]:
    """Tables of what is there; nothing where nothing is."""
    from mpidcl.reproduce.damtl.found import find
    from mpidcl.reproduce.damtl.page import short_lines, write_page

    found = find(out)
    if not found.outcomes:
        return []
    return written(short_lines(found), write_page(found, out), "numbers.csv and figures")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/reproduce damtl",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    add = parser.add_argument
    add("--quick", action="store_true", help="small: 1,000 samples, two noises, five groups of six")
    add("--only", type=words, metavar="PARTS", help=f"of {', '.join(PARTS)}; default: all")
    tables = " and ".join(TABLES.values())
    add("--files", type=Path, metavar="FOLDER", help=f"with {tables}; without it no part student")
    add("--seeds", type=numbers, metavar="0,1,2", help="or 0-4, which is the default")
    add("--out", type=Path, metavar="FOLDER", help="default: runs/reproduce-damtl, or -damtl-quick")
    add_running(parser, "examples/damtl")
    return parser
