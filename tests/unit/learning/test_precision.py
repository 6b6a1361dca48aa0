"""Mixed precision: layers in bfloat16, weights and outputs in float32; refused where it cannot be.

On the CPU, where torch's autocast does the same roundings as on a GPU and no faster.
"""

from __future__ import annotations

import pytest
import torch
from learning_fakes import learner, live, shape, task

from mpidcl.errors import ExperimentError
from mpidcl.experiment.reading import from_toml
from mpidcl.run import simulation

SIDE = 16
IMAGES = shape((1, SIDE, SIDE), heads=1, classes=2 * SIDE * SIDE)
NETS = [
    ({"kind": "cnn", "options": {"channels": [4, 6], "dropout": 0.0}}, shape((1, 8, 8))),
    ({"kind": "resnet18", "options": {"width": 2}}, shape((1, 8, 8))),
    ({"kind": "ptychonn", "options": {"width": 2, "init": "he-normal"}, "objective": "images"}, IMAGES),
]


@pytest.mark.parametrize(("settings", "where"), NETS)
def test_outputs_and_gradients_are_near_those_of_float32(settings, where):
    x = torch.rand(5, *where.input_shape, generator=torch.Generator().manual_seed(0))
    heads = torch.arange(5) % where.heads
    outputs, gradients = [], []
    for precision in (None, "bfloat16"):
        net = learner(where=where, precision=precision, **settings).model.train()
        assert net.mixed is (precision is not None)
        encoded = net.encode_rows(x, heads)
        found = net.logits(encoded, heads)
        assert encoded.dtype == found.dtype == net.flat.data.dtype == torch.float32
        found.square().sum().backward()
        outputs.append(found.detach())
        gradients.append(net.flat.grad.clone())
    for (one, other), near in ((outputs, 0.99), (gradients, 0.95)):
        assert not torch.equal(one, other), "it rounds"
        assert torch.cosine_similarity(one.flatten(), other.flatten(), 0) > near


def test_a_resumed_learner_goes_on_with_the_same_bits():
    settings, where = NETS[0]
    tasks = [task(index, input_shape=(1, 8, 8)) for index in range(2)]
    whole, again = (learner(where=where, precision="bfloat16", **settings) for _ in range(2))
    live(whole, tasks[:1])
    again.load(whole.state(), tasks.__getitem__)
    for who in (whole, again):
        live(who, tasks[1:])
    assert again.digest() == whole.digest() and whole.finite()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[learning]\nprecision = "bfloat16"', 'should not be there with model.kind = "mlp".*"ptychonn"'),
        (
            '[learning]\nkind = "compositional"\nprecision = "bfloat16"\n[model]\nkind = "compositional-cnn"',
            'learning.precision: should not be there with learning.kind = "compositional"',
        ),
        ('[learning]\nprecision = "float16"', "learning.precision"),
    ],
)
def test_what_cannot_be_is_refused(text, said):
    with pytest.raises(ExperimentError, match=said):
        from_toml(f'name = "x"\nagents = 1\n{text}')


def test_a_cpu_is_told_that_it_gains_nothing():
    experiment = from_toml('name = "x"\nagents = 1\nlearning.precision = "bfloat16"\nmodel.kind = "cnn"')
    assert from_toml(experiment.to_toml()) == experiment
    assert "it is slower than float32, and less exact" in simulation.check(experiment)
    assert "precision" not in from_toml('name = "x"\nagents = 1').to_tables()["learning"]  # type: ignore[operator]


def test_a_gpu_without_it_is_refused(monkeypatch):
    from mpidcl.model.build import mixes

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: False)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "an old one")
    with pytest.raises(ExperimentError, match="a GPU without bfloat16.*an old one"):
        mixes(torch.device("cuda"))
    assert mixes(torch.device("cpu"))
