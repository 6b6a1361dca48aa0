"""The learner of experts: who moves in a step, what a resumed one is, and what it refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from expert_fakes import TASKS, experts, moved, weights, without_validation
from learning_fakes import accuracies, check_resuming, learner, live, shape, task
from term_fakes import step
from torch.nn import functional

from mpidcl.errors import ExperimentError
from mpidcl.experiment.reading import from_toml
from mpidcl.learning.experts.learner import ExpertsLearner
from mpidcl.learning.gradient.squares import label_fisher
from mpidcl.run.preview import part_notes
from mpidcl.testing.asking import result_of

FILE = 'name = "x"\nagents = 2\n[model]\nkind = "experts-mlp"\n[learning]\n'
CHANGING = {"first": 3, "grow": 1, "retire_below": 0.9, "retire_after": 1, "freeze_above": 0.3}
SIX = {"experts": 6, "active": 2}


def begun(**settings: Any) -> ExpertsLearner:
    who = experts(**settings)
    who.begin_task(TASKS[0])
    return who


def undecided(who: ExpertsLearner) -> ExpertsLearner:
    """Its router sends different rows to different experts."""
    z = who.tasks.training(0).z
    with torch.no_grad():
        x = who.model.features(z).flatten(1)
        who.model.router.weight.mul_(50.0)
        who.model.router.bias.copy_(-who.model.router.weight @ x.mean(0))
    return who


# --- who learns ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [
        {"optimizer": "adam"},
        {"optimizer": "adamw", "weight_decay": 0.1},
        {"momentum": 0.9, "weight_decay": 0.1},
    ],
    ids=["adam", "adamw", "momentum"],
)
@pytest.mark.parametrize("kind", ["experts-mlp", "experts-cnn"])
def test_only_chosen_experts_that_are_not_frozen_move(kind: str, settings: dict[str, Any]) -> None:
    """With moments and decay, which would move others, too."""
    who = begun(agent=1, kind=kind, batch=1, options={"experts": 8, "active": 2}, **settings)
    for _ in range(8):
        step(who)  # so that some have moments
    undecided(who)
    who.model.change(frozen=np.arange(8) % 4 == 0)
    seen = set()
    for batch in who.epochs.batches():
        who.model.eval()
        chosen = who.model.routed(who.model.features(batch.z)).chosen[0].tolist()
        who.model.train()
        before = weights(who)
        result_of(who.steps.step(batch))
        assert moved(who, before) == sorted(i for i in chosen if i % 4), chosen
        seen.add(tuple(chosen))
    assert len(seen) > 1


def test_a_step_is_that_of_torch_on_all_that_took_part() -> None:
    who = begun(lr=0.3)
    who.model.train()
    batch = next(iter(who.epochs.batches()))
    wanted = who.parameters.data.clone()
    who.parameters.zero_grad()
    functional.cross_entropy(who.model.logits(who.model.encode(batch.z), batch.heads), batch.y).backward()
    wanted -= 0.3 * who.parameters.grad
    who.model.begin_step()
    result_of(who.steps.step(batch))
    torch.testing.assert_close(who.parameters.data, wanted)


def test_when_all_experts_are_frozen_encoder_router_and_head_learn_on() -> None:
    who = begun(optimizer="adam")
    who.model.change(frozen=np.ones(4, np.bool_))
    before, experts_before = who.parameters.data.clone(), weights(who)
    for tick in range(30):
        list(who.learn(0, tick))
    assert moved(who, experts_before) == []
    for kind in ("shared", "heads", "structures"):
        span = who.parameters.span(kind)
        assert not torch.equal(who.parameters.data[span], before[span]), kind
    assert accuracies(who, 0)[0] > 0.9


def test_several_heads_learn_and_only_those_of_the_batch_move() -> None:
    who = experts(where=shape())
    live(who, [task(0)], ticks=1)
    who.begin_task(task(1))
    before = who.model.heads.block.detach().clone()
    list(who.learn(1, 0))
    changed = (who.model.heads.block != before).flatten(1).any(1)
    assert changed.tolist() == [False, True, False, False, False]


def test_it_learns() -> None:
    who = experts(3, terms=("replay", "balance"), optimizer="adam", lr=0.01, capacity="60 rows")
    live(who, TASKS, ticks=30)
    assert accuracies(who, 2).min() > 0.6


# --- going on -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "settings"),
    [
        ({}, {"terms": ("replay", "balance", "distillation"), "momentum": 0.9}),
        (CHANGING, {"optimizer": "adam", "options": SIX}),
        (CHANGING | {"inherit": "similar", "grow": 2}, {"options": SIX, "terms": ("distillation",)}),
        ({"retire_below": 0.99, "retire_after": 1, "grow": 1}, {"options": {"noise": True}}),
        ({"freeze_above": 0.1}, {"options": {"routing": "guided", "hidden": [3, 4, 5, 6]}}),
    ],
    ids=["plain", "changing", "inherit", "noise", "guided"],
)
def test_what_is_stopped_in_the_middle_goes_on_with_the_same_bits(
    how: dict[str, Any], settings: dict[str, Any]
) -> None:
    check_resuming(lambda: experts(how=how, **settings), TASKS, ticks=3)
    whole, first, second = (experts(how=how, **settings) for _ in range(3))
    live(whole, TASKS)
    live(first, TASKS[:2])
    second.load_tables(first.tables())
    second.load(first.state(), TASKS.__getitem__)
    live(second, TASKS[2:])
    assert second.digest() == whole.digest()
    assert second.counters() == whole.counters()
    for name, table in whole.tables().items():
        for column, values in table.items():
            assert np.array_equal(second.tables()[name][column], values, equal_nan=True), (name, column)
    for name, standing in whole.model.module_state().items():
        assert np.array_equal(second.model.module_state()[name], standing)
    assert second.changes.retired.keys() == whole.changes.retired.keys()
    assert all(torch.equal(second.changes.retired[key], one) for key, one in whole.changes.retired.items())


def test_the_same_seed_repeats_and_nothing_draws_from_a_global_generator(
    untouched_global_generators: None,
) -> None:
    digests = []
    for agent in (0, 0, 1):
        who = experts(agent, how=CHANGING, options=SIX | {"noise": True}, terms=("balance",))
        live(who, TASKS)
        digests.append(who.digest())
    assert digests[0] == digests[1] != digests[2]


def test_who_is_in_use_is_part_of_the_digest() -> None:
    who = begun()
    before = who.digest()
    who.model.change(used=np.arange(4) < 3)
    assert who.digest() != before


# --- what is measured ---------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["experts-mlp", "experts-cnn"])
@pytest.mark.parametrize("weighted", [False, True])
def test_fisher_is_that_of_autograd_row_by_row(kind: str, weighted: bool) -> None:
    who = begun(kind=kind, options={"hidden": [3, 4, 5, 6]})
    list(who.learn(0, 0))
    rows, flat = who.tasks.training(0), who.parameters
    who.model.eval()
    wanted = torch.zeros_like(flat.grad)
    for z, y in zip(torch.split(rows.z, 1), rows.y, strict=True):
        flat.zero_grad()
        log_p = who.model.outputs_of(who.model.encode_rows(z, 0), 0).log_softmax(1)[0, y]
        log_p.backward()
        wanted += flat.grad.square() / len(rows) * (float(log_p.detach().exp()) if weighted else 1.0)
    torch.testing.assert_close(label_fisher(who.model, rows, weighted), wanted)
    assert sum(wanted[span].max() > 0 for span in who.model.module_spans) > 1


def test_tables_say_what_the_gates_of_the_validation_rows_tell() -> None:
    who = experts(how={"probe": 4})
    live(who, TASKS)
    tables = who.tables()
    labels = np.concatenate([one.validation.y for one in TASKS])
    assert tables["routing"]["rows"].tolist() == [8, 16, 24]
    assert tables["routing"]["classes"].tolist() == [2, 4, 6]
    assert np.bincount(labels).min() >= 4
    mass = tables["expert_classes"]["mass"]
    assert tables["expert_classes"]["label"].tolist() == [0, 1, 0, 1, 2, 3, 0, 1, 2, 3, 4, 5]
    assert mass.sum(1) == pytest.approx(np.full(12, 4.0))  # of each class four rows, whose gates sum to 1
    last = tables["experts"]["task"] == 2
    assert tables["experts"]["load"][last] == pytest.approx(mass[6:].sum(0) / 24)
    assert tables["experts"]["load"].reshape(3, 4).sum(1) == pytest.approx(np.ones(3))
    gates, classes = who.probed()
    assert gates.shape == (24, 4) and sorted(classes) == sorted([0, 1, 2, 3, 4, 5] * 4)


def test_without_validation_rows_nothing_is_measured_and_experts_still_come() -> None:
    who = experts(how={"first": 2, "grow": 1})
    live(who, [without_validation(one) for one in TASKS])
    assert set(who.tables()) >= {"expert_changes"}
    assert len(who.tables()["expert_changes"]["task"]) == 2
    assert not any(len(column) for column in who.tables()["experts"].values())
    assert not who.model.specialisation.any() and who.model.used.sum() == 4


def test_operations_of_unequal_experts_are_those_of_the_rows_that_chose_them() -> None:
    """A step is counted as often as it is made: other rows choose other experts."""
    sizes = (1, 10, 20, 30)
    who = undecided(begun(options={"hidden": sizes, "active": 1}, batch=1, lr=1e-6))
    who.model.train()
    found: dict[int, set[int]] = {}
    for batch in who.epochs.batches():
        before = who.counters()["flops"]
        result_of(who.steps.step(batch))
        assert who.model.routes is not None
        size = sizes[int(who.model.routes.chosen[0, 0])]
        found.setdefault(size, set()).add(who.counters()["flops"] - before)
    assert len(found) > 1
    assert len({cost - 6 * size * (7 + 6) for size, costs in found.items() for cost in costs}) == 1


# --- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ('kind = "gradient"', 'learning.kind: should be "experts" with a model of experts'),
        ('kind = "compositional"', 'learning.kind: should be "experts" with a model of experts'),
        (
            'kind = "parallel"\n[stream]\nkind = "parallel"\ntasks = 2\n[memory]\npolicy = "class-quota"\n'
            'capacity = "3 rows per class"',
            'learning.kind: should be "experts" with a model of experts',
        ),
        ('kind = "experts"\none_model = true', "learning.one_model: should be false"),
        ('kind = "experts"\nfirst = 9', "learning.first: should be at most model.experts = 8. Found 9"),
        *(
            (f'kind = "experts"\n{option}\n[stream]\n{none} = 0', f"stream.{none}: should be above 0")
            for none in ("validation_share", "validation_per_class")
            for option in ("freeze_above = 0.5", "retire_below = 0.5", 'inherit = "similar"')
        ),
    ],
)
def test_what_does_not_fit_together_is_said_when_the_file_is_read(text: str, what: str) -> None:
    with pytest.raises(ExperimentError, match=what):
        from_toml(FILE + text)


def test_other_models_are_refused() -> None:
    text = 'name = "x"\nagents = 2\n[learning]\nkind = "experts"\n'
    with pytest.raises(ExperimentError, match='model.kind: should be a model of experts.*Found "mlp"'):
        from_toml(text)
    guided = '[model]\nkind = "experts-cnn"\nrouting = "guided"\n[stream]\nvalidation_share = 0\n'
    with pytest.raises(ExperimentError, match='above 0 with model.routing = "guided"'):
        from_toml(text + guided)
    with pytest.raises(ExperimentError, match='model.kind should be a model of experts.*Found "mlp"'):
        ExpertsLearner.build_model(learner(terms=()))
    with pytest.raises(ExperimentError, match='learning.kind should be "experts" with a model of experts'):
        learner(kind="experts-mlp", options={"experts": 2})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("grow = 1", "no free slot"),
        ("grow = 1\nfirst = 2", ""),
        ("grow = 1\nretire_below = 0.1", ""),
        ("[stream]\nvalidation_share = 0", "specialisation of experts is not measured"),
    ],
)
def test_what_is_hardly_meant_is_noted(text: str, said: str) -> None:
    notes = part_notes(from_toml(f'{FILE}kind = "experts"\n{text}'))
    found = [note for note in notes if "learning.grow" in note or "specialisation" in note]
    assert len(found) == bool(said) and all(said in note for note in found)
