"""A run as views see it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from mpidcl.errors import RunFolderError
from mpidcl.experiment import kinds
from mpidcl.experiment.plain import LARGEST
from mpidcl.network.schedule.words import TASKS, TimeWords
from mpidcl.printable import one_line
from mpidcl.record.folder import EXPERIMENT
from mpidcl.record.records import AgentRecord
from mpidcl.views.views import Views, all_views


class _Sent(NamedTuple):
    """What was sent, and why."""

    what: str
    why: str


TOGETHER = {
    "combined_bytes": _Sent("Combining gradients", "to compare and combine gradients"),
    "drawn_bytes": _Sent("Rows of the global memory", "as rows of the global memory"),
}
"""What agents send beside the links: counters and keys of the summary."""


OWN_TIME = TASKS._replace(axis="schedule time")
"""Words for the time of a clock that is not known here."""


@dataclass(frozen=True)
class Run:
    """One run. `settings` are those of its experiment as flat keys; `links` the directed edges.

    An unfinished run has the evaluations so far, no traffic and no times; or what its newest checkpoint
    holds, where evaluations alone mean nothing.
    """

    path: Path
    toml: str
    settings: dict[str, Any]
    environment: dict[str, Any]
    records: list[AgentRecord]
    links: list[tuple[int, int]]
    summary: dict[str, Any]
    finished: bool
    views: Views = field(default_factory=all_views)

    @property
    def name(self) -> str:
        """Name of the experiment, which may be somebody else's, as a terminal may show it."""
        return one_line(str(self.settings.get("name", self.path.name)))

    @property
    def seed(self) -> int:
        """Seed of the experiment."""
        return whole(self.path, self.settings, "seed", 0)

    @property
    def time(self) -> TimeWords:
        """How its clock says schedule time.

        A class that only the file names is not imported for that: the run may be a stranger's.
        """
        kind = self.settings.get("clock.kind", self.settings.get("clock", "lockstep"))
        if kind not in kinds.known_kinds("clock"):
            return OWN_TIME
        words: TimeWords = kinds.resolve("clock", kind).words
        return words

    @property
    def diverged(self) -> str:
        """What to say of agents whose parameters are no longer finite numbers; nothing where all are."""
        found = [str(record.agent) for record in self.records if record.diverged]
        if not found:
            return ""
        who = f"agent{'s' * (len(found) > 1)} {', '.join(found[:8])}{' and others' * (len(found) > 8)}"
        return (
            f"Warning: diverged. The parameters of {who} are no longer finite numbers, so results from there"
            " on mean nothing, also those of agents that they share with. Lower learning.lr."
        )

    def sent_together(self) -> dict[str, int]:
        """Bytes that all agents sent beside the links, by name in `TOGETHER`; those that are not 0."""
        return {name: size for name in TOGETHER if (size := self.summary.get(name, 0))}

    def total(self, quantity: str) -> float:
        """`wire_bytes` or `paper_floats` of all links; `sent_bytes`: on links and to combine gradients."""
        links = self.summary["communication"]
        if quantity == "sent_bytes":
            return float(links["wire_bytes"] + sum(self.sent_together().values()))
        return float(links[quantity])


def whole(path: Path, settings: dict[str, Any], key: str, default: int, most: int = LARGEST) -> int:
    """A setting of the run in `path` that is a whole number. Raises RunFolderError where it is not."""
    found = settings.get(key, default)
    if type(found) is not int or not 0 <= found <= most:
        raise RunFolderError(
            f"`{path / EXPERIMENT}` should say `{key}` as a whole number from 0 to {most}. Found {found!r}."
        )
    return found
