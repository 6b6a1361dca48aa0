"""The gradient of a step without autograd, for nets that are chains of dense layers.

At 64 rows of 64 numbers autograd's graph takes several times as long as the products. The operations are the
same ones, in the same order, so the bits are, too. Which way a step takes follows from what the experiment
says alone, and never from timing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from mpidcl.learning.batches import Batch
from mpidcl.learning.objectives.classification import Classification
from mpidcl.learning.terms.base import Term
from mpidcl.model.layers import Heads
from mpidcl.model.one_head import add_rows, rows_of
from mpidcl_kernels import heads as kernels

if TYPE_CHECKING:
    from mpidcl.learning.gradient.learner import GradientLearner
    from mpidcl.learning.gradient.one_pass import OnePass


def can(learner: GradientLearner) -> bool:
    """Whether the gradients of this learner can be made by hand, with terms that `knows_slopes`."""
    model = learner.model
    return (
        learner.device.type == "cpu"
        and model.by_hand() is not None
        and not model.mixed
        and type(model.heads) is Heads
        and type(learner.objective) is Classification
    )


def knows_slopes(term: Term, heads: int) -> bool:
    """Whether the loss of a term is none, or one whose gradients by outputs it says itself.

    A subclass with another `loss` and the `slopes` of its base does not say them.
    """
    if type(term).loss is Term.loss:
        return True
    owners = [next(base for base in type(term).__mro__ if name in vars(base)) for name in ("loss", "slopes")]
    draws = [draw for draw in term.draws() if not draw.joined]
    return owners[0] is owners[1] and all(draw.beside for draw in draws) and (heads == 1 or not draws)


class ByHand:
    """Makes the gradients of a learner for which that `can` be done."""

    def __init__(self, learner: GradientLearner, encoding: OnePass) -> None:
        stack = learner.model.by_hand()
        assert stack is not None
        self._learner, self._encoding, self._stack = learner, encoding, stack
        block = learner.model.heads.block
        self._block, self._numpy = block.detach(), block.detach().numpy()
        assert block.grad is not None
        self._grad = block.grad

    def gradient(self, batch: Batch, terms: Sequence[Term]) -> None:
        """Add the gradient of the whole loss to the flat gradient, which is zero."""
        z, first = self._encoding.gathered(batch), len(batch)
        masks, scale = self._learner.model.masks_and_scale(z.shape[0])
        values = self._stack.through(z, masks)
        batch.encoded = values[-1][:first]
        own = batch.encoded.numpy()
        heads = batch.heads.numpy()
        _, logits, slope = kernels.cross_entropy(own, self._numpy, heads, batch.y.numpy())
        batch.logits = torch.from_numpy(logits)
        by_own, by_block = map(torch.from_numpy, kernels.gradients(slope, own, self._numpy, heads))
        if first < z.shape[0]:
            by_own = self._beside(batch, terms, values[-1], by_own, by_block)
        self._grad += by_block
        self._stack.back(by_own, values, scale)

    def _beside(
        self, batch: Batch, terms: Sequence[Term], encoded: Tensor, by_own: Tensor, by_block: Tensor
    ) -> Tensor:
        """The gradient by all encodings, from that by those of the batch; that by the head is added."""
        first, head = len(batch), self._block[0]
        others, change = encoded[first:], torch.empty_like(encoded)
        change[:first] = by_own
        outputs = functional.linear(others, head[:, :-1], head[:, -1])
        chosen = self._encoding.chosen
        self._encoding.put([rows_of(outputs, one) for one in chosen])
        slope = torch.zeros_like(outputs)
        slopes = (one for term in terms if term in batch.drawn for one in term.slopes(batch))
        for one, by_outputs in zip(chosen, slopes, strict=True):
            if isinstance(one, slice):
                slope[one] += by_outputs
            else:
                add_rows(slope, one, by_outputs)
        torch.mm(slope, head[:, :-1], out=change[first:])
        by_block[0, :, :-1] += torch.mm(others.t(), slope).t()
        by_block[0, :, -1] += slope.sum(0)
        return change
