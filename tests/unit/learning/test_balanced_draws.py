"""`memory.draw = "class-balanced"`: as many rows of each class, from one memory or from all."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from global_fakes import Watch, life, member, own_rows, watched
from learning_fakes import experiment, shape
from one_model_fakes import PLAIN, shard
from scipy.stats import chisquare

from mpidcl.errors import ExperimentError
from mpidcl.experiment.options import Options
from mpidcl.experiment.reading import from_toml
from mpidcl.learning.gradient.learner import GradientLearner
from mpidcl.memory.by_class import ByClass
from mpidcl.network.inprocess import InProcessDriver
from mpidcl.testing.asking import result_of

BALANCED = {"draw": "class-balanced"}


def alone(**settings: Any) -> GradientLearner:
    common = {**PLAIN, "insert": "each step", "capacity": "20 rows", "lr": 0.0, **BALANCED}
    whole: Any = experiment(**{**common, **settings})
    whole.agents = 1
    who = GradientLearner(whole, 0, shape())
    who.add_term(Watch(Options(), who))
    return who


def label_of(who: GradientLearner) -> dict[tuple[float, ...], int]:
    rows = who.memory.rows()
    return {tuple(z.tolist()): int(y) for z, y in zip(rows["z"], rows["y"], strict=True)}


@pytest.mark.parametrize("insert", ["each step", "task end"])
def test_every_class_gives_as_many_rows_and_every_row_of_a_class_is_as_likely(insert):
    who = alone(insert=insert)
    result_of(life(who, [shard(0, 0, 40)], ticks=1))
    who.begin_task(shard(1, 0, 40))
    who.each_step = False  # from here nothing is inserted
    watched(who).clear()
    for tick in range(60):
        result_of(who.learn(1, tick))
    labels, drawn = label_of(who), Counter[tuple[float, ...]]()
    held = Counter(labels.values())
    assert min(held.values()) >= 4  # so that a draw of 7 of 2 classes is one of 3 or 4 of each
    for step in watched(who):
        for (z, _), count in zip(step, (7, 3), strict=True):
            rows = [tuple(x) for x in z.tolist()]
            assert len({*rows}) == len(rows) == count
            drawn.update(rows)
            found = Counter(labels[row] for row in rows)
            assert max(found.values()) - min(found[label] for label in held) <= 1
    for label in held:
        assert chisquare([drawn[row] for row in labels if labels[row] == label]).pvalue > 1e-3


def test_rows_of_all_agents_are_balanced_together_and_come_back_alike():
    """Agents hold 5, none, 12 and 12 rows of both classes; nothing is inserted while draws are counted."""
    team = [member(agent, batch=4, lr=0.0, **BALANCED) for agent in range(4)]
    InProcessDriver().drive({who.agent: life(who, own_rows(who.agent, 1), ticks=1) for who in team})
    for who in team:
        who.each_step = False
        watched(who).clear()
    InProcessDriver().drive({who.agent: more(who, 40) for who in team})
    labels = {row: label for who in team for row, label in label_of(who).items()}
    assert len(labels) == 29
    drawn = Counter[tuple[float, ...]]()
    for who in (team[0], team[2], team[3]):
        assert watched(who)
        for step in watched(who):
            for z, total in step:
                np.testing.assert_allclose(z.sum(1), total, rtol=1e-5)
                rows = [tuple(x) for x in z.tolist()]
                assert len({*rows}) == len(rows)
                drawn.update(rows)
                found = Counter(labels[row] for row in rows)
                assert max(found.values()) - min(found[label] for label in {*labels.values()}) <= 1
    for one in {*labels.values()}:
        assert chisquare([drawn[row] for row in labels if labels[row] == one]).pvalue > 1e-3


def more(who: GradientLearner, passes: int) -> Any:
    for tick in range(passes):
        yield from who.learn(0, tick)


@pytest.mark.parametrize("scope", ["local", "global"])
def test_a_resumed_run_draws_the_same(scope):
    def team() -> list[GradientLearner]:
        return [member(agent, batch=4, scope=scope, **BALANCED) for agent in range(3)]

    whole, first, again = team(), team(), team()
    InProcessDriver().drive({who.agent: life(who, own_rows(who.agent)) for who in whole})
    InProcessDriver().drive({who.agent: life(who, own_rows(who.agent)[:1]) for who in first})
    for who, other in zip(first, again, strict=True):
        other.load(who.state(), own_rows(who.agent).__getitem__)
    InProcessDriver().drive({who.agent: life(who, own_rows(who.agent)[1:]) for who in again})
    assert [who.digest() for who in again] == [who.digest() for who in whole]
    uniform = [member(agent, batch=4, scope=scope) for agent in range(3)]
    InProcessDriver().drive({who.agent: life(who, own_rows(who.agent)) for who in uniform})
    assert uniform[2].digest() != whole[2].digest()


def test_rows_by_class_are_found_where_they_lie():
    numbers = np.array([2, 0, 2, 5, 0, 2])
    for classes in (6, 2**15):
        rows = ByClass(numbers, classes)
        assert rows.sizes[:6].tolist() == [2, 0, 3, 0, 0, 1] and len(rows.sizes) == classes
        assert rows.positions(np.array([2, 2, 0, 5]), np.array([0, 2, 1, 0])).tolist() == [0, 5, 4, 3]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (
            """
            stream.kind = "ptychography"
            model.kind = "ptychonn"
            learning.objective = "images"
            learning.terms = [{ kind = "replay", mix = "batch" }]
            """,
            "no classes",
        ),
        (
            """
            stream.dataset = "digits"
            stream.kind = "parallel"
            learning.kind = "parallel"
            memory.policy = "class-quota"
            """,
            "draws no other way",
        ),
    ],
)
def test_what_has_no_balanced_draws_says_so(changed, said):
    lines = "\n".join(line.strip() for line in changed.splitlines())
    with pytest.raises(ExperimentError, match=said):
        from_toml(f'name = "x"\nagents = 1\nmemory.draw = "class-balanced"\n{lines}')
