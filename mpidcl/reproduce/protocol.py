"""The published protocol of DCL: which rows there are, on which data sets, at which scale.

"Distributed Continual Learning" (arXiv 2405.17466) and its public code: every row is one of our example
files with a few values changed, so that a reader can run any of them by hand.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from mpidcl.errors import ExperimentError

PUBLISHED_EPOCHS = 100


@dataclass(frozen=True)
class Row:
    """One row of the protocol: an example file and what differs from it.

    `chunks`: exchange number in the file -> how many whole chunks a task has (period = epochs // chunks).
    `main`: in the main table; the others belong to sweeps. `words`: how tables call it.
    """

    name: str
    file: str
    words: str
    sets: tuple[str, ...] = ()
    chunks: dict[int, int] = field(default_factory=dict)
    main: bool = False

    @property
    def modular(self) -> bool:
        """Whether its agents have compositional nets."""
        return not self.file.startswith("monolithic")


@dataclass(frozen=True)
class Scale:
    """How large runs are. Numbers that are None are the published ones of the data set."""

    epochs: int = PUBLISHED_EPOCHS
    agents: int | None = None
    tasks: int | None = None
    sets: tuple[str, ...] = ()


CHUNKS: dict[str, dict[int, int]] = {
    "modular-parameters": {0: 20},
    "monolithic-parameters": {0: 20},
    "modular-data": {0: 6},
    "monolithic-data": {0: 6},
    "all-modes": {1: 20, 2: 6},
}
"""Chunks per task in the example files: every 5 of 100 epochs, every 16 of 100 epochs."""

DATA_SETS: dict[str, tuple[str, ...]] = {
    "mnist": ("stream.dataset=mnist",),
    "kmnist": ("stream.dataset=kmnist",),
    "fashion-mnist": ("stream.dataset=fashion-mnist",),
    "cifar100": (
        "stream.dataset=cifar100",
        "stream.tasks=20",
        "stream.classes_per_task=5",
        "stream.replacement=false",
        "stream.train_per_class=256",
        "stream.validation_per_class=-1",
    ),
    "combined": ("stream.dataset=combined", "agents=20"),
}
"""What differs from the example files, which are written for MNIST."""
DIGITS = (
    "stream.dataset=digits",
    "stream.train_per_class=40",
    "stream.validation_per_class=20",
)
QUICK = Scale(agents=4, tasks=7)
QUICK_SEEDS = (0,)
PUBLISHED_SEEDS = tuple(range(8))

MODULES = "exchange.0."
TRY_OUT = (MODULES + "choose=try-out",)
INT8 = (MODULES + "precision=int8",)


def _count(count: int) -> tuple[str, ...]:
    """Neighbours send `count` modules. A receiver that trusts would take the same one whatever k is."""
    return (f"{MODULES}count={count}", *TRY_OUT) if count > 1 else ()


def _queries(exchange: int, queries: int, times: int) -> tuple[str, ...]:
    """The published budget sweep: q hardest rows, n times per task, room for all that is asked for."""
    room = max(32, queries * times)
    return (f"exchange.{exchange}.queries={queries}", f"exchange.{exchange}.capacity={room} rows per task")


def _main_rows() -> Iterator[Row]:
    yield Row("modular-isolated", "modular-isolated", "modular, isolated", main=True)
    yield from _averaging("modular", (20, 1))
    yield Row("modular-data", "modular-data", "modular, data", main=True)
    for count in (1, 2, 3, 4):
        yield Row(f"modmod-{count}", "modmod", f"modules, k = {count}", _count(count), main=True)
    yield Row("all-modes", "all-modes", "all modes", main=True)
    yield Row("monolithic-isolated", "monolithic-isolated", "monolithic, isolated", main=True)
    yield from _averaging("monolithic", (20, 1))
    yield Row("monolithic-data", "monolithic-data", "monolithic, data", main=True)


def _averaging(base: str, times: Iterable[int], main: bool = True) -> Iterator[Row]:
    for chunks in times:
        period = PUBLISHED_EPOCHS // chunks
        words = f"{base}, averaging every {period}"
        name = f"{base}-parameters-{period}"
        yield Row(name, f"{base}-parameters", words, chunks={0: chunks}, main=main)


def _data_budgets(base: str, budgets: Iterable[tuple[int, int]]) -> Iterator[Row]:
    for queries, times in budgets:
        words = f"{base}, data, q = {queries}, n = {times}"
        sets = _queries(0, queries, times)
        yield Row(f"{base}-data-{queries}x{times}", f"{base}-data", words, sets, {0: times + 1})


TOPOLOGIES: dict[str, tuple[str, ...]] = {
    "ring": ("network.topology=ring",),
    "star": ("network.topology=star",),
    "tree": ("network.topology=tree",),
    # The published p is the probability that an edge is dropped.
    **{
        f"erdos-renyi-{p}": ("network.topology=erdos-renyi", f"network.probability={1 - p:g}")
        for p in (0.25, 0.5, 0.7, 0.9)
    },
}


def _topologies() -> Iterator[Row]:
    for shape, sets in TOPOLOGIES.items():
        name = f"modular-parameters-5-{shape}"
        yield Row(name, "modular-parameters", f"modular, averaging every 5, {shape}", sets, {0: 20})
        yield Row(f"modmod-1-{shape}", "modmod", f"modules, k = 1, {shape}", sets)


def _budget_levels() -> Iterator[Row]:
    """Levels that the other sweeps lack, so that each mode has three."""
    yield Row("modmod-1-int8", "modmod", "modules, k = 1, int8", INT8)
    small = (*INT8, *_queries(2, 10, 1))
    yield Row("all-modes-small", "all-modes", "all modes, small", small, {1: 1, 2: 2})
    large = (*_count(3), *_queries(2, 30, 10))
    yield Row("all-modes-large", "all-modes", "all modes, large", large, {1: 20, 2: 11})


def _controls() -> Iterator[Row]:
    """What a single setting does."""
    shared = ("stream.joint_shared=true",)
    for base in ("modular", "monolithic"):
        words = f"{base}, isolated, joint tasks shared"
        yield Row(f"{base}-isolated-joint", f"{base}-isolated", words, shared)
    for base, labels in (("modular", "same-as-query"), ("monolithic", "groundtruth")):
        sets = (f"exchange.0.labels={labels}",)
        yield Row(f"{base}-data-{labels}", f"{base}-data", f"{base}, data, labels {labels}", sets)
    alone, head, structure = (
        (MODULES + "head=none", MODULES + "structure=false"),
        (MODULES + "structure=false",),
        (MODULES + "head=none",),
    )
    yield Row("modmod-1-module-only", "modmod", "modules, k = 1, module only", alone)
    yield Row("modmod-1-head", "modmod", "modules, k = 1, and head", head)
    yield Row("modmod-1-structure", "modmod", "modules, k = 1, and structure", structure)
    yield Row("modmod-3-trust", "modmod", "modules, k = 3, trusted", (MODULES + "count=3",))


ROWS: dict[str, Row] = {
    row.name: row
    for row in (
        *_main_rows(),
        *_averaging("modular", (10, 5, 2), main=False),
        *_averaging("monolithic", (10, 5, 2), main=False),
        *_data_budgets("modular", [(q, n) for n in (1, 5, 10) for q in (10, 20, 30)]),
        *_data_budgets("monolithic", [(10, 1), (30, 10)]),
        *_topologies(),
        *_budget_levels(),
        *_controls(),
    )
}
"""All rows by name, those of the main table first."""
QUICK_ROWS = (
    "modular-isolated", "modular-parameters-5", "modular-parameters-100", "modular-data", "modmod-1",
    "modmod-3", "all-modes", "monolithic-isolated", "monolithic-parameters-5", "monolithic-parameters-100",
    "monolithic-data", "modular-parameters-20", "modular-data-10x1", "modular-data-30x10", "modmod-1-int8",
    "all-modes-small", "all-modes-large", "modular-parameters-5-ring", "modmod-1-ring",
    "modular-isolated-joint",
)  # fmt: skip
"""The main table without k = 2 and 4, three budgets of each modular mode, a topology, a control."""


def sets_of(row: Row, dataset: str, scale: Scale = Scale()) -> list[str]:
    """The `--set` values that turn the row's example file into this row, on this data set, at this scale.

    What the file already says is left out. Raises ExperimentError for a data set that is not of the protocol.
    """
    values = [f"name={row.name}", *_data_set(dataset)]
    if dataset == "cifar100":
        kind = "compositional-cnn" if row.modular else "cnn"
        values += [f"model.kind={kind}", "model.width=50"]
    if dataset == "combined" and row.file in ("modmod", "all-modes"):
        values.append(MODULES + "rank_by=leep")  # class ids of different data sets do not compare
    values += [*row.sets, *_periods(row, scale), *_sizes(scale)]
    return [value for value in values if value != "stream.dataset=mnist"]


def chosen_rows(wanted: Sequence[str] | None, quick: bool) -> list[Row]:
    """The rows with these names (`main` and `sweeps` stand for all of a kind); all when None.

    Raises ExperimentError for a name that is not known.
    """
    if wanted is None:
        return [ROWS[name] for name in QUICK_ROWS] if quick else list(ROWS.values())
    found: dict[str, Row] = {}
    for name in wanted:
        matches = [row for row in ROWS.values() if _means(name, row)]
        if not matches:
            known = ", ".join(ROWS)
            raise ExperimentError(f"--only should name rows, `main` or `sweeps`. Found {name}. Rows: {known}")
        found |= {row.name: row for row in matches}
    return [row for row in ROWS.values() if row.name in found]


def _means(name: str, row: Row) -> bool:
    return name == row.name or (name == "main" and row.main) or (name == "sweeps" and not row.main)


def _data_set(dataset: str) -> tuple[str, ...]:
    if dataset == "digits":
        return DIGITS
    if dataset not in DATA_SETS:
        known = ", ".join([*DATA_SETS, "digits"])
        raise ExperimentError(f"--datasets should be of {known}. Found {dataset}")
    return DATA_SETS[dataset]


def _periods(row: Row, scale: Scale) -> list[str]:
    """How long chunks are, where that is not what the example file says."""
    written = CHUNKS.get(row.file, {})
    wanted = {**written, **row.chunks}
    asis = written if scale.epochs == PUBLISHED_EPOCHS else {}
    return [
        f"exchange.{number}.every={max(scale.epochs // chunks, 1)} epochs"
        for number, chunks in wanted.items()
        if asis.get(number) != chunks
    ]


def _sizes(scale: Scale) -> list[str]:
    epochs = [] if scale.epochs == PUBLISHED_EPOCHS else [f"learning.epochs={scale.epochs}"]
    agents = [] if scale.agents is None else [f"agents={scale.agents}"]
    tasks = [] if scale.tasks is None else [f"stream.tasks={scale.tasks}"]
    return [*epochs, *agents, *tasks, *scale.sets]
