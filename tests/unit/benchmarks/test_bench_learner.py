"""`mpidcl bench learner`: contestants learn the same net on the same rows, and rows can be read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mpidcl.benchmarks import learner_step
from mpidcl.cli import main

ROW: dict[str, Any] = {"bench": "learner", "net": learner_step.DCL, "name": "mpidcl"}


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learner_step, "ROWS", 8)
    monkeypatch.setattr(learner_step, "BATCH", 4)


@pytest.mark.parametrize("net", learner_step.NETS)
def test_the_nets_are_equally_large(net: str) -> None:
    learner = learner_step.learner(net, learner_step._task())
    plain = learner_step.plain_net(net)
    assert sum(p.numel() for p in plain.parameters()) == len(learner.parameters.data)
    assert sum(p.numel() for p in plain.parameters() if p.requires_grad) == len(learner.parameters.grad)


def test_every_contestant_learns(monkeypatch: pytest.MonkeyPatch) -> None:
    net = "MLP 784-256-256-10"
    task = learner_step._task()
    learner, plain = learner_step.learner(net, task), learner_step.plain_net(net)
    monkeypatch.setattr(learner_step, "learner", lambda net, task: learner)
    monkeypatch.setattr(learner_step, "plain_net", lambda net: plain)
    before = learner.digest()
    weights = [p.detach().clone() for p in plain.parameters()]
    for work in learner_step.contestants(net).values():
        work()
    assert learner.digest() != before
    assert all(not one.equal(now) for one, now in zip(weights, plain.parameters(), strict=True))


def test_rows_become_a_table() -> None:
    lines = learner_step.markdown([ROW | {"cpu_s": 0.0012, "times_plain": 0.444}])
    assert lines[0] == "| net |  | a step | times plain |"
    assert lines[-1] == f"| {learner_step.DCL} | mpidcl | 1.20 ms | 0.44 |"


def test_the_command_writes_what_it_measures(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    row = ROW | {"cpu_s": 0.0012, "times_plain": 0.444}
    monkeypatch.setattr(learner_step, "measure", lambda rounds: iter([row]))
    with pytest.raises(SystemExit) as done:
        main(["bench", "learner", "--json", str(tmp_path / "lines")])
    assert not done.value.code and "1.20 ms" in capsys.readouterr().out
    assert '"times_plain": 0.444' in (tmp_path / "lines").read_text()


def test_the_plain_loop_is_what_others_are_compared_with(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learner_step, "use_threads", lambda count: None)
    monkeypatch.setattr("mpidcl.benchmarks.timing.ROUND_S", 0.0)
    rows = list(learner_step.measure(rounds=1))
    assert len(rows) == 3 * len(learner_step.NETS)
    assert [row["times_plain"] for row in rows if row["name"] == learner_step.PLAIN] == [1.0] * 3
