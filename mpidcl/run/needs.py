"""Whether the agents of a run fit into the memory of this machine, said before any of them is made."""

from __future__ import annotations

from collections import Counter

from mpidcl.base.machine import memory_bytes
from mpidcl.base.quantities import bytes_text
from mpidcl.errors import ExperimentError
from mpidcl.experiment import kinds
from mpidcl.experiment.file import Experiment
from mpidcl.experiment.units import counted
from mpidcl.learning.need import Need
from mpidcl.run.alike import Crowd
from mpidcl.run.processes import Processes
from mpidcl.stream.stream import Stream


def need_of(mine: Experiment, stream: Stream) -> Need:
    """What an agent with this experiment and stream needs."""
    found: Need = kinds.resolve("learner", mine.learning.kind).need(mine, stream)
    return found


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
