"""The learner of parallel streams, alone in one process: what a step is, masks, memory, tests, resuming."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import ref

import numpy as np
import pytest
import torch
from parallel_fakes import COMMON, build, finish, live
from torch.nn import functional

from mpidcl.errors import CombineError
from mpidcl.experiment import Experiment
from mpidcl.learning.combiners.base import MEMORY
from mpidcl.learning.masks import mask_of, masked_cross_entropy
from mpidcl.learning.parallel import ParallelLearner
from mpidcl.learning.parallel_editing import Editing
from mpidcl.learning.parallel_rows import OwnGradient
from mpidcl.record.records import AgentRecord
from mpidcl.stream.parallel import ParallelStream

Make = Callable[..., tuple[ParallelLearner, ParallelStream]]


@pytest.fixture
def make() -> Make:
    return build


def plain_gradient(learner: ParallelLearner, x: Any, y: Any, classes: list[int]) -> torch.Tensor:
    """The gradient of a batch by torch alone, from a copy of the weights."""
    weights = [p.detach().clone().requires_grad_() for p in learner.model.parameters()]
    names = [name for name, _ in learner.model.named_parameters()]
    values = dict(zip(names, weights, strict=True))
    z = torch.from_numpy(x).flatten(1).double()
    block = None
    for layer in range(2):
        z = functional.relu(
            functional.linear(
                z, values[f"layers.{layer}.weight"].double(), values[f"layers.{layer}.bias"].double()
            )
        )
    block = values["heads.block"].double()[0]
    logits = functional.linear(z, block[:, :-1], block[:, -1])[:, classes]
    place = {label: number for number, label in enumerate(classes)}
    target = torch.tensor([place[int(label)] for label in y])
    found = torch.autograd.grad(functional.cross_entropy(logits, target), weights)
    by_name = dict(zip(names, found, strict=True))
    flat = [
        by_name[s].flatten() for s in ("layers.0.weight", "layers.0.bias", "layers.1.weight", "layers.1.bias")
    ]
    return torch.cat([*flat, by_name["heads.block"].flatten()]).float()


def test_a_single_gradient_is_taken_as_it_is(make: Make) -> None:
    learner, stream = make('learning.optimizer="sgd"', "learning.lr=0.5")
    learner.begin_task(stream.task(0))
    part = stream.parallel_task(0).train.part(stream.batch_rows(0, 0))
    expected = plain_gradient(learner, part.x(), part.y, list(stream.classes[0]))
    before = learner.parameters.data.clone()
    finish(learner.learn(0, 0))
    torch.testing.assert_close(learner.parameters.data, before - 0.5 * expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("mode", ["class", "task"])
def test_the_sum_is_the_gradient_of_the_added_losses(make: Make, mode: str) -> None:
    learner, stream = make(
        'learning.optimizer="sgd"',
        "learning.lr=0.5",
        'learning.combiner="sum"',
        f'stream.incremental="{mode}"',
    )
    learner.begin_task(stream.task(0))
    for tick in (0, 1):
        finish(learner.learn(0, tick))
    total = torch.zeros_like(learner.parameters.data)
    started = sorted(stream.classes[0] + stream.classes[1])
    for task in (0, 1):
        part = stream.parallel_task(task).train.part(stream.batch_rows(task, 2))
        classes = started if mode == "class" else sorted(stream.classes[task])
        total += plain_gradient(learner, part.x(), part.y, classes)
    before = learner.parameters.data.clone()
    finish(learner.learn(0, 2))
    torch.testing.assert_close(learner.parameters.data, before - 0.5 * total, rtol=1e-5, atol=1e-6)


def test_elastic_steps_without_a_floor_raise_no_loss_to_first_order(make: Make) -> None:
    learner, stream = make("learning.lr=0.003", 'learning.combiner={kind="elastic", floor=false}')
    live(learner, stream)
    log = learner.steps
    assert log is not None
    assert log.count == stream.timeline.steps
    several = log.present.sum(1) > 1
    assert several.sum() > 5
    scale = np.nanmax(np.abs(log.gram), axis=(1, 2))
    assert (log.slack[several] >= -1e-9 * scale[several]).all()
    promised = log.sigma[several] * log.length[several, None]
    decrease = np.nansum(
        np.nan_to_num(log.gram[several]) * np.nan_to_num(log.weights[several])[:, None, :], -1
    )
    present = log.present[several]
    assert (decrease[present] >= promised[present] - 1e-9 * scale[several].max()).all()


def test_the_memory_comes_first_and_only_after_an_end(make: Make) -> None:
    learner, stream = make()
    live(learner, stream)
    log = learner.steps
    assert log is not None
    first = min(stream.timeline.ends) + 1
    assert not log.present[:first, 0].any()
    assert log.present[first:, 0].all()
    for step in range(log.count):
        assert tuple(np.flatnonzero(log.present[step, 1:])) == stream.timeline.active(step)


def test_without_replay_there_is_no_memory(make: Make) -> None:
    learner, stream = make("learning.terms=[]")
    live(learner, stream)
    assert learner.steps is not None
    assert not learner.steps.present[:, 0].any()
    assert len(learner.memory.quota) == 0


def test_the_memory_holds_the_quota_of_ended_tasks(make: Make) -> None:
    learner, stream = make()
    live(learner, stream, until=2)
    ended = [t for segment in range(2) for t in stream.task(segment).ended]
    kept = learner.memory.quota.take(learner.memory.quota.rows)
    labels = sorted(c for t in ended for c in stream.classes[t])
    assert sorted(set(kept.y.tolist())) == labels
    budget = 4 * 8
    most = min(budget // len(labels), budget // 2, 24)
    assert {int((kept.y == label).sum()) for label in labels} == {most}


def test_masks_of_both_modes(make: Make) -> None:
    for mode in ("class", "task"):
        learner, stream = make(f'stream.incremental="{mode}"')
        learner.begin_task(stream.task(0))
        mask = learner.tests.mask(1, 2)
        expected = {*stream.classes[1], *(stream.classes[0] if mode == "class" else ())}
        assert set(np.flatnonzero(mask)) == expected
        own = learner.tests.memory_mask(2)[stream.classes[0][0]]
        assert set(np.flatnonzero(own)) == {
            *stream.classes[0],
            *(stream.classes[1] if mode == "class" else ()),
        }


def test_masked_softmax_ignores_other_classes() -> None:
    logits = torch.tensor([[1.0, 50.0, 2.0], [0.5, -3.0, 0.25]], requires_grad=True)
    y, mask = torch.tensor([2, 0]), torch.from_numpy(mask_of([0, 2], 3))
    loss = masked_cross_entropy(logits, y, mask)
    expected = functional.cross_entropy(logits[:, [0, 2]], torch.tensor([1, 0]))
    torch.testing.assert_close(loss, expected)
    loss.backward()
    assert logits.grad is not None
    assert (logits.grad[:, 1] == 0).all()


def test_accuracies_are_those_of_plain_evaluation(make: Make) -> None:
    learner, stream = make()
    live(learner, stream)
    assert learner.course is not None
    every = sorted(c for classes in stream.classes for c in classes)
    for task in range(4):
        rows = stream.parallel_task(task).test
        with torch.no_grad():
            learner.model.eval()
            z = torch.from_numpy(rows.x()).flatten(1)
            logits = learner.model.heads.one(learner.model.encode(z), 0)[:, every]
        right = np.mean(np.array(every)[logits.argmax(1).numpy()] == rows.y)
        assert learner.course.final[task] == pytest.approx([right, right])
        assert not np.isnan(learner.course.first[task]).any()


def test_just_ended_tests_less_and_finds_the_same(make: Make) -> None:
    found = []
    for which in ("started", "just ended"):
        learner, stream = make(f'stream.evaluate="{which}"')
        live(learner, stream)
        assert learner.course is not None
        found.append((learner.course.first.tolist(), learner.course.final.tolist(), learner.digest()))
    assert found[0] == found[1]


SECOND = 'learning.second_moment="mean"'


@pytest.mark.parametrize("optimizer", ["adam", "adamw"])
def test_with_the_mean_as_direction_both_second_moments_are_the_same(make: Make, optimizer: str) -> None:
    digests = []
    for extra in ((), (SECOND,)):
        learner, stream = make('learning.combiner="mean"', f"learning.optimizer={optimizer}", *extra)
        live(learner, stream)
        digests.append(learner.digest())
    assert digests[0] == digests[1]


@pytest.mark.parametrize("combiner", ["upgrad", "graddrop"])
def test_the_second_moment_is_of_the_mean_of_all_gradients(make: Make, combiner: str) -> None:
    learner, stream = make(SECOND, f'learning.combiner="{combiner}"', 'learning.editing="conflict"')
    means, gradient = [], learner.rows.gradient
    vectors: list[Any] = []

    def kept(*arguments: Any) -> Any:
        vectors.append(gradient(*arguments))
        return vectors[-1]

    learner.rows.gradient = kept  # type: ignore[method-assign]
    live(learner, stream, until=1)
    learner.begin_task(stream.task(1))
    wanted = learner.optimizer.moments["square"].double().numpy().copy()
    firsts = learner.optimizer.moments["mean"].numpy().copy()
    for tick in range(2):
        vectors.clear()
        finish(learner.learn(1, tick))
        assert vectors[0].task == -1 and len(vectors) > 2  # the memory, too
        mean = np.mean([own.vector for own in vectors], axis=0, dtype=np.float64)
        wanted = 0.999 * wanted + 0.001 * mean**2
        direction = learner._direction.copy()
        means.append(np.abs(direction - mean).max())
        firsts = 0.9 * firsts + 0.1 * direction
    np.testing.assert_allclose(learner.optimizer.moments["square"].numpy(), wanted, rtol=1e-5, atol=1e-12)
    np.testing.assert_allclose(learner.optimizer.moments["mean"].numpy(), firsts, rtol=1e-4, atol=1e-7)
    assert min(means) > 1e-4


def spoil(learner: ParallelLearner, stream: ParallelStream) -> None:
    """Three steps, in the last of which the gradient of task 0 has a NaN."""
    learner.begin_task(stream.task(0))
    for tick in range(2):
        finish(learner.learn(0, tick))
    gradient = learner.rows.gradient

    def spoiled(place: int, number: int, task: int, *rest: Any) -> Any:
        own = gradient(place, number, task, *rest)
        if task == 0:
            own.vector[3] = np.nan
        return own

    learner.rows.gradient = spoiled  # type: ignore[method-assign]
    finish(learner.learn(0, 2))


def test_the_mean_takes_no_room_unless_asked_for(make: Make) -> None:
    assert make()[0]._mean is None


def test_a_gradient_that_is_left_out_is_not_in_the_mean(make: Make) -> None:
    learner, stream = make('learning.not_finite="skip"', SECOND)
    spoil(learner, stream)
    assert learner._mean is not None
    np.testing.assert_array_equal(learner._mean, learner._direction)  # one gradient is left
    assert learner.finite()


@pytest.mark.parametrize(
    "sets",
    [
        (),
        (SECOND,),
        ('learning.combiner="pcgrad"', 'learning.editing="align"'),
        ('learning.optimizer="sgd"',),
    ],
)
def test_state_and_load_go_on_exactly(make: Make, sets: tuple[str, ...]) -> None:
    whole, stream = make(*sets)
    live(whole, stream)
    first, _ = make(*sets)
    live(first, stream, until=2)
    second, stream = make(*sets)
    record = AgentRecord(0, course=first.course, steps=first.steps)
    second.load(first.state(), stream.task)
    second.take_record(AgentRecord.from_state(record.state()))
    live(second, stream, first=2)
    assert second.digest() == whole.digest()
    assert whole.steps is not None and second.steps is not None
    for name, column in whole.steps.columns().items():
        if name != "wall_s":
            np.testing.assert_array_equal(column, second.steps.columns()[name])
    assert whole.course is not None and second.course is not None
    np.testing.assert_array_equal(whole.course.final, second.course.final)
    assert (
        whole.memory.quota.state()["columns"]["x"].tobytes()
        == second.memory.quota.state()["columns"]["x"].tobytes()
    )


def test_batch_norm_moves_once_per_batch_in_list_order(make: Make) -> None:
    text = COMMON.replace("AGENTS", "1").replace(
        'kind = "mlp"\nhidden = [16, 12]\ndropout = 0.0', 'kind = "resnet18"\nwidth = 2'
    )
    experiment = Experiment.from_toml(text, ["learning.optimizer='sgd'", "learning.lr=1e-30"])
    stream = ParallelStream(experiment, 0)
    learner = ParallelLearner(experiment, 0, stream.shape)
    learner.begin_task(stream.task(0))
    reference = learner.parameters.buffers.clone()
    batches = [
        stream.parallel_task(t).train.part(stream.batch_rows(t, s)).x()
        for s in range(4)
        for t in stream.timeline.active(s)
    ]
    for tick in range(4):
        finish(learner.learn(0, tick))
    found = learner.parameters.buffers.clone()
    learner.parameters.buffers.copy_(reference)
    learner.model.train()
    with torch.no_grad():
        for x in batches:
            learner.model.encode(torch.from_numpy(x))
    torch.testing.assert_close(found, learner.parameters.buffers, rtol=1e-4, atol=1e-6)


def test_edited_rows_stay_pixels_and_are_logged(make: Make) -> None:
    learner, stream = make('learning.editing={kind="align", lr=5.0}')
    live(learner, stream)
    log, memory = learner.steps, learner.memory.quota
    assert log is not None
    assert np.nanmax(log.moved_max) > 0
    kept = memory.take(memory.rows)
    assert kept.x.min() >= 0 and kept.x.max() <= 1
    assert memory.displacement(memory.rows).max() > 0
    gallery = learner.gallery()
    assert gallery is not None and len(gallery["x"]) > 0


NETS = {
    "mlp": 'model={kind="mlp", hidden=[16, 12], dropout=0.3}',
    "projected mlp": 'model={kind="mlp", width=16, dropout=0.5}',
    "cnn": 'model={kind="cnn", channels=[4, 6], dropout=0.2}',
    "resnet": 'model={kind="resnet18", width=4, stem="cifar-pool2"}',
}


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("editing", ['"align"', '{kind="random", lr=1.0, steps=2}'])
def test_a_recorded_pattern_changes_no_bit_and_saves_a_pass(
    make: Make, monkeypatch: pytest.MonkeyPatch, net: str, editing: str
) -> None:
    found, flops = [], []
    for recorded in (True, False):
        if not recorded:
            monkeypatch.setattr(Editing, "pattern", lambda _: None)
        learner, stream = make(NETS[net], f"learning.editing={editing}")
        live(learner, stream)
        log, rows = learner.steps, learner.memory.quota.state()["columns"]["x"]
        assert log is not None
        assert np.nanmax(log.moved_max) > 0
        found.append((learner.digest(), rows.tobytes(), log.moved_max.tobytes()))
        flops.append(learner.flops())
    assert found[0] == found[1]
    edits = int(np.isfinite(log.moved_max).sum())
    learner.model.train()
    with learner.counted("a forward pass"), torch.no_grad():
        learner.rows.loss_of(own_of_memory(learner), 0)(torch.zeros(12, *learner.shape.input_shape))
    assert flops[1] - flops[0] == edits * (learner.flops() - flops[1])


def own_of_memory(learner: ParallelLearner) -> OwnGradient:
    batch = learner.memory.batch(12, learner.tests.memory_mask(8))
    return OwnGradient(0, MEMORY, batch, np.zeros(1, np.float32), np.zeros(1, np.float32))


def recorded(learner: ParallelLearner, stream: ParallelStream) -> dict[int, list[int]]:
    """Of each step the tasks whose pass was recorded."""
    gradient, found = learner.rows.gradient, {}

    def watched(*arguments: Any) -> OwnGradient:
        own = gradient(*arguments)
        if own.pattern is not None:
            assert not own.pattern.empty
            found.setdefault(arguments[3], []).append(own.task)
        return own

    learner.rows.gradient = watched  # type: ignore[method-assign]
    live(learner, stream)
    return found


@pytest.mark.parametrize("editing", ["align", "conflict", "none"])
def test_only_the_memory_s_pass_is_recorded_and_only_for_an_edit_that_uses_it(
    make: Make, editing: str
) -> None:
    learner, stream = make(f'learning.editing="{editing}"')
    found = recorded(learner, stream)
    assert learner.steps is not None
    with_memory = np.flatnonzero(learner.steps.present[:, 0]).tolist()
    assert len(with_memory) > 3
    assert found == ({step: [MEMORY] for step in with_memory} if editing == "align" else {})


def test_the_memory_of_a_pattern_is_free_after_the_edit(make: Make) -> None:
    learner, stream = make('learning.editing={kind="align", steps=2}')
    gradient, step, alive = learner.rows.gradient, learner._step, []

    def watched(*arguments: Any) -> OwnGradient:
        own = gradient(*arguments)
        if own.pattern is not None:
            alive.append(ref(own.pattern))
        return own

    def stepped(*arguments: Any) -> None:
        assert all(pattern() is None for pattern in alive)
        step(*arguments)

    learner.rows.gradient, learner._step = watched, stepped  # type: ignore[method-assign]
    live(learner, stream)
    assert alive


def test_a_stream_that_ends_early_gives_no_gradient_and_no_error(make: Make) -> None:
    learner, stream = make("stream.durations=[8, 4, 4, 4]", "stream.timeline=[0, 2, 3, 6]")
    live(learner, stream)
    log = learner.steps
    assert log is not None
    dry = [s for s in range(8) if stream.batch_rows(0, s).start == stream.batch_rows(0, s).stop]
    assert dry
    assert not log.present[dry, 1].any() and (log.skipped == 0).all()
    assert learner.finite()


def test_a_step_without_any_gradient_changes_nothing(make: Make) -> None:
    learner, stream = make(
        "stream.tasks=1", "stream.durations=[6]", "stream.timeline=[0]", "learning.weight_decay=0.1"
    )
    learner.begin_task(stream.task(0))
    for tick in range(4):
        finish(learner.learn(0, tick))
    before = learner.digest()
    finish(learner.learn(0, 4))
    finish(learner.learn(0, 5))
    assert learner.digest() == before


def test_streams_that_end_early_together_leave_steps_without_factors(make: Make) -> None:
    learner, stream = make(
        "learning.terms=[]", "stream.tasks=2", "stream.durations=[6, 6]", "stream.timeline=[0, 0]"
    )
    live(learner, stream)
    log = learner.steps
    assert log is not None and log.count == 6
    assert log.present[:4, 1:].all() and not log.present[4:].any()
    assert np.isfinite(log.sigma[:4, 1:]).all() and np.isnan(log.sigma[4:]).all()


def test_nan_stops_with_task_agent_and_step(make: Make) -> None:
    learner, stream = make()
    learner.begin_task(stream.task(0))
    for tick in range(2):
        finish(learner.learn(0, tick))
    learner.parameters.data[:] = np.nan
    with pytest.raises(CombineError, match=r"task 0 \(agent 0\) at step 2.*not_finite"):
        finish(learner.learn(0, 2))


def test_nan_may_be_left_out(make: Make) -> None:
    learner, stream = make('learning.not_finite="skip"')
    spoil(learner, stream)
    log = learner.steps
    assert log is not None
    assert log.skipped[2] == 1
    assert np.isnan(log.weights[2, 1]) and log.weights[2, 2] == 1
    assert learner.finite()


def test_zero_gradients_change_nothing_but_momentum(make: Make) -> None:
    learner, stream = make('learning.optimizer="sgd"')
    learner.begin_task(stream.task(0))
    finish(learner.learn(0, 0))
    gradient = learner.rows.gradient

    def nothing(*arguments: Any) -> Any:
        own = gradient(*arguments)
        own.vector[:] = 0
        return own

    learner.rows.gradient = nothing  # type: ignore[method-assign]
    before = learner.digest()
    for tick in range(1, 4):
        finish(learner.learn(0, tick))
    assert learner.digest() == before


def test_rows_of_the_memory_are_of_ended_tasks(make: Make) -> None:
    learner, stream = make()
    live(learner, stream, until=1)
    batch = learner.memory.batch(6, learner.tests.memory_mask(8))
    assert set(batch.y.tolist()) <= set(stream.classes[0])
    assert batch.x.shape == (6, *stream.shape.input_shape)


def test_pinned_values_of_the_first_elastic_steps(make: Make) -> None:
    # measured once with this code (torch 2.13, CPU); the tolerance leaves room for other sums of products
    learner, stream = make()
    live(learner, stream)
    log, course = learner.steps, learner.course
    assert log is not None and course is not None
    pinned = {
        2: ([1, 2], [1.04977, 0.950846], [0.496891, 0.503109], [1.290339, 1.528277]),
        3: (
            [1, 2, 3],
            [1.040575, 0.780763, 1.181238],
            [0.331171, 0.336237, 0.332592],
            [1.609669, 1.943344, 1.753678],
        ),
        5: (
            [0, 2, 3],
            [1.066695, 0.903326, 1.031112],
            [0.3321, 0.335945, 0.331955],
            [1.657558, 1.894011, 1.714908],
        ),
    }
    for step, (slots, weights, sigma, loss) in pinned.items():
        assert np.flatnonzero(log.present[step]).tolist() == slots
        np.testing.assert_allclose(log.weights[step, slots], weights, rtol=2e-3)
        np.testing.assert_allclose(log.sigma[step, slots], sigma, rtol=2e-3)
        np.testing.assert_allclose(log.loss[step, slots], loss, rtol=2e-3)
