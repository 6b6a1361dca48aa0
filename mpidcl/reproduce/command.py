"""What `scripts/reproduce` does with runs of any protocol: list them, carry them out, write tables."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from mpidcl.errors import EXIT_DONE, EXIT_WRONG_INPUT
from mpidcl.reproduce.plan import Planned, share


def folder_of(asked: argparse.Namespace, protocol: str) -> Path:
    """Where runs and tables lie."""
    found: Path | None = asked.out
    return found or Path("runs", f"reproduce-{protocol}-quick" if asked.quick else f"reproduce-{protocol}")


def carry_out(
    asked: argparse.Namespace, runs: Sequence[Planned], out: Path, write: Callable[[], list[str]]
) -> int:
    """Exit status of a command whose options are those of `add_running`.

    `write` makes tables of what is there and gives what is printed of them: nothing without a finished run.
    """
    mine = list(runs) if asked.index is None else share(runs, asked.index, asked.of)
    if asked.list:
        print("\n".join(run.command(asked.driver) for run in mine))
        return EXIT_DONE
    status = EXIT_DONE
    if not asked.tables:
        from mpidcl.reproduce.running import run_all

        status = run_all(mine, asked.jobs, asked.driver, out / "logs", _say)
    if asked.index is not None:
        return status
    lines = write()
    print("\n".join(lines or [f"{out}: no finished run yet, so no tables."]))
    return EXIT_WRONG_INPUT if asked.tables and not lines else status


def written(short: Sequence[str], page: Path, beside: str) -> list[str]:
    """What is printed of tables that were written to `page`, with files `beside` it."""
    return ["", *short, f"Written: {page}, {beside} beside it"]


def _say(text: str) -> None:
    print(text, flush=True)
