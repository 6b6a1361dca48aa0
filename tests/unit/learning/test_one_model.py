"""Agents that train one model: the step of one agent with all rows, one model everywhere, resumed alike."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from learning_fakes import compositional, experiment, learner, live, shape
from one_model_fakes import PLAIN, equal_cuts, life, lives, member, shard

from mpidcl.errors import ExperimentError
from mpidcl.experiment.reading import from_toml
from mpidcl.learning.gradient.learner import GradientLearner
from mpidcl.learning.terms.der import DER
from mpidcl.model.layers import BatchNorm
from mpidcl.network.inprocess import InProcessDriver
from mpidcl.randomness import numpy_generator
from mpidcl.stream.tasks import StreamShape

UNEQUAL = [0, 7, 7, 33, 40]
"""7, 0, 26 and 7 rows: in batches of 8, one, none, four and one."""


def run(agents: int, cuts: list[int], **settings: object) -> dict[int, GradientLearner]:
    made: dict[int, GradientLearner] = {}
    start = lives(agents, cuts, made, **settings)
    InProcessDriver().drive({agent: start(agent) for agent in range(agents)})
    assert len({who.digest() for who in made.values()}) == 1
    return made


@pytest.mark.parametrize("agents", [2, 3, 4])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_step_is_that_of_one_agent_with_the_joined_batch(agents, optimizer):
    """To 1e-4 of a weight: float32 sums of rows in another order."""
    settings = PLAIN | {"optimizer": optimizer, "lr": 0.1 if optimizer == "sgd" else 1e-3}
    cuts = [0, 5, 40] if agents == 2 else equal_cuts(agents)
    found = run(agents, cuts, batch=40, **settings)[0]
    alone = member(0, 1, batch=40, **settings)
    live(alone, [shard(index, 0, 40) for index in range(2)], ticks=2)
    torch.testing.assert_close(found.parameters.data, alone.parameters.data, rtol=1e-4, atol=1e-5)
    assert not torch.equal(member(0, 1, **settings).parameters.data, alone.parameters.data)


@pytest.mark.parametrize("agents", [2, 4])
def test_agents_with_the_same_rows_take_the_very_step_of_one(agents):
    """n gradients with equal bits and weights 1 / n have a mean of those bits, if n is a power of two."""
    tasks = [shard(index, 0, 20) for index in range(2)]
    team = [member(agent, agents, **PLAIN) for agent in range(agents)]
    for who in team:
        who.shuffle = numpy_generator(0, 0, "shuffle")
    InProcessDriver().drive({agent: life(who, tasks) for agent, who in enumerate(team)})
    alone = member(0, 1, **PLAIN)
    live(alone, tasks, ticks=2)
    assert {who.digest() for who in team} == {alone.digest()}


def test_an_agent_by_itself_is_a_learner_like_any_other():
    plain, one = learner(), member(0, 1)
    plain.model.flat.load(one.model.flat.state())  # the first weights of one model are everybody's
    for who in (plain, one):
        live(who, [shard(index, 0, 20) for index in range(2)])
    assert plain.digest() == one.digest()


@pytest.mark.parametrize("settings", [{}, {"kind": "resnet18", "options": {"width": 2}}])
def test_the_largest_share_says_how_many_steps_there_are(settings):
    made = run(4, UNEQUAL, terms=(), batch=8, **settings)
    assert {int(who.optimizer.steps[0]) for who in made.values()} == {2 * 2 * 4}
    assert made[0].parameters.buffers.numel() == (0 if not settings else made[1].parameters.buffers.numel())
    assert made[0].counters()["combined_bytes"] > 0


def test_passes_of_terms_leave_the_statistics_of_batches_alone():
    """They are those of the batches, and variances: with every pass of 8 agents some became negative."""
    drawing = {"kind": "resnet18", "options": {"width": 2}, "capacity": "20 rows", "insert": "each step"}
    made = {agent: member(agent, 8, terms=(), **drawing) for agent in range(8)}
    norms = [part for part in made[0].model.modules() if isinstance(part, BatchNorm)]
    lowest = []
    for agent, who in made.items():
        who.add_term(DER(DER.Options(beta=1.0, rows_per_step=5), who))
        apply = who.sharing._statistics.apply

        def spied(contributions, agent=agent, apply=apply):
            apply(contributions)
            lowest.append(min(norm.running_var.min().item() for norm in norms) if agent == 0 else 1.0)

        who.sharing._statistics.apply = spied
    tasks = {agent: [shard(index, 5 * agent, 5 * agent + 5) for index in range(2)] for agent in made}
    InProcessDriver().drive({agent: life(who, tasks[agent]) for agent, who in made.items()})
    assert len({who.digest() for who in made.values()}) == 1
    assert len(lowest) == 8 * 4 and min(lowest) > 0


def test_terms_and_memory_are_each_agents_own():
    made = run(3, equal_cuts(3), insert="each step", capacity="6 rows")
    rows = [who.memory.rows()["x"].tobytes() for who in made.values()]
    assert len(set(rows)) == 3
    heads = made[0].parameters.segments
    assert made[0].optimizer.steps.tolist().count(0) == sum(s.kind == "heads" for s in heads) - 2


def test_all_begin_each_task_with_the_same_new_weights():
    """From scratch at each task: of one model, and what it has learned is lost."""
    team = [member(agent, 2, **PLAIN, ways={"restart": True}) for agent in range(2)]
    alone = member(0, 1, **PLAIN, ways={"restart": True})
    firsts = []
    for index in range(2):
        for who in (*team, alone):
            who.begin_task(shard(index, 0, 20))
        firsts.append(alone.digest())
        assert {who.digest() for who in team} == {firsts[-1]}
        InProcessDriver().drive({agent: who.learn(index, 0) for agent, who in enumerate(team)})
        assert team[0].digest() == team[1].digest() != firsts[-1]
    assert firsts[0] != firsts[1]


@pytest.mark.parametrize("ways", [{}, {"restart": True}])
def test_resumed_is_as_never_stopped(ways):
    tasks = [[shard(index, 10 * agent, 10 * agent + 10) for index in range(3)] for agent in range(3)]
    settings = {"options": {"hidden": [8], "dropout": 0.3}, "optimizer": "adam", "ways": ways}

    def go(team: list[GradientLearner], first: int, stop: int) -> None:
        parts = (life(who, own[first:stop]) for who, own in zip(team, tasks, strict=True))
        InProcessDriver().drive(dict(enumerate(parts)))

    straight, first, second = ([member(agent, 3, **settings) for agent in range(3)] for _ in range(3))
    go(straight, 0, 3)
    go(first, 0, 2)
    for before, after, own in zip(first, second, tasks, strict=True):
        after.load(before.state(), own.__getitem__)
    go(second, 2, 3)
    assert {who.digest() for who in second} == {straight[0].digest()}
    sent = [[who.counters()["combined_bytes"] for who in team] for team in (second, straight)]
    assert sent[0] == sent[1]


FILE = 'name = "x"\nagents = 2\n[learning]\none_model = true\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('kind = "compositional"\n[model]\nkind = "compositional-mlp"', "learning.one_model.*compositional"),
        (
            'kind = "parallel"\n[stream]\nkind = "parallel"\n[memory]\npolicy = "class-quota"',
            "learning.one_model.*parallel.*spread",
        ),
        (
            '[[exchange]]\nkind = "parameters"\nwhen = "before"\nevery = "5 epochs"',
            "exchange.0.*one model already",
        ),
        ("[[agent]]\nids = [1]\nlearning = { epochs = 3 }", "agent.0.learning.*the same steps"),
    ],
)
def test_what_does_not_go_with_one_model_is_refused(text, said):
    with pytest.raises(ExperimentError, match=said):
        from_toml(FILE + text)


def test_shared_joint_rows_are_refused():
    whole = experiment(one_model=True)
    whole.agents = 2
    where = shape()
    joint = StreamShape(where.input_shape, where.heads, 2, joint_tasks=2, joint_shared=True)
    with pytest.raises(ExperimentError, match='joint_shared should be false.*"iid"'):
        GradientLearner(whole, 0, joint)


def test_what_is_dealt_is_learned_by_all(tmp_path):
    """A whole run: agents of an IID stream end with one digest."""
    from mpidcl.testing.company import Company

    text = FILE.replace("agents = 2", "agents = 3") + (
        'epochs = 2\nbatch = 16\n[stream]\ntasks = 2\nclasses_per_task = 2\ndraw = "iid"\nreplacement = true'
        "\ntrain_per_class = 16\nvalidation_per_class = 2"
    )
    company = Company(from_toml(text))
    company.live()
    assert len({who.digest() for who in company.learners}) == 1
    assert not np.array_equal(*(stream.task(0).train.index for stream in company.streams[:2]))
    assert compositional(one_model=False).trains_one_model is False
