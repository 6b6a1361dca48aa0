"""`mpidcl bench first-step`: how long a job waits before it learns, without and with compiled kernels."""

from __future__ import annotations

import json
import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mpidcl.experiment.file import Experiment
    from mpidcl.run.processes import Processes

STARTED = "MPIDCL_BENCH_STARTED"
EXPERIMENT = """
name = "first-step"
agents = {ranks}
[stream]
tasks = 2
train_per_class = 32
[learning]
epochs = 1
batch = 64
[[exchange]]
kind = "parameters"
when = "after"
every = "1 epoch"
"""


def from_outside(ranks: int, lines: Path | None) -> int:
    """Start `ranks` twice with one new cache folder: the first job compiles, the second one loads."""
    from mpidcl.launch.start import launch
    from mpidcl_kernels.base.cache import USER_CHOICE

    with tempfile.TemporaryDirectory(prefix="mpidcl-bench-") as folder:
        os.environ[USER_CHOICE] = folder
        for state in ("empty", "full"):
            os.environ[STARTED] = f"{time.time()} {state}"
            status = launch(["bench", "first-step", *(["--json", str(lines)] if lines else [])], ranks)
            if status:
                return status
    return 0


def on_rank(lines: Path | None) -> None:
    """Build one small agent per rank and learn one epoch; rank 0 prints what all ranks took. Collective."""
    started, state = os.environ.get(STARTED, f"{time.time()} as-it-is").split()
    from mpidcl.experiment.reading import from_toml
    from mpidcl.run.processes import Processes, prepare_libraries

    processes = Processes.world()
    experiment = from_toml(EXPERIMENT.format(ranks=processes.size))
    prepare_libraries(experiment, processes.local_rank)
    seconds = {"import_s": time.time() - float(started)}
    processes.warm_up(experiment)
    seconds["warm_s"] = time.time() - float(started)
    _learn(experiment, processes.rank)
    seconds["first_step_s"] = time.time() - float(started)
    _tell(processes, state, seconds, lines)


def _learn(experiment: Experiment, agent: int) -> None:
    """One epoch: four steps of an MLP."""
    from mpidcl.learning.gradient.learner import GradientLearner
    from mpidcl.stream.serial.stream import SerialStream

    stream = SerialStream(experiment, agent)
    learner = GradientLearner(experiment, agent, stream.shape)
    learner.begin_task(stream.task(0))
    for _ in learner.learn(0, 0):
        pass


def _tell(processes: Processes, state: str, seconds: dict[str, float], lines: Path | None) -> None:
    from mpidcl_kernels.base.cache import counts

    compiled, loaded = counts()
    mine = json.dumps({**seconds, "compiled": compiled, "loaded": loaded})
    everybody = [json.loads(text) for text in processes.gather_text(mine)]
    if processes.rank:
        return
    row = {"bench": "first-step", "ranks": processes.size, "nodes": len(set(processes.hosts)), "cache": state}
    row |= {name: max(one[name] for one in everybody) for name in seconds}
    row |= {name: sum(one[name] for one in everybody) for name in ("compiled", "loaded")}
    if state != "full":
        print("seconds since the job was started, slowest rank; kernels compiled and loaded by all ranks")
        print("".join(f"{name:>14}" for name in row if name != "bench"))
    print("".join(f"{_shown(value):>14}" for name, value in row.items() if name != "bench"))
    if lines is not None:
        with lines.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")


def _shown(value: object) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)
