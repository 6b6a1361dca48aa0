"""A run read back from its folder, finished or not: what tables and reports are made from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mpidcl.base.files import read_text
from mpidcl.errors import RunFolderError
from mpidcl.experiment.plain import LARGEST
from mpidcl.experiment.sections import MOST_AGENTS
from mpidcl.printable import one_line
from mpidcl.record.checkpoint import read_part
from mpidcl.record.folder import EXPERIMENT, RunFolder, RunState
from mpidcl.record.identity import read_identity
from mpidcl.record.manifest import agent_file, newest_complete
from mpidcl.record.records import AgentRecord
from mpidcl.record.sealed import digest_of
from mpidcl.record.settings import deciding, flat_settings
from mpidcl.record.summary import check_summary, summarise

_AGAIN = "The same `mpidcl run` command writes it again."


@dataclass(frozen=True)
class Run:
    """One run. `settings` are those of its experiment as flat keys; `links` the directed edges.

    An unfinished run has the evaluations so far, no traffic and no times; with parallel tasks, what its
    newest checkpoint holds.
    """

    path: Path
    toml: str
    settings: dict[str, Any]
    environment: dict[str, Any]
    records: list[AgentRecord]
    links: list[tuple[int, int]]
    summary: dict[str, Any]
    finished: bool

    @property
    def name(self) -> str:
        """Name of the experiment, which may be somebody else's, as a terminal may show it."""
        return one_line(str(self.settings.get("name", self.path.name)))

    @property
    def seed(self) -> int:
        """Seed of the experiment."""
        return _whole(self.path, self.settings, "seed", 0)

    def total(self, quantity: str) -> float:
        """`wire_bytes` or `paper_floats` of all links; `sent_bytes`: on links and to combine gradients."""
        links = self.summary["communication"]
        if quantity == "sent_bytes":
            return float(links["wire_bytes"] + self.summary.get("combined_bytes", 0))
        return float(links[quantity])


def load_run(path: Path) -> Run:
    """Reads the run at `path`. Raises RunFolderError when there is none, or a file in it is damaged."""
    folder = RunFolder(path)
    if not folder.experiment_file.is_file():
        raise RunFolderError(f"`{path}` should be a run folder. Found {_nothing(path)}.")
    state = folder.state()
    toml, settings = _experiment(folder)
    finished = state is RunState.FINISHED
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
    summary = summary or summarise(records)
    return Run(path, toml, settings, folder.environment(), records, links, summary, finished)


def _experiment(folder: RunFolder) -> tuple[str, dict[str, Any]]:
    try:
        toml = read_text(folder.experiment_file)
        settings = flat_settings(toml)
    except ValueError as error:
        raise RunFolderError(
            f"`{folder.experiment_file}` should be a TOML file. It cannot be read: {error}. {_AGAIN}"
        ) from error
    begun = read_identity(folder.path)
    if begun is not None and begun.experiment != digest_of(deciding(settings)):
        raise RunFolderError(
            f"`{folder.experiment_file}` should be what the run was begun with. It was changed. "
            "`mpidcl run` of the experiment file that the run was begun with puts it back."
        )
    return toml, settings


def _so_far(folder: RunFolder, settings: dict[str, Any]) -> list[AgentRecord]:
    if settings.get("stream.kind") == "parallel":
        return _last_saved(folder, _whole(folder.path, settings, "agents", 1, MOST_AGENTS))
    joint = _whole(folder.path, settings, "stream.joint_tasks", 0)
    agents = _whole(folder.path, settings, "agents", 1, MOST_AGENTS)
    journals = [folder.journal(agent) for agent in range(agents)]
    return [AgentRecord(journal.agent, joint, journal.read()) for journal in journals]


def _whole(path: Path, settings: dict[str, Any], key: str, default: int, most: int = LARGEST) -> int:
    found = settings.get(key, default)
    if type(found) is not int or not 0 <= found <= most:
        raise RunFolderError(
            f"`{path / EXPERIMENT}` should say `{key}` as a whole number from 0 to {most}. Found {found!r}."
        )
    return found


def _last_saved(folder: RunFolder, agents: int) -> list[AgentRecord]:
    """Evaluations of parallel tasks mean nothing without their course, which only a checkpoint has."""
    found = newest_complete(folder.checkpoints, agents, warn=_ignore)
    if found is None:
        return []
    files = [agent_file(folder.checkpoints, found.number, agent) for agent in range(agents)]
    return [AgentRecord.from_state(read_part(file, "record")) for file in files]


def _ignore(warning: str) -> None:
    """A damaged checkpoint is said when the run goes on."""


def _nothing(path: Path) -> str:
    if not path.is_dir():
        return "a file" if path.exists() else "nothing there"
    runs = sorted(str(inner.parent) for inner in path.glob(f"*/{EXPERIMENT}"))
    inside = f", but runs inside it: {' '.join(runs)}" if runs else ""
    return f"a folder without {EXPERIMENT}{inside}" if any(path.iterdir()) else "an empty folder"
