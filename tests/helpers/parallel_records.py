"""Made-up records of parallel learning: gradients that conflict, min-norm weights, edits that grow."""

from __future__ import annotations

import numpy as np

from mpidcl.learning.parallel.course import COURSE, ParallelCourse
from mpidcl.learning.parallel.steps import STEPS, StepLog
from mpidcl.record.records import AgentRecord, Evaluation

STARTS, LENGTH = (0, 19, 57, 69), 40


def course(agents: int = 4, seed: int = 0, starts: tuple[int, ...] = STARTS) -> ParallelCourse:
    """A finished course of tasks of LENGTH steps, spread over the agents in turn."""
    rng = np.random.default_rng(seed)
    begin = np.array(starts)
    made = ParallelCourse.planned(starts, begin + LENGTH - 1, np.arange(len(starts)) % agents)
    made.first[:] = 0.7 + 0.1 * rng.random((len(starts), 1)) - [0, 0.1]
    made.final[:] = made.first - np.linspace(0.3, 0, len(starts))[:, None] * [1, 0.7]
    return made


def steps(found: ParallelCourse, seed: int = 0, dimension: int = 12) -> StepLog:
    """Random gradients around one common direction; the memory after the first end; sigma of ones."""
    rng = np.random.default_rng([seed, 1])
    log = StepLog(found.tasks, int(found.ends.max()) + 1)
    for step in range(log.steps):
        tasks = [t for t in range(found.tasks) if found.starts[t] <= step <= found.ends[t]]
        tasks = ([-1] if step > found.ends.min() else []) + tasks
        rows = rng.standard_normal((len(tasks), dimension)) + 0.4
        gram = rows @ rows.T
        weights = np.abs(rng.standard_normal(len(tasks))) / len(tasks)
        moved = 0.001 * step * (1 + rng.random(8)) if -1 in tasks else None
        losses = np.exp(-step / 60) * (1 + 0.1 * rng.random(len(tasks)))
        log.add(step, tasks, gram, weights, np.full(len(tasks), 0.3), losses, 0, moved, 0.01)
    return log


def gallery(rows: int = 6, shape: tuple[int, ...] = (3, 8, 8), seed: int = 0) -> dict[str, np.ndarray]:
    """Rows of a memory and what editing made of them."""
    rng = np.random.default_rng([seed, 2])
    original = rng.random((rows, *shape), np.float32)
    x = np.clip(original + 0.02 * rng.standard_normal(original.shape).astype(np.float32), 0, 1)
    moved = np.sqrt(((x - original).reshape(rows, -1) ** 2).sum(axis=1))
    numbers = np.arange(rows)
    return {"x": x, "original": original, "y": numbers % 5, "task": numbers % 2, "displacement": moved}


def evaluations(found: ParallelCourse) -> list[Evaluation]:
    """At the end of each segment, the tasks started by then; the last of them NaN until it has ended."""
    rows = []
    for segment, stop in enumerate(found.bounds[1:]):
        started = int(np.sum(found.starts < stop))
        accuracy = [found.first[t, 0] if found.ends[t] < stop else np.nan for t in range(started)]
        if stop == found.bounds[-1]:
            accuracy = found.final[:, 0]
        rows.append(Evaluation(segment, 10, {"accuracy": tuple(map(float, accuracy))}, segment + 1.0))
    return rows


def shared(agents: int = 4, seed: int = 0, shape: tuple[int, ...] = (3, 8, 8)) -> list[AgentRecord]:
    """Agents that share one model: the same course and digest, steps and gallery in the first."""
    found = course(agents, seed)
    made = [made_of(agent, found) for agent in range(agents)]
    made[0].tables |= {STEPS: steps(found, seed).table(), "gallery": gallery(shape=shape, seed=seed)}
    return made


def made_of(agent: int, found: ParallelCourse, log: StepLog | None = None) -> AgentRecord:
    """One agent."""
    tables = {COURSE: found.table()} | ({} if log is None else {STEPS: log.table()})
    counters = {"combined_bytes": 0, "model": found.model}
    return AgentRecord(
        agent, evaluations=evaluations(found), tables=tables, counters=counters, digest=f"{agent:02x}"
    )


def alone(agents: int = 3) -> list[AgentRecord]:
    """Agents with a model of their own each, all with parallel tasks."""
    made = []
    for agent in range(agents):
        found = course(1, seed=agent)
        found.owners[:] = agent
        made.append(made_of(agent, found, steps(found, agent)))
        made[-1].tables["gallery"] = gallery(seed=agent)
    return made
