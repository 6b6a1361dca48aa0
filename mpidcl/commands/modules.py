"""`mpidcl modules`: the experts that a run has left, and how a later run uses them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mpidcl.commands.common import Command

if TYPE_CHECKING:
    from mpidcl.learning.experts.inventory import Expert

EXAMPLES = """Examples:

mpidcl modules list runs/dmkd-quickstart

mpidcl modules show runs/dmkd-quickstart 0 3

mpidcl modules use runs/dmkd-quickstart"""

app = typer.Typer(
    help="Experts of a run, those that went included: list, show, use in a later run.",
    epilog=EXAMPLES,
    no_args_is_help=True,
)
Folder = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run with a checkpoint.")]


@app.command("list", cls=Command)
def list_(run: Folder) -> None:
    """Every expert of every agent: its standing, its load, how specialised it is, its best classes."""
    from rich.console import Console
    from rich.table import Table

    from mpidcl.learning.experts.inventory import inventory

    table = Table(
        "agent", "expert", "", "load", "specialisation", "classes", "floats", box=None, pad_edge=False
    )
    for one in inventory(run)[1]:
        load, special = (
            f"{value:.2f}" if value == value else "-" for value in (one.load, one.specialisation)
        )
        best = ", ".join(f"{label} ({share:.0%})" for label, share in _best(one)[:3])
        cells = (str(one.agent), str(one.number), one.standing, load, special, best or "-")
        table.add_row(*cells, f"{one.weights.size:,}")
    Console(markup=False, emoji=False).print(table)


@app.command(cls=Command)
def show(
    run: Folder,
    agent: Annotated[int, typer.Argument(min=0, metavar="AGENT")],
    expert: Annotated[int, typer.Argument(min=0, metavar="EXPERT")],
) -> None:
    """One expert: its standing, its classes, and the size of its weights."""
    import numpy as np

    from mpidcl.errors import ExperimentError
    from mpidcl.learning.experts.inventory import inventory

    found = [one for one in inventory(run)[1] if (one.agent, one.number) == (agent, expert)]
    if not found:
        raise ExperimentError(f"`{run}` should have an expert {expert} of agent {agent}. Found none.")
    (one,) = found
    print(f"expert {expert} of agent {agent}: {one.standing}")
    if one.load == one.load:
        print(f"load {one.load:.3f} of all gates")
    if one.specialisation == one.specialisation:
        print(f"specialisation {one.specialisation:.3f} (1: one class alone)")
    for label, share in _best(one):
        print(f"  class {label}: {share:.1%} of its gates")
    size = np.abs(one.weights)
    print(f"{size.size:,} floats, mean size {size.mean():.4f}, largest {size.max():.4f}")


@app.command(cls=Command)
def use(run: Folder) -> None:
    """Lines for the experiment file of a later run that begins with these experts, or is taught by them."""
    from mpidcl.experiment import toml
    from mpidcl.learning.experts.inventory import inventory

    experiment, found = inventory(run)
    first = found[0].agent
    print(toml.dumps({"model": experiment.for_agent(first).to_tables()["model"]}).rstrip())
    print('\n[learning]\nkind = "experts"')
    folder = toml.dumps({"_": str(run)}).partition("=")[2].strip()
    print(f"start_from = {folder}")
    used, gone = sum(one.used for one in found), sum(one.went is not None for one in found)
    print(f"# {used} experts as they ended, and {gone} that went; start_frozen = true keeps them")
    if lacking := sorted({*range(experiment.agents)} - {one.agent for one in found}):
        print(f"# start_agent = {first}: agents without experts are {', '.join(map(str, lacking))}")
    print(f'# or as a teacher, for any model; with seed = {experiment.seed}, or class_order = "by id"')
    print("# in both runs, since outputs must stand for the same classes:")
    print(f'# terms = [{{kind = "distillation", teacher = "file", run = {folder}, agent = {first}}}]')


def _best(one: Expert) -> list[tuple[int, float]]:
    """Classes and shares, the largest first."""
    return sorted(one.classes.items(), key=lambda item: (-item[1], item[0]))
