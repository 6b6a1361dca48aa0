"""One memory of all agents: every row as likely as any other, each with its own columns, resumed alike."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from global_fakes import life, member, own_rows, ready, watched
from learning_fakes import experiment, shape
from one_model_fakes import shard
from scipy.stats import chisquare

from mpidcl.errors import ExperimentError
from mpidcl.experiment.reading import from_toml
from mpidcl.learning.gradient.learner import GradientLearner
from mpidcl.network.inprocess import InProcessDriver
from mpidcl.stream.tasks import StreamShape
from mpidcl.testing.asking import result_of


@pytest.mark.parametrize("settings", [{}, {"one_model": True}, {"capacity": "3 rows per class"}])
def test_rows_of_all_come_to_all_each_with_its_own_columns(settings):
    team = [member(agent, batch=4, **settings) for agent in range(4)]
    InProcessDriver().drive({who.agent: life(who, own_rows(who.agent), ticks=1) for who in team})
    owner = {tuple(row): who.agent for who in team for u in (0, 1) for row in ready(who, u).tolist()}
    assert len(owner) == 2 * 40
    for who in (team[0], team[2], team[3]):  # agent 1 has no row, and so no batch
        drawn = watched(who)
        assert drawn
        for step in drawn:
            for z, total in step:
                torch.testing.assert_close(z.sum(1), total)
                assert len({tuple(x) for x in z.tolist()}) == len(z)  # no row twice in one draw
        come = {owner[tuple(row)] for step in drawn for z, _ in step for row in z.tolist()}
        assert come == {0, 2, 3}
    assert len({who.digest() for who in team}) == (1 if "one_model" in settings else 4)


def test_looks_in_the_middle_of_a_step_change_nothing(monkeypatch):
    monkeypatch.setattr("mpidcl.model.polled.EVERY_S", 0.0)

    def learned(polled):
        team, looks = [member(agent, batch=4) for agent in range(4)], []
        for who in team if polled else ():
            who.poll_in_layers(lambda: looks.append(1))
        InProcessDriver().drive({who.agent: life(who, own_rows(who.agent), ticks=1) for who in team})
        assert bool(looks) == polled
        return [who.digest() for who in team]

    assert learned(True) == learned(False)


def test_every_row_of_every_agent_is_drawn_as_often():
    """1,600 draws of 7 from 12 + 0 + 12 + 12 rows that stay: chi-square, and each draw without repetition."""
    team = [member(agent, batch=4, lr=0.0) for agent in range(4)]
    tasks = [own_rows(who.agent, 1) for who in team]
    InProcessDriver().drive(
        {who.agent: life(who, own, ticks=1) for who, own in zip(team, tasks, strict=True)}
    )
    for who in team:
        who.each_step = False  # from here nothing is inserted
        watched(who).clear()
    InProcessDriver().drive(
        {who.agent: _more(who, 150) for who in team},
    )
    held = {tuple(z.tolist()) for who in team for z in who.memory.rows()["z"]}
    counts = dict.fromkeys(held, 0)
    for who in team:
        for step in watched(who):
            for x in step[0][0].tolist():
                counts[tuple(x)] += 1
    assert len(held) == 5 + 12 + 12
    assert chisquare([*counts.values()]).pvalue > 1e-3


def _more(who: GradientLearner, passes: int) -> Any:
    for tick in range(passes):
        yield from who.learn(0, tick)


@pytest.mark.parametrize("one_model", [False, True])
def test_what_is_saved_between_two_passes_goes_on_with_the_same_bits(one_model):
    team, again = ([member(agent, batch=4, one_model=one_model) for agent in range(4)] for _ in range(2))
    InProcessDriver().drive({who.agent: _half(who) for who in team})
    for who, other in zip(team, again, strict=True):
        other.load(who.state(), own_rows(who.agent).__getitem__)
    for company in (team, again):
        InProcessDriver().drive({who.agent: _rest(who) for who in company})
    assert [who.digest() for who in team] == [who.digest() for who in again]
    counts = [[who.counters()["drawn_bytes"] for who in company] for company in (team, again)]
    assert counts[0] == counts[1] and counts[0][3] > 0
    local = [member(agent, batch=4, one_model=one_model, scope="local") for agent in range(4)]
    InProcessDriver().drive({who.agent: life(who, own_rows(who.agent)) for who in local})
    assert local[3].digest() != team[3].digest()


def _half(who: GradientLearner) -> Any:
    yield from life(who, own_rows(who.agent)[:1])
    who.begin_task(own_rows(who.agent)[1])
    yield from who.learn(1, 0)


def _rest(who: GradientLearner) -> Any:
    yield from life(who, own_rows(who.agent)[1:], first=1)


def test_pinned():
    team = [member(agent, batch=4) for agent in range(3)]
    InProcessDriver().drive({who.agent: life(who, own_rows(who.agent)) for who in team})
    assert [len(who.memory) for who in team] == [12, 0, 12]
    assert [len(watched(who)) for who in team] == [10, 0, 15]
    assert [who.counters()["drawn_bytes"] for who in team] == [8224, 720, 9624]


def test_shared_joint_tasks_are_refused():
    whole: Any = experiment(scope="global")
    whole.agents = 2
    with pytest.raises(ExperimentError, match="same memory"):
        GradientLearner(whole, 0, StreamShape((1, 6, 5), 5, 2, joint_tasks=2, joint_shared=True))


def test_a_learner_whose_terms_draw_nothing_is_refused():
    whole: Any = experiment(scope="global", terms=("replay",))
    whole.agents = 1
    who = GradientLearner(whole, 0, shape())
    who.begin_task(shard(0, 0, 20))
    with pytest.raises(ExperimentError, match="a term that draws rows"):
        result_of(who.learn(0, 0))


FILE = 'name = "x"\nagents = 2\nstream.dataset = "digits"\nmemory.scope = "global"'


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (
            '[learning]\nkind = "compositional"\n[model]\nkind = "compositional-mlp"',
            "from no other memory",
        ),
        ("[[agent]]\nids = [1]\nlearning = { lr = 0.1 }", "the same draws"),
        ('[[agent]]\nids = [1]\nmemory = { scope = "local" }', "should stand in .memory"),
        (
            "[learning]\nterms = []",
            'memory.scope: should be "local", or .learning. terms have one that draws',
        ),
        ('[learning]\nterms = ["replay", "ewc"]', "no such term"),
        ('[[agent]]\nids = [1]\nmemory = { progress = "none" }', "should stand in .memory"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(changed, said):
    with pytest.raises(ExperimentError, match=said):
        from_toml(f"{FILE}\n{changed}")


def test_a_term_that_draws_or_an_exchange_that_may_bring_one_is_let_through():
    averaging = '[[exchange]]\nkind = "parameters"\nwhen = "before"\nevery = "5 epochs"'
    for changed in ('[learning]\nterms = ["ewc", "der"]', '[learning]\nterms = ["agem"]', averaging):
        assert from_toml(f"{FILE}\n{changed}").memory.scope == "global"


def test_rows_that_do_not_travel_need_nobody_who_moves_them():
    with pytest.raises(ExperimentError, match="should not be there .* where no rows travel"):
        from_toml('name = "x"\nagents = 2\n[memory]\nprogress = "hooks"')
