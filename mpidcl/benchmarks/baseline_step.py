"""`mpidcl bench baselines`: a step of each continual baseline beside plain PyTorch, on one thread.

Both learn the second task of two, and a memory of 200 rows is full. What a step of ours is made of: rows
drawn from the memory and written to it, the passes, what the term does beside, and the optimiser.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from statistics import median
from typing import Any, TypedDict

import numpy as np
import torch

from mpidcl.benchmarks.case import Work
from mpidcl.benchmarks.devices import use_threads
from mpidcl.benchmarks.plain_baselines import CAPACITY, CLASSES, HIDDEN, Plain, Step
from mpidcl.benchmarks.table import time_text
from mpidcl.benchmarks.timing import in_turn, ratio
from mpidcl.experiment.reading import from_toml
from mpidcl.learning.gradient.learner import GradientLearner
from mpidcl.stream.tasks import Rows, StreamShape, Task

ROWS, BATCH = 1000, 10
SHAPE = (1, 28, 28)
PARTS = ("draw", "write", "passes", "term", "optimiser")
COLUMNS = ("method", "plain PyTorch", "mpidcl", "times plain", *PARTS)
METHODS: dict[str, tuple[str, float, str, Callable[[Plain], Step]]] = {
    "SGD": ("", 0.03, "task end", lambda plain: plain.sgd),
    "ER": ('{kind = "replay", mix = "batch"}', 0.01, "each step", lambda plain: plain.er),
    "DER++": (
        '{kind = "der", alpha = 0.2, beta = 1.0, rows_per_step = 128}',
        *(0.03, "each step", lambda plain: plain.derpp),
    ),
    "EWC online": ('{kind = "ewc", weight = 90.0}', 0.03, "task end", lambda plain: plain.ewc),
    "SI": ('{kind = "si", c = 1.0, xi = 0.9}', 0.1, "task end", lambda plain: plain.si),
    "LwF": ('{kind = "lwf", alpha = 1.0}', 0.03, "task end", lambda plain: plain.lwf),
}
"""Term, step size, when rows come into the memory, and the step in plain PyTorch."""
EXPERIMENT = """
name = "baselines"
agents = 1
stream = {{kind = "serial", dataset = "digits", incremental = "class"}}
model = {{kind = "mlp", hidden = [{hidden}, {hidden}], dropout = 0.0}}
memory = {{capacity = "{capacity} rows", insert = "{insert}"}}
learning = {{optimizer = "sgd", lr = {lr}, batch = {batch}, terms = [{terms}]}}
"""


class BaselineRow(TypedDict):
    """What is measured of one method: CPU seconds of a step, and the parts of ours."""

    bench: str
    method: str
    plain_s: float
    cpu_s: float
    times_plain: float
    parts_s: dict[str, float]


def measure(rounds: int) -> Iterator[BaselineRow]:
    """One row for each method."""
    use_threads(1)
    for method in METHODS:
        made, steps = learner(method), ROWS // BATCH
        seconds = in_turn({"plain": _plain(method), "ours": _ours(made)}, rounds, clock=time.process_time)
        yield {
            "bench": "baselines",
            "method": method,
            "plain_s": median(seconds["plain"]) / steps,
            "cpu_s": median(seconds["ours"]) / steps,
            "times_plain": ratio(seconds["ours"], seconds["plain"]),
            "parts_s": parts(made, rounds),
        }


def learner(method: str) -> GradientLearner:
    """Our learner in its second task."""
    terms, lr, insert, _ = METHODS[method]
    text = EXPERIMENT.format(hidden=HIDDEN, capacity=CAPACITY, insert=insert, lr=lr, batch=BATCH, terms=terms)
    made = GradientLearner(from_toml(text), 0, StreamShape(SHAPE, 1, CLASSES, "class"))
    for number in range(2):
        made.begin_task(_task(number))
        list(made.learn(number, 0))
        if number == 0:
            list(made.end_task())
    return made


def _task(number: int) -> Task:
    """Noise with two classes: what is learned changes no time."""
    rng = np.random.default_rng(number)
    classes = (2 * number, 2 * number + 1)
    rows = Rows(rng.integers(0, 256, (ROWS, *SHAPE), np.uint8), np.arange(ROWS), rng.choice(classes, ROWS))
    nothing = rows.part(slice(0))
    return Task(number, "noise", classes, rows, nothing, nothing, head=0)


def _ours(made: GradientLearner) -> Work:
    def epoch() -> None:
        for _ in made.learn(1, 0):
            raise RuntimeError("A learner that shares nothing should ask nobody.")

    return epoch


def _plain(method: str) -> Work:
    _, lr, _, step_of = METHODS[method]
    rows = _task(1).train
    x, y = torch.from_numpy(rows.x()).flatten(1), torch.from_numpy(rows.y)
    step = step_of(Plain(lr))

    def epoch() -> None:
        for chosen in torch.split(torch.randperm(ROWS), BATCH):
            step(x[chosen], y[chosen], chosen)

    return epoch


def parts(made: GradientLearner, rounds: int) -> dict[str, float]:
    """CPU seconds per step of what a step is made of."""
    spent = dict.fromkeys((*PARTS, "inside"), 0.0)
    term = made.terms[0] if made.terms else None
    with ExitStack() as stack:
        stack.enter_context(_timed(spent, "draw", made.steps, "draw"))
        stack.enter_context(_timed(spent, "write", made.insertion, "step"))
        stack.enter_context(_timed(spent, "passes", made.steps, "make_gradient"))
        stack.enter_context(_timed(spent, "optimiser", made.optimizer, "step"))
        if term is not None:
            stack.enter_context(_timed(spent, "inside", term, "loss"))
            stack.enter_context(_timed(spent, "inside", term, "on_gradient"))
            stack.enter_context(_timed(spent, "term", term, "after_step"))
        for _ in range(rounds):
            list(made.learn(1, 0))
    steps = rounds * ROWS // BATCH
    inside = spent.pop("inside")
    spent["passes"] -= inside
    spent["term"] += inside
    return {name: seconds / steps for name, seconds in spent.items()}


@contextmanager
def _timed(spent: dict[str, float], part: str, owner: Any, name: str) -> Iterator[None]:
    """Inside, the time in a method of `owner`, all of its generator if it is one, counts for `part`."""
    own = vars(owner).get(name)
    method = getattr(owner, name)

    def timed(*given: Any) -> Any:
        began = time.thread_time()
        try:
            found = method(*given)
            return iter(list(found)) if isinstance(found, Generator) else found
        finally:
            spent[part] += time.thread_time() - began

    setattr(owner, name, timed)
    try:
        yield
    finally:
        delattr(owner, name) if own is None else setattr(owner, name, own)


def line(row: BaselineRow) -> str:
    """A row for a terminal."""
    method, plain, ours, times, *shares = cells(row)
    return f"{method:<12}{plain:>10}{ours:>10}{times:>7}  " + ", ".join(
        f"{name} {share}" for name, share in zip(PARTS, shares, strict=True)
    )


def cells(row: BaselineRow) -> list[str]:
    """The texts of one row, one for each of `COLUMNS`."""
    plain, ours = time_text(row["plain_s"]), time_text(row["cpu_s"])
    shares = [time_text(row["parts_s"][name]) for name in PARTS]
    return [row["method"], plain, ours, f"{row['times_plain']:.2f}", *shares]


def markdown(rows: Sequence[BaselineRow]) -> list[str]:
    """The table as lines of a docs page."""
    table = ["| " + " | ".join(COLUMNS) + " |", "|---" * len(COLUMNS) + "|"]
    return [*table, *("| " + " | ".join(cells(row)) + " |" for row in rows)]
