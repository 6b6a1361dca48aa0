"""`python -m mpidcl.reproduce dcl`: run the published protocol, or a part of it, and write the tables.

Examples:

  scripts/reproduce dcl --quick                                        a few minutes, small
  scripts/reproduce dcl --datasets mnist,fashion-mnist --seeds 0-7 --only main
  scripts/reproduce dcl --list                                         one command per line, for a cluster
  scripts/reproduce dcl --index 3 --of 16                              part 3 of 16, without tables
  scripts/reproduce dcl --tables                                       tables of what is there
  scripts/reproduce emgd --help                                        parallel continual learning
  scripts/reproduce baselines --help                                   baselines of continual learning
  scripts/reproduce rehearsal --help                                   one replay buffer across all agents
  scripts/reproduce damtl --help                                       groups of linear learners
  scripts/reproduce dmkd --help                                        networks of experts

Exit status: 0 done, 2 wrong input, 70 a run failed, 75 stopped: the same command goes on.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from mpidcl.errors import ExperimentError
from mpidcl.launch.ending import guard
from mpidcl.launch.output import prepare_streams
from mpidcl.reproduce.arguments import add_running, check_running, numbers, positive, words
from mpidcl.reproduce.command import carry_out, folder_of, written
from mpidcl.reproduce.plan import Planned, missing_data, plan
from mpidcl.reproduce.protocol import (
    DATA_SETS,
    PUBLISHED_SEEDS,
    QUICK,
    QUICK_SEEDS,
    Scale,
    chosen_rows,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status of the command."""
    prepare_streams()
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["emgd"]:
        from mpidcl.reproduce.emgd.command import parsed, reproduce

        wanted = parsed(given[1:])
        return guard(lambda: reproduce(wanted))
    if given[:1] == ["baselines"]:
        from mpidcl.reproduce.baselines import command

        chosen = command.parsed(given[1:])
        return guard(lambda: command.reproduce(chosen))
    if given[:1] == ["rehearsal"]:
        from mpidcl.reproduce.rehearsal import command as rehearsal

        named = rehearsal.parsed(given[1:])
        return guard(lambda: rehearsal.reproduce(named))
    if given[:1] == ["damtl"]:
        from mpidcl.reproduce.damtl import command as damtl

        grouped = damtl.parsed(given[1:])
        return guard(lambda: damtl.reproduce(grouped))
    if given[:1] == ["dmkd"]:
        from mpidcl.reproduce.dmkd import command as dmkd

        routed = dmkd.parsed(given[1:])
        return guard(lambda: dmkd.reproduce(routed))
    asked = _parser().parse_args(given)
    return guard(lambda: _reproduce(asked))


def _reproduce(asked: argparse.Namespace) -> int:
    _check(asked)
    out = folder_of(asked, "dcl")
    return carry_out(asked, _planned(asked, out), out, lambda: _write(out, asked.examples))


def _check(asked: argparse.Namespace) -> None:
    check_running(asked, "examples/dcl")
    if any(text.partition("=")[0].strip() == "learning.epochs" for text in asked.set):
        raise ExperimentError("The epochs decide the periods of the exchanges: use --epochs, not --set")


def _planned(asked: argparse.Namespace, out: Path) -> list[Planned]:
    return plan(
        chosen_rows(asked.only, asked.quick),
        asked.datasets or _usual_datasets(asked.quick),
        asked.seeds or (QUICK_SEEDS if asked.quick else PUBLISHED_SEEDS),
        _scale(asked),
        asked.examples,
        out,
    )


def _usual_datasets(quick: bool) -> list[str]:
    """Of a quick look: MNIST where its files are, else digits, which need none."""
    if not quick:
        return list(DATA_SETS)
    return ["digits"] if missing_data("mnist") else ["mnist"]


def _scale(asked: argparse.Namespace) -> Scale:
    base = QUICK if asked.quick else Scale()
    return Scale(
        asked.epochs or base.epochs, asked.agents or base.agents, asked.tasks or base.tasks, tuple(asked.set)
    )


def _write(out: Path, examples: Path) -> list[str]:
    """Tables of what is there; nothing where nothing is."""
    from mpidcl.reproduce.found import find
    from mpidcl.reproduce.page import write_page
    from mpidcl.reproduce.tables import short_lines

    found = find(out, examples)
    if not found.groups:
        return []
    return written(short_lines(found), write_page(found, out), "numbers.csv, numbers.json and figures")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/reproduce", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    add = parser.add_argument
    protocols = ["dcl", "emgd", "baselines", "rehearsal", "damtl", "dmkd"]
    add("protocol", choices=protocols, help="all but the first have options of their own")
    add("--quick", action="store_true", help="small but real: 4 agents, 7 tasks, seed 0, 20 rows")
    add(
        "--datasets",
        type=words,
        metavar="A,B",
        help=f"of {', '.join(DATA_SETS)}, digits; default: all but digits",
    )
    add("--seeds", type=numbers, metavar="0,1,2", help="or 0-7, which is the default and published")
    add("--only", type=words, metavar="ROWS", help="names of rows, main, sweeps; default: all")
    add(
        "--out",
        type=Path,
        metavar="FOLDER",
        help="default: runs/reproduce-dcl, with --quick runs/reproduce-dcl-quick",
    )
    add("--epochs", type=positive, metavar="N", help="epochs per task in place of 100; periods shrink along")
    add("--agents", type=positive, metavar="N", help="agents in place of 8 or 20")
    add("--tasks", type=positive, metavar="N", help="tasks in place of 10 or 20")
    add_running(parser, "examples/dcl")
    return parser


if __name__ == "__main__":
    sys.exit(main())
