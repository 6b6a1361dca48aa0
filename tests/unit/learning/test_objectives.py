"""Objectives: what is learned and measured; y of any shape; classification is what it was."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from learning_fakes import FakeRows, compositional, learner, live, shape, task
from torch.nn import functional

from mpidcl.errors import ExperimentError
from mpidcl.experiment.reading import from_toml
from mpidcl.learning.objectives.classification import Classification
from mpidcl.learning.objectives.images import Images
from mpidcl.learning.objectives.regression import Regression
from mpidcl.stream.tasks import Rows, Task
from mpidcl.testing.asking import result_of

OUTPUTS = 3


def smooth(index: int, rows: int = 40) -> Task:
    """A task whose answers are a linear function of the pixels."""
    rng = np.random.default_rng((3, index))
    matrix = rng.normal(size=(30, OUTPUTS)).astype(np.float32) / 5

    def draw(count: int) -> FakeRows:
        x = rng.random((count, 1, 6, 5), dtype=np.float32)
        return FakeRows(x, x.reshape(count, -1) @ matrix)

    return replace(task(index), train=draw(rows), validation=draw(5), test=draw(20))


def test_numbers_are_learned_measured_and_remembered():
    settings = {"objective": "regression", "options": {"hidden": [32], "dropout": 0.0}, "lr": 5e-3}
    who = learner(where=shape(classes=OUTPUTS), **settings)
    assert [measure.name for measure in who.measures] == ["mse", "r2"]
    assert [measure.better for measure in who.measures] == ["lower", "higher"]
    tasks = [smooth(0), smooth(1)]
    live(who, tasks, ticks=60)
    scores = result_of(who.evaluate(1))
    assert scores["mse"].shape == (2,) and scores["r2"].min() > 0.5
    own = who.logits(tasks[0].test.x(), 0).astype(np.float64)
    wrong = ((own - tasks[0].test.y) ** 2).sum()
    assert scores["mse"][0] == pytest.approx(wrong / own.size)
    around = ((tasks[0].test.y - tasks[0].test.y.mean(0, dtype=np.float64)) ** 2).sum()
    assert scores["r2"][0] == pytest.approx(1 - wrong / around, rel=1e-5)
    kept = who.memory.task_rows(0)
    assert kept["y"].shape == (6, OUTPUTS) and kept["y"].dtype == np.float32
    assert {row.tobytes() for row in kept["y"]} <= {row.tobytes() for row in tasks[0].train.y}
    again = learner(where=shape(classes=OUTPUTS), **settings)
    again.load(who.state(), tasks.__getitem__)
    assert again.digest() == who.digest()
    np.testing.assert_array_equal(again.memory.rows()["y"], who.memory.rows()["y"])


def test_a_perfect_answer_has_no_error_and_no_rows_have_no_score():
    y = torch.arange(12.0).view(4, 3)
    assert Regression().scores(y, y) == {"mse": 0.0, "r2": 1.0}
    assert all(np.isnan(list(Regression().scores(y[:0], y[:0]).values())))
    assert Classification().scores(y[:0], torch.zeros(0, dtype=torch.int64)) == {"accuracy": 0.0}


ALL = ("accuracy", "task_accuracy", "top5")


def test_one_evaluation_gives_several_measures():
    who = Classification(Classification.Options(measures=ALL))
    assert [one.words for one in who.measures] == ["accuracy", "task accuracy", "top-5 accuracy"]
    rng = np.random.default_rng(0)
    outputs, y = torch.from_numpy(rng.normal(size=(200, 12)).astype(np.float32)), rng.integers(4, 6, 200)
    order = np.argsort(-outputs.numpy(), axis=1)
    wanted = (
        (order[:, 0] == y).mean(),
        ((outputs[:, 4] > outputs[:, 5]).numpy() == (y == 4)).mean(),
        (order[:, :5] == y[:, None]).any(1).mean(),
    )
    found = who.scores(outputs, torch.from_numpy(y))
    assert tuple(found.values()) == pytest.approx(wanted) and tuple(found) == ALL
    assert found["accuracy"] < found["task_accuracy"] and found["accuracy"] < found["top5"]
    broken = torch.full_like(outputs, torch.nan)
    assert max(who.scores(broken, torch.full((200,), 11)).values()) <= 1  # no error, whatever it says
    none = who.scores(outputs[:0], torch.zeros(0, dtype=torch.int64))
    assert set(none.values()) == {0.0}
    few = who.scores(outputs[:, :5], torch.from_numpy(y - 4))
    assert few["top5"] == 1.0, "of five outputs the right one is always among the five highest"


def test_a_model_with_one_head_is_asked_with_and_without_the_task():
    where = replace(shape(heads=1, classes=4), incremental="class")
    plain = {"options": {"hidden": [32], "dropout": 0.0}, "terms": ()}
    who = learner(where=where, objective={"kind": "classification", "measures": ALL}, **plain)
    second = task(1, head=0)
    moved = [replace(rows, y=rows.y + 2) for rows in (second.train, second.validation, second.test)]
    second = replace(second, train=moved[0], validation=moved[1], test=moved[2])
    live(who, [task(0, head=0), second], ticks=12)
    scores = result_of(who.evaluate(1))
    assert tuple(scores) == ALL and scores["accuracy"][1] > 0.9
    assert scores["accuracy"][0] < 0.1, "forgotten"
    assert scores["task_accuracy"][0] > 0.4, "but not where the task is told"
    assert scores["top5"].tolist() == [1.0, 1.0]


@pytest.mark.parametrize("heads", [1, 4])
def test_classification_is_cross_entropy_in_both_of_its_forms(heads):
    who = learner(where=shape(heads=heads), options={"width": 8, "dropout": 0.0})
    who.begin_task(task(0))
    batch = next(iter(who.epochs.batches()))
    batch.encoded = who.model.encode_rows(batch.z, 0)
    loss = who.objective.loss(who.model, batch)
    plain = functional.cross_entropy(who.model.heads.one(batch.encoded, 0), batch.y)
    torch.testing.assert_close(loss, plain)
    torch.testing.assert_close(who.objective.loss_of(batch.logits, batch.y), plain)


def test_what_needs_classes_is_refused_at_the_start():
    with pytest.raises(ExperimentError, match="knows no classes"):
        learner(objective="regression", capacity="5 rows per class")
    with pytest.raises(ExperimentError, match='An exchange of rows.*"classification".*Found "regression"'):
        learner(objective="regression").set_received_capacity(3)
    with pytest.raises(ExperimentError, match='kind = "compositional".*Found "regression"'):
        compositional(objective="regression")


def test_rows_keep_the_kind_of_their_answers():
    pixels = np.zeros((3, 2), np.uint8)
    assert Rows(pixels, np.arange(3), np.arange(3, dtype=np.int32)).y.dtype == np.int64
    found = Rows(pixels, np.arange(3), np.ones((3, 2, 2))).part(slice(1, 3)).y
    assert found.dtype == np.float32 and found.shape == (2, 2, 2)


def test_a_file_names_its_objective():
    file = 'name = "x"\nagents = 1\n'
    assert from_toml(file).learning.objective.kind == "classification"
    named = from_toml(file + '[learning]\nobjective = "regression"')
    assert named.learning.objective.kind == "regression"
    assert from_toml(named.to_toml()) == named
    with pytest.raises(ExperimentError, match="objective"):
        from_toml(file + '[learning]\nobjective = "poetry"')


def test_a_file_names_its_measures():
    file = 'name = "x"\nagents = 1\n[learning]\nobjective = {{ kind = "classification", measures = [{}] }}'
    found = from_toml(file.format('"top5", "accuracy"'))
    assert found.learning.objective.options.measures == ("top5", "accuracy")
    assert from_toml(found.to_toml()) == found
    cases = {"": "at least 1", '"top5", "top5"': "each measure once", '"top9"': "task_accuracy"}
    for wrong, said in cases.items():
        with pytest.raises(ExperimentError, match=said):
            from_toml(file.format(wrong))


def test_two_images_are_measured_apart_and_learned_together():
    rng = np.random.default_rng(0)
    outputs, y = (rng.normal(size=(5, 2, 3, 4)).astype(np.float32) for _ in range(2))
    apart = [float(np.abs(outputs[:, k] - y[:, k].astype(np.float64)).mean()) for k in (0, 1)]
    who, flat = Images(), torch.from_numpy(outputs.reshape(5, -1))
    assert who.loss_of(flat, torch.from_numpy(y)).item() == pytest.approx(sum(apart), rel=1e-6)
    found = who.scores(flat, torch.from_numpy(y))
    assert found == pytest.approx({"amplitude_error": apart[0], "phase_error": apart[1]}, rel=1e-12)
    assert [(one.better, one.unit) for one in who.measures] == [("lower", ""), ("lower", "rad")]
    assert all(np.isnan(list(who.scores(flat[:0], torch.from_numpy(y[:0])).values())))
    assert who.y_shape(shape((1, 3, 4))) == (2, 3, 4)
