"""Distillation from the model of a run that is over: what it may be, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from mpidcl.errors import EXIT_DONE, ExperimentError
from mpidcl.experiment.reading import from_toml
from mpidcl.learning.gradient.learner import GradientLearner
from mpidcl.learning.saved import saved
from mpidcl.learning.seen import prepare_rows
from mpidcl.learning.teachers import Teacher
from mpidcl.run import simulation
from mpidcl.stream.serial.stream import SerialStream

PLAIN = 'kind = "mlp"\nhidden = [6]'
PROJECTED = 'kind = "mlp"\nwidth = 5'
IMAGES = 'kind = "cnn"\nchannels = [2]'


def file(model: str, stream: str = "", seed: int = 0, terms: str = "") -> str:
    own = stream or 'incremental = "class"'
    return (
        f'name = "x"\nagents = 1\nseed = {seed}\n[stream]\ndataset = "digits"\n'
        "tasks = 5\nclasses_per_task = 2\n"
        f"train_per_class = 4\n{own}\n[model]\n{model}\n[learning]\nepochs = 1\nterms = [{terms}]\n"
    )


def run(folder: Path, *args: Any) -> Path:
    assert simulation.run(from_toml(file(*args)), folder, "inprocess", None, quiet=True) == EXIT_DONE
    return folder


def taught(folder: Path, *args: Any) -> GradientLearner:
    term = f'{{kind = "distillation", teacher = "file", run = "{folder}"}}'
    experiment = from_toml(file(*args, terms=term)).for_agent(0)
    stream = SerialStream(experiment, 0)
    who = GradientLearner(experiment, 0, stream.shape)
    who.begin_task(stream.task(0))
    return who


@pytest.mark.parametrize("model", [PLAIN, PROJECTED, IMAGES], ids=["plain", "projected", "images"])
def test_a_teacher_of_any_kind_sees_the_rows_themselves(tmp_path: Path, model: str) -> None:
    folder = run(tmp_path / "run", model)
    for student in (PLAIN, IMAGES):
        who = taught(folder, student)
        stream = SerialStream(who.experiment, 0)
        x = stream.task(0).train.x()
        found = saved(folder, 0)
        teacher = Teacher(found.experiment, 0, who.model)
        teacher.load(found.parameters | {"standing": {}})
        wanted = teacher.model.outputs_of(teacher.model.encode(prepare_rows(teacher.model, x, who.device)), 0)
        answer = next(iter(who.terms[0]._teachers.values())).outputs(who.tasks.training(0).z, 0)  # type: ignore[attr-defined]
        torch.testing.assert_close(answer, wanted.detach())


def test_another_frozen_input_stage_is_refused(tmp_path: Path) -> None:
    folder = run(tmp_path / "run", PLAIN)
    with pytest.raises(ExperimentError, match="same frozen input stage"):
        taught(folder, PROJECTED)
    folder = run(tmp_path / "other", PROJECTED)
    assert taught(folder, PROJECTED).terms


def test_outputs_that_stand_for_other_classes_are_refused(tmp_path: Path) -> None:
    """Another seed draws another order of classes; as many floats tell nothing."""
    folder = run(tmp_path / "run", PLAIN)
    with pytest.raises(ExperimentError, match="should stand for class . of digits. Found class"):
        taught(folder, PLAIN, "", 1)
    with pytest.raises(ExperimentError, match="`heads` should be 5. Found 1"):
        taught(folder, PLAIN, 'incremental = "task"')
    by_id = 'incremental = "class"\nclass_order = "by id"\ndraw = "shared"'
    folder = run(tmp_path / "by id", PLAIN, by_id)
    assert taught(folder, PLAIN, by_id, 1).terms
