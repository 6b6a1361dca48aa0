"""Distillation: outputs stay near those of a teacher (Hinton et al. 2015, arXiv 1503.02531)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field, model_validator
from torch import Tensor
from torch.nn import functional

from mpidcl.base.state import State
from mpidcl.errors import ExperimentError
from mpidcl.experiment import kinds
from mpidcl.experiment.options import Options
from mpidcl.experiment.part import Use
from mpidcl.experiment.problems import Problem
from mpidcl.learning.batches import Batch, Drawn
from mpidcl.learning.saved import fingerprint, saved, unlike
from mpidcl.learning.teachers import Teacher
from mpidcl.learning.terms.base import Draw, Floats, Term, TermHost
from mpidcl.learning.terms.rehearsing import draw_problems
from mpidcl.learning.terms.rules import check_one_encoder, label_problems, silent_notes

if TYPE_CHECKING:
    from mpidcl.experiment.file import Experiment


class Host(TermHost):
    """A learner whose model can be made once more."""

    experiment: Experiment


class Distillation(Term):
    """weight * tau^2 * mean over rows of KL(softmax(z_teacher / tau) || softmax(z_student / tau)).

    Over the classes that the teacher knows: a snapshot those of the tasks before, a neighbour those of all
    tasks begun. The mean is over rows, the sum over classes, so the size of the term does not depend on how
    many classes there are. With a head for each task every head of a task before is taught, on the rows of
    the current one, and rows drawn from the memory each through its own. Teachers answer in eval mode;
    nothing flows back into them. Silent without a teacher.

    snapshot: the agent's own model when the current task began. neighbours: what `teach = true` of an
    exchange of kind "experts" has brought last: the mean of the neighbours' outputs, or the outputs of the
    mean of their models. file: the model of an agent in the newest checkpoint of a run, of any kind and size
    for the same rows and classes; the run is bound to it.
    """

    class Options(Options):
        """Who teaches, and how much it counts."""

        teacher: Literal["snapshot", "neighbours", "file"] = Field(
            "snapshot",
            description="who teaches: the agent's own model before the task, its neighbours, or one of `run`",
        )
        on: Literal["batch", "memory", "both"] = Field(
            "batch", description="rows that are taught: those of the batch, a draw from the memory, or both"
        )
        weight: float = Field(1.0, ge=0, description="weight of the term, lambda_KD")
        temperature: float = Field(2.0, gt=0, le=1000, description="tau: more shows more of small shares")
        mean: Literal["outputs", "models"] = Field(
            "outputs", description="of several neighbours: the mean of their outputs, or of their models"
        )
        rows_per_step: int | None = Field(
            None, ge=1, le=10**9, description="on = memory: rows of the draw; by default learning.batch"
        )
        run: str | None = Field(None, description="teacher = file: the folder of a run with a checkpoint")
        agent: int = Field(0, ge=0, description="teacher = file: whose model of that run it is")

        @model_validator(mode="after")
        def _named(self) -> Distillation.Options:
            if (self.teacher == "file") != (self.run is not None):
                raise ValueError(
                    'run should name the folder of a run with teacher = "file", and only then. Found'
                    f' teacher = "{self.teacher}" and {self.run or "no run"}'
                )
            return self

    options: Options
    host: Host
    name = "distillation"
    needs = ("experiment",)

    @classmethod
    def problems(cls, use: Use) -> Iterator[Problem]:
        """An objective without labels; neighbours that never teach."""
        yield from label_problems(use, "distillation", "its outputs are no shares of classes")
        if use.options.on != "batch":
            yield from draw_problems(use, use.options.rows_per_step)
        brought = [kinds.resolve("exchange", one.kind).teaches(one.options) for one in use.mine.exchange]
        if use.options.teacher == "neighbours" and "neighbours" not in brought:
            yield Problem(
                (*use.key, "teacher"),
                'should be "snapshot", or an [[exchange]] of kind "experts" have teach = true: no neighbour'
                ' ever teaches. Found "neighbours"',
            )

    @classmethod
    def files(cls, use: Use) -> dict[str, str]:
        run = use.options.run
        return {} if run is None else {".".join((*map(str, use.key), "run")): fingerprint(Path(run))}

    @classmethod
    def notes(cls, use: Use) -> Iterator[str]:
        """It never acts."""
        if use.options.teacher == "snapshot":
            yield from silent_notes(use, "distillation")

    def __init__(self, options: Options, host: Host) -> None:
        super().__init__(options, host)
        self._teachers: dict[int, Teacher] = {}
        check_one_encoder(host, "distillation")
        if options.run is not None:
            self._read(Path(options.run))

    def _read(self, run: Path) -> None:
        """The teacher of a run that is over: it is not part of the state."""
        found = saved(run, self.options.agent)
        model = self.host.model
        try:
            if why := unlike(found.shape_of(self.options.agent), model.shape):
                raise ValueError(why)
            teacher = Teacher(found.experiment, self.options.agent, model)
            teacher.load(found.parameters | {"standing": found.learner.get("experts", {})})
            teacher.see_as(model)
        except (ValueError, KeyError) as error:
            raise ExperimentError(
                f'The term "distillation" should have a teacher for the rows and classes of its own stream.'
                f" That of `{run}` does not fit: {error}"
            ) from error
        self._teachers[self.options.agent] = teacher
        self.mark = 1

    # --- teachers -------------------------------------------------------------------------------

    def before_task(self, task: int) -> None:
        if self.options.teacher == "snapshot" and self.host.tasks.ended:
            self._teacher(self.host.agent).copy(self.host.model)
            self.mark = len(self._teachers)

    def take_teachers(self, models: Mapping[int, Mapping[str, Floats]]) -> None:
        if self.options.teacher != "neighbours" or not models:
            return
        if self.options.mean == "models":
            models = {self.host.agent: _mean([models[source] for source in sorted(models)])}
        for source in [one for one in self._teachers if one not in models]:
            del self._teachers[source]
        for source in sorted(models):
            teacher = self._teacher(source)
            teacher.copy(self.host.model)  # what did not travel is one's own
            teacher.take(models[source])
        self.mark = len(self._teachers)

    def _teacher(self, source: int) -> Teacher:
        if source not in self._teachers:
            self._teachers[source] = Teacher(self.host.experiment, self.host.agent, self.host.model)
            self._teachers[source].copy(self.host.model)
        return self._teachers[source]

    # --- a step ---------------------------------------------------------------------------------

    @classmethod
    def drawing(cls, options: object) -> bool:
        return isinstance(options, cls.Options) and options.on != "batch"

    def draws(self) -> tuple[Draw, ...]:
        rows = self.options.rows_per_step or self.host.batch
        return (Draw(rows, beside=True, quick=True),) if self.options.on != "batch" else ()

    def loss(self, batch: Batch) -> Tensor | None:
        if not self._teachers or not self.options.weight:
            return None
        found: list[Tensor] = []
        for head, known in self._known():
            if self.options.on != "memory":
                found.append(self._taught(batch, head, known))
            for rows in batch.drawn.get(self, ()):
                found += self._reminded(rows, head, known)
        return self.options.weight * torch.stack(found).sum() if found else None

    def _reminded(self, rows: Drawn, head: int, known: npt.NDArray[np.int64]) -> Iterator[Tensor]:
        """The rows of a draw that go through a head, weighted by how many of the draw they are."""
        mine = torch.nonzero(rows.heads == head).squeeze(1)
        if not len(mine):
            return
        student = self.host.outputs(rows).index_select(0, mine)
        yield self._away(student, rows.z.index_select(0, mine), head, known) * (len(mine) / len(rows))

    def _known(self) -> Iterator[tuple[int, npt.NDArray[np.int64]]]:
        """Heads with at least two classes that the teachers know, and these classes."""
        tasks = self.host.tasks
        taught = tasks.ended if self.options.teacher == "snapshot" else range(len(tasks.tasks))
        for head, known in enumerate(tasks.classes(taught)):
            if known.sum() > 1:
                yield head, np.flatnonzero(known)

    def _taught(self, batch: Batch, head: int, known: npt.NDArray[np.int64]) -> Tensor:
        model = self.host.model
        assert batch.encoded is not None
        if len(model.heads.block) == 1 and batch.logits is not None:
            student = batch.logits
        else:
            student = model.outputs_of(batch.encoded, head)
            batch.present[head] = True
        return self._away(student, batch.z, head, known)

    def _away(self, student: Tensor, z: Tensor, head: int, known: npt.NDArray[np.int64]) -> Tensor:
        """How far the student's outputs [n, outputs of a head] are from the teachers' on rows z."""
        answers = [one.outputs(z, head) for _, one in sorted(self._teachers.items())]
        teacher = answers[0] if len(answers) == 1 else torch.stack(answers).mean(0)
        index = torch.from_numpy(known).to(student.device)
        return divergence(
            teacher.index_select(1, index), student.index_select(1, index), self.options.temperature
        )

    # --- checkpoint -----------------------------------------------------------------------------

    def state(self) -> State:
        if self.options.run is not None:
            return {}
        return {str(source): one.state() for source, one in sorted(self._teachers.items())}

    def load(self, state: State) -> None:
        if self.options.run is not None:
            return
        self._teachers = {}
        for source in sorted(state, key=int):
            self._teacher(int(source)).load(state[source])
        self.mark = len(self._teachers)


def _mean(models: Sequence[Mapping[str, Floats]]) -> dict[str, Floats]:
    return {
        kind: np.stack([one[kind] for one in models]).mean(0, dtype=np.float64).astype(np.float32)
        for kind in models[0]
    }


def divergence(teacher: Tensor, student: Tensor, temperature: float) -> Tensor:
    """tau^2 * mean over rows of KL(softmax(teacher / tau) || softmax(student / tau)), of outputs [n, c].

    >>> same = torch.tensor([[1.0, 2.0, 3.0]])
    >>> divergence(same, same + 5.0, 2.0).round(decimals=6).item()
    0.0
    """
    wanted = (teacher / temperature).softmax(1)
    found = (student / temperature).log_softmax(1)
    return temperature**2 * functional.kl_div(found, wanted, reduction="batchmean")
