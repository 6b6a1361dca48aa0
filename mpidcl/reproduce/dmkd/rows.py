"""The rows of the table: examples/dmkd/fashion.toml with a few values changed; and their two scales."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mpidcl.errors import ExperimentError
from mpidcl.reproduce.outcomes import run_folder
from mpidcl.reproduce.plan import Planned
from mpidcl.reproduce.protocol import Row

FILE, DATA_SET = "fashion", "fashion-mnist"
SEEDS = (0, 1, 2, 3, 4)

REPLAY = '{kind = "replay", mix = "separate"}'
BALANCE = '{kind = "balance"}'
PRESERVED = "weight = 0.1"
DISTILLED = '{kind = "distillation", weight = 0.3}'
BY_NEIGHBOURS = '{kind = "distillation", teacher = "neighbours", weight = 0.3}'
ALL = '["shared", "modules", "heads", "router"]'
ONCE = 'when = "task start", every = "5 tasks", from_task = 0'
PASS = 'when = "after", every = "1 epochs", from_task = 0'
DENSE = ('model={kind = "mlp", hidden = [128, 128, 64], dropout = 0}', "learning.kind=gradient")
"""A dense net with as many operations for a row as two of the experts behind their encoder."""


def terms(*parts: str) -> str:
    """`--set` value of the loss."""
    return f"learning.terms=[{', '.join(parts)}]"


def preserved(options: str = PRESERVED) -> str:
    """The term that preserves."""
    return f'{{kind = "preservation", {options}}}'


def shared(merge: str, options: str = "", start: bool = True) -> str:
    """`--set` value of the exchanges: one beginning for all, and one after each pass."""
    first = f'{{kind = "experts", parts = {ALL}, {ONCE}}}, ' if start else ""
    return f'exchange=[{first}{{kind = "experts", merge = "{merge}", parts = {ALL}, {options}{PASS}}}]'


@dataclass(frozen=True)
class Way:
    """One row: what differs from the file."""

    name: str
    words: str
    sets: tuple[str, ...] = ()


FULL_LOSS = (REPLAY, BALANCE, DISTILLED, preserved())
WAYS = {
    way.name: way
    for way in (
        Way("dmkd", "DMKD, all of it"),
        Way("er", "isolated ER, dense net", (*DENSE, terms(REPLAY), "exchange=[]")),
        Way("fedavg", "FedAvg in sequence, dense net", (*DENSE, terms(), shared("average"))),
        Way("fedavg-er", "FedAvg with ER, dense net", (*DENSE, terms(REPLAY), shared("average"))),
        Way(
            "matching",
            "permutation merging with ER, dense net, own beginnings",
            (*DENSE, terms(REPLAY), shared("matched", start=False)),
        ),
        Way("no-distillation", "without distillation", (terms(REPLAY, BALANCE, preserved()),)),
        Way("no-preservation", "without preservation", (terms(REPLAY, BALANCE, DISTILLED),)),
        Way("neither", "without both", (terms(REPLAY, BALANCE),)),
        Way("alone", "without exchange", ("exchange=[]",)),
        Way(
            "neighbours",
            "neighbours teach",
            (
                terms(
                    REPLAY,
                    BALANCE,
                    preserved(),
                    '{kind = "distillation", teacher = "neighbours", weight = 0.3}',
                ),
                shared("average", "teach = true, "),
            ),
        ),
        Way(
            "injection",
            "injection",
            (terms(REPLAY, BALANCE, DISTILLED, preserved("transfer = 'injection'")),),
        ),
        Way("merge", "Fisher merge", (terms(REPLAY, BALANCE, DISTILLED, preserved("transfer = 'merge'")),)),
        Way(
            "magnitude",
            "importance by magnitude",
            (terms(REPLAY, BALANCE, DISTILLED, preserved(f"{PRESERVED}, score = 'magnitude'")),),
        ),
        Way(
            "mixed",
            "importance mixed",
            (terms(REPLAY, BALANCE, DISTILLED, preserved(f"{PRESERVED}, score = 'mixed'")),),
        ),
        Way("guided", "guided routing", ("model.routing=guided",)),
        Way("average", "whole models", (shared("average"),)),
        Way("sparse-10", "10 % of the parameters", (shared("sparse", "fraction = 0.1, "),)),
        Way("sparse-3", "3 % of the parameters", (shared("sparse", "fraction = 0.03, "),)),
        Way("matched", "matched experts, own beginnings", (shared("matched", start=False),)),
        Way("n4", "4 experts", ("model.experts=4",)),
        Way("n16", "16 experts", ("model.experts=16",)),
        Way("k1", "1 expert for each row", ("model.active=1",)),
        Way("k4", "4 experts for each row", ("model.active=4",)),
    )
}
"""By name, in the order in which they are run: what is claimed first."""
QUICK: tuple[str, ...] = (
    "stream.dataset=digits",
    "memory.capacity=50 rows",
)


def chosen(names: Sequence[str] | None) -> list[Way]:
    """The ways of these names, all by default. Raises ExperimentError for a name that is not known."""
    for name in names or ():
        if name not in WAYS:
            raise ExperimentError(f"--only should be of {', '.join(WAYS)}. Found {name}")
    return [way for way in WAYS.values() if names is None or way.name in names]


def plan(
    ways: Sequence[Way], seeds: Sequence[int], quick: bool, more: Sequence[str], examples: Path, out: Path
) -> list[Planned]:
    """All runs, seed by seed: stopped at any time, what is there can be compared. `more`: for every run."""
    return [
        Planned(
            Row(way.name, FILE, way.words),
            "" if quick else DATA_SET,
            seed,
            examples / f"{FILE}.toml",
            run_folder(out, way.name, seed),
            (f"name={way.name}", *way.sets, *(QUICK if quick else ()), f"seed={seed}", *more),
        )
        for seed in seeds
        for way in ways
    ]
