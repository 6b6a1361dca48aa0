"""Serial streams: one task after the other, task-, class- or domain-incremental."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cached_property, lru_cache
from math import ceil
from typing import TYPE_CHECKING, cast

import numpy as np

from mpidcl.base.shape import Meanings
from mpidcl.errors import ExperimentError
from mpidcl.experiment.part import Planned, Use
from mpidcl.experiment.problems import Problem
from mpidcl.randomness import EVERYBODY, numpy_generator
from mpidcl.stream.datasets.catalogue import make
from mpidcl.stream.serial import deals, rules
from mpidcl.stream.serial.classes import draw_classes
from mpidcl.stream.serial.domains import draw_domain
from mpidcl.stream.serial.options import SerialOptions
from mpidcl.stream.stream import Stream
from mpidcl.stream.tasks import Rows, StreamShape, Task

if TYPE_CHECKING:
    from mpidcl.experiment.file import Experiment
    from mpidcl.stream.datasets.base import Arrays, DataSet, Labels
    from mpidcl.stream.tasks import Domain, Indices


@lru_cache(maxsize=16)
def _names(dataset: str, options: str, agents: int) -> tuple[str, ...]:
    """The data set of every agent."""
    whole = make(dataset, json.loads(options))
    return tuple(whole.for_agent(agent).info.name for agent in range(agents))


class SerialStream(Stream):
    """The tasks of one agent: functions of (seed, agent, index), in whatever order they are asked for.

    `experiment` is the experiment as this agent lives it; of it seed, agents, stream and learning.epochs are
    read. No file is read before the first `task`. Raises ExperimentError for settings that the data set
    cannot satisfy.

    shape: what a model must fit; ticks: epochs of each task, 0 for joint tasks before the last of them
    """

    Options = SerialOptions
    gives = Task
    learners = ("gradient", "compositional")
    ticks: tuple[int, ...] = ()
    shape: StreamShape = StreamShape((), 0, 0)

    def __init__(self, experiment: Experiment, agent: int) -> None:
        self.options = cast(SerialOptions, experiment.stream.options)
        self._seed, self._agent = experiment.seed, agent
        whole = make(experiment.stream.dataset, self.options.data)
        self.dataset = whole.for_agent(agent)
        names = _names(experiment.stream.dataset, json.dumps(self.options.data), experiment.agents)
        name = self.dataset.info.name
        self._member, self._members = names[:agent].count(name), names.count(name)
        self._own_domains = self.options.incremental == "domain" and self.options.domains == "own"
        self._check_domains()
        self.joint_tasks = self._checked_joint_tasks()
        self._classes = self._draw_classes()
        epochs = experiment.learning.epochs
        self.ticks = tuple(epochs if t + 1 >= self.joint_tasks else 0 for t in range(self.options.tasks))
        self.shape = self._shape()

    @classmethod
    def planned(cls, options: SerialOptions) -> Planned:
        """Tasks, joint tasks, and whether there are validation rows."""
        none = [name for name in ("validation_per_class", "validation_share") if getattr(options, name) == 0]
        found = Planned(options.tasks, options.joint_tasks, options.classes_per_task)
        return found._replace(unvalidated=none[0] if none else None)

    def rows_of_task(self, agents: int) -> int:
        """Of the data set's rows those of its classes; of dealt rows a share."""
        info, options = self.dataset.info, self.options
        classes = options.classes_per_task
        sharers = {"iid": agents, "dirichlet": info.train or 0}.get(options.draw, 1)
        if options.draw == "classes":
            classes, sharers = ceil(classes / agents), max(1, agents // classes)
        return info.rows_of(classes, options.train_per_class, sharers)

    @classmethod
    def problems(cls, use: Use) -> Iterator[Problem]:
        """What does not go with an order of classes, with a deal, or with domains."""
        yield from rules.problems(use)

    @classmethod
    def notes(cls, use: Use) -> Iterator[str]:
        """Agents that share classes which are dealt whole; domains that the data set has for itself."""
        yield from rules.notes(use)

    @staticmethod
    def data_set(experiment: Experiment, agent: int) -> DataSet:
        """What the stream of this agent reads, without making the stream: a run is bound to its content."""
        return make(experiment.stream.dataset, experiment.stream.options.data).for_agent(agent)

    def task(self, index: int) -> Task:
        """Task `index`, counted from 0; reads the data set at the first call.

        Raises DataError for missing or wrong files, ExperimentError for too few rows, IndexError.
        """
        if not 0 <= index < self.options.tasks:
            raise IndexError(f"a task should be between 0 and {self.options.tasks - 1}. Found {index}.")
        data, options, outputs = self._arrays, self.options, self._outputs(index)
        train, validation = self._training_rows(index)
        return Task(
            index,
            self.dataset.info.name,
            self._classes[index],
            self._rows(index, "train", self._first(index, "train", train, options.train_per_class)),
            self._rows(index, "train", self._validation_rows(index, validation)),
            self._rows(index, "test", self._test_rows(index, data.test_y)),
            head=self._head(index),
            labels=tuple(int(outputs[c]) for c in self._classes[index]),
            held_back=lambda: self._held_back_rows(index),
        )

    @cached_property
    def _arrays(self) -> Arrays:
        return self.dataset.load()

    def _draw_classes(self) -> list[tuple[int, ...]]:
        options, total = self.options, self.dataset.info.classes
        if options.incremental == "domain":
            generator = None if options.class_order == "by id" else self._shared("classes")
            drawn = draw_classes(generator, total, 1, options.classes_per_task, False)
            return [tuple(sorted(drawn[0]))] * options.tasks
        each, again = options.classes_per_task, options.replacement
        if options.class_order == "by id":
            return draw_classes(None, total, options.tasks, each, again)
        generator = self._own("classes") if options.draw == "independent" else self._shared("classes")
        if not options.joint_shared:
            return draw_classes(generator, total, options.tasks, each, again)
        first = draw_classes(self._shared("joint classes"), total, self.joint_tasks, each, again)
        taken = [] if again else [c for classes in first for c in classes]
        return first + draw_classes(generator, total, options.tasks - self.joint_tasks, each, again, taken)

    def _check_domains(self) -> None:
        there, tasks = self.dataset.domains, self.options.tasks
        if self._own_domains and not there:
            raise ExperimentError(
                '`stream.domains` = "own" needs a data set that has domains, such as `stream.dataset` ='
                f' "folders". Found {self.dataset.info.name}, which has none.'
            )
        if self._own_domains and tasks > len(there):
            raise ExperimentError(
                f"`stream.tasks` should be at most {len(there)}, the domains of the data set "
                f"({', '.join(there)}). Found {tasks}."
            )

    def _checked_joint_tasks(self) -> int:
        joint, tasks = self.options.joint_tasks, self.options.tasks
        if joint > tasks:
            raise ExperimentError(
                f"`stream.joint_tasks` should be at most `stream.tasks` = {tasks}. Found {joint}."
            )
        if self.options.joint_shared and self.options.draw in ("iid", "dirichlet", "classes"):
            raise ExperimentError(
                "`stream.joint_shared` gives all agents the same rows of the joint tasks: `stream.draw` "
                f"should be independent or shared. Found {self.options.draw}, where no row is shared."
            )
        return joint

    def _shape(self) -> StreamShape:
        options, info = self.options, self.dataset.info
        heads = options.tasks if options.incremental == "task" else 1
        own_labels = options.remap and options.incremental != "class"
        width = options.classes_per_task if own_labels else info.classes
        joint = self.joint_tasks, options.joint_shared and self.joint_tasks > 0
        means = self._meanings
        return StreamShape(info.shape, heads, width, options.incremental, *joint, options.augment, means)

    def _head(self, index: int) -> int:
        return index if self.options.incremental == "task" else 0

    def _meanings(self) -> Meanings:
        """What each output stands for that a task uses."""
        found: dict[str, str] = {}
        name = self.dataset.info.name
        for index, classes in enumerate(self._classes):
            outputs = self._outputs(index)
            where = f"of head {self._head(index)}"
            found |= {f"output {outputs[c]} {where}": f"class {c} of {name}" for c in classes}
        return found

    def _outputs(self, index: int) -> Indices:
        """Output of the head for each class of the data set [classes], -1 for those of other tasks."""
        classes = np.array(self._classes[index])
        outputs = np.full(self.dataset.info.classes, -1, dtype=np.int64)
        options = self.options
        if not options.remap or (options.incremental == "class" and options.class_order == "by id"):
            outputs[classes] = classes
        elif options.incremental == "class":
            # One order for all agents, so that an output means the same class everywhere; with a shared draw
            # it is the order in which the classes come.
            place = np.argsort(self._shared("classes").permutation(len(outputs)))
            outputs[classes] = place[classes]
        else:
            outputs[classes] = np.arange(len(classes))
        return outputs

    @cached_property
    def _train_kinds(self) -> Labels:
        return self._kinds(self._arrays.train_y)

    def _kinds(self, labels: Labels) -> Labels:
        """By what rows of a part are dealt and chosen [rows]: their class, or their class in their domain."""
        if not self._own_domains:
            return labels
        return labels + self.dataset.info.classes * self.dataset.domain_of(labels)

    def _kinds_of_task(self, index: int) -> tuple[int, ...]:
        first = self.dataset.info.classes * index if self._own_domains else 0
        return tuple(first + c for c in self._classes[index])

    def _called(self, kind: int) -> str:
        domain, label = divmod(kind, self.dataset.info.classes)
        return f"{label} (domain {self.dataset.domains[domain]})" if self._own_domains else str(label)

    def _training_rows(self, index: int) -> tuple[Indices, Indices]:
        """All training and all validation rows of this agent, shuffled; made anew each time, not kept."""
        labels, options = self._train_kinds, self.options
        if options.draw == "iid":
            dealt = deals.iid_shard(len(labels), self._seed, self._member, self._members)
        elif options.draw == "dirichlet":
            way = options.alpha, options.least_per_class, self._called
            dealt = deals.dirichlet_shard(labels, self._seed, self._member, self._members, *way)
        elif options.draw == "classes":
            tasks = [self._kinds_of_task(task) for task in range(options.tasks)]
            dealt = deals.class_shard(labels, tasks, self._seed, self._member, self._members)
        else:
            dealt = np.arange(len(labels))
        if not options.joint_shared:
            return deals.split(dealt, self._own("rows"), options.validation_share)
        # One split for all tasks, or rows of the shared ones could train here and validate there.
        train, validation = deals.split(dealt, self._shared("joint rows"), options.validation_share)
        if index < self.joint_tasks:
            return train, validation
        own = self._own("rows")
        return own.permutation(train), own.permutation(validation)

    def _validation_rows(self, index: int, rows: Indices) -> Indices:
        return self._first(index, "validation", rows, self.options.validation_per_class)

    def _held_back_rows(self, index: int) -> Rows:
        """Rows that some task validates on, as task `index` sees them; one object where all see the same."""
        rows = self._held_back
        return rows if self._domain(index) is None else self._rows(index, "train", rows.index)

    @cached_property
    def _held_back(self) -> Rows:
        tasks = range(self.options.tasks)
        rows = [self._validation_rows(index, self._training_rows(index)[1]) for index in tasks]
        return self._rows(0, "train", np.unique(np.concatenate(rows)))

    def _first(self, index: int, part: str, rows: Indices, per_class: int | None) -> Indices:
        """The first (per_class x classes) rows of a shuffled list whose class belongs to the task."""
        mine = rows[np.isin(self._train_kinds[rows], self._kinds_of_task(index))]
        least = 1 if part == "train" else 0
        wanted = len(mine) if per_class is None else per_class * self._classes_dealt(index)
        # A Dirichlet shard is as small as chance made it: there the number is an upper bound.
        needed = least if self.options.draw == "dirichlet" else max(least, wanted)
        if len(mine) < needed:
            raise self._too_few(index, part, needed, len(mine))
        return mine[:wanted]

    def _classes_dealt(self, index: int) -> int:
        """Of how many classes of a task this agent is meant to have rows."""
        classes = self._classes[index]
        dealt = self.options.draw == "classes"
        return len(deals.classes_of(classes, self._member, self._members) if dealt else classes)

    def _test_rows(self, index: int, labels: Labels) -> Indices:
        per_class = self.options.test_per_class
        kinds = self._kinds(labels)
        of_class = [np.flatnonzero(kinds == kind) for kind in self._kinds_of_task(index)]
        fewest = min(len(rows) for rows in of_class)
        if fewest < (per_class or 1):
            raise self._too_few(index, "test", (per_class or 1) * len(of_class), sum(map(len, of_class)))
        return np.sort(np.concatenate([rows[:per_class] for rows in of_class]))

    def _too_few(self, index: int, part: str, needed: int, found: int) -> ExperimentError:
        classes = ", ".join(map(self._called, self._kinds_of_task(index)))
        return ExperimentError(
            f"Task {index} of agent {self._agent} should have at least {needed} {part} rows of the classes "
            f"{classes} of {self.dataset.info.name} (draw = {self.options.draw}). Found {found}. "
            f"Lower `stream.{part}_per_class`, change `stream.validation_share`, or take fewer agents."
        )

    def _rows(self, index: int, part: str, rows: Indices) -> Rows:
        data = self._arrays
        pixels, labels = (data.test_x, data.test_y) if part == "test" else (data.train_x, data.train_y)
        y = self._outputs(index)[labels[rows]]
        return Rows(pixels, rows, y, self.dataset.info.maximum, self._domain(index))

    def _domain(self, index: int) -> Domain | None:
        plain = index == 0 and self.options.first_domain == "plain"
        if self.options.incremental != "domain" or self.options.domains == "own" or plain:
            return None
        purpose = f"domain {index}"
        generator = self._own(purpose) if self.options.draw == "independent" else self._shared(purpose)
        return draw_domain(self.options.domains, generator, *self.dataset.info.shape[1:])

    def _own(self, purpose: str) -> np.random.Generator:
        return numpy_generator(self._seed, self._agent, purpose)

    def _shared(self, purpose: str) -> np.random.Generator:
        return numpy_generator(self._seed, EVERYBODY, purpose)
