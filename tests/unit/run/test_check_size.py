"""What does not fit is said with its bytes before it is made, and a large network is looked at in part."""

from __future__ import annotations

from pathlib import Path

import pytest

from mpidcl.base import machine
from mpidcl.errors import ExperimentError
from mpidcl.experiment.file import Experiment
from mpidcl.experiment.reading import from_toml
from mpidcl.model.size import BEYOND, size_of
from mpidcl.network.schedule.graphs import build_topology
from mpidcl.run import alike, building, needs, simulation
from mpidcl.run.preview import check

SMALL = """
name = "size"
agents = 4
[stream]
tasks = 2
train_per_class = 20
[learning]
epochs = 1
[[exchange]]
kind = "parameters"
when = "task end"
"""
PARALLEL = """
name = "size"
agents = 2
stream.kind = "parallel"
stream.tasks = 2
memory.policy = "class-quota"
memory.capacity = "5 rows per class"
learning.kind = "parallel"
model.hidden = [16]
"""
MODULAR = """
name = "size"
agents = 2
[stream]
tasks = 3
joint_tasks = 1
[model]
kind = "compositional-mlp"
[learning]
kind = "compositional"
candidates = 2
"""


def experiment(*sets: str, text: str = SMALL) -> Experiment:
    return from_toml(text, list(sets))


@pytest.fixture
def little(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine of 3 MiB."""
    for module in ("mpidcl.run.needs", "mpidcl.memory.buffer"):
        monkeypatch.setattr(f"{module}.memory_bytes", lambda: 3 * 2**20)


@pytest.mark.parametrize(
    ("text", "sets"),
    [
        (SMALL, []),
        (SMALL, ["learning.optimizer=sgd"]),
        (SMALL, ["model.kind=cnn"]),
        (SMALL, ["model.kind=resnet18", "model.width=4", "model.init=he-normal"]),
        (MODULAR, []),
        (PARALLEL, []),
    ],
)
def test_the_bytes_of_a_model_are_known_before_it_is_made(text: str, sets: list[str]) -> None:
    one = experiment(*sets, text=text)
    agent = building.build_agent(one, build_topology(one.network, one.agents, 0), 0)
    flat, moments = agent.learner.parameters, agent.learner.optimizer.moments
    made = 4 * (len(flat.data) + len(flat.grad) + sum(map(len, moments.values())))
    assert type(agent.learner).model_bytes(one, agent.stream.shape) == made
    assert needs.need_of(one, agent.stream).model == made


def test_a_size_that_cannot_be_counted_is_beyond_all() -> None:
    one = experiment("model.kind=cnn", "model.width=1000000000")
    shape = building.kinds.resolve("stream", "serial")(one, 0).shape
    found = size_of(one.model, shape)
    assert found is not None and found.parameters == BEYOND


@pytest.mark.parametrize(
    "change",
    [
        "model.width=1000000000", "model.hidden=[1000000, 1000000]", "model={kind='cnn', width=1000000000}",
        "model={kind='resnet18', width=1000000}", "memory.capacity=1000000000000 rows per task",
        "memory.capacity=100 TiB", "memory.capacity=1000000000000 rows",
    ],
)  # fmt: skip
def test_what_fits_into_no_machine_of_ours_is_refused_with_its_bytes(change: str) -> None:
    for text in (SMALL, MODULAR) if change.startswith("memory") else (SMALL,):
        with pytest.raises(ExperimentError, match=r"would( be)? need(ed)?|At least .*(iB|bytes)"):
            check(experiment(change, text=text))


def test_the_quota_and_received_rows_too() -> None:
    with pytest.raises(ExperimentError, match="which would need 2.34 PiB"):
        check(experiment("memory.capacity=1000000000000 rows per class", "stream.tasks=5", text=PARALLEL))
    data = "exchange.0={kind='data', when='task end', capacity='1000000000000 rows per task'}"
    with pytest.raises(ExperimentError, match="1,000,000,000,000 rows, which would need"):
        check(experiment(data, "stream.tasks=3"))


def test_check_says_what_all_agents_need_and_notes_that_they_do_not_fit_here(little: None) -> None:
    assert "all together at least" in check(experiment()) and "do not fit" not in check(experiment())
    text = check(experiment("agents=40"))
    assert "\n40 agents need at least" in text
    assert "this machine has 3.00 MiB\nnote: they do not fit into this machine." in text
    with pytest.raises(ExperimentError, match="An agent on this machine should fit .* 3.00 MiB. At least"):
        check(experiment("model.width=400"))


def test_a_run_that_does_not_fit_ends_before_it_allocates(
    little: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(simulation, "build_agent", lambda *_: pytest.fail("an agent was built"))
    with pytest.raises(ExperimentError, match="The agents that run on this machine should fit"):
        simulation.run(experiment("agents=40"), tmp_path / "run", driver="inprocess")


def test_limits_of_control_groups(tmp_path: Path) -> None:
    own = tmp_path / "cgroup"
    own.write_text("4:memory:/job/step\n0::/user/job\n3:cpu:/x\n")
    for folder in ("memory/job/step", "user/job"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "memory/job/memory.limit_in_bytes").write_text("5000\n")
    (tmp_path / "user/job/memory.max").write_text("max\n")
    (tmp_path / "user/memory.max").write_text("7000\n")
    assert sorted(machine._limits(own, tmp_path)) == [5000, 7000, 2**62]
    assert list(machine._limits(tmp_path / "none", tmp_path)) == [2**62]
    assert 2**28 < machine.memory_bytes() <= 2**62


def test_a_large_network_is_looked_at_in_part(monkeypatch: pytest.MonkeyPatch) -> None:
    built = []
    make = building.build_agent
    monkeypatch.setattr("mpidcl.run.preview.build_agent", lambda *a: built.append(a[2]) or make(*a))
    rule = "agent.0={ids=[5, 70], learning={epochs=3}}"
    text = check(experiment("agents=300", rule, "network.link.0={from=[9], budget='70 KiB'}"))
    assert len(built) < 16
    assert "298 agents: 2 tasks, 2 epochs" in text and "2 agents: 2 tasks, 6 epochs" in text
    assert "298 agents need at least" in text and "2 links such as link 9 -> 8 (budget 70 KiB)" in text


def test_a_fault_of_one_link_among_many_is_found() -> None:
    with pytest.raises(ExperimentError, match="budget should be at least .* on link 100 -> 99"):
        check(experiment("agents=120", "network.link.0={from=[100], to=[99], budget='100 B'}"))
    with pytest.raises(ExperimentError, match="agents 76 and 77|agents 77 and 76"):
        check(experiment("agents=120", "agent.0={ids=[77], model={width=32}}"))


def test_kinds_of_agents_and_links() -> None:
    one = experiment(
        "agents=6", "agent.0={ids=[2, 4], learning={lr=0.5}}", "agent.1={ids=[4], model={width=8}}"
    )
    assert one.alike() == [[0, 1, 3, 5], [2], [4]]
    crowd = alike.Crowd.of(one, build_topology(one.network, 6, 0))
    assert crowd.kinds == [0, 0, 1, 0, 2, 0]
    assert sum(one.number for one in crowd.links) == 12
    assert crowd.chosen == [0, 1, 2, 3, 4]


def memory_of(*sets: str, text: str = SMALL) -> int:
    one = experiment("memory.capacity=5 rows per class", "stream.train_per_class=20", *sets, text=text)
    return needs.need_of(
        one, building.build_agent(one, build_topology(one.network, one.agents, 0), 0).stream
    ).memory


@pytest.mark.parametrize(
    ("sets", "text", "rows"),
    [
        ([], SMALL, 2 * 2 * 5),  # a head per task, so each task has classes of its own
        (["stream.incremental=class", "stream.tasks=4"], SMALL, 8 * 5),
        (["stream.incremental=domain", "stream.tasks=5"], SMALL, 2 * 5),
        (["stream.draw=iid", "agents=100"], SMALL, 2 * 2 * 1),
        (["stream.draw=dirichlet"], SMALL, 0),
        (["stream.draw=classes", "agents=100"], SMALL, 2 * 1 * 2),
        (["agents=1"], PARALLEL, 10 * 5),
        ([], PARALLEL, 0),  # one of the agents keeps it
    ],
)
def test_no_more_memory_is_asked_for_than_will_be_filled(sets: list[str], text: str, rows: int) -> None:
    assert memory_of(*sets, text=text) == rows * 64 * 4
