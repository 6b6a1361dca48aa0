"""`mpidcl data`: what data sets are here; fetch them; check their files."""

from __future__ import annotations

from typing import Annotated

import typer

from mpidcl.commands.common import Command
from mpidcl.errors import EXIT_DONE, EXIT_WRONG_INPUT

EXAMPLES = """Examples:

mpidcl data list

mpidcl data fetch mnist

mpidcl data verify mnist

Files that are already on this machine are found through the folders in MPIDCL_DATA."""

app = typer.Typer(
    help="Data sets: list, fetch, verify. A run never downloads anything.",
    epilog=EXAMPLES,
    no_args_is_help=True,
)


@app.command("list", cls=Command)
def list_() -> None:
    """Which data sets there are, how large they are, and where their files lie."""
    from rich.console import Console
    from rich.table import Table

    from mpidcl.printable import one_line
    from mpidcl.stream.datasets.verify import listing

    table = Table("data set", "images", "classes", "where", box=None, pad_edge=False)
    for line in listing():
        info = line.info
        images = f"{info.train + info.test:,}" if info.train and info.test else ""
        place = one_line(str(line.place))
        table.add_row(info.name + ("" if info.seen else " *"), images, str(info.classes), place)
    Console(markup=False, emoji=False).print(table)
    print("* its loader has never been tried on the real files")


@app.command(cls=Command)
def fetch(names: Annotated[list[str], typer.Argument(metavar="NAME...")]) -> None:
    """Download data sets from their official places and check their hashes."""
    from mpidcl.stream.datasets.fetch import fetch as fetch_one

    for name in names:
        folders = fetch_one(name, progressbar=True)
        print(f"{name}: {', '.join(map(str, folders)) or 'nothing to fetch'}")


@app.command(cls=Command)
def verify(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME...]", help="Default: all that are here."),
    ] = None,
) -> int:
    """Check the files of data sets: published hashes, structure, official counts."""
    from mpidcl.stream.datasets.verify import listing
    from mpidcl.stream.datasets.verify import verify as verify_one

    wrong = 0
    for name in names or [line.info.name for line in listing() if line.place != "not here"]:
        for finding in verify_one(name):
            wrong += not finding.ok
            print(f"{name}: {'ok   ' if finding.ok else 'WRONG'} {finding.what}: {finding.found}")
    return EXIT_WRONG_INPUT if wrong else EXIT_DONE
