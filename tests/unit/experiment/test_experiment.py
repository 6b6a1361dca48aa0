"""The experiment file: defaults, round trip, overrides per agent, and one clear line per mistake."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpidcl.errors import ExperimentError
from mpidcl.experiment.file import Experiment
from mpidcl.experiment.reading import from_tables, from_toml, load
from mpidcl.experiment.units import Cadence, Capacity

SMALL = """
name = "small"
agents = 4

[stream]
tasks = 3
joint_tasks = 1

[[exchange]]
kind = "parameters"
when = "before"
every = "5 epochs"
"""


def small(*sets: str) -> Experiment:
    return from_toml(SMALL, sets)


def mistake(*sets: str, text: str = SMALL) -> str:
    with pytest.raises(ExperimentError) as caught:
        from_toml(text, sets, "small.toml")
    assert caught.value.exit_status == 2
    message = str(caught.value)
    assert message.startswith("small.toml cannot be used")
    for jargon in ("pydantic", "Input should", "type=", "validation error"):
        assert jargon not in message
    return message


def test_defaults() -> None:
    experiment = from_toml('name = "x"\nagents = 2')
    assert experiment.network.topology == "ring"
    assert experiment.network.budget is None
    assert experiment.network.deadline is None
    assert experiment.memory.capacity == Capacity(32, "rows", "task")
    assert experiment.memory.policy == "reservoir"
    assert [term.kind for term in experiment.learning.terms] == ["replay"]
    assert experiment.learning.betas == (0.9, 0.999)
    assert experiment.evaluation.every == 10
    assert experiment.checkpoint.every == Cadence(1, "task")
    assert experiment.exchange == ()
    assert experiment.stream.options.tasks == 5


def test_units_become_numbers() -> None:
    experiment = small(
        "network.budget=96 KiB", "network.conditions.latency=5 ms", "network.conditions.bandwidth=1 GB/s",
        "network.conditions.loss=1 %", "memory.capacity=5 rows per class", "learning.epochs=3 epochs",
    )  # fmt: skip
    assert experiment.network.budget == 98304
    assert experiment.network.conditions.latency == 0.005
    assert experiment.network.conditions.bandwidth == 1e9
    assert experiment.network.conditions.loss == 0.01
    assert experiment.memory.capacity == Capacity(5, "rows", "class")
    assert experiment.learning.epochs == 3
    assert experiment.exchange[0].every == Cadence(5, "epoch")


def test_a_budget_can_be_lifted() -> None:
    assert small("network.budget=1 kB", "network.budget=none").network.budget is None


@settings(max_examples=30)
@given(
    agents=st.integers(1, 64),
    budget=st.none() | st.integers(0, 2**40),
    latency=st.floats(0, 1e6),
    lr=st.floats(1e-12, 10, exclude_min=True),
    tasks=st.integers(1, 50),
    percent=st.floats(0.01, 100),
    ids=st.lists(st.integers(0, 0), max_size=2),
)
def test_the_resolved_text_gives_an_equal_experiment(
    agents: int, budget: int | None, latency: float, lr: float, tasks: int, percent: float, ids: list[int]
) -> None:
    tables: dict[str, Any] = {
        "name": "x",
        "agents": agents,
        "network": {
            "conditions": {"latency": latency},
            "link": [{"class": "slow", "from": ids, "loss": 0.5}],
        },
        "stream": {"tasks": tasks},
        "memory": {"capacity": f"{percent!r} %"},
        "learning": {"lr": lr, "terms": ["replay", {"kind": "replay"}]},
        "exchange": [
            {"kind": "parameters", "when": "task end", "links": "slow", "method": "fedprox", "mu": 0.5}
        ],
        "agent": [{"ids": [0], "learning": {"lr": 0.5}, "stream": {"tasks": tasks + 1}}],
    }
    if budget is not None:
        tables["network"]["budget"] = budget
    experiment = from_tables(tables)
    text = experiment.to_toml()
    assert from_toml(text) == experiment
    assert from_toml(text).to_toml() == text


def test_options_of_a_kind_stand_beside_its_keys() -> None:
    exchange = small("exchange.0.method=fedprox", "exchange.0.mu=0.5").exchange[0]
    assert (exchange.options.method, exchange.options.mu) == ("fedprox", 0.5)


def test_one_agent_may_differ() -> None:
    experiment = small(
        "agent=[{ids=[1, 2], learning={epochs=7}, stream={tasks=2}}, {ids=[2], learning={lr=0.5}}]"
    )
    assert experiment.for_agent(0) == experiment.model_copy(update={"agent": ()})
    one, two = experiment.for_agent(1), experiment.for_agent(2)
    assert (one.learning.epochs, one.learning.lr, one.stream.options.tasks) == (7, 0.001, 2)
    assert (two.learning.epochs, two.learning.lr, two.stream.options.joint_tasks) == (7, 0.5, 1)


def test_another_kind_for_one_agent_forgets_the_options_of_the_first() -> None:
    experiment = small("model.kind=mlp", "model.hidden=[8]", "agent.0={ids=[1], model={kind='cnn', width=4}}")
    assert experiment.for_agent(1).model.options.width == 4
    assert experiment.for_agent(0).model.options.hidden == (8,)


def test_a_file_is_read_and_named_in_its_errors(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(SMALL)
    assert load(file) == small()
    with pytest.raises(ExperimentError, match=r"mine\.toml cannot be used; one thing needs mending"):
        load(file, ["agents=0"])
    file.write_text(SMALL, encoding="utf-8-sig")  # as some editors write it
    assert load(file) == small()
    file.write_text("agents = = 4")
    with pytest.raises(ExperimentError, match=r"mine\.toml is not valid TOML: .*line 1"):
        load(file)
    with pytest.raises(ExperimentError, match="There is no file .*none"):
        load(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("sets", "says"),
    [
        # keys
        (["learning.lrr=1"], "learning.lrr: is not a known key. Did you mean `lr`?"),
        (["netwrk.budget=1"], "netwrk: is not a known key. Did you mean `network`?"),
        (["stream.taks=1"], "stream.taks: is not a known key. Did you mean `tasks`?"),
        (["exchange.0.methd=average"], "exchange.0.methd: is not a known key. Did you mean `method`?"),
        (["exchange.0.xyzzy=1"], 'xyzzy: is not a known key. Known here: blocks'),
        (["exchange.0.xyzzy=1"], '(kind is "parameters")'),
        (["network.conditions.los=0"], "network.conditions.los: is not a known key. Did you mean `loss`?"),
        (["network.link.0.clas=a"], "network.link.0.clas: is not a known key. Did you mean `class`?"),
        # types
        (["learning.lr=fast"], 'learning.lr: should be a number. Found "fast". (lr: step size)'),
        (['agents="4"'], 'agents: should be a whole number. Found "4"'),
        (["agents=2.5"], "agents: should be a whole number. Found 2.5"),
        (["agents=true"], "agents: should be a whole number. Found true"),
        (["stream.tasks=many"], 'stream.tasks: should be a whole number. Found "many"'),
        (["learning.reset_optimizer=1"], "learning.reset_optimizer: should be true or false. Found 1"),
        (["name=3"], "name: should be text in quotes"),
        (["network.shape=4"], "network.shape: should be a list"),
        (["network.shape=[2]"], "network.shape.1: is missing"),
        (["network=4"], "network: should be a table. Found 4"),
        (["exchange.0=parameters"], 'exchange.0: should be a table. Found "parameters"'),
        # units
        (["network.budget=3 kib"], "network.budget: should be a size"),
        (["exchange.0.every=5"], "exchange.0.every: should be a number and a unit"),
        (["memory.capacity=many"], "memory.capacity: should be a capacity"),
        (["learning.epochs=1.5"], "learning.epochs: should be a number of epochs"),
        (["network.conditions.bandwidth=1 GB"], "network.conditions.bandwidth: should be a bandwidth"),
        (["network.deadline=0 s"], "network.deadline: should be more than 0"),
        # ranges
        (["agents=0"], "agents: should be at least 1. Found 0"),
        (["seed=-1"], "seed: should be at least 0. Found -1"),
        (["learning.lr=0"], "learning.lr: should be more than 0"),
        (["learning.lr=inf"], "learning.lr: should be a finite number. Found inf"),
        (["learning.betas=[0.9, nan]"], "learning.betas.1: should be a finite number. Found nan"),
        (["learning.momentum=1"], "learning.momentum: should be less than 1"),
        (["network.conditions.loss=2"], "between 0 and 1. Found 2"),
        (["name="], "name: should not be empty"),
        (["name=.."], 'name: should name a folder: letters, digits'),
        (["name=."], 'at least one of them a letter or digit, at most 60 in all. Found "."'),
        (["name=a/b"], 'Found "a/b"'),
        (['name="../../x"'], 'Found "../../x"'),
        (["name=" + 61 * "n"], "at most 60 in all"),
        (["stream.tasks=0"], "stream.tasks: should be at least 1. Found 0"),
        # kinds
        (["network.topology=rink"], 'topology: should be one of "complete", "ring"'),
        (["exchange.0.kind=paramters"], 'exchange.0.kind: should be one of "parameters", "data"'),
        (["exchange.0.kind=paramters"], 'Did you mean "parameters"?'),
        (["learning.terms=[replai]"], "--set"),
        (['learning.terms=["replai"]'], 'learning.terms.0.kind: should be one of "replay"'),
        (["learning.terms=[{}]"], "learning.terms.0.kind: is missing"),
        (["learning.optimizer=adm"], 'learning.optimizer: should be one of "sgd", "adam", "adamw"'),
        (["stream.dataset=mnits"], 'Did you mean "mnist"?'),
        (["memory.policy=resevoir"], 'Did you mean "reservoir"?'),
        (["clock=sundial"], 'clock.kind: should be one of "lockstep", "virtual", "free", or'),
        (["clock.kind=lockstp"], 'Found "lockstp". Did you mean "lockstep"?'),
        (["clock=nowhere.at:All"], 'clock.kind: cannot import "nowhere.at:All"'),
        (["clock={rate=2.0}"], "clock.kind: is missing"),
        (["model.kind=nowhere.at:All"],
         'model.kind: cannot import "nowhere.at:All": there is no module `nowhere`'),
        # what must fit together
        (["exchange.0.when=task start"],
         'exchange.0.every: should be like "1 task", because `when` is "task start"'),
        (["exchange.0.every=1 task"],
         'exchange.0.every: should be like "5 epochs", because `when` is "before"'),
        (['exchange=[{kind="modules", when="after", every="2 epochs"}]'],
         'exchange.0.when: should be "task start" or "before" for modules'),
        (['exchange=[{kind="modules", when="task end", every="1 task"}]'], 'Found "task end"'),
        (["exchange.0.links=slow"],
         'links: should be "all" or the class of a [[network.link]] (none in this file)'),
        (["network.link.0.class=slow", "exchange.0.links=slwo"], 'Found "slwo". Did you mean "slow"?'),
        (["stream.tasks=1"], "from_task: should be between 0 and 0, the last task. It is not given"),
        (["exchange.0.from_task=3"],
         "exchange.0.from_task: should be between 0 and 2, the last task. Found 3"),
        (["network.topology=grid", "network.shape=[3, 2]"], "whose product is agents = 4. Found [3, 2]"),
        (["network.topology=hypercube", "agents=3"], "power of two for a hypercube, such as 2 or 4. Found 3"),
        (["network.topology=file"], 'network.file: is missing: the topology "file"'),
        (["network.topology=small-world"], "network.neighbours: should be less than agents = 4"),
        (["network.link.0.from=[0, 9]"], "network.link.0.from: should hold agents between 0 and 3. Found 9"),
        (["agent.0={ids=[4], learning={lr=1.0}}"],
         "agent.0.ids: should hold agents between 0 and 3. Found 4"),
        (["agent.0={ids=[1]}"], "agent.0: changes nothing"),
        (["agent.0={ids=[1], learning={lrr=1.0}}"], "learning.lrr: is not a known key. Did you mean `lr`?"),
        (["agent.0={ids=[1], stream={tasks=0}}"], "stream.tasks: should be at least 1. Found 0"),
        (["checkpoint.every=5 ticks"], "checkpoint.every: should be in tasks, epochs or minutes"),
        (["checkpoint.every=5"], 'checkpoint.every: should be a number and a unit such as "1 task"'),
        (["checkpoint.every=0.2 s"], "at least 1 s"),
    ],
)  # fmt: skip
def test_each_mistake_has_its_line(sets: list[str], says: str) -> None:
    if says == "--set":
        with pytest.raises(ExperimentError, match="--set"):
            small(*sets)
    else:
        assert says in mistake(*sets)


def test_what_is_missing_is_said() -> None:
    message = mistake(text="[network]")
    assert "name: is missing" in message
    assert "agents: is missing" in message


def test_all_mistakes_of_a_file_come_at_once() -> None:
    message = mistake("agents=0", "learning.lr=x", "stream.tasks=0", "exchange.0.when=never", "nonsense=1")
    assert "5 things need mending" in message
    assert len(message.splitlines()) == 7


def test_the_end_of_the_message_says_how_to_mend() -> None:
    assert mistake("agents=0").splitlines()[-1].startswith("Edit the file, or add e.g. --set")
