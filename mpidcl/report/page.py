"""`mpidcl report`: one page that explains a run, or compares several, with every picture inside it."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import jinja2

import mpidcl
from mpidcl.base.quantities import bytes_text, count_text, percent, points, seconds_text, share_text
from mpidcl.errors import RunFolderError
from mpidcl.printable import printable
from mpidcl.record.atomic import make_folder, write_bytes, write_text
from mpidcl.record.folder import RunFolder
from mpidcl.record.records import AgentRecord, one_per_model
from mpidcl.report.loaded import load_run
from mpidcl.report.table import (
    comparison_footnote,
    exchange_name,
    mean_text,
    points_text,
    run_footnote,
    unit_of,
)
from mpidcl.views.cost.view import points_per_mib, sent_over_trained
from mpidcl.views.figures.drawing import Drawing, comparison_drawings, run_drawings
from mpidcl.views.groups import (
    Group,
    distinguishing_settings,
    diverged,
    group_runs,
    paired_differences,
    views_of,
)
from mpidcl.views.mean_error import MARK
from mpidcl.views.network.view import unbroken
from mpidcl.views.run import Run
from mpidcl.views.tasks.view import papers_reading, units_words
from mpidcl.views.time.view import PARTS
from mpidcl.views.units import interval, with_error
from mpidcl.views.views import Views, records_in

MADE_BY = "Made by mpidcl"
"""Stands at the end of every page of ours."""


def write_report(folders: Sequence[Path], out: Path | None = None, views: Views | None = None) -> Path:
    """Writes the page and its PNGs, seen through `views`, and gives the path of index.html.

    One run: into `out` or its folder's report/. Several: a comparison, into `out` or report/ in
    the current folder. Needs no network and no display. Raises RunFolderError when a folder is no run.
    """
    if not folders:
        raise RunFolderError(
            "A report should have at least one run. Found none: name one or more run folders."
        )
    runs = [load_run(folder, views) for folder in folders]
    if len(runs) == 1:
        place, drawings = out or RunFolder(runs[0].path).report, run_drawings(runs[0])
        return _write(place, "run.html", drawings, _run_facts(runs[0]))
    groups = group_runs(runs)
    place, drawings = out or Path("report"), comparison_drawings(groups)
    return _write(place, "comparison.html", drawings, _comparison_facts(groups))


def _write(place: Path, template: str, drawings: Sequence[Drawing], facts: dict[str, Any]) -> Path:
    page = place / "index.html"
    pictures = {place / f"{drawing.sheet.name}.png": drawing.png for drawing in drawings}
    _keep_others(page, pictures)
    make_folder(place)
    # the page first: it is complete without the files, and says whose they are
    write_text(page, _templates().get_template(template).render(drawings=drawings, **facts))
    for path, png in pictures.items():
        write_bytes(path, png)
    return page


def _keep_others(page: Path, pictures: Iterable[Path]) -> None:
    """Raises RunFolderError where a report would replace somebody else's files."""
    with suppress(OSError):
        if MADE_BY in page.read_text(encoding="utf-8", errors="replace"):
            return
    found = next((path for path in (page, *pictures) if path.exists()), None)
    if found is not None:
        raise RunFolderError(
            f"`{page.parent}` should be a folder without other pages and pictures. Found {found.name}, which "
            "no report of ours has left there: it stays untouched. Choose another folder with `--out`."
        )


def _templates() -> jinja2.Environment:
    found = jinja2.Environment(
        loader=jinja2.PackageLoader("mpidcl.report"),
        autoescape=True,
        finalize=_visible,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for text in (bytes_text, count_text, seconds_text, percent, points, share_text):
        # a number and its unit stay on one line
        found.filters[text.__name__.removesuffix("_text")] = lambda value, text=text: unbroken(text(value))
    found.filters.update(base64=lambda data: base64.b64encode(data).decode(), exchange_name=exchange_name)
    ours = (mean_text, with_error, points_text, interval, sent_over_trained)
    found.globals.update({function.__name__: function for function in ours}, version=mpidcl.__version__)
    return found


def _visible(value: object) -> object:
    """A text, which may be somebody else's, without characters that act; autoescape does the rest."""
    return printable(value, keep="\n\t\N{NO-BREAK SPACE}") if type(value) is str else value


def _run_facts(run: Run) -> dict[str, Any]:
    models = {record.agent for record in one_per_model(run.records)}
    return {
        "shown": run.views.shown(run.records).values(),
        "notices": run.views.each(run, lambda view: view.notices(run)),
        "tiles": run.views.each(run, lambda view: view.tiles(run)),
        "reading": " ".join(run.views.each(run, lambda view: filter(None, [view.reading(run)]))),
        "run": run,
        "summary": run.summary,
        "agents": [(row, _who(run, one)) for row, one in enumerate(run.records) if one.agent in models],
        "mark": MARK,
        "footnote": run_footnote(run),
        "subtitle": subtitle(run),
        "time_words": PARTS,
        "environment": _environment_rows(run.environment),
    }


def _who(run: Run, record: AgentRecord) -> str:
    """The agent's number, or those of all agents that share its model."""
    sharing = [str(one.agent) for one in run.records if one.model == record.model]
    return sharing[0] if len(sharing) == 1 else f"{sharing[0]}–{sharing[-1]}"


def subtitle(run: Run) -> str:
    """`4 agents · ring · digits · seed 0`, as far as the experiment says so."""
    known = [run.settings.get(key) for key in ("network.topology", "stream.dataset", "model.kind")]
    count = len(run.records)
    words = [f"{count} agent{'s' * (count != 1)}", *(str(word) for word in known if word), f"seed {run.seed}"]
    words += ["unfinished"] * (not run.finished) + ["diverged"] * bool(run.diverged)
    return " · ".join(words)


def _environment_rows(environment: dict[str, Any]) -> list[tuple[str, str]]:
    """Versions first, then the machine; lists as their distinct members with counts."""
    packages = environment.get("packages")
    rows = [("python", environment.get("python")), *(packages if isinstance(packages, dict) else {}).items()]
    rows += [(key, environment.get(key)) for key in ("mpi", "threads", "platform")]
    why = environment.get("commit_unknown")
    rows.append(("commit", environment.get("commit") or (why and f"not known: {why}")))
    hosts = [str(host) for host in found] if isinstance(found := environment.get("hosts"), list) else []
    rows.append(("ranks", ", ".join(f"{hosts.count(host)} on {host}" for host in dict.fromkeys(hosts))))
    return [(key, str(value)) for key, value in rows if value]


def _comparison_facts(groups: Sequence[Group]) -> dict[str, Any]:
    views, records = views_of(groups), records_in(groups)
    shown, paired = views.shown(records).values(), views.panels(records)
    main, differences = groups[0].main, [paired_differences(groups, name) for name in paired]
    return {
        "groups": groups,
        "footnote": comparison_footnote(groups),
        "warnings": diverged(groups),
        "unit": unit_of(groups),
        "main": main,
        "in_units": f"{units_words(main)}. {papers_reading(views.papers(records))}".rstrip(". "),
        "shown": shown,
        "columns": views.columns(groups),
        "per_mib": points_per_mib(groups),
        "settings": distinguishing_settings(groups),
        "differences": [(row[0].label, list(row)) for row in zip(*differences, strict=True)],
        "paired": list(paired.values()),
    }
