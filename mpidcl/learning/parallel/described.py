"""What `mpidcl check` shows of parallel tasks: when each runs, who owns it, what a step costs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mpidcl.base.quantities import bytes_text
from mpidcl.network.together.cost import combine_bytes, compare_bytes

if TYPE_CHECKING:
    from mpidcl.learning.editing.base import Editor
    from mpidcl.learning.parallel.learner import ParallelLearner
    from mpidcl.stream.parallel.stream import ParallelStream

WIDTH = 60
"""Characters of the longest bar."""


def described(learner: ParallelLearner, stream: ParallelStream, company: int) -> list[str]:
    """Lines about the stream of one of `company` agents."""
    alike = stream.options.spread == "agents" or stream.options.draw == "shared"
    lines = ["# parallel tasks" + ("" if alike else ", of agent 0 (others draw their own)")]
    lines += _bars(stream, replays=bool(learner.experiment.learning.terms))
    if stream.options.spread == "agents":
        lines.append(_cost(learner, stream, company))
    return [*lines, ""]


def _bars(stream: ParallelStream, replays: bool) -> list[str]:
    timeline = stream.timeline
    scale = min(1.0, WIDTH / timeline.steps)
    lines = []
    for task in range(stream.tasks):
        first, last = timeline.starts[task], timeline.ends[task]
        begin, end = int(first * scale), max(int(first * scale) + 1, int((last + 1) * scale))
        bar = " " * begin + "=" * (end - begin)
        owner = f"agent {stream.owner(task)}" if stream.options.spread == "agents" else ""
        lines.append(f"task {task:>3} {owner:<10} |{bar:<{WIDTH}}| steps {first} to {last}")
    if replays and timeline.memory_from < timeline.steps:
        begin = int(timeline.memory_from * scale)
        bar = " " * begin + "-" * max(1, int(timeline.steps * scale) - begin)
        owner = _keeper(stream) if stream.options.spread == "agents" else ""
        lines.append(f"memory   {owner:<10} |{bar:<{WIDTH}}| steps {timeline.memory_from} on")
    busy = max(len(timeline.active(step)) for step in timeline.changes)
    mean = sum(timeline.durations) / timeline.steps
    return [*lines, f"{timeline.steps} steps; tasks at once: {mean:.2f} on average, {busy} at most"]


def _keeper(stream: ParallelStream) -> str:
    return "each agent" if stream.splits_memory else f"agent {stream.memory_owner}"


def _cost(learner: ParallelLearner, stream: ParallelStream, agents: int) -> str:
    floats = len(learner.parameters.grad)
    if agents == 1:
        return f"one agent has all gradients ({floats:,} floats each): nothing is sent"
    directions = _directions(learner, stream)
    sent = max(_step_bytes(learner, owners, agents, directions) for owners in _owners(learner, stream))
    ring = 8 * floats * (agents - 1) // agents
    return (
        f"each gradient has {floats:,} floats; an agent with a rank of its own sends {bytes_text(sent)} in a"
        f" step at most (a ring allreduce of one gradient: {bytes_text(ring)})"
    )


def _owners(learner: ParallelLearner, stream: ParallelStream) -> set[tuple[int, ...]]:
    """The agents of the gradients of each step, each list once."""
    timeline, replays = stream.timeline, bool(learner.experiment.learning.terms)
    found = set()
    for step in timeline.changes:
        remembers = replays and step >= timeline.memory_from
        tasks = tuple(map(stream.owner, timeline.active(step)))
        found |= {(*memory, *tasks) for memory in (_givers(stream, step) if remembers else [()])}
    return found


def _givers(stream: ParallelStream, step: int) -> list[tuple[int, ...]]:
    """Agents that may have the rows of the memory's batch: for each number of them, every agent in one list.

    Fewer may send more: a few gradients travel whole, and more of them in slices.
    """
    if not stream.splits_memory:
        return [(stream.memory_owner,)]
    keepers = sorted({stream.owner(t) for t in range(stream.tasks) if stream.timeline.ends[t] < step})
    most = min(len(keepers), stream.batch)
    return [
        tuple(sorted((keepers * 2)[at : at + n])) for n in range(1, most + 1) for at in range(len(keepers))
    ]


def _step_bytes(learner: ParallelLearner, owners: tuple[int, ...], agents: int, directions: int) -> int:
    """Bytes of the agent that sends most."""
    floats, facts, rows = len(learner.parameters.grad), learner.rows.facts, len(owners)
    return max(
        compare_bytes(floats, agents, agent, rows, owners.count(agent), facts)
        + directions * combine_bytes(floats, agents, agent, rows)
        for agent in range(agents)
    )


def _directions(learner: ParallelLearner, stream: ParallelStream) -> int:
    """What a step combines at most: the direction, and what editing and Adam's second moment need."""
    editing, for_square = learner.editing, learner.options.second_moment == "mean"
    for_editing = 0 if editing is None else _for_editing(editing.editor, stream)
    return 1 + int(for_editing) + int(for_square)


def _for_editing(editor: Editor, stream: ParallelStream) -> int:
    return int(editor.needs_new_gradient) + int(editor.needs_memory_gradient and stream.splits_memory)
