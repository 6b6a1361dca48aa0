"""A run read back from its folder, finished or not: what tables and reports are made from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mpidcl.base.files import read_text
from mpidcl.errors import RunFolderError
from mpidcl.experiment.network_table import MOST_AGENTS
from mpidcl.record.folder import EXPERIMENT, RunFolder, RunState
from mpidcl.record.identity import read_identity
from mpidcl.record.journal import Journal
from mpidcl.record.manifest import newest_complete
from mpidcl.record.measures import ACCURACY, TASK_ACCURACY, TOP5, Measure
from mpidcl.record.records import AgentRecord
from mpidcl.record.sealed import digest_of
from mpidcl.record.settings import deciding
from mpidcl.views.run import Run, whole
from mpidcl.views.summary import check_summary, summarise
from mpidcl.views.views import Views, all_views


def load_run(path: Path, views: Views | None = None) -> Run:
    """Reads the run at `path`, to be seen through `views` (None: all that are installed).

    Raises RunFolderError when there is none, or a file in it is damaged.
    """
    views = views or all_views()
    folder = RunFolder(path)
    if not folder.experiment_file.is_file():
        raise RunFolderError(f"`{path}` should be a run folder. Found {_nothing(path)}.")
    finished = folder.state() is RunState.FINISHED
    toml, settings = _experiment(folder)
    if finished:
        (records, links), summary = folder.outcome()
    else:
        records, links, summary = _so_far(folder, settings), [], {}
    if not any(record.evaluations for record in records):
        raise RunFolderError(
            f"`{path}` should hold at least one evaluation to report on. Found none yet: "
            "the run has not come that far. The same `mpidcl run` command goes on with it."
        )
    if finished:
        check_summary(folder.summary_file, summary, records)
    summary = _completed(summary, summarise(records, views))
    return Run(path, toml, settings, folder.environment(), records, links, summary, finished, views)


def _completed(found: dict[str, Any], made: dict[str, Any]) -> dict[str, Any]:
    """The summary that a run has written, with what it lacks: it was written without some view."""
    whole = made | found
    for key, value in made.items():
        if isinstance(value, dict) and key in found:
            whole[key] = _completed(found[key], value)
    return whole


def _experiment(folder: RunFolder) -> tuple[str, dict[str, Any]]:
    try:
        settings = folder.settings()
    except RunFolderError as error:
        raise RunFolderError(f"{error} The same `mpidcl run` command writes it again.") from error
    begun = read_identity(folder.path)
    if begun is not None and begun.experiment != digest_of(deciding(settings)):
        raise RunFolderError(
            f"`{folder.experiment_file}` should be what the run was begun with. It was changed. "
            "`mpidcl run` of the experiment file that the run was begun with puts it back."
        )
    return read_text(folder.experiment_file), settings


def _so_far(folder: RunFolder, settings: dict[str, Any]) -> list[AgentRecord]:
    """From the journals; from the newest checkpoint where they mean nothing alone, or are not there."""
    agents = whole(folder.path, settings, "agents", 1, MOST_AGENTS)
    joint = whole(folder.path, settings, "stream.joint_tasks", 0)
    journals = [folder.journal(agent) for agent in range(agents)]
    records = [_of_journal(journal, joint) for journal in journals]
    evaluations = [one for record in records for one in record.evaluations]
    if evaluations and all(len(one.main) == one.task + 1 for one in evaluations):
        return records
    # A damaged checkpoint is said when the run goes on.
    saved = newest_complete(folder.checkpoints, agents, warn=lambda _: None)
    states = saved.read(folder.checkpoints, range(agents), "record") if saved else ()
    return [AgentRecord.from_state(state) for _, _, state in states]


def _of_journal(journal: Journal, joint: int) -> AgentRecord:
    evaluations = journal.read()
    names = evaluations[0].values if evaluations else [ACCURACY.name]
    known = {one.name: one for one in (ACCURACY, TASK_ACCURACY, TOP5)}
    measures = tuple(known.get(name) or Measure(name) for name in names)
    return AgentRecord(journal.agent, joint, evaluations, measures=measures)


def _nothing(path: Path) -> str:
    if not path.is_dir():
        return "a file" if path.exists() else "nothing there"
    runs = sorted(str(inner.parent) for inner in path.glob(f"*/{EXPERIMENT}"))
    inside = f", but runs inside it: {' '.join(runs)}" if runs else ""
    return f"a folder without {EXPERIMENT}{inside}" if any(path.iterdir()) else "an empty folder"
