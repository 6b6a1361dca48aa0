"""`mpidcl bench baselines`: both contestants learn the same net, and the parts of a step are measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from mpidcl.benchmarks import baseline_step, plain_baselines
from mpidcl.cli import main
from mpidcl.testing.asking import result_of

ROW: dict[str, Any] = {
    "bench": "baselines",
    "method": "DER++",
    "plain_s": 0.004,
    "cpu_s": 0.002,
    "times_plain": 0.5,
    "parts_s": dict.fromkeys(baseline_step.PARTS, 0.00025),
}


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baseline_step, "ROWS", 40)
    monkeypatch.setattr(baseline_step, "CAPACITY", 128)


@pytest.mark.parametrize("method", baseline_step.METHODS)
def test_both_learn_nets_of_one_size(method: str) -> None:
    made = baseline_step.learner(method)
    plain = plain_baselines.Plain(0.1)
    assert sum(p.numel() for p in plain.net.parameters()) == len(made.parameters.data)
    before, weights = made.digest(), [p.detach().clone() for p in plain.net.parameters()]
    result_of(made.learn(1, 0))
    step = baseline_step.METHODS[method][3](plain)
    rows, places = torch.rand(10, 784), torch.arange(10)
    for _ in range(2):  # the second one with a memory
        step(rows, places % 2, places)
    assert made.digest() != before
    assert all(not one.equal(now) for one, now in zip(weights, plain.net.parameters(), strict=True))


def test_the_parts_of_a_step_are_those_that_a_method_has() -> None:
    made = baseline_step.learner("DER++")
    draw = vars(made).get("_draw")
    found = baseline_step.parts(made, 1)
    assert tuple(found) == baseline_step.PARTS and min(found.values()) > 0
    assert vars(made).get("_draw") is draw  # nothing is left of the clocks
    assert baseline_step.parts(baseline_step.learner("SGD"), 1)["draw"] == 0


def test_rows_become_a_table() -> None:
    lines = baseline_step.markdown([ROW])
    assert (
        lines[0]
        == "| method | plain PyTorch | mpidcl | times plain | "
        + " | ".join((*baseline_step.PARTS, "")).rstrip(" |")
        + " |"
    )
    assert lines[-1] == "| DER++ | 4.00 ms | 2.00 ms | 0.50" + " | 250 us" * 5 + " |"


def test_the_command_writes_what_it_measures(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(baseline_step, "measure", lambda rounds: iter([ROW]))
    with pytest.raises(SystemExit) as done:
        main(["bench", "baselines", "--json", str(tmp_path / "lines")])
    assert not done.value.code and "optimiser 250 us" in capsys.readouterr().out
    assert '"times_plain": 0.5' in (tmp_path / "lines").read_text()


def test_every_method_is_measured_beside_the_plain_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baseline_step, "use_threads", lambda count: None)
    monkeypatch.setattr("mpidcl.benchmarks.timing.ROUND_S", 0.0)
    rows = list(baseline_step.measure(rounds=1))
    assert [row["method"] for row in rows] == list(baseline_step.METHODS)
    assert all(row["cpu_s"] > 0 and row["plain_s"] > 0 for row in rows)
