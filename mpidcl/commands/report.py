"""`mpidcl report`: tables and figures of finished or stopped runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

EXAMPLES = """Examples:

mpidcl report runs/quickstart

mpidcl report runs/isolated runs/sharing --out comparison"""


def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders.")],
    out: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Default: RUN/report; for several runs: report."),
    ] = None,
    views: Annotated[
        list[str] | None,
        typer.Option(
            "--view",
            metavar="MODULE:CLASS",
            help="Show what a view of your own sees, too; looked for in the current folder. Repeatable.",
        ),
    ] = None,
) -> None:
    """Print the results of one run, or compare several, and draw the figures.

    With several runs: mean over agents and seeds, standard error over seeds, and paired differences.

    Forgetting since learned (`forgetting`): when a task was learned minus at the end, mean over all tasks.
    Forgetting since best (`forgetting_max`), BWT and FWT: as most papers print them, without the last task.
    See docs/metrics.md.
    """
    from mpidcl.commands.common import look_beside
    from mpidcl.printable import one_line
    from mpidcl.report.page import write_report
    from mpidcl.report.table import comparison_table, results_table
    from mpidcl.views.views import all_views

    look_beside(Path("report"))  # in the current folder, never in a run's
    seen = all_views(views or ())
    print(results_table(runs[0], seen) if len(runs) == 1 else comparison_table(runs, seen))
    page = write_report(runs, out or (runs[0] / "report" if len(runs) == 1 else Path("report")), seen)
    print(f"Report: {one_line(str(page))}")
