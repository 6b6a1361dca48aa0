"""The gradient learner: it learns, replays what the page says, resumes bit for bit, shares what it may."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from learning_fakes import FakeRows, accuracies, learner, live, model, shape, task
from torch.nn import functional

from mpidcl.errors import ExperimentError
from mpidcl.experiment.reading import from_toml
from mpidcl.learning.gradient.learner import GradientLearner
from mpidcl.testing.asking import result_of

TASKS = [task(index) for index in range(5)]


def batches_of(who: GradientLearner) -> list[list[tuple[int, bytes]]]:
    """(head, row bytes) of every row of every batch of one epoch."""
    return [
        [(int(h), z.numpy().tobytes()) for z, h in zip(b.z, b.heads, strict=True)]
        for b in who.epochs.batches()
    ]


def rows_of(who: GradientLearner, x: np.ndarray) -> set[bytes]:
    return {z.numpy().tobytes() for z in who.model.prepare(torch.from_numpy(x))}


def test_learning_beats_chance_on_all_tasks():
    who = learner(options={"width": 32, "dropout": 0.0}, lr=5e-3, capacity="16 rows per task")
    live(who, [task(i, rows=60) for i in range(5)], ticks=15)
    accuracy = accuracies(who, 4)
    assert accuracy.shape == (5,) and accuracy.dtype == np.float64 and accuracy.min() > 0.8


@pytest.mark.parametrize("options", [{"width": 8}, {"hidden": [12]}])
def test_the_pool_is_current_rows_replay_and_received_rows_each_once(options):
    who = learner(options=options)
    who.set_received_capacity(4)
    live(who, TASKS[:2])
    who.begin_task(TASKS[2])
    sent = task(9, rows=3).train
    assert who.receive_rows(0, sent.x(), sent.y) == 3
    found = Counter(row for batch in batches_of(who) for row in batch)
    assert len(found) == 20 + 6 + 6 + 3 and set(found.values()) == {1}
    assert Counter(head for head, _ in found) == {0: 6 + 3, 1: 6, 2: 20}
    own = rows_of(who, TASKS[1].train.x())
    assert {row for head, row in found if head == 1} <= own


def test_batches_have_the_batch_size_and_a_new_order_each_epoch():
    who = learner(batch=8)
    who.begin_task(TASKS[0])
    first, second = batches_of(who), batches_of(who)
    assert [len(b) for b in first] == [8, 8, 4] and first != second
    assert sorted(sum(first, [])) == sorted(sum(second, []))


def test_joint_tasks_take_turns_and_are_stored_when_the_last_ends():
    who = learner(joint=3)
    for item, rows in zip(TASKS[:3], (20, 9, 20), strict=True):
        who.begin_task(task(item.index, rows=rows))
        if item.index < 2:
            result_of(who.end_task())
    assert who.current == (0, 1, 2) and not len(who.memory)
    heads = [{head for head, _ in batch} for batch in batches_of(who)]
    assert heads == [{0}, {1}, {2}, {0}, {1}, {2}, {0}, {2}]
    result_of(who.end_task())
    assert Counter(who.memory.rows()["task"].tolist()) == {0: 6, 1: 6, 2: 6}
    who.begin_task(TASKS[3])
    assert who.current == (3,) and len(sum(batches_of(who), [])) == 20 + 18


def test_shuffled_joint_tasks_share_the_batches_and_go_to_the_memory_as_what_they_are():
    who = learner(
        joint=2, ways={"joint": "shuffled"}, insert="each step", capacity="99 rows", terms=("replay",)
    )
    made = [task(0, rows=20), task(1, rows=9)]
    for item in made:
        who.begin_task(item)
    found = batches_of(who)
    assert [len(batch) for batch in found] == [8, 8, 8, 5]
    assert sum({head for head, _ in batch} == {0, 1} for batch in found) >= 3
    list(who.learn(1, 0))
    rows = who.memory.rows()
    assert Counter(rows["task"].tolist()) == {0: 20, 1: 9}
    for item in made:
        there = {row.tobytes() + bytes([y]) for row, y in zip(item.train.x(), item.train.y, strict=True)}
        mine = rows["task"] == item.index
        assert {
            x.tobytes() + bytes([y]) for x, y in zip(rows["x"][mine], rows["y"][mine], strict=True)
        } == there


def test_a_learner_that_restarts_has_new_weights_at_each_task_and_keeps_its_memory():
    def firsts(agent: int, seed: int = 0, joint: int = 0) -> tuple[GradientLearner, list[np.ndarray]]:
        who, found = learner(agent, seed=seed, joint=joint, ways={"restart": True}), []
        for item in TASKS[:3]:
            who.begin_task(item)
            found.append(who.parameters.numpy().copy())
            if item.index + 1 >= joint:
                list(who.learn(item.index, 0))
            result_of(who.end_task())
        return who, found

    who, found = firsts(1)
    again = firsts(1)[1]
    assert all(np.array_equal(one, other) for one, other in zip(found, again, strict=True))
    frozen = who.parameters.span("frozen")
    different = (*found, *firsts(2)[1][1:], *firsts(1, seed=5)[1][1:])
    assert len({weights[: frozen.start].tobytes() for weights in different}) == len(different) == 7
    assert all(np.array_equal(weights[frozen], found[0][frozen]) for weights in found)
    plain = learner(1)
    live(plain, TASKS[:3], ticks=1)
    assert np.array_equal(who.memory.rows()["x"], plain.memory.rows()["x"])
    joint = firsts(1, joint=2)[1]
    assert np.array_equal(joint[0], joint[1]), "joint tasks begin together"
    assert not np.array_equal(joint[1], joint[2])
    with pytest.raises(ExperimentError, match="restart should be false with stream.joint_shared = true"):
        learner(where=replace(shape(joint=2), joint_shared=True), ways={"restart": True})


def test_shuffling_nothing_is_noted():
    file = 'name = "x"\nagents = 2\n[learning]\n'
    found = from_toml(file + 'joint = "shuffled"')
    notes = [note for part, use in found.parts() for note in part.notes(use)]
    assert notes == [
        'note: learning.joint = "shuffled" changes nothing with stream.joint_tasks = 0: no tasks are'
        " learned together."
    ]
    together = from_toml(file + 'joint = "shuffled"\n[stream]\njoint_tasks = 2')
    assert not [note for part, use in together.parts() for note in part.notes(use)]


def test_a_step_is_the_mean_cross_entropy_through_each_rows_head():
    settings = {"options": {"width": 8, "dropout": 0.0}, "optimizer": "sgd", "lr": 0.1}
    who = learner(**settings)
    live(who, TASKS[:1], ticks=0)
    who.begin_task(TASKS[1])
    batch = next(iter(who.epochs.batches()))
    assert len(set(batch.heads.tolist())) == 2
    plain = model("mlp", settings["options"], shape())
    rows = zip(batch.z, batch.y, batch.heads.tolist(), strict=True)
    losses = [
        functional.cross_entropy(plain.heads.one(plain._plainly(z[None], []), h), y[None], reduction="sum")
        for z, y, h in rows
    ]
    (sum(losses) / len(batch)).backward()
    before = who.parameters.data.clone()
    who.model.train()
    result_of(who.steps.step(batch))
    moved = (before - who.parameters.data)[: len(who.parameters.grad)]
    torch.testing.assert_close(moved, 0.1 * plain.flat.grad, rtol=1e-4, atol=1e-6)


def test_heads_of_other_tasks_do_not_move():
    who = learner(terms=())
    live(who, TASKS[:1])
    head = [s for s in who.parameters.segments if s.kind == "heads"][0]
    before = who.parameters.data[head.start : head.stop].clone()
    live(who, TASKS[1:2])
    assert torch.equal(before, who.parameters.data[head.start : head.stop])


SETTINGS = {
    "dcl": {},
    "joint": {"joint": 2},
    "shuffled, restarts": {"joint": 2, "ways": {"joint": "shuffled", "restart": True}},
    "separate": {"terms": ("separate",)},
    "plain, any dropout": {"options": {"hidden": [9, 7], "dropout": 0.3}, "optimizer": "adamw"},
    "one room, overwrite": {"capacity": "9 rows", "policy": "overwrite", "optimizer": "sgd", "momentum": 0.9},
    "cnn": {"kind": "cnn", "options": {"width": 4, "depth": 2}},
    "augmented": {
        "kind": "cnn",
        "options": {"width": 4, "depth": 2},
        "terms": ("separate",),
        "where": replace(shape(), augment=("crop", "flip")),
    },
    "resnet18": {"kind": "resnet18", "options": {"width": 2}},
}


def make(name: str) -> GradientLearner:
    settings = dict(SETTINGS[name])
    if settings.get("terms") == ("separate",):
        from mpidcl.learning.terms.replay import Replay

        who = learner(**settings | {"terms": ()})
        who.add_term(Replay(Replay.Options(mix="separate", rows_per_step=5), who))
    else:
        who = learner(**settings)
    who.set_received_capacity(3)
    return who


def drive(who: GradientLearner, joint: int, cut: int | None = None) -> tuple[str, list[dict]]:
    """Three tasks of two ticks with received rows in between; go on in a new learner at event `cut`."""
    event = 0
    told = []
    name = next(n for n in SETTINGS if who.name_of_settings == n)

    def maybe_cut() -> None:
        nonlocal who, event
        if event == cut:
            state, who = who.state(), make(name)
            who.load(state, TASKS.__getitem__)
        event += 1

    for item in TASKS[:3]:
        maybe_cut()
        who.begin_task(item)
        for tick in range(0 if item.index + 1 < joint else 2):
            maybe_cut()
            list(who.learn(item.index, tick))
            maybe_cut()
            told.append(accuracies(who, item.index).tolist())
            sent = task(20 + event, rows=5).train
            who.receive_rows(item.index, sent.x(), sent.y, reject_duplicates=True)
        result_of(who.end_task())
    return who.digest() + hashlib.sha256(repr(told).encode()).hexdigest(), [who.counters()["flops"]]


@pytest.mark.parametrize("name", SETTINGS)
def test_resuming_at_any_tick_gives_the_same_bits_as_never_stopping(name):
    def fresh() -> GradientLearner:
        who = make(name)
        who.name_of_settings = name
        return who

    joint = SETTINGS[name].get("joint", 0)
    whole = drive(fresh(), joint)
    events = range(1, 15) if name == "dcl" else (1, 4, 6, 9)
    for cut in events:
        assert drive(fresh(), joint, cut) == whole, f"cut at event {cut}"


def test_the_same_seed_repeats_and_another_agent_differs():
    digests = []
    for agent in (0, 0, 1):
        who = learner(agent)
        live(who, TASKS[:2])
        digests.append(who.digest())
    assert digests[0] == digests[1] != digests[2]


def test_asking_changes_nothing():
    """Evaluation, features, logits, Fisher and pools leave the learning as it would have been."""
    quiet, asked = learner(joint=0), learner(joint=0)
    live(quiet, TASKS[:3])
    for item in TASKS[:3]:
        asked.begin_task(item)
        for tick in range(3):
            accuracies(asked, item.index)
            asked.fisher()
            x, _ = asked.pool(item.index)
            asked.features(x, item.index)
            asked.logits(asked.validation(0)[0], 0)
            asked.state()
            list(asked.learn(item.index, tick))
        result_of(asked.end_task())
    assert asked.digest() == quiet.digest()


def test_nothing_draws_from_a_global_generator(untouched_global_generators):
    who = make("dcl")
    live(who, TASKS[:2])
    accuracies(who, 1)
    who.fisher()


def test_poisoned_global_generators_change_nothing():
    digests = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        who = learner()
        live(who, TASKS[:2])
        digests.append(who.digest())
    assert digests[0] == digests[1]


def test_the_pool_to_share_is_training_rows_then_replay():
    who = learner()
    live(who, TASKS[:1])
    x, y = who.pool(0)
    assert np.array_equal(x, TASKS[0].train.x()) and np.array_equal(y, TASKS[0].train.y)
    who.begin_task(TASKS[1])
    x, y = who.pool(0)
    assert x.shape == (6, 1, 6, 5) and x.dtype == np.float32 and y.dtype == np.int64
    assert {row.tobytes() for row in x} <= {row.tobytes() for row in TASKS[0].train.x()}
    assert who.validation(0)[0].shape == (15, 1, 6, 5)


def test_features_and_logits_are_those_of_the_model_in_eval_mode():
    who = learner()
    live(who, TASKS[:2])
    x = TASKS[1].test.x()
    features, logits = who.features(x, 1), who.logits(x, 1)
    assert features.shape == (40, 8) and logits.shape == (40, 2)
    assert (logits.argmax(1) == TASKS[1].test.y).mean() == accuracies(who, 1)[1]
    with torch.no_grad():
        torch.testing.assert_close(
            torch.from_numpy(logits), who.model.heads.one(torch.from_numpy(features), 1)
        )


def test_received_rows_are_limited_and_duplicates_left_out():
    who = learner()
    who.set_received_capacity(4)
    who.begin_task(TASKS[0])
    own, sent = TASKS[0].train, task(9, rows=3).train
    assert who.receive_rows(0, own.x()[:5], own.y[:5], reject_duplicates=True) == 0
    twice = np.concatenate([sent.x(), sent.x()]), np.concatenate([sent.y, sent.y])
    assert who.receive_rows(0, *twice, reject_duplicates=True) == 3
    more = task(10, rows=9).train
    who.receive_rows(0, more.x(), more.y)
    assert len(who.received.of_task(0)["y"]) == 4
    with pytest.raises(ValueError, match="before rows come"):
        who.set_received_capacity(5)


@pytest.mark.parametrize("duplicates", [True, False])
def test_rows_that_the_agent_validates_on_are_never_received(duplicates):
    who = learner()
    who.set_received_capacity(20)
    first, second = TASKS[0], TASKS[1]
    held = FakeRows(np.concatenate([first.validation.x(), second.validation.x()]), np.zeros(30, np.int64))
    who.begin_task(replace(first, held_back=lambda: held))
    sent = task(9, rows=3).train
    x = np.concatenate([sent.x(), first.validation.x()[:4], second.validation.x()[:4]])
    assert who.receive_rows(0, x, np.zeros(len(x), np.int64), reject_duplicates=not duplicates) == 3
    assert np.array_equal(who.received.of_task(0)["x"], sent.x())


def test_the_host_view_is_the_model_and_a_span_can_be_replaced():
    who = learner()
    view = who.host_view("shared")
    assert np.shares_memory(view, who.parameters.numpy())
    who.load_span("shared", np.arange(len(view), dtype=np.float32))
    assert np.array_equal(view, np.arange(len(view)))
    assert who.model.layers[0].weight[0, 1] == 1
    assert np.shares_memory(who.device_view("shared"), view) and who.place(view) is view
    who.load_span("shared", np.broadcast_to(np.float64(0.5), view.shape))  # read-only, of another type
    assert set(view.tolist()) == {0.5}
    with pytest.raises(ValueError, match="floats"):
        who.load_span("shared", view[:-1])


def test_flops_are_torchs_count():
    from torch.utils.flop_counter import FlopCounterMode

    who = learner()
    who.begin_task(TASKS[0])
    list(who.learn(0, 0))
    rows, width, depth = 20, 8, 4
    body = rows * 2 * width * width * (depth + depth + depth - 1)
    assert who.counters()["flops"] == body + rows * 6 * 2 * width
    other = learner()
    other.begin_task(TASKS[0])
    other.tasks.test(0)
    with FlopCounterMode(display=False) as counter:
        accuracies(other, 0)
    assert other.counters()["flops"] == counter.get_total_flops() > 0


def test_the_digest_sees_every_float_and_buffer():
    who = learner(kind="resnet18", options={"width": 2})
    before = who.digest()
    who.parameters.buffers[-1] += 1
    changed = who.digest()
    who.parameters.data[-1] += 1
    assert len({before, changed, who.digest()}) == 3


def test_reset_optimizer_forgets_at_each_task():
    who = learner(reset_optimizer=True)
    live(who, TASKS[:1])
    assert who.optimizer.steps.any()
    who.begin_task(TASKS[1])
    assert not who.optimizer.steps.any()


def test_tasks_out_of_order_and_a_missing_gpu_are_refused():
    who = learner()
    with pytest.raises(ValueError, match="in order"):
        who.begin_task(TASKS[1])
    who.begin_task(TASKS[0])
    with pytest.raises(ValueError, match="begun last"):
        list(who.learn(1, 0))
    if not torch.cuda.is_available():
        with pytest.raises(ExperimentError, match="without a CUDA GPU"):
            learner(device="cuda")


def test_one_head_for_all_tasks():
    where = shape(heads=1, classes=2)
    who = learner(where=where, options={"width": 16, "dropout": 0.0})
    live(who, [task(i, head=0) for i in range(3)], ticks=4)
    assert accuracies(who, 2).min() > 0.4
    assert {h for batch in batches_of(who) for h, _ in batch} == {0}
