"""Warming up compiles exactly what a run calls: nobody compiles later."""

from mpidcl import simulation
from mpidcl.experiment import Experiment
from mpidcl_kernels import heads, step
from mpidcl_kernels.warm import warm_up

COMPILED = (
    step._sgd_compiled,
    step._adam_compiled,
    heads._forward_compiled,
    heads._backward_compiled,
)
TINY = """
name = "tiny"
agents = 2
[stream]
tasks = 2
train_per_class = 8
[learning]
epochs = 2
"""


def test_a_run_compiles_nothing_that_warming_up_has_not_compiled(tmp_path):
    warm_up()
    before = _signatures()
    assert all(before)
    for optimizer in ("adam", "sgd"):
        experiment = Experiment.from_toml(TINY, [f"learning.optimizer={optimizer}"])
        assert simulation.run(experiment, tmp_path / optimizer, driver="inprocess", quiet=True) == 0
    assert _signatures() == before


def _signatures():
    return [set(kernel.dispatcher().signatures) for kernel in COMPILED]
