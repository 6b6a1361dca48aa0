#!/usr/bin/env python
"""Side by side in one run: mpidcl and what a user would pick instead. Writes docs/benchmarks.md.

python scripts/bench_all.py [--agents 8] [--epochs 100] [--rounds 1] [--out docs/benchmarks.md]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
PLAIN = {
    ROOT / "examples" / "dcl" / "monolithic-isolated.toml": ROOT / "scripts" / "bench_plain_dcl.py",
    ROOT / "examples" / "dcl" / "modular-isolated.toml": ROOT / "scripts" / "bench_plain_modular.py",
}
"""The published isolated runs, and the same in plain PyTorch."""


@dataclass
class Cost:
    """CPU seconds of the whole process, start and imports included, and what it printed."""

    cpu_s: float
    output: str


def run(*command: str | Path) -> Cost:
    """Run a command to its end with one thread per library."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    words = [str(word) for word in command]
    done = subprocess.run(words, env=os.environ | threads, capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(f"{' '.join(words)} ended with {done.returncode}:\n{done.stderr}")
    return Cost(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done.stdout)


def experiment_words(agents: int, epochs: int) -> list[str]:
    """Changes of the published isolated experiment, as --set values."""
    words = [f"agents={agents}", f"learning.epochs={epochs}"]
    from mpidcl.errors import DataError
    from mpidcl.stream.datasets.catalogue import make

    try:
        make("mnist", {}).for_agent(0).load()
    except DataError as error:
        print(f"{error}\ndigits are used instead")
        words += ["stream.dataset=digits", "stream.train_per_class=64"]
    return words


def write_tasks(path: Path, file: Path, sets: list[str]) -> None:
    """The same tasks for the plain script: arrays `agent/task/name`, every task alike."""
    from mpidcl.experiment.reading import load
    from mpidcl.stream.serial.stream import SerialStream

    experiment = load(file, sets)
    arrays: dict[str, Any] = {}
    for agent in range(experiment.agents):
        stream = SerialStream(experiment, agent)
        for index in range(len(stream.ticks)):
            task = stream.task(index)
            for name, rows in (("train", task.train), ("test", task.test)):
                arrays[f"{agent}/{index}/{name}_x"] = rows.x()
                arrays[f"{agent}/{index}/{name}_y"] = rows.y
    np.savez(path, **arrays)


def learning(file: Path, agents: int, epochs: int, rounds: int) -> list[str]:
    """CPU seconds of an isolated published run: mpidcl and plain PyTorch in turn, on the same tasks."""
    sets, script = experiment_words(agents, epochs), PLAIN[file]
    ours, plain = [], []
    with tempfile.TemporaryDirectory() as folder:
        tasks = Path(folder) / "tasks.npz"
        write_tasks(tasks, file, sets)
        for number in range(rounds):
            out = Path(folder) / str(number)
            words = [word for one in sets for word in ("--set", one)]
            mine = run(
                *(sys.executable, "-m", "mpidcl", "run", file, "--driver", "inprocess"),
                *("--quiet", "--out", out, *words),
            )
            ours.append((mine.cpu_s, json.loads((out / "summary.json").read_text())))
            other = run(sys.executable, script, tasks, "--epochs", str(epochs))
            plain.append((other.cpu_s, json.loads(other.output)))
    times = ours[-1][1]["time"]
    rest = 1 - (times["learn_s"] + times["evaluate_s"]) / times["wall_s"]
    our_cpu, plain_cpu = median(c for c, _ in ours), median(c for c, _ in plain)
    return [
        f"## Learning: {file.stem}, the published run",
        "",
        f"`{file.relative_to(ROOT)}` with {', '.join(sets)}; whole processes, one thread, in turn, "
        f"median of {rounds}.",
        "",
        "| | CPU seconds | ratio | mean final accuracy |",
        "|---|---|---|---|",
        f"| plain PyTorch (`{script.relative_to(ROOT)}`) | {plain_cpu:.1f} | 1 "
        f"| {100 * plain[-1][1]['final_accuracy']:.2f} % |",
        f"| mpidcl, in process | {our_cpu:.1f} | **{our_cpu / plain_cpu:.2f}** "
        f"| {100 * ours[-1][1]['metrics']['final_accuracy']:.2f} % |",
        "",
        f"Neither learning nor evaluation (building, meetings, checkpoints): {100 * rest:.1f} % of mpidcl's "
        "wall time.",
        "",
    ]


def bench(*words: str) -> list[dict[str, Any]]:
    """What `mpidcl bench` with these words measures."""
    with tempfile.TemporaryDirectory() as folder:
        lines = Path(folder) / "lines"
        run(sys.executable, "-m", "mpidcl", "bench", *words, "--json", lines)
        return [json.loads(line) for line in lines.read_text().splitlines()]


def messages(name: str, title: str, ranks: int, how: str = "bare MPI and mpidcl in turn") -> list[str]:
    """One table of `mpidcl bench NAME`."""
    rows = bench(name, "-n", str(ranks))
    columns = [column for column in rows[0] if column not in ("bench", "ranks")]
    table = [f"## {title}", "", f"`mpidcl bench {name} -n {ranks}`; {how}.", ""]
    table += ["| " + " | ".join(columns) + " |", "|---" * len(columns) + "|"]
    return [*table, *("| " + " | ".join(_shown(row[c]) for c in columns) + " |" for row in rows), ""]


def kernels() -> list[str]:
    """The table of `mpidcl bench kernels`."""
    from mpidcl.benchmarks.table import markdown

    rows = bench("kernels")
    return ["## Kernels", "", *KERNELS_NOTE, "", *markdown(rows), ""]


KERNELS_NOTE = [
    "`mpidcl bench kernels`; contestants in turn, medians. Of the limit: of the bandwidth that the best of",
    "several ways to read (or copy) as many bytes had in the same rounds. Instead: its time, and how many",
    "times ours that is; torch and NumPy sum in the type of the rows where ours sum in float64. On a virtual",
    "machine whose host others use, shares move by ten points between runs, more with all cores.",
]


def editing() -> list[str]:
    """The table of `mpidcl bench editing`."""
    from mpidcl.benchmarks.editing_batch import markdown

    rows = bench("editing")
    return ["## Editing a batch of the memory", "", *EDITING_NOTE, "", *markdown(rows), "", *EDITING_WHY, ""]


EDITING_NOTE = [
    '`mpidcl bench editing`: one edit of kind "align", beside the same rule by double backward in torch; CPU',
    "seconds of one thread, in turn, medians. An edit uses what ReLUs and max-pools decided in the pass of",
    "the memory's gradient; what recording this adds to that pass counts as part of the edit. To reach: 1.5",
    "times as fast, and a relative difference of the two directions below 1e-3 (a net that has not learned,",
    "noise for pixels).",
]
EDITING_WHY = [
    "The MLP's first layer is nearly all of it, and takes four products here, two forward and two backward,",
    "and five there, one forward and four backward.",
]


def combining() -> list[str]:
    """The tables of `mpidcl bench combine`."""
    from mpidcl.benchmarks.combine_step import markdown

    rows = bench("combine", "-n", "4")
    return ["## Gradients of all ranks, one direction", "", *markdown(rows), ""]


def learner_steps() -> list[str]:
    """The table of `mpidcl bench learner`."""
    from mpidcl.benchmarks.learner_step import markdown

    rows = bench("learner")
    return ["## A step of learning: other nets", "", *LEARNER_NOTE, "", *markdown(rows), ""]


LEARNER_NOTE = [
    "`mpidcl bench learner`: CPU seconds of one thread, in turn, medians. What the two sections above save",
    "is book-keeping of small operations, and so it belongs to the small net of DCL. In an ordinary",
    "perceptron nearly all of a step is matrix products, which are the same here and there, and Adam.",
]


def baselines() -> list[str]:
    """The table of `mpidcl bench baselines`."""
    from mpidcl.benchmarks.baseline_step import markdown

    rows = bench("baselines")
    return ["## A step of each continual baseline", "", *BASELINES_NOTE, "", *markdown(rows), ""]


def experts() -> list[str]:
    """The table of `mpidcl bench experts`."""
    from mpidcl.benchmarks.experts_step import markdown

    rows = bench("experts")
    return ["## A step of a model of experts", "", *EXPERTS_NOTE, "", *markdown(rows), ""]


EXPERTS_NOTE = [
    "`mpidcl bench experts`: 784 inputs, an encoder of twice the units, 2 experts for each row. The dense",
    "net has as many operations for a row. CPU seconds of one thread, in turn, medians. Plain PyTorch: a",
    "loop over experts with the rows of each.",
]
BASELINES_NOTE = [
    "`mpidcl bench baselines`: split MNIST as published, 784-100-100-10, SGD, batches of 10 rows,",
    "memories of 200. CPU seconds of one thread, in turn, medians. Plain PyTorch: the method as its",
    "authors' public code writes it, with all rows in one tensor. The parts of ours: rows drawn from the",
    "memory and written to it, the passes forward and back, what the term does beside, the optimiser.",
]


EXCHANGE_NOTE = [
    "`over_us` is what a meeting costs beyond the bare messages: packing, the crc, checking every field,",
    "bookkeeping and waking the agent, all of it Python on the core that also copies the array. It grows far",
    "slower than the array, so it fades. `share_of_bare`: the part of bare speed that is left.",
    "",
]


FIRST_STEP_NOTE = [
    "Seconds since the job was started, slowest rank; `compiled` and `loaded` count kernels over all ranks.",
    "With an empty cache each kernel is compiled once per node.",
    "",
]


def _shown(value: float | str) -> str:
    if isinstance(value, str):
        return value
    return f"{value:,}" if isinstance(value, int) else f"{value:,.2f}"


def head() -> list[str]:
    """What was measured on what."""
    cpu = next(
        (
            line.split(":")[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.processor(),
    )
    return [
        "# Benchmarks",
        "",
        "Written by `scripts/bench`: mpidcl beside what one would pick instead, in one run on one machine. "
        "Read ratios; seconds and microseconds belong to the machine.",
        "",
        f"{cpu}, {os.cpu_count()} cores, Python {platform.python_version()}.",
        "",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--agents", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "benchmarks.md")
    arguments = parser.parse_args()
    lines = head()
    for file in PLAIN:
        lines += learning(file, arguments.agents, arguments.epochs, arguments.rounds)
    lines += learner_steps()
    lines += baselines()
    lines += experts()
    lines += kernels()
    lines += editing()
    lines += combining()
    lines += (
        messages("first-step", "How long a job waits before it learns", 8, "two jobs with one cache")
        + FIRST_STEP_NOTE
    )
    lines += messages("exchange", "Two ranks send each other an array", 2) + EXCHANGE_NOTE
    lines += messages("ring", "A message goes around four ranks, per hop", 4)
    arguments.out.write_text("\n".join(lines))
    print("\n".join(lines))
    print(f"written to {arguments.out}")


if __name__ == "__main__":
    main()
