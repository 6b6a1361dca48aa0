"""What an experiment needs in memory, at least, told before any of it is allocated.

Counted is what learning certainly touches: parameters, gradients and moments of the optimiser, the rows that
a replay memory will come to hold, and a batch of rows. Activations, exchanges and the data set come on top.
What depends on a draw, or on which agent it is, is left out: a run that fits is never refused.
"""

from __future__ import annotations

from collections import Counter
from math import prod
from typing import Any, NamedTuple

from mpidcl.base.machine import memory_bytes
from mpidcl.base.quantities import bytes_text
from mpidcl.errors import ExperimentError
from mpidcl.experiment import kinds
from mpidcl.experiment.file import Experiment
from mpidcl.experiment.units import counted
from mpidcl.run.alike import Crowd
from mpidcl.run.processes import Processes


class Need(NamedTuple):
    """Bytes of one agent, at least."""

    model: int = 0
    memory: int = 0
    batch: int = 0

    @property
    def total(self) -> int:
        """All of it."""
        return sum(self)

    def __str__(self) -> str:
        parts = zip(("model and optimiser", "replay memory", "batch"), self, strict=True)
        return ", ".join(f"{name} {bytes_text(size)}" for name, size in parts if size)


def need_of(experiment: Any, stream: Any) -> Need:
    """What an agent with this experiment and stream needs."""
    learner = kinds.resolve("learner", experiment.learning.kind)
    tell = getattr(learner, "model_bytes", None)  # somebody's own learner need not tell
    row = 4 * prod(stream.shape.input_shape)
    offered = _rows_of_task(stream, experiment.agents)
    held = _held(experiment.memory.capacity, stream, row, offered) if _remembers(experiment) else 0
    return Need(
        model=tell(experiment, stream.shape) if tell else 0,
        memory=held * row,
        batch=min(experiment.learning.batch, offered) * row,
    )


def _remembers(experiment: Any) -> bool:
    """Does every agent keep rows? Of agents that train one model together one keeps the memory."""
    together = getattr(experiment.stream.options, "spread", None) == "agents" and experiment.agents > 1
    return bool(experiment.learning.terms) and not together


def _rows_of_task(stream: Any, agents: int) -> int:
    """Training rows of a task as far as known without data, if all classes have as many; else 0."""
    info, options = getattr(getattr(stream, "dataset", None), "info", None), getattr(stream, "options", None)
    if info is None or not info.train:
        return 0
    sharers = {"iid": agents, "dirichlet": info.train}.get(getattr(options, "draw", ""), 1)
    classes = getattr(options, "classes_per_task", None)
    there = info.train // info.classes // sharers
    per_class = min(there, getattr(options, "train_per_class", None) or there)
    return int(per_class * (classes if isinstance(classes, int) else info.classes))


def _held(capacity: Any, stream: Any, row: int, offered: int) -> int:
    """Rows that a replay memory may come to hold: its room, or all that are ever offered."""
    tasks, shape = len(stream.ticks), stream.shape
    outputs = shape.heads * shape.classes_per_head
    per_task = getattr(getattr(stream, "options", None), "classes_per_task", None)
    drawn = tasks * per_task if isinstance(per_task, int) else outputs
    times = {"task": tasks, "class": min(outputs, drawn), None: 1}[capacity.per]
    return int(min(capacity.rows(row, offered) * times, offered * tasks))


def needs(crowd: Crowd) -> list[str]:
    """Lines about all agents of a run, and this machine.

    Raises ExperimentError for an agent that is larger than this machine: it could not even be looked at. A
    run of many may go to several machines: that all together are larger than this one is a note.
    """
    found: dict[int, Need] = {}
    for kind, mine, stream in zip(crowd.kinds, crowd.experiments, crowd.streams, strict=True):
        if kind not in found:
            found[kind] = need_of(mine, stream)
            _refuse("An agent on this machine", found[kind].total, f" ({found[kind]})")
    counts = Counter(crowd.kinds)
    lines = [
        f"{counted(counts[kind], 'agent')} {'needs' if counts[kind] == 1 else 'need'} at least {_each(need)}"
        for kind, need in found.items()
    ]
    total = sum(found[kind].total * count for kind, count in counts.items())
    lines.append(f"all together at least {bytes_text(total)}; this machine has {bytes_text(memory_bytes())}")
    if total > memory_bytes():
        lines.append(
            "note: they do not fit into this machine. Start the run on several, or make models smaller."
        )
    return lines


def _each(need: Need) -> str:
    return f"{bytes_text(need.total)} each: {need}"


def refuse_too_much(experiment: Experiment, processes: Processes) -> None:
    """Raises ExperimentError when the agents of a run do not fit into this machine, before they are made.

    Collective: what all processes of the machine need is added up.
    """
    own = set(processes.share(experiment.agents))
    total = 0
    for alike in experiment.alike():
        if here := [number for number in alike if number in own]:
            mine = experiment.for_agent(here[0])
            stream = kinds.resolve("stream", mine.stream.kind)(mine, here[0])
            total += len(here) * need_of(mine, stream).total
    told = processes.gather_text(str(total))
    _refuse("The agents that run on this machine", sum(int(told[rank]) for rank in processes.beside()), "")


def _refuse(who: str, size: int, parts: str) -> None:
    most = memory_bytes()
    if size > most:
        raise ExperimentError(
            f"{who} should fit into its memory, {bytes_text(most)}. At least {bytes_text(size)} would be"
            f" needed{parts}: the run would end in the middle. Make [model] or [memory] smaller, or start"
            " fewer agents on each machine."
        )
