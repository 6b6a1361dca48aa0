"""The command line: which commands there are, and how each of them ends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, NoReturn

import typer

from mpidcl.commands import bench, check, data, jobs, modules, report, run
from mpidcl.commands.common import Command
from mpidcl.commands.program import carry_out

EPILOG = """Start here:  mpidcl run examples/quickstart.toml

Every key of the file:  mpidcl check --schema

Exit status: 0 done, 2 wrong input, 70 failed inside, 75 stopped early and resumable."""

app = typer.Typer(
    name="mpidcl",
    help="Networks of continual learners: one MPI process each, sharing data and models under budgets.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("run", cls=Command, epilog=run.EXAMPLES, rich_help_panel="Experiments")(run.run)
app.command("check", cls=Command, epilog=check.EXAMPLES, rich_help_panel="Experiments")(check.check)
app.command("report", cls=Command, epilog=report.EXAMPLES, rich_help_panel="Experiments")(report.report)
app.add_typer(modules.app, name="modules", rich_help_panel="Experiments")
app.command("pbs", cls=Command, epilog=jobs.PBS_EXAMPLES, rich_help_panel="Clusters")(jobs.pbs)
app.command("slurm", cls=Command, epilog=jobs.SLURM_EXAMPLES, rich_help_panel="Clusters")(jobs.slurm)
app.add_typer(data.app, name="data", rich_help_panel="This machine")
app.add_typer(bench.app, name="bench", rich_help_panel="This machine")


def _version(asked: bool) -> None:
    if asked:
        from mpidcl import __version__

        print(f"mpidcl {__version__}")
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
    carry_out(app, arguments)
