"""`mpidcl bench editing`: one edit of a batch of the memory, beside the same rule by double backward."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mpidcl.benchmarks.case import Work
from mpidcl.benchmarks.devices import Bench, use_threads
from mpidcl.benchmarks.table import time_text
from mpidcl.benchmarks.timing import in_turn, ratio
from mpidcl.learning.editing.align import Align
from mpidcl.learning.editing.base import EditMoment
from mpidcl.learning.editing.operator import parameter_gradient
from mpidcl.learning.masks import masked_cross_entropy
from mpidcl.model.base import Model
from mpidcl.model.build import build_model
from mpidcl.stream.tasks import StreamShape

ROWS = 128
MLP = 'model = {kind = "mlp", hidden = [128, 64], dropout = 0.0}'
RESNET = 'model = {kind = "resnet18", stem = "cifar-pool2", init = "he-normal", bias = true}'
NETS = {
    "MLP 784-128-64-62": (MLP, (1, 28, 28), 62),
    "ResNet-18": (RESNET, (3, 32, 32), 100),
}
"""The nets of PS-EMNIST and PS-CIFAR-100."""
COLUMNS = ("net", "rows", "an edit", "double backward", "ratio", "difference")


@dataclass(frozen=True)
class Rival:
    """The rule of `align` as one would write it with two derivatives."""

    moment: EditMoment
    lr: float

    def slope(self) -> Tensor:
        """Gradient by the rows of |d* - grad_theta loss|^2."""
        flat, rows = self.moment.flat, self.moment.x.detach().requires_grad_()
        slopes = torch.autograd.grad(self.moment.loss(rows), flat.learning, create_graph=True)
        wanted = self.moment.direction.split([part.numel() for part in slopes])  # type: ignore[no-untyped-call]
        away = [(d.view_as(g) - g).square().sum() for d, g in zip(wanted, slopes, strict=True)]
        return torch.autograd.grad(torch.stack(away).sum(), rows)[0]

    def edit(self) -> Tensor:
        """Edited rows."""
        return (self.moment.x - self.lr * self.slope()).clamp_(0, 1)


def measure(bench: Bench, rounds: int) -> Iterator[dict[str, Any]]:
    """One row per net: seconds of both, their ratio, and how far their directions differ. One thread."""
    use_threads(1)
    for name, (model, shape, classes) in NETS.items():
        moment = _moment(_net(model, shape, classes, bench), shape, classes, bench)
        ours, rival = Align(), Rival(moment, lr=0.01)
        exact = rival.slope()
        difference = float((-2 * ours.change(moment)[0] - exact).norm() / exact.norm())
        works: dict[str, Work] = {"ours": partial(ours.edit, moment), "double backward": rival.edit}
        clock = time.process_time if bench.name == "cpu" else time.perf_counter
        seconds = in_turn(works, rounds, bench.finish, clock)
        yield {
            "bench": "editing",
            "net": name,
            "rows": f"{ROWS} x {' x '.join(map(str, shape))}",
            "device": bench.name,
            "edit_s": statistics.median(seconds["ours"]),
            "double_backward_s": statistics.median(seconds["double backward"]),
            "ratio": ratio(seconds["double backward"], seconds["ours"]),
            "difference": difference,
        }


def _net(model: str, shape: tuple[int, ...], classes: int, bench: Bench) -> Model:
    from mpidcl.experiment import Experiment

    experiment = Experiment.from_toml(f'name = "bench"\nagents = 1\n{model}\n')
    device = "cpu" if bench.name == "cpu" else "cuda"
    net = build_model(experiment, 0, StreamShape(shape, 1, classes, "class"), device)
    # Without dropout an MLP does the same in both modes, by layers that can be differentiated twice in this.
    return net.train("resnet18" in model)


def _moment(net: Model, shape: tuple[int, ...], classes: int, bench: Bench) -> EditMoment:
    rng = np.random.default_rng(0)
    x, other = (_tensor(rng.random((ROWS, *shape), np.float32), bench) for _ in range(2))
    loss = _loss(net, _tensor(rng.integers(0, classes, ROWS), bench), classes)
    # In training there is some agreement between the memory and the common direction, and some lack of it.
    memory, elsewhere = (parameter_gradient(loss, net.flat, rows) for rows in (x, other))
    ages = np.zeros(ROWS, dtype=np.int64)
    return EditMoment(x, loss, net.flat, memory, (memory + elsewhere) / 2, None, ages, rng)


def _loss(net: Model, y: Tensor, classes: int) -> Callable[[Tensor], Tensor]:
    mask = torch.ones(classes, dtype=torch.bool, device=y.device)
    return lambda x: masked_cross_entropy(net.heads.one(net.encode(net.prepare(x)), 0), y, mask)


def _tensor(array: Any, bench: Bench) -> Tensor:
    return torch.as_tensor(bench.place(array))


def cells(row: dict[str, Any]) -> list[str]:
    """The texts of one row, one for each of `COLUMNS`."""
    times = [time_text(row[name]) for name in ("edit_s", "double_backward_s")]
    return [row["net"], row["rows"], *times, f"{row['ratio']:.2f}", f"{row['difference']:.1e}"]


def line(row: dict[str, Any]) -> str:
    """Text of one row for a terminal or a log."""
    net, rows, ours, other, times, difference = cells(row)
    return f"{net:<18} {rows:<17} {ours:>9}   double backward {other:>9}  {times}x   difference {difference}"


def markdown(rows: list[dict[str, Any]]) -> list[str]:
    """Lines of a table for a docs page."""
    lines = ["| " + " | ".join(COLUMNS) + " |", "|---" * len(COLUMNS) + "|"]
    return [*lines, *("| " + " | ".join(cells(row)) + " |" for row in rows)]
