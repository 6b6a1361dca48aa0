"""What `mpidcl check` shows of parallel streams: when each task runs, who owns it, what a step costs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mpidcl.agent import Agent

WIDTH = 60
"""Characters of the longest bar."""


def describe(agents: Sequence[Agent]) -> list[str]:
    """Lines about the streams of the run, none when they are serial ones."""
    stream = agents[0].stream
    if not hasattr(stream, "timeline"):
        return []
    alike = stream.options.spread == "agents" or stream.options.draw == "shared"
    lines = ["# parallel tasks" + ("" if alike else ", of agent 0 (others draw their own)")]
    lines += _bars(stream)
    if stream.options.spread == "agents":
        lines += _cost(agents[0].learner, stream, len(agents))
    return [*lines, ""]


def _bars(stream: Any) -> list[str]:
    timeline = stream.timeline
    scale = min(1.0, WIDTH / timeline.steps)
    lines = []
    for task in range(stream.tasks):
        first, last = timeline.starts[task], timeline.ends[task]
        begin, end = int(first * scale), max(int(first * scale) + 1, int((last + 1) * scale))
        bar = " " * begin + "=" * (end - begin)
        owner = f"agent {stream.owner(task)}" if stream.options.spread == "agents" else ""
        lines.append(f"task {task:>3} {owner:<10} |{bar:<{WIDTH}}| steps {first} to {last}")
    if timeline.memory_from < timeline.steps:
        begin = int(timeline.memory_from * scale)
        bar = " " * begin + "-" * max(1, int(timeline.steps * scale) - begin)
        owner = f"agent {stream.memory_owner}" if stream.options.spread == "agents" else ""
        lines.append(f"memory   {owner:<10} |{bar:<{WIDTH}}| steps {timeline.memory_from} on")
    busy = [len(timeline.active(step)) for step in range(timeline.steps)]
    mean = sum(busy) / len(busy)
    return [*lines, f"{timeline.steps} steps; tasks at once: {mean:.2f} on average, {max(busy)} at most"]


def _cost(learner: Any, stream: Any, agents: int) -> list[str]:
    floats = len(learner.parameters.grad)
    if agents == 1:
        return [f"one agent has all gradients ({floats:,} floats each): nothing is sent"]
    sent = 2 * 4 * floats * (agents - 1) / agents / 2**20
    return [
        f"each step: gradients of {floats:,} floats; each of {agents} ranks sends at most"
        f" {sent:.1f} MiB (2 P (n - 1) / n floats, as a ring allreduce of one gradient)"
    ]
