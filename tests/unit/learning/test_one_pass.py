"""Rows drawn beside a batch: gathered once, encoded once, and answered through one node."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from learning_fakes import learner, live, shape, task

from mpidcl.learning.batches import Lying
from mpidcl.learning.terms.der import DER
from mpidcl.model.layers import Heads
from mpidcl.testing.asking import result_of


class _Plain(Heads):
    """Takes the general path."""


@pytest.mark.parametrize("asked", [(0, 1), (1,), ()])
def test_one_node_gives_what_many_give(asked):
    heads = [kind(1, 5, 3, torch.Generator().manual_seed(1)) for kind in (Heads, _Plain)]
    z, chosen = torch.randn(9, 5), [slice(0, 4), torch.tensor([1, 5, 0])]
    found = []
    for one in heads:
        rows = z.clone().requires_grad_()
        batch, outputs = one.answers(rows, 3, torch.zeros(6, dtype=torch.long), chosen)
        loss = batch.square().sum() + sum(outputs[k].square().sum() * (k + 1) for k in asked)
        loss.backward()
        found.append((batch, *outputs, rows.grad, one.block.grad if asked else torch.zeros(())))
    for new, old in zip(*found, strict=True):
        torch.testing.assert_close(new, old)


@pytest.mark.parametrize("insert", ["each step", "task end"])
def test_a_row_of_two_draws_is_gathered_and_encoded_once(insert):
    options = {"hidden": [6], "dropout": 0.0}
    who = learner(terms=(), insert=insert, capacity="10 rows", options=options, where=shape(heads=1))
    who.add_term(DER(DER.Options(alpha=0.3, beta=0.7, rows_per_step=7), who))
    live(who, [task(0, head=0)])
    term = who.terms[0]
    for _ in range(5):
        batch = next(iter(who.epochs.batches()))
        result_of(who.steps.draw(batch, who.terms))
        who.steps.encoding.encode(batch)
        draws = batch.drawn[term]
        assert who.steps.encoding.rows == len(np.unique(np.concatenate([rows.place for rows in draws]))) >= 7
        for rows in draws:
            assert isinstance(rows, Lying) and not {"z", "y"} & set(vars(rows))  # nobody asked for a copy
            alone = who.model.logits(who.model.encode(rows.z), rows.heads)
            torch.testing.assert_close(who.outputs(rows), alone)
