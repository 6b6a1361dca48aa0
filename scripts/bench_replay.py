#!/usr/bin/env python
"""The replay buffer of mpidcl beside those that one would use instead, in turn, in one run.

    python scripts/bench_replay.py [--avalanche DIR] [--mammoth DIR] [--rounds 7] [--json FILE]
    python scripts/bench_replay.py --remote PYTHON [--rounds 7] [--json FILE]

CPU time of one thread. TorchRL is measured where `torchrl` is installed, Avalanche and Mammoth from a
checkout of their repositories. Insert: a batch of rows goes to a full buffer. Sample: so many rows of it.
Both: one after the other. Ours is a `Replay` with the policy "fifo", which writes every row, as TorchRL
does; its draws are without replacement. With --remote instead: one buffer for 1, 2 and 4 processes, ours
over MPI beside TorchRL's remote one (`bench_replay_remote.py`), which runs with PYTHON. Time is that of a
clock, work that of all processes together, both of the best round.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import logging
import subprocess
import sys
import time
import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple
from unittest.mock import MagicMock

import numpy as np
import torch

from mpidcl.benchmarks.devices import use_threads
from mpidcl.benchmarks.replay import rate
from mpidcl.benchmarks.timing import in_turn, ratio
from mpidcl.memory.buffer import Buffer, Column
from mpidcl.memory.policies import Fifo
from mpidcl.replay import Replay

OURS = "mpidcl Replay"
DOES = ("insert", "sample", "both")
PROCESSES = (1, 2, 4)
SLOW_S = 0.5
"""A call that takes longer is made once for all rounds."""
Work = Callable[[], object]


class Size(NamedTuple):
    """Batches of `batch` rows of `shape` float32, `held` of them held."""

    name: str
    shape: tuple[int, ...]
    batch: int
    held: int


SIZES = (Size("64 floats", (64,), 256, 1_000_000), Size("602 KB", (3, 224, 224), 8, 300))


@dataclass
class Contestant:
    """What a buffer does with a batch; None for what it cannot do apart."""

    insert: Work | None
    sample: Work | None
    both: Work | None = None


def ours(size: Size, x: torch.Tensor) -> Contestant:
    """A draw is part of a push: rows are inserted by one that draws a single row, and drawn without any."""
    rows, columns = {"x": x.numpy()}, {"x": ("float32", size.shape)}
    alone, held = (Replay(columns, f"{size.held} rows", n, policy="fifo") for n in (1, size.batch))
    for _ in range(-(-size.held // size.batch)):
        alone.push(rows)
        held.push(rows)

    def sample() -> object:
        held.push(None)
        return held.wait()

    def both() -> object:
        held.push(rows)
        return held.wait()

    return Contestant(lambda: alone.push(rows), sample, both)


def buffer_sample(size: Size, x: torch.Tensor) -> Contestant:
    """The memory of an agent in a run."""
    rng = np.random.default_rng(0)
    held = Buffer([Column("x", "float32", size.shape)], size.held, Fifo(), rng)
    for _ in range(-(-size.held // size.batch)):
        held.push({"x": x.numpy()})
    return Contestant(lambda: held.push({"x": x.numpy()}), lambda: held.sample(size.batch, rng))


def torchrl(size: Size, x: torch.Tensor, storage: str, different: bool = False) -> Contestant:
    """`different`: without replacement."""
    from tensordict import TensorDict
    from torchrl import data
    from torchrl.data.replay_buffers import samplers

    logging.getLogger("torchrl").setLevel(logging.WARNING)
    sampler = samplers.SamplerWithoutReplacement() if different else samplers.RandomSampler()
    held = data.TensorDictReplayBuffer(
        storage=getattr(data, storage)(size.held), sampler=sampler, batch_size=size.batch
    )
    rows = TensorDict({"x": x}, [size.batch])
    while len(held) < size.held:
        held.extend(rows)
    return Contestant(lambda: held.extend(rows), held.sample)


def avalanche(size: Size, x: torch.Tensor, folder: Path) -> Contestant:
    """Rows come by a shuffling DataLoader without workers, as its replay plugin draws them."""
    policy, dataset = _avalanche(folder)

    def given(rows: torch.Tensor) -> Any:
        return dataset([torch.utils.data.TensorDataset(rows)])

    held = policy.ReservoirSamplingBuffer(size.held)
    held.update_from_dataset(given(torch.cat([x] * (size.held // size.batch))))
    loader = torch.utils.data.DataLoader(held.buffer, size.batch, shuffle=True)
    batches = (batch for _ in cycle([0]) for batch in loader)
    return Contestant(lambda: held.update_from_dataset(given(x)), lambda: next(batches))


def _avalanche(folder: Path) -> tuple[Any, Any]:
    """The modules of its buffers and data sets, in packages that are empty: its own import torchvision."""
    sys.path.insert(0, str(folder))
    for name in ("avalanche", "avalanche.benchmarks", "avalanche.benchmarks.utils", "avalanche.training"):
        package: Any = types.ModuleType(name)
        package.__path__ = [str(folder / name.replace(".", "/"))]
        sys.modules[name] = package
    for name in ("avalanche.models", "torchvision", "torchvision.transforms"):
        sys.modules[name] = MagicMock()
    utils: Any = sys.modules["avalanche.benchmarks.utils"]
    utils.AvalancheDataset = importlib.import_module("avalanche.benchmarks.utils.data").AvalancheDataset
    utils._taskaware_classification_subset = None
    return importlib.import_module("avalanche.training.storage_policy"), utils.AvalancheDataset


def mammoth(size: Size, x: torch.Tensor, folder: Path) -> Contestant:
    """Without its transforms, which it applies row by row."""
    sys.modules["utils"] = types.ModuleType("utils")
    for name in ("utils.augmentations", "utils.conf"):
        sys.modules[name] = MagicMock()
    sys.modules["utils.augmentations"].apply_transform = lambda rows, transform: rows  # type: ignore[attr-defined]
    spec = importlib.util.spec_from_file_location("mammoth_buffer", folder / "utils" / "buffer.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    held = module.Buffer(size.held)
    held.add_data(x)
    held.examples.uniform_()

    def insert() -> None:
        held.num_seen_examples = (
            size.held
        )  # filled, which takes it minutes, and not long ago: most rows are kept
        held.add_data(x)

    insert()
    return Contestant(insert, lambda: held.get_data(size.batch))


def contestants(size: Size, folders: Mapping[str, Path | None]) -> Iterator[tuple[str, Contestant]]:
    """Each that is there; says which are not."""
    x = torch.rand(size.batch, *size.shape)
    yield OURS, ours(size, x)
    yield "mpidcl Buffer (in runs)", buffer_sample(size, x)
    if importlib.util.find_spec("torchrl") is None:
        print("left out: TorchRL is not installed")
    else:
        yield "TorchRL, LazyTensorStorage", torchrl(size, x, "LazyTensorStorage")
        yield "TorchRL, without replacement", torchrl(size, x, "LazyTensorStorage", different=True)
        yield "TorchRL, LazyMemmapStorage", torchrl(size, x, "LazyMemmapStorage")
    for name, make in (("avalanche", avalanche), ("mammoth", mammoth)):
        folder = folders[name]
        if folder is None:
            print(f"left out: {name.title()}; give --{name} DIR, a checkout of its repository")
        else:
            yield f"{name.title()}, reservoir", make(size, x, folder)


def works(one: Contestant) -> dict[str, Work]:
    """What is timed of it."""
    insert, sample, both = one.insert, one.sample, one.both
    if both is None and insert is not None and sample is not None:
        parts = insert, sample

        def both() -> object:
            parts[0]()
            return parts[1]()

    return {name: work for name, work in zip(DOES, (insert, sample, both), strict=True) if work is not None}


def measure(size: Size, folders: Mapping[str, Path | None], rounds: int) -> list[dict[str, Any]]:
    """A row for each contestant: microseconds of each, rows/s, and how many times ours it takes."""
    found = {name: works(one) for name, one in contestants(size, folders)}
    rows: dict[str, dict[str, Any]] = {name: {"rows": size.name, "buffer": name} for name in found}
    for does in DOES:
        seconds = _seconds({name: work[does] for name, work in found.items() if does in work}, rounds)
        for name, times in seconds.items():
            rows[name][does] = {
                "us": 1e6 * median(times), "rows_s": size.batch / median(times),
                "times_ours": ratio(times, seconds[OURS]),
            }  # fmt: skip
    return list(rows.values())


def _seconds(works: dict[str, Work], rounds: int) -> dict[str, list[float]]:
    """CPU seconds of each in every round; of a slow one those of one call."""
    slow = {}
    for name, work in list(works.items()):
        began = time.process_time()
        work()
        once = time.process_time() - began
        if once > SLOW_S:
            slow[name] = [once] * rounds
            del works[name]
    return in_turn(works, rounds, clock=time.process_time) | slow


def markdown(rows: list[dict[str, Any]]) -> list[str]:
    """A table: rows/s, and in brackets how many times as long as ours it takes."""
    table = ["| rows | buffer | insert | sample | insert and sample |", "|---|---|---|---|---|"]
    for row in rows:
        cells = [
            f"{_number(row[does]['rows_s'])} ({row[does]['times_ours']:,.1f})" if does in row else ""
            for does in DOES
        ]
        table.append(f"| {row['rows']} | {row['buffer']} | {' | '.join(cells)} |")
    return table


def _number(rate: float) -> str:
    return f"{rate / 1e6:.2f} M" if rate >= 1e6 else f"{rate:,.0f}"


def remote(python: Path, rounds: int) -> list[dict[str, Any]]:
    """A row for each number of processes and buffer: the best of `rounds` starts of each, in turn."""
    found: dict[tuple[int, str], list[tuple[float, float]]] = {}
    for _ in range(rounds):
        for count in PROCESSES:
            found.setdefault((count, "GlobalReplay"), []).append(_ours(count))
            found.setdefault((count, "TorchRL, remote"), []).append(_torchrl(python, count))
    return [
        {"processes": count, "buffer": name, "us": min(us), "work_us": min(work)}
        for (count, name), times in found.items()
        for us, work in [tuple(zip(*times, strict=True))]
    ]


def _ours(processes: int) -> tuple[float, float]:
    """Microseconds of a step, and of work of all: no more than the slowest's times their number."""
    with TemporaryDirectory() as folder:
        lines = Path(folder, "rate.jsonl")
        code = (
            "from pathlib import Path; from mpi4py import MPI; from mpidcl.benchmarks.replay import rate;"
            f" rate.rate(MPI.COMM_WORLD, Path({str(lines)!r}))"
        )
        launch = [sys.executable, "-m", "mpidcl.launch", str(processes), "600", "--"]
        _run([*launch, sys.executable, "-m", "mpi4py", "-c", code])
        row = json.loads(lines.read_text())
        return float(row["us"]), processes * float(row["work_us"])


def _torchrl(python: Path, processes: int) -> tuple[float, float]:
    words = [processes, rate.BATCH, rate.ROW, rate.HELD, rate.STEPS, rate.ROUNDS]
    said = _run([str(python), str(Path(__file__).with_name("bench_replay_remote.py")), *map(str, words)])
    row = json.loads(said.splitlines()[-1])
    return float(row["us"]), float(row["work_us"])


def _run(words: list[str]) -> str:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(
            f"`{' '.join(words[:6])} ...` should end with status 0. Found {done.returncode}:\n{done.stderr}"
        )
    return done.stdout


def remote_markdown(rows: list[dict[str, Any]]) -> list[str]:
    """A table; in brackets how many times as much as ours it takes."""
    table = ["| processes | buffer | a step | rows/s of all | work of all for it |", "|---|---|---|---|---|"]
    for row in rows:
        ours = next(one for one in rows if one["processes"] == row["processes"])
        times = {key: "" if row is ours else f" ({row[key] / ours[key]:.1f})" for key in ("us", "work_us")}
        speed = _number(1e6 * row["processes"] * rate.BATCH / row["us"])
        cells = [
            row["processes"], row["buffer"], f"{row['us']:,.0f} us{times['us']}", speed,
            f"{row['work_us']:,.0f} us{times['work_us']}",
        ]  # fmt: skip
        table.append(f"| {' | '.join(map(str, cells))} |")
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--avalanche", type=Path, help="a checkout of ContinualAI/avalanche")
    parser.add_argument("--mammoth", type=Path, help="a checkout of aimagelab/mammoth")
    parser.add_argument(
        "--remote", type=Path, help="an interpreter with torchrl: one buffer of many processes"
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    use_threads(1)
    if arguments.remote:
        rows = remote(arguments.remote, arguments.rounds)
        print("\n".join(remote_markdown(rows)))
    else:
        folders = {"avalanche": arguments.avalanche, "mammoth": arguments.mammoth}
        rows = [row for size in SIZES for row in measure(size, folders, arguments.rounds)]
        print("\n".join(markdown(rows)))
    if arguments.json:
        arguments.json.write_text("".join(json.dumps(row) + "\n" for row in rows))


if __name__ == "__main__":
    main()
