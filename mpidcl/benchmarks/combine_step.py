"""One step of parallel learning in one process: n gradients, their combination, the optimiser's step.

Beside n backward passes of the same net on the same batches and nothing else, and beside TorchJD where it
is installed: its `autojac`, which makes gradients and combines them, and its `aggregator(J)` on gradients
of n separate passes. Everything on one thread; seconds are those that the thread worked.
"""

from __future__ import annotations

import itertools
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Literal, NotRequired, TypedDict

from mpidcl.benchmarks.case import Work
from mpidcl.benchmarks.timing import in_turn, ratio

if TYPE_CHECKING:
    from torch import Tensor, nn

    from mpidcl.learning.parallel.learner import ParallelLearner
    from mpidcl.model.base import Model

TASKS, BATCH = (4, 10), 32
STEPS = 16
"""Steps of each stream: two more than the most rounds."""
PLAIN, OURS = "n backward passes", "mpidcl, elastic"
AGGREGATORS = ("MGDA", "UPGrad")
EXPERIMENT = """
name = "combine"
agents = 1
[stream]
kind = "parallel"
dataset = "mpidcl.benchmarks.combine_noise:Noise"
tasks = {tasks}
classes_per_task = 2
timeline = {starts}
steps_per_task = {steps}
[stream.data]
per_class = {per_class}
[model]
kind = "resnet18"
stem = "cifar-pool2"
[memory]
policy = "class-quota"
[learning]
kind = "parallel"
optimizer = "adam"
batch = {batch}
combiner = "elastic"
"""


class Step(TypedDict):
    """What is measured of one contestant; or `why` it is not there."""

    name: str
    why: NotRequired[str]
    cpu_s: NotRequired[float]
    times_plain: NotRequired[float]
    peak_mib: NotRequired[float]
    times_peak: NotRequired[float]


class StepRow(Step):
    """The same as a line of JSON."""

    bench: Literal["combine step"]
    tasks: int
    batch: int


class RanksRow(TypedDict):
    """What `between_ranks_combine` measures of one size."""

    bench: Literal["combine"]
    ranks: int
    floats: int
    allreduce_ms: float
    mpidcl_ms: float
    times_bare: float
    bytes_ledger: int
    bytes_by_mpi: int
    bytes_ring: int


def measure(rounds: int, lines: Path | None) -> None:
    """Print a table for 4 and 10 tasks; append its rows to the file `lines` as JSON."""
    print(f"ResNet-18, a batch of {BATCH} images of 32 x 32 for each task, one thread, medians of {rounds}")
    print(f"{'tasks':>6}  {'':<30}{'CPU seconds':>12}{'times plain':>13}{'peak MiB':>10}{'times':>7}")
    for tasks in TASKS:
        for row in _rows(tasks, rounds):
            shown = _shown(row)
            print(f"{tasks:>6}  {row['name']:<30}{shown}", flush=True)
            if lines is not None:
                with lines.open("a", encoding="utf-8") as file:
                    line: StepRow = {"bench": "combine step", "tasks": tasks, "batch": BATCH, **row}
                    file.write(json.dumps(line) + "\n")


def markdown(rows: Sequence[RanksRow | StepRow]) -> list[str]:
    """Lines of both tables of `mpidcl bench combine` for a docs page; `rows` are its JSON lines."""
    ranks = [row for row in rows if row["bench"] == "combine"]
    steps = [row for row in rows if row["bench"] == "combine step"]
    lines = [
        *RANKS_NOTE,
        "",
        "| floats | Allreduce | mpidcl | ratio | bytes, ledger | by MPI | ring allreduce |",
    ]
    lines.append("|---" * 7 + "|")
    for row in ranks:
        times = f"{row['allreduce_ms']:.1f} ms | {row['mpidcl_ms']:.1f} ms | {row['times_bare']:.2f}"
        counts = (row["bytes_ledger"], row["bytes_by_mpi"], row["bytes_ring"])
        lines.append(f"| {row['floats']:,} | {times} | " + " | ".join(f"{n:,}" for n in counts) + " |")
    lines += ["", *STEP_NOTE, "", "| tasks | | CPU seconds | times plain | peak MiB | times plain |"]
    lines.append("|---" * 6 + "|")
    for step in steps:
        found = [step["why"], "", "", ""] if "why" in step else _shown(step).split()
        lines.append(f"| {step['tasks']} | {step['name']} | " + " | ".join(found) + " |")
    return lines


RANKS_NOTE = [
    "`mpidcl bench combine -n 4`. One gradient on each of 4 ranks: elastic combination (compare, solve for",
    "the weights, combine) beside one blocking `MPI.Allreduce` in place of a vector of the same size, in",
    "turns. Bytes are those that a rank sends, the mean over ranks: as the ledger says, as MPI itself",
    "counted, and those of a ring allreduce, 2 P (n - 1) / n floats. To reach for 11,000,000 floats: 1.25",
    "times the time, and 1 % more bytes. Small gradients travel whole: more bytes, fewer waits.",
]
STEP_NOTE = [
    f"In one process, ResNet-18, a batch of {BATCH} images of 32 x 32 for each task, one thread: a step of",
    "the learner beside as many backward passes and nothing else (to reach: 1.05 times), and beside TorchJD,",
    "without optimiser: `autojac`, rows one by one (`parallel_chunk_size=1`), and `aggregator(J)` on the",
    "gradients of n separate passes, each copied into its row of a matrix. Peak memory is that of a process",
    "that does only this, about 120 MiB for compiled kernels included in ours; one gradient is 43 MiB, and",
    "so is each of Adam's moments.",
    "",
    "What is dear is `autojac`, not TorchJD's combiners: in one process, on gradients of separate passes,",
    "`aggregator(J)` costs about what ours does. What remains ours is what one process does not have:",
    "gradients that lie on other ranks, of which none holds more than a slice, at the traffic of a ring",
    "allreduce; the same bits on any number of ranks and threads (the Gram matrix is summed in float64, in a",
    "fixed order); and in the step the optimiser, and the record of weights, losses and gradients.",
]


def _shown(row: Step) -> str:
    if "why" in row:
        return f"  {row['why']}"
    return (
        f"{row['cpu_s']:>12.3f}{row['times_plain']:>13.3f}{row['peak_mib']:>10.0f}{row['times_peak']:>7.2f}"
    )


def _rows(tasks: int, rounds: int) -> list[Step]:
    one_thread()
    works = contestants(tasks)
    seconds = in_turn({name: work for name, work in works.items() if work}, rounds, clock=time.process_time)
    peaks = {name: _peak_mib(name, tasks) for name in seconds}
    rows: list[Step] = []
    for name, work in works.items():
        if work is None:
            rows.append({"name": name, "why": "not installed (pip install torchjd qpsolvers quadprog)"})
            continue
        rows.append(
            {
                "name": name,
                "cpu_s": median(seconds[name]),
                "peak_mib": peaks[name],
                "times_plain": ratio(seconds[name], seconds[PLAIN]),
                "times_peak": peaks[name] / peaks[PLAIN],
            }
        )
    return rows


def one_thread() -> None:
    """For all libraries of this process."""
    import threadpoolctl
    import torch

    from mpidcl_kernels.base.threads import set_threads

    set_threads(1)
    torch.set_num_threads(1)
    threadpoolctl.threadpool_limits(1)


def contestants(tasks: int) -> dict[str, Work | None]:
    """What each does for one step; None for a library that is not installed.

    The step of mpidcl is the whole one of its learner, with the optimiser and the log of the steps. Those of
    TorchJD end with the combined gradient; `autojac` in chunks of one row, its faster way on such a net.
    """
    return {name: make(tasks) for name, make in _makers().items()}


def _makers() -> dict[str, Callable[[int], Work | None]]:
    """Of each contestant, what prepares it for so many tasks."""
    makers: dict[str, Callable[[int], Work | None]] = {PLAIN: _plain, OURS: _ours}
    makers |= {f"TorchJD autojac, {name}": partial(_autojac, name) for name in AGGREGATORS}
    return makers | {f"TorchJD aggregator(J), {name}": partial(_matrix, name) for name in AGGREGATORS}


def _learner(tasks: int) -> ParallelLearner:
    """A learner at the first step of `tasks` streams that begin together."""
    from mpidcl.experiment.reading import from_toml
    from mpidcl.learning.parallel.learner import ParallelLearner
    from mpidcl.stream.parallel.stream import ParallelStream

    per_class = STEPS * BATCH // 2 + 1
    text = EXPERIMENT.format(tasks=tasks, starts=[0] * tasks, steps=STEPS, per_class=per_class, batch=BATCH)
    experiment = from_toml(text)
    stream = ParallelStream(experiment, 0)
    learner = ParallelLearner(experiment, 0, stream.shape)
    learner.begin_task(stream.task(0))
    return learner


def _ours(tasks: int) -> Work:
    learner, ticks = _learner(tasks), itertools.count()

    def step() -> None:
        for _ in learner.learn(0, next(ticks)):
            raise RuntimeError("A step in one process should ask nobody.")

    return step


def _losses(tasks: int) -> tuple[Model, list[Callable[[], Tensor]]]:
    """A net, and for each task a function that computes the loss of a batch of its own."""
    import torch
    from torch.nn import functional

    learner = _learner(tasks)
    model = learner.model.train()

    def loss(task: int) -> Tensor:
        rows = learner.stream.parallel_task(task).train.part(slice(0, BATCH))
        x, y = model.prepare(torch.from_numpy(rows.x())), torch.from_numpy(rows.y)
        return functional.cross_entropy(model.heads.one(model.encode_rows(x, 0), 0), y)

    return model, [lambda task=task: loss(task) for task in range(tasks)]  # type: ignore[misc]


def _plain(tasks: int) -> Work:
    model, losses = _losses(tasks)

    def passes() -> None:
        for loss in losses:
            for parameter in model.parameters():
                parameter.grad = None
            loss().backward()  # type: ignore[no-untyped-call]

    return passes


def _aggregator(name: str) -> Callable[[Tensor], Tensor] | None:
    """One of TorchJD's; None where it, or what it solves with, is not installed."""
    try:
        from torchjd import aggregation  # type: ignore[import-not-found,unused-ignore]

        chosen: Callable[[Tensor], Tensor] = getattr(aggregation, name)()
    except ImportError:
        return None
    return chosen


def _autojac(aggregator: str, tasks: int) -> Work | None:
    chosen = _aggregator(aggregator)
    if chosen is None:
        return None
    from torchjd import autojac  # type: ignore[import-not-found,unused-ignore]

    model, losses = _losses(tasks)
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]

    def step() -> None:
        for parameter in parameters:
            parameter.grad = None
        autojac.backward([loss() for loss in losses], inputs=parameters, parallel_chunk_size=1)
        autojac.jac_to_grad(parameters, chosen)

    return step


def _matrix(aggregator: str, tasks: int) -> Work | None:
    chosen = _aggregator(aggregator)
    if chosen is None:
        return None
    import torch

    model, losses = _losses(tasks)
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    matrix = torch.empty(tasks, sum(parameter.numel() for parameter in parameters))

    def step() -> None:
        fill_rows(matrix, losses, parameters)
        chosen(matrix)

    return step


def fill_rows(
    matrix: Iterable[Tensor], losses: list[Callable[[], Tensor]], parameters: list[nn.Parameter]
) -> None:
    """The gradient of each loss into its row of `matrix [tasks, p]`, from a backward pass of its own."""
    import torch

    for row, loss in zip(matrix, losses, strict=True):
        found = torch.autograd.grad(loss(), parameters)
        torch.cat([part.flatten() for part in found], out=row)


def _peak_mib(name: str, tasks: int) -> float:
    """Largest memory of a process that does nothing but two steps of `name`."""
    command = [sys.executable, "-m", "mpidcl.benchmarks.combine_step", name, str(tasks)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def _main(name: str, tasks: int) -> None:
    one_thread()
    work = _makers()[name](tasks)
    assert work is not None
    for _ in range(2):
        work()
    print(_largest_mib())


def _largest_mib() -> float:
    """Of this process so far. `ru_maxrss` would begin with what the parent had when it started this one."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    _main(sys.argv[1], int(sys.argv[2]))
