"""Tables for the terminal: plain text in a batch log, colours only where somebody is watching."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console, RenderableType
from rich.table import Table

from mpidcl.base.quantities import NOTHING, bytes_text, count_text, number_error, seconds_text
from mpidcl.printable import one_line
from mpidcl.record.records import one_per_model
from mpidcl.report.loaded import load_run
from mpidcl.views.cost.view import points_per_mib
from mpidcl.views.groups import SO_FAR, Group, diverged, group_runs, left_out, paired_differences, views_of
from mpidcl.views.mean_error import MARK, MeanError, footnote
from mpidcl.views.run import TOGETHER, Run
from mpidcl.views.tasks.view import in_units
from mpidcl.views.units import PERCENT, difference_unit, interval, plural, with_error
from mpidcl.views.views import Views, records_in

_WIDTH = 150
PLAIN: dict[str, Any] = {"highlight": False, "markup": False, "emoji": False}
"""Of a console: names are no markup, whoever chose them."""


def results_table(folder: Path, views: Views | None = None) -> str:
    """Metrics of each agent and their mean, traffic and time of the run in `folder`, seen through `views`.

    Raises RunFolderError when the folder is no run.
    """
    run = load_run(folder, views)
    tables: list[RenderableType] = [_metrics_table(run)]
    tables += [line for note in [run.diverged, *run_footnote(run)] if note for line in (note, "")]
    if run.finished:
        tables += [*_traffic(run), *run.views.each(run, lambda view: view.lines(run)), _last_line(run)]
    return _rendered(tables)


def comparison_table(folders: Sequence[Path], views: Views | None = None) -> str:
    """One row for each group of runs that differ only by seed, then paired differences from the first group.

    Raises RunFolderError when a folder is no run, or two runs are the same.
    """
    groups = group_runs([load_run(folder, views) for folder in folders])
    differences = [_differences_table(groups)] if len(groups) > 1 else []
    tables = [_groups_table(groups), *_papers_table(groups), *differences]
    return _rendered([*tables, *comparison_footnote(groups), *diverged(groups)])


def _metrics_table(run: Run) -> Table:
    metrics = run.summary["metrics"]
    state = ("" if run.finished else f" {SO_FAR}") + (" (diverged)" if run.diverged else "")
    main = run.records[0].main
    units = in_units(plural(main), main.unit) + (", differences in points" if main.unit == PERCENT else "")
    apart = len(one_per_model(run.records)) == len(run.records)
    room = (_width() - 46) // 10  # beside the names of the metrics and their means
    few = run.records if apart and len(run.records) <= room else []
    words = ["metric", "mean ± s.e.", *(f"agent {record.agent}" for record in few)]
    table = _table(f"{run.name}, seed {run.seed}{state}: {units}", words)
    for name, one in run.views.shown(run.records).items():
        mean = with_error(metrics[name], metrics["standard_error"][name], MARK, one.unit)
        values = metrics["by_agent"][name][: len(few)]
        table.add_row(one.words, mean, *(with_error(value, None, unit=one.unit) for value in values))
    return table


def run_footnote(run: Run) -> list[str]:
    """What the errors of one run are over; none where there is no error."""
    (group,) = group_runs([run])
    return [footnote(group.unit)] if len(group.models) > 1 else []


def comparison_footnote(groups: Sequence[Group]) -> list[str]:
    """What a mark says, where some error is not over seeds, and what could not be compared."""
    main = groups[0].main_metric
    found = [*(group.mean(main) for group in groups), *(one.mean for one in paired_differences(groups, main))]
    marks = [footnote(unit_of(groups))] if any(mean.mark for mean in found) else []
    return marks + left_out(groups)


def _traffic(run: Run) -> list[RenderableType]:
    found: list[RenderableType] = []
    communication = run.summary["communication"]
    if communication["frames"]:
        words = ["exchange", "frames", "payload", "on the wire", "paper's floats", "simulated"]
        table = _table("Traffic, all links together; a frame may carry several exchanges, or none", words)
        for row in communication["by_exchange"]:
            frames = f"{row['frames']} of {communication['frames']}"
            table.add_row(exchange_name(row), frames, *_traffic_cells(row))
        table.add_section()
        table.add_row("all", str(communication["frames"]), *_traffic_cells(communication))
        found.append(table)
    for name, size in run.sent_together().items():
        found.append(f"{TOGETHER[name].what}: {bytes_text(size)} sent by all agents, with a rank each.")
    return found or ["Nothing was sent: the agents learned alone."]


def exchange_name(row: dict[str, Any]) -> str:
    """`0 parameters`; the shared frame headers have no exchange."""
    return f"{row['exchange']} {one_line(row['kind'])}" if row["exchange"] >= 0 else "frame headers"


def _traffic_cells(row: dict[str, Any]) -> list[str]:
    sizes = [bytes_text(row["payload_bytes"]), bytes_text(row["wire_bytes"])]
    return [*sizes, count_text(row["paper_floats"]), seconds_text(row["simulated_s"])]


def _last_line(run: Run) -> str:
    time = run.summary["time"]
    return (
        f"wall {seconds_text(time['wall_s'])}, CPU {seconds_text(time['cpu_s'])}, "
        f"peak memory {bytes_text(run.summary['memory']['peak_rss_bytes'])} per process, "
        f"digest {one_line(run.summary['digest'][:12])}"
    )


def _groups_table(groups: Sequence[Group]) -> Table:
    main = groups[0].main
    units = in_units(plural(main), main.unit) + (", forgetting in points" if main.unit == PERCENT else "")
    title = f"Mean over {unit_of(groups)}s and seeds ± standard error: {units}"
    views, records = views_of(groups), records_in(groups)
    compared, columns = [*views.compared(records).values()], views.columns(groups)
    words = [one.compared for one in compared]
    table = _table(title, ["runs", "seeds", *words, *columns, "sent per agent", "wall"])
    for place, group in enumerate(groups):
        cells = [mean_text(group.mean(one.name), one.unit) for one in compared]
        cells += [texts[place] for texts in columns.values()]
        cost = [NOTHING, NOTHING]
        if group.finished:
            wall = max(run.summary["time"]["wall_s"] for run in group.runs)
            cost = [bytes_text(group.per_agent("sent_bytes")), seconds_text(wall)]
        table.add_row(group.label, str(len(group.runs)), *cells, *cost)
    return table


def _papers_table(groups: Sequence[Group]) -> list[Table]:
    """What papers print, where runs have it."""
    found = views_of(groups).papers(records_in(groups)).values()
    if not found:
        return []
    unit = difference_unit(groups[0].main.unit)
    points = f", in {unit}" if unit else ""
    table = _table(f"As most papers print them{points}", ["runs", *(one.papers for one in found)])
    for group in groups:
        table.add_row(group.label, *(mean_text(group.mean(one.name), one.unit) for one in found))
    return [table]


def mean_text(mean: MeanError, unit: str = PERCENT, *, sign: bool = False) -> str:
    """`93.47 ± 0.21` in %, marked where the error is over one seed."""
    return with_error(mean.mean, mean.standard_error, mean.mark, unit, sign=sign)


def points_text(per_mib: MeanError | None) -> str:
    """`+1.92 ± 0.31` points for each MiB."""
    return number_error(*per_mib[:2], per_mib.mark, digits=2, sign=True) if per_mib else NOTHING


def _differences_table(groups: Sequence[Group]) -> Table:
    main = groups[0].main
    points = f", in {difference_unit(main.unit)}" if main.unit else ""
    title = f"Paired differences from {groups[0].label}, per (seed, {unit_of(groups)}){points}"
    every = views_of(groups).compared(records_in(groups)).values()
    pairs_of = [(one, paired_differences(groups, one.name)) for one in every]
    # the main one stays, of the others those that two groups have
    kept = [pairs_of[0], *((one, row) for one, row in pairs_of[1:] if any(pair.values for pair in row))]
    compared, columns = [one for one, _ in kept], [row for _, row in kept]
    first, *others = (one.compared for one in compared)
    table = _table(title, ["runs", "seeds", first, "95 % interval", "better in", *others, "per MiB sent"])
    for row, per_mib in zip(zip(*columns, strict=True), points_per_mib(groups)[1:], strict=True):
        pairs = zip(row, compared, strict=True)
        main_mean, *means = (mean_text(one.mean, metric.unit, sign=True) for one, metric in pairs)
        final, mean = row[0], row[0].mean
        found = [str(mean.seeds), main_mean, interval(mean.mean, mean.reach, compared[0].unit)]
        better = f"{final.better} of {len(final.values)}" if final.values else NOTHING
        table.add_row(final.label, *found, better, *means, points_text(per_mib))
    return table


def unit_of(groups: Sequence[Group]) -> str:
    """What one value belongs to."""
    return "model" if any(group.unit == "model" for group in groups) else "agent"


def _table(title: str, words: Sequence[str]) -> Table:
    """Of names in the first column and numbers in the others."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for place, name in enumerate(words):
        table.add_column(name, justify="right" if place else "left")
    return table


def _rendered(parts: Sequence[RenderableType]) -> str:
    """As text; ASCII only where the terminal or log file cannot show more."""
    written = StringIO()
    console = Console(file=written, width=_width(), force_terminal=sys.stdout.isatty(), **PLAIN)
    for part in parts:
        console.print(part, "")
    text = "\n".join(line.rstrip() for line in written.getvalue().splitlines()).rstrip() + "\n"
    try:
        "±–─".encode(getattr(sys.stdout, "encoding", None) or "ascii")
    except (UnicodeEncodeError, LookupError):
        plain = text.replace("±", "+-").replace("–", "-").replace("─", "-")
        return plain.encode("ascii", "replace").decode()
    return text


def _width() -> int:
    """Columns of the terminal; a log file has room for all."""
    return Console().width if sys.stdout.isatty() else _WIDTH
