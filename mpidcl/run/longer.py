"""A run begins with what a shorter one has learned: `mpidcl run --from FOLDER`.

The end of a run is no place to go on from. Agents that have learned their last sample tick on and share,
until all have; in a longer run they would have learned. So what is taken over is the newest checkpoint up to
which both runs do the same: every agent has the same events there, on the same samples. It is copied, and the
shorter run stays what it is. The longer one then goes on from it as from a checkpoint of its own, and has the
bits of one that was never stopped.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mpidcl.base.notices import warn
from mpidcl.errors import ExperimentError
from mpidcl.experiment import kinds
from mpidcl.experiment.file import Experiment
from mpidcl.experiment.reading import from_toml
from mpidcl.experiment.sections import Checkpoint
from mpidcl.experiment.units import Period
from mpidcl.network.schedule.timetable import Moment, Phase
from mpidcl.network.schedule.topology import Topology
from mpidcl.record.checkpoint import Image
from mpidcl.record.folder import RunFolder
from mpidcl.record.identity import Identity, changes, read_identity
from mpidcl.record.manifest import (
    MARK,
    Complete,
    Manifests,
    agent_key,
    all_complete,
    mark,
    state_file,
)
from mpidcl.record.settings import aligned, deciding, differences, flat_settings
from mpidcl.run.building import make_timetables, time_words
from mpidcl.stream.stream import Stream

NAME = "name"
"""A key that decides no result, but which folder is the run's."""


def begin_from(
    short: Path, experiment: Experiment, topology: Topology, folder: RunFolder, identity: Identity
) -> Complete:
    """The checkpoint, now in `folder`, from which `experiment` goes on where the run in `short` was.

    By one process, in a folder without checkpoints. Raises ExperimentError for a run that is not the begin of
    this one, or has no checkpoint that can be used.
    """
    there = RunFolder(short)
    begun = from_toml(_text(there))
    _check_settings(there, begun, experiment)
    known = read_identity(short)
    if known is None:
        raise ExperimentError(
            f"--from should be a run folder with an identity.json that is whole. Found none in {short}."
        )
    if lines := changes(known, identity):
        raise ExperimentError(
            f"--from should be a run with the links, data and own methods of this one. {short} (there) has"
            " others:\n" + "\n".join(f"  {line}" for line in lines)
        )
    first = _first_difference(begun, experiment, topology)
    cuts = []
    for found in all_complete(there.checkpoints, begun.agents, warn, known.digest):
        cuts.append(found.time)
        if first is None or Moment(found.time, Phase.CUT) < first:
            return _copied(there, found, folder, identity)
    words = time_words(experiment)
    before = (
        "" if first is None else f" before {words.at(first.exact)}, where this run begins to differ from it"
    )
    kept = f"the oldest at {words.at(cuts[-1])}" if cuts else "none"
    raise ExperimentError(
        f"--from should be a run with a checkpoint{before}. Found {kept} in {short}. Run the shorter"
        " one with a lower [checkpoint] every, or a larger keep; or begin this one anew, without --from."
    )


def _text(folder: RunFolder) -> str:
    if not folder.experiment_file.is_file():
        raise ExperimentError(
            f"--from should be the folder of a run. Found no experiment.toml in {folder.path}."
        )
    return folder.experiment_file.read_text()


def _check_settings(there: RunFolder, begun: Experiment, experiment: Experiment) -> None:
    """Only the length of streams may be another one."""
    stream: type[Stream] = kinds.resolve("stream", experiment.stream.kind)
    old, new = (deciding(flat_settings(one.to_toml())) for one in (begun, experiment))
    found = {
        key: pair for key, pair in differences(old, new).items() if not _may_grow(key, stream.grows, old, new)
    }
    if found:
        rows = [("key", "there", "here"), *((key, *pair) for key, pair in found.items())]
        grows = " and ".join(f"stream.{name}" for name in stream.grows)
        allowed = (
            f"{grows}, which may be larger here" if grows else "no key: its stream cannot be made longer"
        )
        raise ExperimentError(
            f"--from should be a run that differs in {allowed}. {there.path} (there) differs in:\n"
            + aligned(rows)
        )


def _may_grow(key: str, grows: tuple[str, ...], old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Whether a key is the length of a stream, and not smaller than it was."""
    if key == NAME:
        return True
    *_, table, name = ("", *key.split("."))
    return (
        table == "stream"
        and name in grows
        and isinstance(before := old.get(key), int)
        and isinstance(now := new.get(key), int)
        and now >= before
    )


def _first_difference(begun: Experiment, experiment: Experiment, topology: Topology) -> Moment | None:
    """The first moment at which an agent does not do the same in both; None: there is none."""
    # cuts decide nothing, but frames are waited for at them: by the clock on the wall there are none
    uncut = Checkpoint(every=Period(3600.0))
    alike = [one.model_copy(update={"checkpoint": uncut}) for one in (begun, experiment)]
    before, after = (make_timetables(one, topology, _ticks(one)) for one in alike)
    found: list[Moment] = []
    for agent in range(begun.agents):
        pairs = zip(before(agent, True).events(), after(agent, True).events(), strict=False)
        found += [min(one.moment, other.moment) for one, other in pairs if one != other][:1]
    return min(found, default=None)


def _ticks(experiment: Experiment) -> list[list[int]]:
    stream: type[Any] = kinds.resolve("stream", experiment.stream.kind)
    agents = range(experiment.agents)
    return [list(stream(experiment.for_agent(agent), agent).ticks) for agent in agents]


def _copied(there: RunFolder, cut: Complete, folder: RunFolder, identity: Identity) -> Complete:
    """The same cut as one of the run in `folder`, in one file."""
    image = Image()
    for agent, _, state in cut.read(there.checkpoints, range(len(cut.files))):
        image.add(agent_key(agent), {**state, MARK: mark(agent, cut.time, identity.digest)})
    image.close()
    size, sha256 = image.write(state_file(folder.checkpoints, cut.number, 0))
    manifests = Manifests(folder.checkpoints, [0] * len(cut.files), 1, identity.digest)
    manifests.add(0, cut.number, cut.time, size, sha256)
    assert manifests.newest is not None  # all agents are in one file
    return manifests.newest
