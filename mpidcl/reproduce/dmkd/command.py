"""`python -m mpidcl.reproduce dmkd`: networks of experts on Fashion-MNIST, and every part left out in turn.

Examples:

  scripts/reproduce dmkd --quick                      minutes, small: the embedded digits
  scripts/reproduce dmkd --only dmkd,er,fedavg-er     some rows
  scripts/reproduce dmkd --cifar100                   split CIFAR-100, ten tasks, a fifth of the rows
  scripts/reproduce dmkd --merging                    seconds: a figure of the loss between two nets
  scripts/reproduce dmkd --list                       one command per line, for a cluster
  scripts/reproduce dmkd --tables                     tables of what is there

Exit status: 0 done, 2 wrong input, 70 a run failed, 75 stopped: the same command goes on.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from mpidcl.errors import EXIT_DONE
from mpidcl.reproduce.arguments import add_running, check_running, numbers, words
from mpidcl.reproduce.command import carry_out, folder_of, written
from mpidcl.reproduce.dmkd.rows import FASHION, SEEDS, WAYS, chosen, plan


def parsed(arguments: Sequence[str]) -> argparse.Namespace:
    """What these arguments ask for, `dmkd` not among them. A mistake ends the process with status 2."""
    return _parser().parse_args(arguments)


def reproduce(asked: argparse.Namespace) -> int:
    """Exit status of the command."""
    check_running(asked, "examples/dmkd")
    scale = "quick" if asked.quick else "cifar100" if asked.cifar100 else FASHION
    out = folder_of(asked, "dmkd-cifar100" if asked.cifar100 else "dmkd")
    seeds = asked.seeds or SEEDS[: 1 if asked.quick else None]
    if asked.merging:
        from mpidcl.reproduce.dmkd.merging import write_merging

        print("\n".join(write_merging(out, seeds)))
        return EXIT_DONE
    runs = plan(chosen(asked.only, scale), seeds, scale, asked.set, asked.examples, out)
    return carry_out(asked, runs, out, lambda: _write(out, scale))


def _write(out: Path, scale: str) -> list[str]:
    """Tables of what is there; nothing where nothing is."""
    from mpidcl.reproduce.dmkd.found import find
    from mpidcl.reproduce.dmkd.page import short_lines, write_page

    found = find(out)
    if not found.outcomes:
        return []
    return written(short_lines(found), write_page(found, out, scale), "numbers.csv and a figure")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/reproduce dmkd",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    add = parser.add_argument
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--quick", action="store_true", help="small: digits, two passes, seed 0")
    what.add_argument("--cifar100", action="store_true", help="split CIFAR-100, a stated reduction")
    what.add_argument("--merging", action="store_true", help="nets of digits, merged plainly and matched")
    add("--only", type=words, metavar="ROWS", help=f"of {', '.join(WAYS)}; default: all")
    add("--seeds", type=numbers, metavar="0,1,2", help="or 0-4, which is the default")
    add("--out", type=Path, metavar="FOLDER", help="default: runs/reproduce-dmkd, -quick or -cifar100")
    add_running(parser, "examples/dmkd")
    return parser
