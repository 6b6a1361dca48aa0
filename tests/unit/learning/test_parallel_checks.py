"""Streams that run side by side: what of an experiment does not fit together is named."""

from __future__ import annotations

import pytest
from parallel_fakes import COMMON

from mpidcl.errors import ExperimentError
from mpidcl.experiment.reading import from_toml
from mpidcl.experiment.units import Cadence
from mpidcl.run.building import schedule_time


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ('learning.kind="gradient"', "learning.kind|learning.combiner"),
        ('memory.policy="reservoir"', "class-quota"),
        ('stream.kind="serial"', "stream"),
        ('checkpoint.every="5 epochs"', "in tasks"),
        ('stream.memory_agent="own"', "2 agents"),
        ('exchange=[{kind="parameters", when="after", every="2 ticks"}]', "one model already"),
        ('stream.spread="none" exchange=[{kind="data", when="after", every="2 ticks"}]', "pool"),
        (
            'stream.spread="none" exchange=[{kind="parameters", method="fedprox", when="after"}]',
            "needs `add_term`",
        ),
        ("agent=[{ids=[0], learning={lr=0.1}}]", "nothing may differ"),
        (
            'stream.spread="none" agent=[{ids=[0], learning={kind="gradient"}}]',
            'agent.0.learning.kind: should be "parallel"',
        ),
        (
            'stream.spread="none" agent=[{ids=[0], memory={policy="fifo"}}]',
            'agent.0.memory.policy: should be "class-quota"',
        ),
        (
            'stream.spread="none" agent=[{ids=[0], stream={spread="agents"}}]',
            "agent.0.stream: should leave `kind` and `spread` alone",
        ),
        (
            'learning.second_moment="mean" learning.optimizer="sgd"',
            'second_moment: should be "direction" .*optimizer = "sgd".* Found "mean"',
        ),
        (
            'stream.spread="none" agent=[{ids=[0], learning={optimizer="sgd", second_moment="mean"}}]',
            'agent.0.learning.second_moment: should be "direction"',
        ),
        ('learning.combiner={kind="elastic",floor=2}', 'floor: should be true or "released".* Found 2'),
    ],
)
def test_what_does_not_fit_is_said(setting: str, said: str) -> None:
    several = setting.startswith(("stream.spread", "learning.second_moment"))
    sets = setting.split(" ", 1) if several else [setting]
    with pytest.raises(ExperimentError, match=said):
        from_toml(COMMON.replace("AGENTS", "1"), sets)


@pytest.mark.parametrize("text", ["5 epochs", "40 ticks"])
def test_a_run_can_stop_at_ends_of_tasks_only(text: str) -> None:
    experiment = from_toml(COMMON.replace("AGENTS", "1"))
    assert schedule_time(Cadence.parse("2 tasks"), experiment, "--until") == 2
    with pytest.raises(ExperimentError, match=f'--until should be in tasks, such as .* Found "{text}"'):
        schedule_time(Cadence.parse(text), experiment, "--until")
