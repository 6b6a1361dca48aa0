"""The learner of parallel streams on a GPU: near the CPU's numbers, same bits each time, resumable."""

from __future__ import annotations

import numpy as np
import pytest
from parallel_fakes import build, live

pytestmark = pytest.mark.gpu
CUDA = 'learning.device="cuda"'


@pytest.mark.parametrize(
    ("editing", "second"),
    [("none", "direction"), ("none", "mean"), ("align", "direction"), ("conflict", "direction")],
)
def test_the_first_steps_are_near_the_cpus(editing, second):
    logs = []
    for device in ("cpu", "cuda"):
        sets = (f'learning.editing="{editing}"', f'learning.second_moment="{second}"')
        learner, stream = build(f'learning.device="{device}"', *sets)
        live(learner, stream, until=1)
        logs.append(learner.log)
    on_cpu, on_gpu = logs
    for name in ("gram", "weights", "loss"):
        np.testing.assert_allclose(
            getattr(on_gpu, name)[:4], getattr(on_cpu, name)[:4], rtol=1e-2, atol=1e-3, err_msg=name
        )


def test_a_seed_repeats_and_a_resumed_run_gives_the_same_bits():
    sets = (CUDA, 'learning.editing="align"')
    whole, stream = build(*sets)
    live(whole, stream)
    first, stream = build(*sets)
    live(first, stream, until=2)
    second, stream = build(*sets)
    second.load(first.state(), stream.task)
    second.load_tables(first.tables())
    live(second, stream, first=2)
    assert second.digest() == whole.digest()
