"""The command line: which commands there are, and how each of them ends."""

from __future__ import annotations

import io
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Annotated, NoReturn

import typer

from mpidcl.commands import bench, check, data, report, run
from mpidcl.errors import EXIT_FAILED, EXIT_RESUMABLE, MpidclError

EPILOG = """Start here:  mpidcl run examples/quickstart.toml

Every key of the file:  mpidcl check --schema

Exit status: 0 done, 2 wrong input, 70 failed inside, 75 stopped early and resumable."""
WITH_RANKS = ("run", "bench")
"""Commands that are MPI jobs when mpiexec starts them; the others never touch MPI."""

app = typer.Typer(
    name="mpidcl",
    help="Networks of continual learners: one MPI process each, sharing data and models under budgets.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("run", epilog=run.EXAMPLES, rich_help_panel="Experiments")(run.run)
app.command("check", epilog=check.EXAMPLES, rich_help_panel="Experiments")(check.check)
app.command("report", epilog=report.EXAMPLES, rich_help_panel="Experiments")(report.report)
app.add_typer(data.app, name="data", rich_help_panel="This machine")
app.add_typer(bench.app, name="bench", rich_help_panel="This machine")


def _version(asked: bool) -> None:
    if asked:
        from mpidcl import __version__

        typer.echo(f"mpidcl {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Options before the command."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """The program `mpidcl`: runs one command and ends the process with its exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    _print_anything()
    if _is_rank(words):
        from mpidcl.launch import run_rank

        run_rank(lambda: _status(words))
    sys.exit(guard(lambda: _status(words)))


def _print_anything() -> None:
    """What the locale cannot show is printed as an escape, and ends nothing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def guard(body: Callable[[], int]) -> int:
    """Exit status of `body`. What a user can mend is one message; only our own faults show a traceback."""
    try:
        return body()
    except MpidclError as error:
        print(f"mpidcl: {error}", file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        print("mpidcl: stopped.", file=sys.stderr)
        return EXIT_RESUMABLE
    except Exception:
        traceback.print_exc()
        return EXIT_FAILED


def _is_rank(words: Sequence[str]) -> bool:
    if not words or words[0] not in WITH_RANKS or {"-h", "--help"} & set(words):
        return False
    from mpidcl.launch import under_mpiexec

    return under_mpiexec()


def _status(words: Sequence[str]) -> int:
    try:
        app(words)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else os.EX_OK
    return os.EX_OK
