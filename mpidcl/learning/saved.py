"""Models of runs that are over: they teach, or a later run begins with them."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from mpidcl.base.shape import Shape
from mpidcl.base.state import State
from mpidcl.errors import CheckpointError, ExperimentError, MpidclError
from mpidcl.experiment import kinds
from mpidcl.experiment.reading import from_toml, read
from mpidcl.record.folder import RunFolder
from mpidcl.record.manifest import MANIFEST, Complete, all_complete, cut_folder

if TYPE_CHECKING:
    from mpidcl.experiment.file import Experiment

LEARNER, RECORD = "learner", "record"
"""Parts of the state of an agent."""


class Saved(NamedTuple):
    """What the newest checkpoint of a run says of an agent: its experiment, and the state of its learner."""

    experiment: Experiment
    learner: State

    @property
    def parameters(self) -> State:
        """As `FlatParameters.load` takes them. Raises ExperimentError where the learner has none."""
        if "parameters" not in self.learner:
            raise ExperimentError("A learner that is taken over should have a model. Found one without.")
        found: State = self.learner["parameters"]
        return found

    def shape_of(self, agent: int) -> Shape:
        """Of the rows and classes that the learner of this agent learned."""
        stream = kinds.resolve("stream", self.experiment.stream.kind)(self.experiment, agent)
        found: Shape = stream.shape
        return found


def unlike(theirs: Shape, mine: Shape) -> str | None:
    """Why a model for one stream cannot answer rows of another, or None."""
    for name in ("input_shape", "heads", "classes_per_head"):
        found, wanted = getattr(theirs, name), getattr(mine, name)
        if found != wanted:
            return f"`{name}` should be {wanted}. Found {found}."
    there = theirs.meanings() if theirs.meanings else {}
    here = mine.meanings() if mine.meanings else {}
    for output, wanted in here.items():
        if there.get(output, wanted) != wanted:
            return (
                f"{output} should stand for {wanted}. Found {there[output]}: the order of classes is drawn"
                ' with the seed, unless stream.class_order = "by id".'
            )
    return None


def newest(folder: Path) -> tuple[Experiment, Complete]:
    """The experiment of a run folder, and its newest checkpoint that is whole. Raises ExperimentError."""
    there = RunFolder(folder)
    try:
        experiment = from_toml(read(there.experiment_file))
        found = next(all_complete(there.checkpoints, experiment.agents, lambda line: None), None)
    except (MpidclError, OSError) as error:
        raise ExperimentError(
            f"`{folder}` should be the folder of a run. It cannot be used: {error}"
        ) from error
    if found is None:
        raise ExperimentError(f"`{folder}` should be the folder of a run with a checkpoint. Found none.")
    return experiment, found


def saved(folder: Path, agent: int) -> Saved:
    """The newest whole checkpoint of an agent. Raises ExperimentError where there is none."""
    experiment, state = part_of(folder, agent, LEARNER)
    return Saved(experiment.for_agent(agent), state)


def part_of(folder: Path, agent: int, part: str) -> tuple[Experiment, State]:
    """The experiment of a run folder, and a part of the state of an agent. Raises ExperimentError."""
    experiment, found = newest(folder)
    if not 0 <= agent < experiment.agents:
        raise ExperimentError(
            f"The agent of `{folder}` should be between 0 and {experiment.agents - 1}. Found {agent}."
        )
    try:
        ((_, _, state),) = found.read(RunFolder(folder).checkpoints, [agent], part)
    except CheckpointError as error:
        raise ExperimentError(f"`{folder}` cannot be used: {error}") from error
    return experiment, state


def fingerprint(folder: Path) -> str:
    """sha256 of the manifest of the newest checkpoint, which has those of all its files."""
    _, found = newest(folder)
    manifest = cut_folder(RunFolder(folder).checkpoints, found.number) / MANIFEST
    return sha256(manifest.read_bytes()).hexdigest()
