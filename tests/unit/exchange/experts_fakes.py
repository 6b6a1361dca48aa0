"""Networks of real learners that share models and experts, driven by hand."""

from __future__ import annotations

import numpy as np
from exchange_fakes import complete, meet, neighbourhoods

from mpidcl.exchange.experts.exchange import ExpertsExchange
from mpidcl.exchange.experts.options import ExpertsOptions
from mpidcl.experiment import kinds
from mpidcl.experiment.reading import from_toml
from mpidcl.stream.serial.stream import SerialStream
from mpidcl.testing.asking import result_of

EXPERIMENT = """
name = "experts"
agents = 4
clock = "lockstep"
[stream]
dataset = "digits"
kind = "serial"
tasks = 2
classes_per_task = 3
incremental = "class"
draw = "iid"
train_per_class = 8
replacement = true
validation_per_class = 4
[memory]
capacity = "8 rows per task"
[learning]
epochs = 1
terms = ["replay"]
"""
MLP = '[model]\nkind = "mlp"\nhidden = [12, 9]\n'
RESNET = '[model]\nkind = "resnet18"\nwidth = 2\n'
EXPERTS = '[model]\nkind = "experts-mlp"\nencoder = [10]\nexperts = 4\nhidden = 5\nwidth = 6\n'


class Network:
    """Agents on a graph that live their tasks in step, with one exchange after every epoch."""

    def __init__(self, model=MLP, agents=3, edges=None, sets=(), **options):
        near = neighbourhoods(complete(agents) if edges is None else edges, agents)
        sets = [*sets, "learning.kind=experts"] if model == EXPERTS else sets
        self.streams, self.exchanges = [], []
        for agent in range(agents):
            mine = from_toml(EXPERIMENT + model, sets).for_agent(agent)
            stream = SerialStream(mine, agent)
            learner = kinds.resolve("learner", mine.learning.kind)(mine, agent, stream.shape)
            self.streams.append(stream)
            self.exchanges.append(ExpertsExchange(ExpertsOptions(**options), learner, near[agent]))

    @property
    def learners(self):
        return [exchange.learner for exchange in self.exchanges]

    def begin(self, task=0):
        for stream, learner in zip(self.streams, self.learners, strict=True):
            learner.begin_task(stream.task(task))
        return self

    def learn(self, epoch=0):
        for learner in self.learners:
            result_of(learner.learn(learner.task, epoch))
        return self

    def meet(self, **how):
        return meet(self.exchanges, **how)

    def vectors(self, kind="all"):
        return np.array([learner.host_view(kind).copy() for learner in self.learners])

    def digests(self):
        return [learner.digest() for learner in self.learners]
