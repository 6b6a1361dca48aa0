"""A-GEM: no step makes the mean loss of remembered rows larger, to first order (Chaudhry et al. 2019)."""

from __future__ import annotations

import torch
from torch import Tensor

from mpidcl.learning.batches import Batch
from mpidcl.learning.terms.base import Draw, TermHost
from mpidcl.learning.terms.beside import Beside
from mpidcl.learning.terms.rehearsing import Drawing, Rehearsing
from mpidcl.model.flat import aligned


class AGEM(Rehearsing):
    """g - (g.r / r.r) r where g.r < 0, else g: r is the gradient of `rows_per_step` remembered rows.

    Averaged gradient episodic memory (Chaudhry et al. 2019, arXiv 1812.00420, equation 11). g is the gradient
    of the whole loss, other terms included. Heads of r alone take part in a step that is projected, and in no
    other: momentum and weight decay would move them without a gradient.
    """

    options: Drawing
    name = "agem"
    turn = 1

    def __init__(self, options: Drawing, host: TermHost) -> None:
        super().__init__(options, host)
        self._beside = Beside(host)
        self._reference = aligned(host.parameters.grad.numel(), host.parameters.device)

    def draws(self) -> tuple[Draw, ...]:
        return (Draw(self.per_step, quick=True, aside=True),)

    def on_gradient(self, grad: Tensor, batch: Batch) -> None:
        if self not in batch.drawn:
            return
        (rows,), reference = batch.drawn[self], self._reference
        self._beside.gradient(rows, reference)
        product, square = float(torch.dot(grad, reference)), float(torch.dot(reference, reference))
        if product < 0 < square:
            grad.add_(reference, alpha=-product / square)
            batch.present[rows.heads.cpu().numpy()] = True
