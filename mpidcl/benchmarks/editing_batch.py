"""`mpidcl bench editing`: one edit of a batch of the memory, beside the same rule by double backward."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypedDict

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
from mpidcl.learning.editing.pattern import Pattern, deciding
from mpidcl.learning.parallel.masks import masked_cross_entropy
from mpidcl.model.base import Model
from mpidcl.model.build import build_model
from mpidcl.model.resnet import ResNet18
from mpidcl.stream.tasks import StreamShape
from mpidcl_kernels.base.types import View

ROWS = 128
MLP = 'model = {kind = "mlp", hidden = [128, 64], dropout = 0.0}'
RESNET = 'model = {kind = "resnet18", stem = "cifar-pool2", init = "he-normal", bias = true}'
NETS = {
    "MLP 784-128-64-62": (MLP, (1, 28, 28), 62),
    "ResNet-18": (RESNET, (3, 32, 32), 100),
}
"""The nets of PS-EMNIST and PS-CIFAR-100."""
COLUMNS = ("net", "rows", "an edit", "of it recording", "double backward", "ratio", "difference")


class EditingRow(TypedDict):
    """What is measured of one net."""

    bench: str
    net: str
    rows: str
    device: str
    edit_s: float
    recording_s: float
    double_backward_s: float
    ratio: float
    difference: float


@dataclass(frozen=True)
class Ours:
    """The memory's gradient as a learner makes it, to `out [p]`, and the edit that follows."""

    moment: EditMoment
    out: Tensor
    editor: Align

    def gradient(self, pattern: Pattern | None = None) -> None:
        """The pass that a step makes whether rows are edited or not."""
        with deciding(pattern):
            value = self.moment.loss(self.moment.x)
        self.moment.flat.backward(value, self.out)

    def recorded(self) -> Pattern:
        """The same pass, and what it decides."""
        pattern = Pattern()
        self.gradient(pattern)
        return pattern

    def edit(self) -> Tensor:
        """Edited rows."""
        edited, _ = self.editor.edit(self.moment)
        return edited


@dataclass(frozen=True)
class Rival:
    """The rule of `align` as one would write it with two derivatives."""

    moment: EditMoment
    net: Model
    lr: float

    def slope(self) -> Tensor:
        """Gradient by the rows of |d* - grad_theta loss|^2."""
        flat, rows = self.moment.flat, self.moment.x.detach().requires_grad_()
        # Without dropout or BatchNorm a net does the same in both modes; an MLP goes by layers that can be
        # differentiated twice in this.
        self.net.train(isinstance(self.net, ResNet18))
        loss = self.moment.loss(rows)
        self.net.train()
        slopes = torch.autograd.grad(loss, flat.learning, create_graph=True)
        wanted = self.moment.direction.split([part.numel() for part in slopes])  # type: ignore[no-untyped-call]
        away = [(d.view_as(g) - g).square().sum() for d, g in zip(wanted, slopes, strict=True)]
        return torch.autograd.grad(torch.stack(away).sum(), rows)[0]

    def edit(self) -> Tensor:
        """Edited rows."""
        return (self.moment.x - self.lr * self.slope()).clamp_(0, 1)


def measure(bench: Bench, rounds: int) -> Iterator[EditingRow]:
    """One row per net: seconds of both, their ratio, and how far their directions differ. One thread.

    An edit uses what the pass of the memory's gradient has recorded: what recording adds to that pass counts
    as part of the edit.
    """
    use_threads(1)
    for name, (model, shape, classes) in NETS.items():
        net = _net(model, shape, classes, bench)
        moment = _moment(net, shape, classes, bench)
        ours = Ours(moment, torch.empty_like(moment.direction), Align())
        rival = Rival(moment, net, lr=0.01)
        exact = rival.slope()
        difference = float((-2 * ours.editor.change(moment)[0] - exact).norm() / exact.norm())
        works: dict[str, Work] = {
            "gradient": ours.gradient,
            "recorded": ours.recorded,
            "edit": ours.edit,
            "double backward": rival.edit,
        }
        clock = time.process_time if bench.name == "cpu" else time.perf_counter
        seconds = in_turn(works, rounds, bench.finish, clock)
        recording = np.subtract(seconds["recorded"], seconds["gradient"])
        edit = np.add(seconds["edit"], recording).tolist()
        yield {
            "bench": "editing",
            "net": name,
            "rows": f"{ROWS} x {' x '.join(map(str, shape))}",
            "device": bench.name,
            "edit_s": statistics.median(edit),
            "recording_s": float(np.median(recording)),
            "double_backward_s": statistics.median(seconds["double backward"]),
            "ratio": ratio(seconds["double backward"], edit),
            "difference": difference,
        }


def _net(model: str, shape: tuple[int, ...], classes: int, bench: Bench) -> Model:
    from mpidcl.experiment.reading import from_toml

    experiment = from_toml(f'name = "bench"\nagents = 1\n{model}\n')
    device = "cpu" if bench.name == "cpu" else "cuda"
    return build_model(experiment, 0, StreamShape(shape, 1, classes, "class"), device).train()


def _moment(net: Model, shape: tuple[int, ...], classes: int, bench: Bench) -> EditMoment:
    rng = np.random.default_rng(0)
    x, other = (_tensor(rng.random((ROWS, *shape), np.float32), bench) for _ in range(2))
    loss = _loss(net, _tensor(rng.integers(0, classes, ROWS), bench), classes)
    # In training there is some agreement between the memory and the common direction, and some lack of it.
    pattern, ages = Pattern(), np.zeros(ROWS, dtype=np.int64)
    memory = parameter_gradient(loss, net.flat, x, pattern)
    direction = (memory + parameter_gradient(loss, net.flat, other)) / 2
    return EditMoment(x, loss, net.flat, memory, direction, None, ages, rng, pattern)


def _loss(net: Model, y: Tensor, classes: int) -> Callable[[Tensor], Tensor]:
    mask = torch.ones(classes, dtype=torch.bool, device=y.device)
    return lambda x: masked_cross_entropy(net.heads.one(net.encode(net.prepare(x)), 0), y, mask)


def _tensor(array: View, bench: Bench) -> Tensor:
    return torch.as_tensor(bench.place(array))


def cells(row: EditingRow) -> list[str]:
    """The texts of one row, one for each of `COLUMNS`."""
    ours, other = time_text(row["edit_s"]), time_text(row["double_backward_s"])
    recording = f"{100 * row['recording_s'] / row['edit_s']:.1f} %"
    times, difference = f"{row['ratio']:.2f}", f"{row['difference']:.1e}"
    return [row["net"], row["rows"], ours, recording, other, times, difference]


def line(row: EditingRow) -> str:
    """Text of one row for a terminal or a log."""
    net, rows, ours, recording, other, times, difference = cells(row)
    edit = f"{ours:>9} ({recording:>5} recording)"
    return f"{net:<18} {rows:<17} {edit}   double backward {other:>9}  {times}x   difference {difference}"


def markdown(rows: Sequence[EditingRow]) -> list[str]:
    """Lines of a table for a docs page."""
    lines = ["| " + " | ".join(COLUMNS) + " |", "|---" * len(COLUMNS) + "|"]
    return [*lines, *("| " + " | ".join(cells(row)) + " |" for row in rows)]
