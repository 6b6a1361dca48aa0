"""The examples of parallel continual learning: published settings, and a quickstart that runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mpidcl.experiment.file import Experiment
from mpidcl.experiment.reading import load
from mpidcl.memory.quota import budget_rows
from mpidcl.run import simulation
from mpidcl.stream.parallel.stream import ParallelStream

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "emgd"


def experiment(name: str, *sets: str) -> Experiment:
    return load(EXAMPLES / f"{name}.toml", sets)


@pytest.mark.parametrize(
    ("name", "batch", "lr", "rows", "lengths", "timeline", "steps"),
    [
        ("ps-emnist", 128, 3e-3, 310, (910, 1029, 1343, 1229, 944), "emnist-0", 4877),
        ("ps-cifar100", 128, 4e-4, 3000, (40,) * 10, "cifar100-1", 166),
        ("ps-tiny", 32, 5e-4, 3000, (313,) * 10, "tiny-2", 1279),
    ],
)
def test_published_files_have_the_published_settings(
    name: str, batch: int, lr: float, rows: int, lengths: tuple[int, ...], timeline: str, steps: int
) -> None:
    made = experiment(name, f"stream.durations={list(lengths)}", f"stream.timeline={timeline}")
    stream = ParallelStream(made, 0)
    classes = sum(map(len, stream.classes))
    assert classes == stream.shape.classes_per_head == stream.dataset.info.classes
    assert budget_rows(made.memory.capacity, classes, stream.tasks, 1) == rows
    assert (made.learning.batch, made.learning.lr, made.learning.eps) == (batch, lr, 1e-7)
    assert made.learning.optimizer == "adam" and made.learning.betas == (0.9, 0.999)
    assert stream.timeline.steps == steps and stream.tasks == len(lengths)
    elastic = made.learning.options.combiner.options
    assert (elastic.sigma, elastic.tau, elastic.ema) == ("softmax_ema", 5.0, 0.9)
    assert (elastic.floor, elastic.safe) == ("released", False), "the rule of the public code"


@pytest.mark.parametrize("name", ["ps-cifar100", "ps-tiny"])
def test_the_residual_net_is_the_published_one(name: str) -> None:
    options = experiment(name).model.options
    assert (options.stem, options.init, options.bias, options.width) == ("cifar-pool2", "he-normal", True, 64)


def test_the_perceptron_is_the_published_one() -> None:
    options = experiment("ps-emnist").model.options
    assert options.hidden == (128, 64) and options.dropout == 0


def finished(folder: Path, *sets: str) -> dict[str, Any]:
    simulation.run(experiment("quickstart", *sets), folder, driver="inprocess", quiet=True)
    found: dict[str, Any] = json.loads((folder / "summary.json").read_text())
    return found


def test_the_quickstart_trains_one_model_however_many_agents_there_are(tmp_path: Path) -> None:
    short = "stream.steps_per_task=9"
    four = finished(tmp_path / "four", short)["metrics"]
    one = finished(tmp_path / "one", short, "agents=1")["metrics"]
    other = finished(tmp_path / "mean", short, "agents=1", "learning.combiner=mean")["metrics"]
    names = ("first_accuracy", "final_accuracy", "forgetting", "final_accuracy_all_classes")
    assert [one[name] for name in names] == [four[name] for name in names]
    assert one["final_accuracy"] != other["final_accuracy"]
