"""A small learner with modules: only its shapes, weights and answers are real; nothing is trained."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
from exchange_fakes import FakeDataLearner

from mpidcl.learning.compositional.modular import AddedModule

WIDTH, DEPTH = 6, 2


class FakeModuleLearner(FakeDataLearner):
    """One linear module [6, 7] per task in `kept`, numbered after a basis of two.

    `handed` collects what the exchange handed over, `trials` what it tried; `accuracy` maps the task of
    a tried module to the accuracy that its trial reports.
    """

    def __init__(self, agent, task_classes, kept=(), width=WIDTH, places=3, seed=0, **keys):
        super().__init__(agent, task_classes, seed=seed, **keys)
        self.width, self.kept = width, tuple(kept)
        floats = int(np.prod(self.shape.input_shape))
        common = np.random.default_rng(99)  # the same input stage everywhere
        self.projection = common.normal(size=(floats, width)).astype(np.float32)
        own = np.random.default_rng([seed, agent, 1])
        most = self.shape.classes_per_head
        tasks, modules = len(self.seen), DEPTH + len(self.kept)
        self.modules = own.normal(size=(modules, width, width + 1)).astype(np.float32)
        self.heads = own.normal(size=(tasks, most, width + 1)).astype(np.float32)
        self.structures = own.normal(size=(tasks, modules, DEPTH)).astype(np.float32)
        self.options = SimpleNamespace(candidates=places)
        self.candidates = range(places)
        self.handed, self.trials, self.accuracy = [], [], {}

    @classmethod
    def candidates_of(cls, options):
        return options.candidates

    def module_facts(self):
        return {
            "layer": "linear",
            "module": [self.width, self.width + 1],
            "basis": DEPTH,
            "depth": DEPTH,
            "head": [self.shape.classes_per_head, self.width + 1],
            "input": f"projection {self.width} of {list(self.shape.input_shape)}",
        }

    def added(self):
        return [AddedModule(task, DEPTH + i) for i, task in enumerate(self.kept)]

    def module(self, number):
        return self.modules[number].ravel().copy()

    def head_of(self, u):
        return self.heads[u].copy()

    def structure_of(self, u):
        return self.structures[u].copy()

    def prepared(self, x):
        return x.reshape(len(x), -1) @ self.projection

    def logits_of_prepared(self, z, u):
        module = self.modules[self.added()[self.kept.index(u)].module] if u in self.kept else self.modules[0]
        return self._through(z, module, self.heads[u])

    def logits(self, x, u):
        return self.logits_of_prepared(self.prepared(x), u)

    def logits_with(self, foreign, x):
        return self._through(self.prepared(x), foreign.weights.reshape(self.width, -1), foreign.head)

    def _through(self, z, module, head):
        hidden = np.maximum(z @ module[:, :-1].T + module[:, -1], 0)
        return hidden @ head[:, :-1].T + head[:, -1]

    def take_candidates(self, modules):
        self.handed.append(modules)

    def try_out(self, modules, epochs, together):
        self.trials.append(([m.origin.task for m in modules], epochs, together))
        return [self.accuracy.get(m.origin.task, 0.5) for m in modules]
