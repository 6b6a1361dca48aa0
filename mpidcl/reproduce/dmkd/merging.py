"""The loss between two nets that began differently: averaged as they are, and put into one order first.

The figure of Git Re-Basin (Ainsworth et al. 2023, arXiv 2209.04836, figure 1), for the orders that agents
find here (`learning.matching`). Two agents learn the embedded digits, each from first weights of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from mpidcl.experiment import kinds
from mpidcl.experiment.reading import from_toml
from mpidcl.learning.batches import Prepared
from mpidcl.learning.matching import By, Matching
from mpidcl.learning.saved import saved
from mpidcl.learning.seen import prepare_rows
from mpidcl.model.base import Model
from mpidcl.model.build import build_model
from mpidcl.record.atomic import make_folder, write_bytes
from mpidcl.record.settings import aligned
from mpidcl.reproduce.outcomes import run_folder
from mpidcl.run import simulation
from mpidcl.stream.tasks import Task
from mpidcl.views.figures.style import colour, new_figure, png, styled
from mpidcl.views.mean_error import MeanError, mean_error

FILE = """
name = "merging"
agents = 2
[stream]
dataset = "digits"
tasks = 1
classes_per_task = 10
incremental = "class"
draw = "iid"
[model]
kind = "mlp"
hidden = [128, 128, 128]
dropout = 0
[learning]
optimizer = "adam"
lr = 0.003
epochs = 20
batch = 50
terms = []
"""
WAYS: dict[str, By | None] = {
    "as they are": None,
    "matched by activations": "activations",
    "matched by weights": "weights",
}
PLACES: npt.NDArray[np.float64] = np.linspace(0, 1, 21)
"""Shares of the second net."""
PROBE = 256
"""Training rows of the first agent, as by default of an exchange."""
Curves = dict[str, dict[int, npt.NDArray[np.float64]]]
"""Way -> seed -> loss on test rows at each of PLACES."""


def write_merging(out: Path, seeds: Sequence[int]) -> list[str]:
    """Runs what is lacking, writes the figure, and gives the lines that are printed."""
    found: Curves = {way: {} for way in WAYS}
    for seed in seeds:
        folder = run_folder(out, "merging", seed)
        simulation.run(from_toml(FILE, [f"seed={seed}"]), folder, driver="inprocess", quiet=True)
        for way, losses in between(folder, seed):
            found[way][seed] = losses
    make_folder(out)
    write_bytes(out / "merging.png", figure(found))
    table = [("between two nets", "loss at the ends", "barrier"), *rows(found)]
    return [aligned(table), "", f"Written: {out / 'merging.png'}"]


def between(folder: Path, seed: int) -> Iterator[tuple[str, npt.NDArray[np.float64]]]:
    """Way and losses between the nets of the two agents of a run."""
    experiment = saved(folder, 0).experiment
    stream = kinds.resolve("stream", experiment.stream.kind)(experiment, 0)
    task: Task = stream.task(0)
    model = build_model(experiment, 0, stream.shape).eval()
    other, one = (_parameters(model, folder, agent) for agent in (1, 0))
    probe = _prepared(model, task.train.x()[:PROBE], task.train.y[:PROBE])
    test = _prepared(model, task.test.x(), task.test.y)
    matching = Matching(model)  # the model is that of agent 0, as it was loaded last
    moved = {way: other for way in WAYS}
    for way, by in WAYS.items():
        if by is not None:
            orders = matching.find(other, by, probe, np.random.default_rng(seed))
            moved[way] = matching.aligned(other, orders)
    for way, end in moved.items():
        yield way, np.array([_loss(model, torch.lerp(one, end, float(at)), test) for at in PLACES])


def _parameters(model: Model, folder: Path, agent: int) -> Tensor:
    model.flat.load(saved(folder, agent).parameters)
    return model.flat.data.clone()


def _prepared(model: Model, x: npt.NDArray[np.float32], y: npt.NDArray[np.int64]) -> Prepared:
    device = model.flat.device
    return Prepared.of(prepare_rows(model, x, device), y, 0, device)


def _loss(model: Model, data: Tensor, rows: Prepared) -> float:
    model.flat.data.copy_(data)
    with torch.no_grad():
        outputs = model.outputs_of(model.encode_rows(rows.z, 0), 0)
    return float(cross_entropy(outputs.double(), rows.y))


def barrier(losses: npt.NDArray[np.float64]) -> float:
    """How far the loss rises above the line between its ends."""
    return float((losses - np.interp(PLACES, [0, 1], losses[[0, -1]])).max())


def rows(found: Curves) -> list[tuple[str, str, str]]:
    """Way, loss at the ends and barrier, means over seeds with their standard errors."""
    lines = []
    for way, curves in found.items():
        ends = mean_error([float(one[[0, -1]].mean()) for one in curves.values()], curves)
        lines.append((way, _digits(ends), _digits(mean_error(map(barrier, curves.values()), curves))))
    return lines


def _digits(value: MeanError) -> str:
    return f"{value.mean:.3f} ± {value.standard_error:.3f}"


def figure(found: Curves) -> bytes:
    """PNG: the mean of the loss over seeds along the line, with standard errors."""
    with styled():
        picture = new_figure(2.6)
        axes = picture.subplots()
        for place, (way, curves) in enumerate(found.items()):
            means = [mean_error([one[at] for one in curves.values()], curves) for at in range(len(PLACES))]
            middle, error = np.array([(one.mean, one.standard_error) for one in means]).T
            ink = colour(place)
            axes.plot(PLACES, middle, color=ink, label=way)
            axes.fill_between(PLACES, middle - error, middle + error, color=ink, alpha=0.2, linewidth=0)
        axes.set_xlabel("share of the second net")
        axes.set_ylabel("loss on test rows")
        axes.set_ylim(bottom=0)
        axes.legend(fontsize=7, frameon=False)
        return png(picture)
