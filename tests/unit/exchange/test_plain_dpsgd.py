"""Averaging whole models is decentralised parallel SGD (Lian et al. 2017): beside a plain loop in torch."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from mpidcl.errors import DataError
from mpidcl.experiment.reading import from_toml
from mpidcl.network.inprocess import InProcessDriver
from mpidcl.network.schedule.graphs import build_topology
from mpidcl.randomness import numpy_generator
from mpidcl.run.building import build_agent, set_timetables

EXPERIMENT = """
name = "dpsgd"
agents = 4
network = { topology = "ring" }
clock = "lockstep"
stream = { dataset = "DATA", tasks = 1, classes_per_task = 10, incremental = "class", class_order = "by id", \
draw = "iid", validation_share = 0, train_per_class = ROWS, \
test_per_class = 15 }
model = { kind = "mlp", hidden = [HIDDEN], dropout = 0 }
learning = { optimizer = "sgd", lr = 0.1, batch = 10, epochs = 3, terms = [] }
exchange = [{ kind = "parameters", parts = "all", when = "after", every = "1 epochs", from_task = 0 }]
"""


def agents_of(data, hidden, rows):
    text = EXPERIMENT.replace("DATA", data).replace("HIDDEN", str(hidden)).replace("ROWS", str(rows))
    experiment = from_toml(text)
    topology = build_topology(experiment.network, 4, experiment.seed)
    agents = [build_agent(experiment, topology, number) for number in range(4)]
    set_timetables(agents, experiment, topology, [tuple(agent.stream.ticks) for agent in agents])
    return agents


def plain_dpsgd(starts, hidden, rows, tests, passes=3, lr=0.1, batch=10):
    """w_i <- mean of w_i and those of its two neighbours, after each pass of SGD; whole models as vectors."""

    def outputs(w, x):
        sizes = (hidden * x.shape[1], hidden, 10 * (hidden + 1))
        first, bias, head = torch.split(w, sizes)
        encoded = functional.relu(x @ first.view(hidden, -1).T + bias)
        head = head.view(10, hidden + 1)
        return encoded @ head[:, :-1].T + head[:, -1]

    models = [torch.tensor(start) for start in starts]
    chances = [numpy_generator(0, agent, "shuffle") for agent in range(4)]
    for _ in range(passes):
        for agent, (x, y) in enumerate(rows):
            w = models[agent].requires_grad_(True)
            for chosen in torch.split(torch.from_numpy(chances[agent].permutation(len(y))), batch):
                loss = functional.cross_entropy(outputs(w, x[chosen]), y[chosen])
                (slope,) = torch.autograd.grad(loss, w)
                w.data -= lr * slope
            models[agent] = w.detach()
        around = torch.stack([*models[-1:], *models, *models[:1]]).double()
        models = [around[i : i + 3].mean(0).float() for i in range(4)]
    right = [(outputs(w, x).argmax(1) == y).double().mean() for w, (x, y) in zip(models, tests, strict=True)]
    return [w.numpy() for w in models], [float(one) for one in right]


@pytest.mark.parametrize(("data", "hidden", "rows"), [("digits", 32, 30), ("mnist", 128, 10)])
def test_whole_models_on_a_ring_learn_what_a_plain_loop_learns(data, hidden, rows):
    agents = agents_of(data, hidden, rows)
    try:
        tasks = [agent.stream.task(0) for agent in agents]
    except DataError:
        pytest.skip(f"{data} is not on this machine")
    starts = [agent.learner.host_view("all").copy() for agent in agents]
    given, tests = (
        [(torch.from_numpy(part.x()).flatten(1), torch.from_numpy(part.y)) for part in parts]
        for parts in ([task.train for task in tasks], [task.test for task in tasks])
    )
    records = InProcessDriver().drive({agent.number: agent.live() for agent in agents})
    ours = [records[agent.number].evaluations[-1].values["accuracy"][0] for agent in agents]
    models, plain = plain_dpsgd(starts, hidden, given, tests)
    for agent, model in zip(agents, models, strict=True):
        np.testing.assert_allclose(agent.learner.host_view("all"), model, rtol=0, atol=2e-5)
    np.testing.assert_allclose(ours, plain, rtol=0, atol=2e-3)
    assert min(ours) > 0.4 and max(ours) > min(ours)
