"""A made-up run: four agents on a ring, five tasks, learning that looks like learning."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from mpidcl.exchange.divergence import DIVERGENCE, Divergence
from mpidcl.learning.compositional.decisions import DECISIONS, STRUCTURES, ModuleDecision
from mpidcl.record.folder import RunFolder, open_folder
from mpidcl.record.measures import ACCURACY, Measure
from mpidcl.record.records import DIVERGED, AgentRecord, Evaluation, LedgerRow
from mpidcl.record.tables import Table, to_columns
from mpidcl.views.summary import summarise

sys.path.insert(0, str(Path(__file__).parents[1] / "helpers"))

RING = [(i, j) for i in range(4) for j in ((i + 1) % 4, (i - 1) % 4)]


@pytest.fixture(scope="session")
def coarse_pictures() -> Iterator[None]:
    """A ninth of the pixels: no test looks at them, and drawing is what takes the time here."""
    from mpidcl.views.figures import style

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(style._STYLE, "savefig.dpi", 60)
        yield


@pytest.fixture(scope="session")
def synthetic() -> SimpleNamespace:
    """The functions of this file."""
    return SimpleNamespace(
        records=records, modular=modular, write_run=write_run, experiment_toml=experiment_toml, RING=RING
    )


def experiment_toml(name: str = "quickstart", seed: int = 0, exchange: bool = True, agents: int = 4) -> str:
    text = f"""name = "{name}"
seed = {seed}
agents = {agents}
clock = "lockstep"

[network]
topology = "ring"

[stream]
kind = "serial"
dataset = "digits"
tasks = 5

[learning]
lr = 0.001
"""
    return text + ('\n[[exchange]]\nkind = "parameters"\nwhen = "before"\n' if exchange else "")


def evaluations(rng: np.random.Generator, tasks: int, ticks: int, gain: float, wire: int) -> list[Evaluation]:
    """Accuracy climbs while a task is learned and sinks a little with every later one."""
    rows = []
    every = sorted({0, ticks, *range(1, ticks, max(ticks // 4, 1))})
    peaks = 0.90 + gain + 0.06 * rng.random(tasks)
    for task in range(tasks):
        for tick in every:
            done = task + tick / ticks
            old = [peaks[u] - 0.03 * (done - u - 1) * (1 - 8 * gain) for u in range(task)]
            new = 0.5 + (peaks[task] - 0.5) * (1 - np.exp(-5 * tick / ticks)) + 2 * gain * (tick > 0)
            accuracy = np.clip([*old, new] + 0.004 * rng.standard_normal(task + 1), 0, 1)
            sent = int(wire * done)
            rows.append(Evaluation(task, tick, {"accuracy": tuple(accuracy.tolist())}, done, sent, sent // 4))
    return rows


def records(
    agents: int = 4, tasks: int = 5, seed: int = 0, gain: float = 0.02, exchange: bool = True, joint: int = 0
) -> list[AgentRecord]:
    links = [(i, j) for i in range(agents) for j in sorted({(i + 1) % agents, (i - 1) % agents} - {i})]
    return [_record(agent, tasks, seed, gain, links if exchange else [], joint) for agent in range(agents)]


def _record(
    agent: int, tasks: int, seed: int, gain: float, links: list[tuple[int, int]], joint: int
) -> AgentRecord:
    rng = np.random.default_rng([seed, agent])
    targets = [target for source, target in links if source == agent]
    frames = 4 * tasks
    size = 66_560 + 4_096 * agent
    ledger = [
        LedgerRow(
            agent, target, 0, "parameters", frames, frames * size, frames * 96, frames * 16_640, 0.01 * frames
        )
        for target in targets
    ]
    rows = evaluations(rng, tasks, 20, gain, len(targets) * 4 * (size + 96))
    divergence = [
        Divergence(t + 0.25 * k, target, 0.02 / (t + 1) + 0.002 * k, 0.01 / (t + 1))
        for t in range(tasks)
        for k in range(4)
        for target in targets
    ]
    timing = {
        "wall_s": 12.0 + 0.1 * agent,
        "cpu_s": 11.0,
        "learn_s": 9.0 - 0.3 * agent,
        "meet_s": 0.6,
        "wait_s": 0.2 + 0.3 * agent,
        "evaluate_s": 1.4,
        "checkpoint_s": 0.3,
    }
    kept = [row for row in rows if row.task >= joint - 1]
    tables = {DIVERGENCE: to_columns(Divergence, divergence)} if divergence else {}
    counters = {"flops": 10**12}
    return AgentRecord(agent, joint, kept, ledger, tables, counters, timing, 310_000_000, f"{agent:064x}")


def modular(
    agents: int = 4, tasks: int = 5, seed: int = 0, *, basis: int = 4, candidates: int = 1, **keys: Any
) -> list[AgentRecord]:
    """Records of agents that begin with `basis` modules and keep some of their candidates.

    Candidates of the first task are random, later ones begin as a module that the agent before has kept.
    """
    made = records(agents, tasks, seed, **keys)
    rng = np.random.default_rng([seed, 99])
    owned: list[list[tuple[int, int]]] = [[] for _ in range(agents)]  # (task, module)
    decided: list[list[ModuleDecision]] = [[] for _ in range(agents)]
    first = max(keys.get("joint", 0), 1)
    for task in range(first, tasks):
        for record in made:
            giver = (record.agent - 1) % agents
            offer = (giver, *owned[giver][-1]) if agents > 1 and owned[giver] else None
            _decide(decided[record.agent], task, offer, candidates, basis, rng)
        for record in made:
            mine = decided[record.agent]
            owned[record.agent] += [(task, d.module) for d in mine if d.task == task and d.kept]
    for record in made:
        mine = decided[record.agent]
        record.tables[DECISIONS] = to_columns(ModuleDecision, mine)
        record.tables[STRUCTURES] = {"share": _structures(mine, tasks, basis, rng)}
        record.counters["training_floats"] = tasks * 128 * 784
    return made


def _decide(
    decided: list[ModuleDecision],
    task: int,
    offer: tuple[int, int, int] | None,
    candidates: int,
    basis: int,
    rng: Any,
) -> None:
    have = decided[-1].modules if decided else basis
    best = int(rng.integers(candidates)) if rng.random() < 0.6 else -1
    for candidate in range(candidates):
        source = offer if offer is not None and candidate == 0 else (-1, -1, -1)
        kept = candidate == best
        without = 0.7 + 0.2 * rng.random()
        decided.append(
            ModuleDecision(
                task, candidate, have if kept else -1, without + (0.06 if kept else 0.01), without, *source,
                0.5 if source[0] >= 0 else float("nan"), have + (best >= 0),
            )
        )  # fmt: skip


def _structures(decided: list[ModuleDecision], tasks: int, basis: int, rng: Any) -> np.ndarray:
    """Softmax weights; a module is hidden in the tasks before its own."""
    born = [0] * basis + [d.task for d in decided if d.kept]
    logits = 2 * rng.standard_normal((tasks, len(born), 4))
    logits[np.arange(tasks)[:, None] < np.array(born)[None, :]] = -np.inf
    weights = np.exp(logits)
    return weights / weights.sum(axis=1, keepdims=True)


def write_run(
    path: Path,
    *,
    name: str = "quickstart",
    seed: int = 0,
    gain: float = 0.02,
    exchange: bool = True,
    agents: int = 4,
    tasks: int = 5,
    joint: int = 0,
    modules: bool = False,
    table: Table | None = None,
    measures: tuple[Measure, ...] = (ACCURACY,),
    diverged: Sequence[int] = (),
) -> Path:
    """A finished run folder at `path`; `table`: "norms" of agent 0. All measures have equal values."""
    folder = RunFolder(path)
    where = {
        "python": "3.11.7",
        "packages": {"numpy": "2.4.6"},
        "mpi": "Open MPI 5.0.11",
        "hosts": ["node1"] * agents,
        "threads": 1,
        "commit": None,
    }
    open_folder(folder, experiment_toml(name, seed, exchange, agents), where)
    make = modular if modules else records
    made = make(agents, tasks, seed, gain=gain, exchange=exchange, joint=joint)
    for record in made:
        record.measures = measures
        record.evaluations = [
            replace(row, values={one.name: row.main for one in measures}) for row in record.evaluations
        ]
    for agent in diverged:
        made[agent].counters[DIVERGED] = 2
    if table is not None:
        made[0].tables["norms"] = table
    for record in made:
        for row in record.evaluations:
            folder.journal(record.agent).append(row)
    folder.finish(made, RING if agents == 4 else [], summarise(made))
    return path
