"""Learning rates: every schedule by its formula, each task anew, the same bits after a stop ."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from learning_fakes import learner, live, task
from one_model_fakes import member

from mpidcl.errors import ExperimentError
from mpidcl.experiment.reading import from_toml
from mpidcl.learning.schedules import Constant, Cyclic, Pace, Schedule, Steps
from mpidcl.run import simulation
from mpidcl.testing.asking import result_of

FILE = 'name = "x"\nagents = 2\n[stream]\ntasks = 2\n'


def table(kind: type[Schedule], **options: Any) -> Any:
    return SimpleNamespace(kind=f"{kind.__module__}:{kind.__name__}", options=kind.Options(**options))


def rates(kind: type[Schedule], agents: int = 1, lr: float = 0.1, **options: Any) -> Schedule:
    return kind(kind.Options(**options), lr, agents)


def test_rates_of_the_published_steps():
    """Warm-up 5, x 0.5 at 21, x 0.05 at 26, x 0.01 at 28, scaled by 8 agents: from lr to 8 lr and down."""
    who = rates(Steps, 8, at=(21, 26, 28), factors=(0.5, 0.05, 0.01), warm_up=5, by_agents=True)
    found = {epoch: who.rate(epoch, 0) for epoch in (0, 2.5, 5, 20.99, 21, 25.99, 26, 28, 30)}
    wanted = {0: 0.1, 2.5: 0.45, 5: 0.8, 20.99: 0.8, 21: 0.4, 25.99: 0.4, 26: 0.04, 28: 0.008, 30: 0.008}
    assert found == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize(("agents", "factor"), [(1, 1), (64, 64), (100, 64)])
def test_agents_are_counted_up_to_64(agents: int, factor: int):
    assert rates(Constant, agents, by_agents=True).rate(3, 0) == 0.1 * factor
    assert rates(Constant, agents).rate(3, 0) == 0.1


def test_warm_up_by_oneself_begins_at_zero():
    assert [rates(Constant, warm_up=4).rate(epoch, 0) for epoch in (0, 1, 3, 4, 9)] == pytest.approx(
        [0, 0.025, 0.075, 0.1, 0.1]
    )


def test_cycles_are_those_of_the_paper():
    """By the sum of a triangle wave and its decay, and by values worked out by hand."""
    who = rates(Cyclic, lr=1e-4, highest=5e-4, half_cycle=4, gamma=0.9)
    by_hand = [1, 2, 3, 4, 3, 2, 1, 0, 1]
    wanted = [1e-4 + 4e-4 * (height / 4) * 0.9**step for step, height in enumerate([0, *by_hand])]
    assert [who.rate(0, step) for step in range(10)] == pytest.approx(wanted, rel=1e-12)
    assert who.rate(0, 4) == pytest.approx(3.6244e-4, rel=1e-12)
    odd = rates(Cyclic, lr=0.0, highest=1.0, half_cycle=2.5)
    assert [odd.rate(0, step) for step in range(6)] == pytest.approx([0, 0.4, 0.8, 0.8, 0.4, 0])


def test_every_step_takes_its_rate_and_every_task_begins_anew(monkeypatch: pytest.MonkeyPatch):
    who = member(0, 1, schedule=table(Steps, at=(1.0, 2.0), factors=(0.5, 0.25), warm_up=1), lr=0.08, batch=8)
    taken: list[float] = []
    step = who.optimizer.step
    monkeypatch.setattr(who.optimizer, "step", lambda *rest: (taken.append(who.optimizer.lr), step(*rest)))
    live(who, [task(0), task(1, rows=8)], ticks=3)
    first = [0, 0.08 / 3, 0.16 / 3, 0.04, 0.04, 0.04, 0.02, 0.02, 0.02]  # 20 rows: 3 steps an epoch
    second = [0, 0.04, 0.04, 0.04, 0.02, 0.02]  # 8 rows of its own and 6 of the memory
    assert taken == pytest.approx([*first, *second])
    who.begin_task(task(2))
    assert who.optimizer.lr == 0.08, "between two tasks it is that of the file"


def test_resumed_is_as_never_stopped():
    schedule = table(Cyclic, highest=0.1, half_cycle=2.5, gamma=0.99)
    tasks = [task(0), task(1)]
    whole, stopped, again, other = (member(0, 1, schedule=schedule, lr=1e-3) for _ in range(4))
    for who in (whole, stopped):
        live(who, tasks[:1])
        who.begin_task(tasks[1])
        result_of(who.learn(1, 0))
    again.load(stopped.state(), tasks.__getitem__)
    for who in (whole, again):
        result_of(who.learn(1, 1))
    assert again.digest() == whole.digest() and again.optimizer.lr == whole.optimizer.lr
    other.load({**stopped.state(), "steps_of_task": 0}, tasks.__getitem__)
    result_of(other.learn(1, 1))
    assert other.digest() != whole.digest(), "the number of steps matters"


def test_without_a_schedule_nothing_is_kept():
    who = learner()
    assert type(who.pace) is Pace and "steps_of_task" not in who.state()
    assert member(0, 3, schedule=table(Constant, by_agents=True), lr=0.1).pace.state() == {"steps_of_task": 0}


def test_agents_of_one_model_take_the_same_rates(tmp_path):
    """One with fewer rows, and so fewer batches, follows: else their models would come apart."""
    text = FILE + 'draw = "dirichlet"\nalpha = 0.1\ntrain_per_class = 30\ntest_per_class = 5\n[learning]\n'
    text += (
        'one_model = true\nepochs = 2\nbatch = 4\nterms = []\nschedule = {kind = "cyclic", highest = 0.01,'
    )
    text += " half_cycle = 3, by_agents = true, warm_up = 1}\n[model]\nhidden = [8]\n"
    assert simulation.run(from_toml(text), tmp_path / "run", driver="inprocess", quiet=True) == 0


@pytest.mark.parametrize(
    ("said", "table"),
    [
        (r"`at` should be epochs that rise", 'schedule = {kind = "steps", at = [3, 2], factors = [1, 1]}'),
        (
            r"and `factors` have one number for each",
            'schedule = {kind = "steps", at = [3], factors = [1, 1]}',
        ),
        ("schedule.at: is missing|at.*required", 'schedule = "steps"'),
        ("highest", 'schedule = {kind = "cyclic", half_cycle = 3, highest = 0}'),
        ("whose step size is the same throughout", 'kind = "compositional"\nschedule = "constant"'),
        ("should be one of", 'schedule = "cosine"'),
    ],
)
def test_what_is_wrong_is_said(said: str, table: str):
    with pytest.raises(ExperimentError, match=said):
        from_toml(f"{FILE}[learning]\n{table}")


def test_a_file_keeps_its_schedule_and_hears_of_a_scale_without_use():
    text = f'{FILE}[learning]\nschedule = {{kind = "constant", by_agents = true}}'
    experiment = from_toml(text)
    assert from_toml(experiment.to_toml()) == experiment
    assert "each has a model of its own" in simulation.check(experiment)
    assert "schedule" not in from_toml(FILE).to_toml()
    bare = from_toml(f'{FILE}[learning]\nschedule = "constant"')
    assert bare.learning.schedule is not None and bare.learning.schedule.options.warm_up == 0
