"""`summary.json`: the few numbers of a run that people compare, computed from the agents' records."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from mpidcl.errors import RunFolderError
from mpidcl.record.folder import RESULTS, SUMMARY_FORMAT
from mpidcl.record.records import FRAME, AgentRecord, LedgerRow, one_per_model
from mpidcl.views.mean_error import mean_error
from mpidcl.views.views import Views, all_views

SINCE_2 = ("format", "start_s", "other_s", "standard_error_over")
"""Keys that a summary without a format, of version 1, does not have."""
SINCE_BASELINES = ("bwt", "fwt", "forgetting_max")
"""Metrics that summaries of format 2 had not at first."""
SINCE_CHANGES = ("down",)
"""A count of frames that mail had not at first."""
TIMES = (
    "wall_s", "cpu_s", "start_s", "learn_s", "meet_s", "wait_s", "evaluate_s", "checkpoint_s", "other_s",
)  # fmt: skip
"""Of an agent all but `cpu_s` add up to `wall_s`."""
SIZES = ("parameters", "replay_bytes")
"""Counters of one agent: floats of its model, bytes of the rows in its memory."""


def summarise(records: Sequence[AgentRecord], views: Views | None = None) -> dict[str, Any]:
    """The summary of a run folder (docs/report.md); records in any order. Undefined numbers are None.

    Metrics are means over agents; agents that share one model count once. Standard errors are over the agents
    of this run, which share its seed. `frames` to `simulated_s` are sums over links; `wall_s` and
    `peak_rss_bytes` the largest of any agent, as are `parameters` and `replay_bytes`, which only learners
    that count them have; all other times, `training_floats`, `flops` sums over agents.
    `diverged`: the agents whose parameters are no longer finite numbers, only where there are such.
    `views` (None: all that are installed) say what the metrics are, and add keys of their own.
    """
    found = views or all_views()
    ordered = sorted(records, key=lambda record: record.agent)
    return found.summary(ordered) | {
        "format": SUMMARY_FORMAT,
        "agents": len(ordered),
        "digest": run_digest(ordered),
        "metrics": _metrics(ordered, found),
        "communication": _communication([row for record in ordered for row in record.ledger]),
        "training_floats": sum(record.counters.get("training_floats", 0) for record in ordered),
        "time": {name: _time(name, ordered) for name in TIMES},
        "memory": {"peak_rss_bytes": max((record.peak_rss_bytes for record in ordered), default=0)},
        "flops": sum(record.counters.get("flops", 0) for record in ordered),
        **_sizes(ordered),
        **_diverged(ordered),
    }


def _sizes(records: Sequence[AgentRecord]) -> dict[str, int]:
    found = {name: [record.counters.get(name, -1) for record in records] for name in SIZES}
    return {name: max(values) for name, values in found.items() if max(values, default=-1) >= 0}


def _diverged(records: Sequence[AgentRecord]) -> dict[str, list[int]]:
    """The agents whose parameters are no finite numbers; nothing where all are."""
    found = [record.agent for record in records if record.diverged]
    return {"diverged": found} if found else {}


def run_digest(records: Iterable[AgentRecord]) -> str:
    """sha256 (hex) over the digests of all agents in agent order."""
    ordered = sorted(records, key=lambda record: record.agent)
    return hashlib.sha256("".join(record.digest for record in ordered).encode()).hexdigest()


def check_summary(path: Path, found: Mapping[str, Any], records: Sequence[AgentRecord]) -> None:
    """Raises RunFolderError where the summary `found` at `path` lacks what that of `records` holds.

    So that no table and no figure has to think of a key that is missing, or of a text in place of a number.
    Keys of `SINCE_BASELINES` and `SINCE_CHANGES` may be missing, and of a file of version 1 those of
    `SINCE_2`.
    """
    new = (*SINCE_BASELINES, *SINCE_CHANGES, *(() if "format" in found else SINCE_2))
    for key, wrong in _differences(found, summarise(records, all_views().ours), "", new):
        raise RunFolderError(f"`{path}` should hold the summary of the run: `{key}` {wrong}. {_ADVICE}")


_ADVICE = "The same `mpidcl run` command makes it again from the last checkpoint."
_LARGEST = 1e30


def _differences(found: Any, like: Any, key: str, new: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Keys at which `found` lacks something of `like`, or has another kind of value, and what is wrong."""
    match like:
        case Mapping() if not isinstance(found, Mapping):
            yield key, "should be a table"
        case Mapping():
            for name, value in like.items():
                inner = f"{key}.{name}" if key else name
                if name in found:
                    yield from _differences(found[name], value, inner, new)
                elif name not in new:
                    yield inner, "is missing"
        case list() if not isinstance(found, list) or len(found) != len(like):
            yield key, f"should be a list of {len(like)}"
        case list():
            for number, value in enumerate(like):
                yield from _differences(found[number], value, f"{key}.{number}", new)
        case str():
            if not isinstance(found, str):
                yield key, "should be a text"
        case _:
            known = type(found) in (int, float) and abs(found) <= _LARGEST
            if not known and not (found is None and like is None):
                yield key, "should be a finite number"


def reproducible(summary: Mapping[str, Any]) -> dict[str, Any]:
    """The part that two runs of one experiment share: without times and memory."""
    own = ("memory", RESULTS)
    kept = {key: value for key, value in summary.items() if key not in own and not key.endswith("_s")}
    return {key: reproducible(value) if isinstance(value, dict) else value for key, value in kept.items()}


def _metrics(records: Sequence[AgentRecord], views: Views) -> dict[str, Any]:
    found = {record.agent: views.metrics(record) for record in records}
    names = list(dict.fromkeys(name for agent in found.values() for name in agent))
    by_agent = {name: [_number(agent.get(name, math.nan)) for agent in found.values()] for name in names}
    main = f"final_{records[0].main.name}" if records else ""
    models = [found[record.agent] for record in one_per_model(records)]
    means = {name: mean_error(model.get(name, math.nan) for model in models) for name in names}
    unit = "agent" if len(models) == len(records) else "model"
    return {
        **{name: _number(found.mean) for name, found in means.items()},
        "standard_error": {name: _number(found.standard_error) for name, found in means.items()},
        "standard_error_over": means.get(main, mean_error([])).over(unit),
        "by_agent": by_agent,
    }


def _communication(rows: Sequence[LedgerRow]) -> dict[str, Any]:
    ordered = sorted(rows, key=lambda row: (row.exchange, row.kind))
    groups = groupby(ordered, key=lambda row: (row.exchange, row.kind))
    by_exchange = [
        {"exchange": exchange, "kind": kind} | _traffic(list(found)) for (exchange, kind), found in groups
    ]
    # A frame may carry messages of several exchanges; the rows of the frames themselves count each once.
    frames = [row for row in ordered if row.exchange == FRAME] or ordered
    return _traffic(ordered) | {"frames": sum(row.frames for row in frames), "by_exchange": by_exchange}


def _traffic(rows: Sequence[LedgerRow]) -> dict[str, Any]:
    counts = ("frames", "payload_bytes", "wire_bytes", "paper_floats")
    found: dict[str, Any] = {name: sum(getattr(row, name) for row in rows) for name in counts}
    return found | {"simulated_s": math.fsum(row.simulated_s for row in rows)}


def _time(name: str, records: Sequence[AgentRecord]) -> float:
    seconds = [record.timing.get(name, 0.0) for record in records]
    return max(seconds, default=0.0) if name == "wall_s" else math.fsum(seconds)


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
