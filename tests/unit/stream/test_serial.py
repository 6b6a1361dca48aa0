"""Serial streams: what is drawn, that it is a function of seed, agent and index, and that nothing leaks."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from scipy import ndimage

from mpidcl.errors import ExperimentError
from mpidcl.experiment.reading import from_toml
from mpidcl.stream.serial.domains import Rotate
from mpidcl.stream.serial.stream import SerialStream
from mpidcl.stream.tasks import Rows, StreamShape, Task

AGENTS = 4


def experiment(seed: int = 0, agents: int = AGENTS, dataset: str = "digits", **options: Any) -> Any:
    return SimpleNamespace(
        seed=seed,
        agents=agents,
        learning=SimpleNamespace(epochs=3),
        stream=SimpleNamespace(dataset=dataset, options=SerialStream.Options(**options)),
    )


def stream(agent: int = 0, **settings: Any) -> SerialStream:
    return SerialStream(experiment(**settings), agent)


def tasks(agent: int = 0, **settings: Any) -> list[Task]:
    made = stream(agent, **settings)
    return [made.task(index) for index in range(made.options.tasks)]


def same_rows(a: Rows, b: Rows) -> bool:
    return np.array_equal(a.index, b.index) and np.array_equal(a.y, b.y) and np.array_equal(a.x(), b.x())


def same_task(a: Task, b: Task) -> bool:
    parts = all(same_rows(getattr(a, p), getattr(b, p)) for p in ("train", "validation", "test"))
    return parts and (a.classes, a.labels, a.head) == (b.classes, b.labels, b.head)


def class_of(task: Task, rows: Rows) -> np.ndarray:
    """Class id of each row, from its label."""
    return np.array(task.classes)[[task.labels.index(y) for y in rows.y.tolist()]]


DRAWS = ("independent", "shared", "iid", "dirichlet", "classes")
WAYS = ("task", "class", "domain")


@pytest.mark.parametrize("incremental", WAYS)
@pytest.mark.parametrize("draw", DRAWS)
def test_tasks_do_not_depend_on_the_order_in_which_they_are_asked_for(draw: str, incremental: str) -> None:
    forward = tasks(2, draw=draw, incremental=incremental)
    backward = stream(2, draw=draw, incremental=incremental)
    for index in (4, 1, 3, 1, 0, 2):
        assert same_task(backward.task(index), forward[index])


@pytest.mark.parametrize("draw", DRAWS)
def test_other_seeds_give_other_tasks(draw: str) -> None:
    assert [t.classes for t in tasks(seed=1, draw=draw)] != [t.classes for t in tasks(seed=2, draw=draw)]


@pytest.mark.parametrize("incremental", WAYS)
@pytest.mark.parametrize("draw", DRAWS)
def test_rows_are_of_the_classes_of_the_task_and_no_row_is_in_two_parts(draw: str, incremental: str) -> None:
    made = stream(1, draw=draw, incremental=incremental)
    data = made.dataset.load()
    for index in range(5):
        task = made.task(index)
        for rows, labels in (
            (task.train, data.train_y),
            (task.validation, data.train_y),
            (task.test, data.test_y),
        ):
            assert np.array_equal(class_of(task, rows), labels[rows.index])
            assert len(np.unique(rows.index)) == len(rows) > 0
        assert not set(task.train.index) & set(task.validation.index)


def test_without_replacement_a_class_comes_once_and_the_split_holds_for_all_tasks() -> None:
    all_tasks = tasks(3)
    assert sorted(c for task in all_tasks for c in task.classes) == list(range(10))
    train = np.concatenate([task.train.index for task in all_tasks])
    validation = np.concatenate([task.validation.index for task in all_tasks])
    # 80/20 of the whole training set, not of each class.
    assert len(train) == 1442 - 288 and len(validation) == 288
    assert len(np.unique(np.concatenate([train, validation]))) == 1442


def test_with_replacement_classes_come_again_but_differ_inside_a_task() -> None:
    drawn = [task.classes for task in tasks(tasks=30, replacement=True)]
    assert all(len(set(classes)) == 2 for classes in drawn)
    counts = np.bincount(np.ravel(drawn), minlength=10)
    assert counts.sum() == 60 and (counts > 0).all()


def test_more_tasks_do_not_change_the_earlier_ones() -> None:
    few, many = tasks(tasks=3, replacement=True), tasks(tasks=8, replacement=True)
    assert all(same_task(a, b) for a, b in zip(few, many, strict=False))


def test_protocol_of_dcl_takes_the_first_rows_of_the_shuffled_lists() -> None:
    settings: dict[str, Any] = {"tasks": 10, "replacement": True}
    whole = tasks(**settings)
    cut = tasks(train_per_class=64, validation_per_class=10, **settings)
    for all_rows, first in zip(whole, cut, strict=True):
        assert len(first.train) == 128 and len(first.validation) == 20
        assert np.array_equal(first.train.index, all_rows.train.index[:128])
        assert np.array_equal(first.validation.index, all_rows.validation.index[:20])
        assert np.array_equal(first.test.index, all_rows.test.index)
    balance = [np.bincount(task.train.y).tolist() for task in cut]
    assert any(counts != [64, 64] for counts in balance), "classes are balanced only roughly"
    assert all(min(counts) > 40 for counts in balance)


def test_minus_one_is_all_validation_rows() -> None:
    assert same_rows(tasks(validation_per_class=-1)[0].validation, tasks()[0].validation)


def test_test_rows_are_all_of_the_classes_or_the_first_of_each() -> None:
    for full, few in zip(tasks(), tasks(test_per_class=5), strict=True):
        labels = stream().dataset.load().test_y
        assert np.array_equal(full.test.index, np.flatnonzero(np.isin(labels, full.classes)))
        assert np.bincount(few.test.y).tolist() == [5, 5]
        assert set(few.test.index) <= set(full.test.index)


def test_independent_agents_differ_and_a_shared_draw_shares_classes_only() -> None:
    own = [[task.classes for task in tasks(agent)] for agent in range(AGENTS)]
    assert len({tuple(classes) for classes in own}) == AGENTS
    together = [tasks(agent, draw="shared") for agent in range(AGENTS)]
    assert len({tuple(task.classes for task in each) for each in together}) == 1
    assert not np.array_equal(together[0][0].train.index, together[1][0].train.index)


def dealt(draw: str, agents: int, **options: Any) -> list[np.ndarray]:
    """All training and validation rows of each agent."""
    found = []
    for agent in range(agents):
        mine = tasks(agent, agents=agents, draw=draw, **options)
        found.append(np.concatenate([rows.index for t in mine for rows in (t.train, t.validation)]))
    return found


@pytest.mark.parametrize("agents", [1, 2, 3, 8])
@pytest.mark.parametrize("draw", ["iid", "dirichlet", "classes"])
def test_shards_are_disjoint_and_cover_the_training_set(draw: str, agents: int) -> None:
    rows = np.concatenate(dealt(draw, agents))
    assert np.array_equal(np.sort(rows), np.arange(1442))


def test_iid_shards_are_equal() -> None:
    assert sorted(len(rows) for rows in dealt("iid", 8)) == [180] * 6 + [181] * 2


def shares(alpha: float, least: int = 0) -> np.ndarray:
    """Share [agents, classes] of each class that each of 8 agents has."""
    made = stream()
    labels = made.dataset.load().train_y
    kept = {
        "alpha": alpha,
        "least_per_class": least,
        "incremental": "domain",
        "classes_per_task": 10,
        "tasks": 1,
    }
    counts = [np.bincount(labels[rows], minlength=10) for rows in dealt("dirichlet", 8, **kept)]
    return np.array(counts) / np.bincount(labels)


def test_alpha_says_how_unequal_the_shards_are() -> None:
    assert np.abs(shares(1e6) - 1 / 8).max() < 0.02
    assert 0.3 < shares(0.5).max(axis=0).mean() < 0.75
    assert shares(0.05).max(axis=0).mean() > 0.75


def test_dirichlet_shares_have_the_variance_of_the_distribution() -> None:
    found = np.concatenate([_shares_of_seed(seed) for seed in range(40)]).var()
    # Var = p (1 - p) / (members * alpha + 1) with p = 1/4; 1600 shares, about 5 % standard error.
    assert found == pytest.approx(0.25 * 0.75 / (4 * 1.0 + 1), rel=0.2)


def _shares_of_seed(seed: int) -> np.ndarray:
    from mpidcl.stream.serial.deals import dirichlet_shard

    labels = np.repeat(np.arange(10), 200)
    return np.array(
        [
            np.bincount(labels[dirichlet_shard(labels, seed, m, 4, 1.0, 0)], minlength=10) / 200
            for m in range(4)
        ]
    )


def test_every_agent_gets_the_least_rows_of_each_class() -> None:
    class_rows = np.bincount(stream().dataset.load().train_y)
    assert (np.rint(shares(0.01, least=7) * class_rows) >= 7).all()


def held(agents: int, **options: Any) -> list[list[dict[int, int]]]:
    """Of each agent and task: how many training and validation rows it has of which class."""
    found = []
    for agent in range(agents):
        mine = tasks(agent, agents=agents, draw="classes", **options)
        rows = [np.concatenate([class_of(t, t.train), class_of(t, t.validation)]) for t in mine]
        found.append([dict(zip(*np.unique(r, return_counts=True), strict=True)) for r in rows])
    return found


@pytest.mark.parametrize("incremental", WAYS)
@pytest.mark.parametrize(("agents", "per_task"), [(2, 5), (3, 5), (5, 5), (4, 10), (1, 3)])
def test_whole_classes_go_round_the_agents(agents: int, per_task: int, incremental: str) -> None:
    options: dict[str, Any] = {"tasks": 10 // per_task, "classes_per_task": per_task}
    counts = np.bincount(stream().dataset.load().train_y).tolist()
    of_tasks = [t.classes for t in tasks(agents=agents, draw="classes", incremental=incremental, **options)]
    for agent, mine in enumerate(held(agents, incremental=incremental, **options)):
        for classes, rows in zip(of_tasks, mine, strict=True):
            assert rows == {c: counts[c] for place, c in enumerate(classes) if place % agents == agent}


@pytest.mark.parametrize("agents", [3, 5, 8])
def test_agents_share_a_class_in_equal_shards_where_a_task_has_fewer_classes(agents: int) -> None:
    counts = np.bincount(stream().dataset.load().train_y).tolist()
    of_tasks = [task.classes for task in tasks(draw="classes")]
    for agent, mine in enumerate(held(agents)):
        for classes, rows in zip(of_tasks, mine, strict=True):
            (found,) = rows
            assert found == classes[agent % 2]
            sharers = sum(other % 2 == agent % 2 for other in range(agents))
            assert rows[found] in (counts[found] // sharers, counts[found] // sharers + 1)


def test_whole_classes_of_one_agent_are_all_rows_and_tests_are_those_of_the_other_draws() -> None:
    for one, iid in zip(tasks(agents=1, draw="classes"), tasks(agents=1, draw="iid"), strict=True):
        both = [np.sort(np.concatenate([t.train.index, t.validation.index])) for t in (one, iid)]
        assert np.array_equal(*both)
        assert same_rows(one.test, iid.test) and one.classes == iid.classes
    for one, iid in zip(tasks(3, draw="classes"), tasks(3, draw="iid"), strict=True):
        assert same_rows(one.test, iid.test) and one.labels == iid.labels


def test_numbers_per_class_count_the_classes_that_an_agent_has() -> None:
    numbers: dict[str, Any] = {"train_per_class": 20, "validation_per_class": 3, "classes_per_task": 5}
    found = [tasks(agent, agents=3, draw="classes", tasks=2, **numbers)[0] for agent in range(3)]
    assert [len(task.train) for task in found] == [40, 40, 20]
    assert [len(task.validation) for task in found] == [6, 6, 3]


def test_agents_that_share_out_classes_have_the_same_lists() -> None:
    text = 'name = "x"\nagents = 2\n[stream]\ndraw = "{}"\n[[agent]]\nids = [1]\nstream = {{ {} }}\n'
    with pytest.raises(ExperimentError, match="classes_per_task.*same for all agents.*Found 1 beside 2"):
        from_toml(text.format("classes", "classes_per_task = 1"))
    assert from_toml(text.format("classes", "tasks = 3")) and from_toml(
        text.format("iid", "classes_per_task = 1")
    )


def test_one_is_told_where_agents_share_classes_that_are_dealt_whole() -> None:
    def said(agents: int, *lines: str) -> list[str]:
        text = "\n".join(('name = "x"', f"agents = {agents}", "[stream]", *lines))
        return [note for one, use in from_toml(text).parts() for note in one.notes(use)]

    assert any("a task has 2 of them for 3 agents" in note for note in said(3, 'draw = "classes"'))
    assert not any("draw" in note for note in said(2, 'draw = "classes"') + said(3, 'draw = "iid"'))


def test_task_incremental_has_a_head_per_task_and_labels_from_zero() -> None:
    assert stream().shape == StreamShape((1, 8, 8), 5, 2, "task")
    assert [task.head for task in tasks()] == [0, 1, 2, 3, 4]
    assert all(task.labels == (0, 1) and set(task.train.y) == {0, 1} for task in tasks())


def test_without_remap_labels_are_class_ids() -> None:
    assert stream(remap=False).shape.classes_per_head == 10
    assert all(task.labels == task.classes for task in tasks(remap=False))


def test_class_incremental_has_one_head_where_an_output_is_one_class_for_all_agents() -> None:
    assert stream(incremental="class").shape == StreamShape((1, 8, 8), 1, 10, "class")
    meaning: dict[int, int] = {}
    for agent in range(AGENTS):
        for task in tasks(agent, incremental="class"):
            assert task.head == 0
            for label, class_id in zip(task.labels, task.classes, strict=True):
                assert meaning.setdefault(label, class_id) == class_id
    assert sorted(meaning) == sorted(meaning.values()) == list(range(10))


def test_class_incremental_outputs_come_in_order_when_the_draw_is_shared() -> None:
    found = [task.labels for task in tasks(2, incremental="class", draw="shared")]
    assert found == [(0, 1), (2, 3), (4, 5), (6, 7), (8, 9)]


@pytest.mark.parametrize("domains", ["permute", "rotate"])
def test_domain_incremental_keeps_classes_and_rows_and_changes_images(domains: str) -> None:
    settings: dict[str, Any] = {
        "incremental": "domain",
        "domains": domains,
        "classes_per_task": 10,
        "tasks": 3,
    }
    assert stream(**settings).shape == StreamShape((1, 8, 8), 1, 10, "domain")
    first, second, third = tasks(1, **settings)
    assert first.classes == second.classes == tuple(range(10)) and second.head == 0
    assert np.array_equal(first.test.index, second.test.index) and np.array_equal(first.test.y, second.test.y)
    plain = first.test.x()
    assert np.array_equal(plain, stream().dataset.load().test_x / np.float32(16))
    assert not np.allclose(plain, second.test.x()) and not np.allclose(second.test.x(), third.test.x())
    other = tasks(2, **settings)[1].test.x()
    assert not np.allclose(other, second.test.x()), "independent agents have their own domains"
    shared = [tasks(agent, draw="shared", **settings)[1].test.x() for agent in (1, 2)]
    assert np.array_equal(*shared)


@pytest.mark.parametrize("degrees", [0.0, 33.3, 90.0, 123.4, 179.9])
def test_images_are_turned_as_scipy_turns_them(degrees: float) -> None:
    rng = np.random.default_rng(0)
    for shape in ((70, 1, 8, 8), (3, 3, 9, 13)):
        x = rng.random(shape, dtype=np.float32)
        wanted = ndimage.rotate(x, degrees, axes=(3, 2), reshape=False, order=1, mode="grid-constant")
        np.testing.assert_allclose(Rotate(degrees)(x), wanted, rtol=0, atol=1e-6)


def test_the_first_domain_may_be_drawn_as_the_others_are() -> None:
    settings: dict[str, Any] = {"incremental": "domain", "classes_per_task": 10, "tasks": 2, "draw": "shared"}
    plain, drawn = (tasks(first_domain=first, **settings) for first in ("plain", "drawn"))
    assert not np.array_equal(plain[0].train.x(), drawn[0].train.x())
    assert np.array_equal(*(np.sort(made[0].test.x(), axis=None) for made in (plain, drawn)))
    assert same_task(plain[1], drawn[1])
    own = np.searchsorted(drawn[0].never_trained().index, drawn[0].validation.index)
    assert np.array_equal(drawn[0].never_trained().part(own).x(), drawn[0].validation.x())


@pytest.mark.parametrize("draw", ["shared", "iid", "dirichlet", "classes"])
@pytest.mark.parametrize("incremental", ["task", "class"])
def test_classes_by_id_come_as_numbered_for_all_agents_and_seeds(draw: str, incremental: str) -> None:
    wanted = [(0, 1), (2, 3), (4, 5), (6, 7), (8, 9)]
    for agent, seed in ((0, 0), (3, 5)):
        made = tasks(agent, seed=seed, draw=draw, incremental=incremental, class_order="by id")
        assert [task.classes for task in made] == wanted
        assert [task.labels for task in made] == (wanted if incremental == "class" else [(0, 1)] * 5)
    few = tasks(class_order="by id", draw="shared", incremental="domain", classes_per_task=3)
    assert [task.classes for task in few] == [(0, 1, 2)] * 5


def test_what_does_not_fit_an_order_of_classes_or_a_domain_is_named() -> None:
    by_id = 'name = "x"\nagents = 2\n[stream]\nclass_order = "by id"\n'
    for lines, said in {
        'draw = "shared"\nreplacement = true': "class_order.*replacement = true",
        "tasks = 2": 'draw.*"shared", "iid", "dirichlet" or "classes".*Found "independent"',
        'draw = "classes"\nreplacement = true': 'replacement.*false with draw = "classes".*Found true',
        'draw = "iid"\nincremental = "domain"\naugment = ["flip"]': 'augment.*domains = "permute"',
        'draw = "iid"\naugment = ["turn"]': "augment.*crop",
        'draw = "iid"\nfirst_domain = "drawn"': 'first_domain.*incremental = "task"',
    }.items():
        with pytest.raises(ExperimentError, match=said):
            from_toml(by_id + lines)
    assert from_toml(by_id + 'draw = "shared"').stream.options.class_order == "by id"
    with pytest.raises(ExperimentError, match="at most 10, the classes of the data set"):
        stream(tasks=6, class_order="by id", draw="shared")


def test_pixels_are_between_zero_and_one() -> None:
    x = tasks()[0].train.x()
    assert x.dtype == np.float32 and x.min() == 0 and x.max() == 1.0


def test_ticks_are_the_epochs_and_joint_tasks_wait_for_the_last() -> None:
    assert stream().ticks == (3, 3, 3, 3, 3) and stream().joint_tasks == 0
    assert stream(joint_tasks=4).ticks == (0, 0, 0, 3, 3)
    assert stream(joint_tasks=5).ticks == (0, 0, 0, 0, 3)


@pytest.mark.parametrize("replacement", [False, True])
def test_shared_joint_tasks_are_the_same_for_all_agents_and_only_they(replacement: bool) -> None:
    settings: dict[str, Any] = {"joint_tasks": 3, "joint_shared": True, "replacement": replacement}
    one, other = tasks(0, **settings), tasks(1, **settings)
    assert [same_task(a, b) for a, b in zip(one, other, strict=True)] == [True] * 3 + [False] * 2
    if not replacement:
        assert sorted(c for task in other for c in task.classes) == list(range(10))


def test_all_tasks_may_be_joint_and_shared() -> None:
    one, other = (tasks(agent, joint_tasks=5, joint_shared=True) for agent in (0, 1))
    assert all(same_task(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("draw", ["independent", "shared"])
@pytest.mark.parametrize("joint_shared", [False, True])
def test_no_row_trains_in_one_task_of_an_agent_and_validates_in_another(
    draw: str, joint_shared: bool
) -> None:
    settings = {"tasks": 10, "replacement": True, "joint_tasks": 4, "joint_shared": joint_shared}
    for seed in range(3):
        made = tasks(2, seed=seed, draw=draw, **settings)
        trained = set(np.concatenate([task.train.index for task in made]).tolist())
        validated = set(np.concatenate([task.validation.index for task in made]).tolist())
        assert trained and validated and not trained & validated


@pytest.mark.parametrize("incremental", WAYS)
def test_held_back_are_the_validation_rows_of_all_tasks_as_the_task_sees_them(incremental: str) -> None:
    settings: dict[str, Any] = {"incremental": incremental, "validation_per_class": 5}
    made = tasks(1, **settings)
    validated = np.unique(np.concatenate([task.validation.index for task in made]))
    for task in made:
        held = task.never_trained()
        assert np.array_equal(held.index, validated)
        own = np.searchsorted(validated, task.validation.index)
        assert np.array_equal(held.part(own).x(), task.validation.x())


def test_a_task_that_names_no_other_rows_holds_its_own_validation_rows_back() -> None:
    task = tasks()[0]
    plain = Task(0, "digits", (7, 2), task.train, task.validation, task.test, 0)
    assert plain.never_trained() is task.validation


def test_shape_and_ticks_are_known_without_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setenv("MPIDCL_DATA", str(tmp_path))
    monkeypatch.setenv("MPIDCL_CACHE", str(tmp_path))
    made = stream(dataset="cifar100", tasks=20, classes_per_task=5)
    assert made.shape == StreamShape((3, 32, 32), 20, 5, "task") and len(made.ticks) == 20


@pytest.mark.usefixtures("untouched_global_generators")
@pytest.mark.parametrize("draw", DRAWS)
def test_no_global_generator_is_used(draw: str) -> None:
    for task in tasks(draw=draw, incremental="domain", domains="rotate"):
        task.train.x()


PAGE = (Path(__file__).parents[3] / "docs" / "datasets.md").read_text()
PRESETS = dict(re.findall(r"^\| ([A-Z][\w -]+) \| (`dataset = .*) \|$", PAGE, flags=re.MULTILINE))
SHAPES = {
    "Split MNIST": StreamShape((1, 28, 28), 1, 10, "class"),
    "Split Fashion-MNIST": StreamShape((1, 28, 28), 1, 10, "class"),
    "Split CIFAR-10": StreamShape((3, 32, 32), 1, 10, "class", augment=("crop", "flip")),
    "Split CIFAR-100": StreamShape((3, 32, 32), 1, 100, "class", augment=("crop", "flip")),
    "Split Tiny-ImageNet": StreamShape((3, 64, 64), 1, 200, "class", augment=("crop", "flip")),
    "Permuted MNIST": StreamShape((1, 28, 28), 1, 10, "domain"),
    "Rotated MNIST": StreamShape((1, 28, 28), 1, 10, "domain"),
}


def test_the_page_has_the_streams_of_papers() -> None:
    assert PRESETS.keys() == SHAPES.keys()


@pytest.mark.parametrize("name", SHAPES)
def test_streams_of_papers_on_the_page_are_what_they_are_called(name: str) -> None:
    keys = re.findall(r"`([^`]+)`", PRESETS[name])
    common = ["validation_share = 0", 'draw = "shared"']
    found = from_toml("\n".join(['name = "x"', "agents = 2", "[stream]", *common, *keys]))
    made = SerialStream(found, 1)
    assert made.shape == SHAPES[name] and len(made.ticks) in (5, 10, 20)
    if name.startswith("Split"):
        classes = [c for task in made._classes for c in task]
        assert classes == list(range(made.dataset.info.classes)), "all classes, in order"


PINNED = {
    ("independent", False, 0): [(4, 2), (0, 8), (7, 6), (1, 5), (3, 9)],
    ("independent", False, 3): [(7, 2), (8, 6), (0, 5), (3, 4), (9, 1)],
    ("independent", True, 0): [(4, 2), (2, 1), (7, 6), (9, 1), (3, 6)],
    ("shared", False, 0): [(9, 2), (0, 3), (7, 6), (8, 4), (5, 1)],
}


@pytest.mark.parametrize(("draw", "replacement", "agent"), PINNED)
def test_pinned_classes(draw: str, replacement: bool, agent: int) -> None:
    found = [task.classes for task in tasks(agent, draw=draw, replacement=replacement)]
    assert found == PINNED[draw, replacement, agent]


def test_pinned_rows() -> None:
    task = tasks(1, train_per_class=3, validation_per_class=2)[2]
    assert task.train.index.tolist() == [1000, 408, 723, 440, 1191, 314]
    assert task.train.y.tolist() == [1, 0, 0, 0, 0, 0]
    assert task.validation.index.tolist() == [469, 1119, 708, 1262]


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "classes": ({"tasks": 6}, r"at most 10, .*`stream.replacement` is false. Found 6 x 2 = 12"),
    "per task": (
        {"classes_per_task": 11, "replacement": True},
        r"`stream.classes_per_task`.*at most 10.*Found 11",
    ),
    "domain": ({"classes_per_task": 11, "incremental": "domain"}, r"at most 10.*Found 11"),
    "joint shared": (
        {"joint_tasks": 2, "joint_shared": True, "draw": "iid"},
        r"`stream.draw` should be independent or shared. Found iid",
    ),
    "joint shared of whole classes": (
        {"joint_tasks": 2, "joint_shared": True, "draw": "classes"},
        r"`stream.draw` should be independent or shared. Found classes",
    ),
    "joint": ({"joint_tasks": 6}, r"`stream.joint_tasks` should be at most `stream.tasks` = 5. Found 6"),
}


@pytest.mark.parametrize("case", WRONG)
def test_impossible_settings_are_refused_before_any_file_is_read(case: str) -> None:
    options, says = WRONG[case]
    with pytest.raises(ExperimentError, match=says):
        stream(**options)


TOO_FEW: dict[str, tuple[dict[str, Any], str]] = {
    "train": ({"train_per_class": 200}, r"Task 0 of agent 0 should have at least 400 train rows .*Found \d+"),
    "validation": ({"validation_per_class": 100}, r"at least 200 validation rows .*Found \d+"),
    "test": ({"test_per_class": 50}, r"at least 100 test rows"),
    "shards": (
        {"draw": "iid", "agents": 2000, "agent": 1999},
        r"at least 1 train rows .*Found 0.*fewer agents",
    ),
    "shards of classes": (
        {"draw": "classes", "agents": 400, "agent": 399},
        r"at least 1 train rows .*draw = classes.*Found 0.*fewer agents",
    ),
    "least": (
        {"draw": "dirichlet", "agents": 100},
        r"`stream.least_per_class` x agents should be at most \d+, .*class 0. Found 5 x 100",
    ),
}


@pytest.mark.parametrize("case", TOO_FEW)
def test_too_few_rows(case: str) -> None:
    settings, says = TOO_FEW[case]
    with pytest.raises(ExperimentError, match=says):
        stream(**settings).task(0)


def test_a_dirichlet_shard_takes_what_there_is() -> None:
    assert 0 < len(tasks(draw="dirichlet", alpha=0.1, train_per_class=140)[0].train) < 280


def test_there_is_no_such_task() -> None:
    for index in (-1, 5):
        with pytest.raises(IndexError, match=f"between 0 and 4. Found {index}"):
            stream().task(index)


@pytest.mark.parametrize(
    "options",
    [{"tasks": 0}, {"classes_per_task": 0}, {"alpha": 0}, {"alpha": float("inf")}, {"validation_share": 1.0},
     {"train_per_class": 0}, {"validation_per_class": -2}, {"draw": "fair"}, {"task": 3}],
)  # fmt: skip
def test_options_out_of_range(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        SerialStream.Options(**options)
