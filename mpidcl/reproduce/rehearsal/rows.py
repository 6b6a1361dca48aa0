"""The rows of the table: examples/replay/cifar100.toml with a few values changed; and their two scales."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mpidcl.errors import ExperimentError
from mpidcl.reproduce.outcomes import run_folder
from mpidcl.reproduce.plan import Planned
from mpidcl.reproduce.protocol import Row

FILE, DATA_SET, AGENTS = "cifar100", "cifar100", 4
SEEDS = (0, 1, 2)
OWN = "memory.scope=local"


@dataclass(frozen=True)
class Way:
    """One row: `share` percent of all rows are remembered; `terms`: the loss, for draws of {draw} rows."""

    name: str
    words: str
    share: float = 0
    terms: str = '[{{kind = "replay", mix = "batch", rows_per_step = {draw}}}]'
    sets: tuple[str, ...] = ()


@dataclass(frozen=True)
class Scale:
    """Training rows of a class, of all agents; rows of a draw; what else differs from the file."""

    per_class: int
    draw: int
    sets: tuple[str, ...] = ()


WAYS = {
    way.name: way
    for way in (
        Way("incremental", "incremental", terms="[]", sets=(OWN,)),
        Way("global-30", "global buffer", 30),
        Way(
            "from-scratch",
            "from scratch",
            100 * AGENTS,  # room for all rows of a class, in case that one agent has them
            '["replay"]',
            (OWN, "memory.insert=task end", "learning.restart=true"),
        ),
        Way("local-30", "local buffers", 30, sets=(OWN,)),
        Way("global-10", "global buffer", 10),
        Way("global-2.5", "global buffer", 2.5),
        Way(
            "derpp-30",
            "global buffer, DER++",
            30,
            '[{{kind = "der", alpha = 0.2, beta = 1.0, rows_per_step = {draw}}}]',
        ),
    )
}
"""By name, in the order in which they are run."""
FULL = Scale(500, 7)
QUICK = Scale(
    160,
    14,
    (
        "stream.train_per_class=40",  # of each agent
        "stream.test_per_class=25",
        'model={kind = "resnet18", width = 8, stem = "imagenet"}',
        "learning.batch=32",
        "learning.lr=0.007",  # published for batches of 56: 0.0125
        "learning.epochs=8",
        "learning.schedule={kind = 'steps', at = [5.6, 6.933, 7.467], factors = [0.5, 0.05, 0.01],"
        " warm_up = 1.333, by_agents = true}",
        "evaluation.every=8",
    ),
)
"""Draws are 14 rows of 32, as in the sweeps of the public code (24 of 56) and not as in its default."""


def chosen(names: Sequence[str] | None) -> list[Way]:
    """The ways of these names, all by default. Raises ExperimentError for a name that is not known."""
    for name in names or ():
        if name not in WAYS:
            raise ExperimentError(f"--only should be of {', '.join(WAYS)}. Found {name}")
    return [way for way in WAYS.values() if names is None or way.name in names]


def sets_of(way: Way, scale: Scale) -> tuple[str, ...]:
    """`--set` values of a row. The room of a class on each agent is rounded down, as in the public code."""
    room = int(scale.per_class * way.share / 100 / AGENTS)
    capacity = (f"memory.capacity={room} rows per class",) if way.share else ()
    return (*scale.sets, f"learning.terms={way.terms.format(draw=scale.draw)}", *capacity, *way.sets)


def plan(
    ways: Sequence[Way], seeds: Sequence[int], scale: Scale, more: Sequence[str], examples: Path, out: Path
) -> list[Planned]:
    """All runs, seed by seed: stopped at any time, what is there can be compared. `more`: for every run."""
    return [
        Planned(
            Row(way.name, FILE, way.words),
            DATA_SET,
            seed,
            examples / f"{FILE}.toml",
            run_folder(out, way.name, seed),
            (f"name={way.name}", *sets_of(way, scale), f"seed={seed}", *more),
        )
        for seed in seeds
        for way in ways
    ]
