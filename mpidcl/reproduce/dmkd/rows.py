"""The rows of the table: examples/dmkd/fashion.toml with a few values changed; and their scales."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mpidcl.errors import ExperimentError
from mpidcl.reproduce.outcomes import run_folder
from mpidcl.reproduce.plan import Planned
from mpidcl.reproduce.protocol import Row

FILE = "fashion"
SEEDS = (0, 1, 2, 3, 4)
LATER = 100
"""Added to the seed of runs that come after another one: other classes, and other shares of them."""

REPLAY = '{kind = "replay", mix = "separate"}'
BALANCE = '{kind = "balance"}'
PRESERVED = "weight = 0.1"
DISTILLED = '{kind = "distillation", weight = 0.3}'
BY_NEIGHBOURS = '{kind = "distillation", teacher = "neighbours", weight = 0.3}'
ALL = '["shared", "modules", "heads", "router"]'
ONCE = 'when = "task start", every = "10 tasks", from_task = 0'
PASS = 'when = "after", every = "1 epochs", from_task = 0'
MLP = ('model={kind = "mlp", hidden = [128, 128, 64], dropout = 0}', "learning.kind=gradient")
"""A dense net with as many operations for a row as two of the experts behind their encoder."""
ONE_EXPERT = ('model={kind = "experts-cnn", experts = 1, active = 1, hidden = 64}',)
"""The same for images in colour: one expert of the size of two."""


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
    dense: bool = False
    after: str = ""
    """The way whose run of this seed it begins with, or ""."""
    main: bool = True
    """Whether it belongs to the table, at every scale; else it is there at the scale of the file alone."""
    dataset: str = ""
    """By default that of the scale."""


@dataclass(frozen=True)
class Scale:
    """A data set ("": embedded), what every row gets, and the net without experts."""

    dataset: str
    sets: tuple[str, ...] = ()
    dense: tuple[str, ...] = MLP


CHARACTERS = (
    "stream.dataset=emnist",
    'stream.data={split = "bymerge", part = "test"}',
    "stream.train_per_class=340",
    "stream.test_per_class=50",
)
"""Ten of 47 classes, drawn by the seed: a later run has about two classes of the earlier one."""
HALF = "learning.epochs=1", "evaluation.every=1"
FULL_LOSS = (REPLAY, BALANCE, DISTILLED, preserved())
WAYS = {
    way.name: way
    for way in (
        Way("dmkd", "DMKD, all of it"),
        Way("er", "isolated ER, dense net", (terms(REPLAY), "exchange=[]"), dense=True),
        Way("fedavg", "FedAvg in sequence, dense net", (terms(), shared("average")), dense=True),
        Way("fedavg-er", "FedAvg with ER, dense net", (terms(REPLAY), shared("average")), dense=True),
        Way(
            "matching",
            "permutation merging with ER, dense net, own beginnings",
            (terms(REPLAY), shared("matched", start=False)),
            dense=True,
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
        Way(
            "earlier",
            "characters: an earlier run, whose experts may go",
            (*CHARACTERS, "learning.retire_below=0.5", "learning.retire_after=1"),
            main=False,
            dataset="emnist",
        ),
        Way("later", "other characters, from nothing", CHARACTERS, main=False, dataset="emnist"),
        Way(
            "later-half",
            "other characters, from nothing, half of the steps",
            (*CHARACTERS, *HALF),
            main=False,
            dataset="emnist",
        ),
        Way(
            "reused",
            "other characters, half of the steps, experts of the earlier run",
            (*CHARACTERS, *HALF),
            after="earlier",
            main=False,
            dataset="emnist",
        ),
    )
}
"""By name, in the order in which they are run: what is claimed first."""
FASHION = "fashion"
SCALES = {
    FASHION: Scale("fashion-mnist"),
    "quick": Scale("", ("stream.dataset=digits", "memory.capacity=50 rows")),
    "cifar100": Scale(
        "cifar100",
        (
            "stream.dataset=cifar100",
            "stream.tasks=10",
            "stream.classes_per_task=10",
            "stream.train_per_class=100",
            "stream.test_per_class=20",
            "memory.capacity=500 rows",
            "exchange.0.every=10 tasks",
            'model={kind = "experts-cnn", experts = 8, active = 2}',
        ),
        ONE_EXPERT,
    ),
}
"""`cifar100` is a reduction: a fifth of the rows, two passes, a small net, settings of Fashion-MNIST."""


def chosen(names: Sequence[str] | None, scale: str = FASHION) -> list[Way]:
    """The ways of these names, all by default. Raises ExperimentError for one that is not there."""
    there = {name: way for name, way in WAYS.items() if way.main or scale == FASHION}
    for name in names or ():
        if name not in there:
            raise ExperimentError(f"--only should be of {', '.join(there)}. Found {name}")
    return [way for way in there.values() if names is None or way.name in names]


def plan(
    ways: Sequence[Way], seeds: Sequence[int], scale: str, more: Sequence[str], examples: Path, out: Path
) -> list[Planned]:
    """All runs, seed by seed: stopped at any time, what is there can be compared. `more`: for every run."""
    return [
        Planned(
            Row(way.name, FILE, way.words),
            way.dataset or SCALES[scale].dataset,
            seed,
            examples / f"{FILE}.toml",
            run_folder(out, way.name, seed),
            (f"name={way.name}", *_sets(way, SCALES[scale]), *_begun(way, seed, out), *more),
        )
        for seed in seeds
        for way in ways
    ]


def _sets(way: Way, scale: Scale) -> tuple[str, ...]:
    return (*scale.sets, *(scale.dense if way.dense else ()), *way.sets)


def _begun(way: Way, seed: int, out: Path) -> tuple[str, ...]:
    """The seed, and where the run begins."""
    later = way.name.startswith("later") or bool(way.after)
    start = (f"learning.start_from={run_folder(out, way.after, seed)}",) if way.after else ()
    return (*start, f"seed={seed + LATER if later else seed}")
