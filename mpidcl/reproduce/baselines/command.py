"""`python -m mpidcl.reproduce baselines`: what continual-learning papers compare with.

Examples:

  scripts/reproduce baselines --quick                                  minutes, small
  scripts/reproduce baselines                                          split MNIST, 10 seeds
  scripts/reproduce baselines --networked --seeds 0-2                  4 agents on a ring: alone, sharing
  scripts/reproduce baselines --streams split-cifar10 --buffers 200,500
  scripts/reproduce baselines --list                                   one command per line, for a cluster
  scripts/reproduce baselines --tables                                 tables of what is there

Exit status: 0 done, 2 wrong input, 70 a run failed, 75 stopped: the same command goes on.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from mpidcl.errors import ExperimentError
from mpidcl.reproduce.arguments import add_running, check_running, numbers, words
from mpidcl.reproduce.baselines.methods import METHODS
from mpidcl.reproduce.baselines.plan import Asked, plan
from mpidcl.reproduce.baselines.streams import AGENTS, SEEDS, STREAMS, stream_of
from mpidcl.reproduce.command import carry_out, folder_of, written
from mpidcl.reproduce.plan import Planned, missing_data


def parsed(arguments: Sequence[str]) -> argparse.Namespace:
    """What these arguments ask for, `baselines` not among them. A mistake ends the process with status 2."""
    return _parser().parse_args(arguments)


def reproduce(asked: argparse.Namespace) -> int:
    """Exit status of the command."""
    _check(asked)
    out = folder_of(asked, "baselines")
    return carry_out(asked, _planned(asked, out), out, lambda: _write(out, asked.examples))


def _check(asked: argparse.Namespace) -> None:
    check_running(asked, "examples/baselines")
    least = max(stream_of(name).tasks for name in asked.streams or ("split-mnist",))
    if min(asked.buffers) < least:
        raise ExperimentError(
            f"--buffers should be at least {least}, a row for each task. Found {min(asked.buffers)}"
        )


def _planned(asked: argparse.Namespace, out: Path) -> list[Planned]:
    wanted = Asked(
        asked.streams or _usual_streams(asked.quick),
        asked.seeds or SEEDS[: 1 if asked.quick else None],
        asked.methods,
        asked.buffers,
        asked.networked,
        asked.quick,
        tuple(asked.set),
    )
    return plan(wanted, asked.examples, out)


def _usual_streams(quick: bool) -> list[str]:
    """Split MNIST; of a quick look where its files are, else digits, which need none."""
    return ["split-digits" if quick and missing_data("mnist") else "split-mnist"]


def _write(out: Path, examples: Path) -> list[str]:
    """Tables of what is there; nothing where nothing is."""
    from mpidcl.reproduce.baselines.found import find
    from mpidcl.reproduce.baselines.page import short_lines, write_page

    found = find(out, examples)
    if not found.outcomes:
        return []
    return written(short_lines(found), write_page(found, out), "numbers.csv, numbers.json and figures")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/reproduce baselines",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    add = parser.add_argument
    add("--quick", action="store_true", help="small: few rows, seed 0, split MNIST or digits")
    add("--streams", type=words, metavar="A,B", help=f"of {', '.join(STREAMS)}; default: split-mnist")
    add("--methods", type=words, metavar="NAMES", help=f"of {', '.join(METHODS)}")
    add("--buffers", type=numbers, default=[200], metavar="200,500", help="rows that are remembered (200)")
    add("--networked", action="store_true", help=f"{AGENTS} agents on a ring: alone, parameters, data")
    add("--seeds", type=numbers, metavar="0,1,2", help="or 0-9, which is the default")
    add("--out", type=Path, metavar="FOLDER", help="default: runs/reproduce-baselines, or -baselines-quick")
    add_running(parser, "examples/baselines")
    return parser
