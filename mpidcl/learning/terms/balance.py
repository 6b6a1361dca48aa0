"""Even use of experts: the balance loss of the Switch transformer, and what may stand beside it."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from pydantic import Field
from torch import Tensor

from mpidcl.errors import ExperimentError
from mpidcl.experiment import kinds
from mpidcl.experiment.options import Options
from mpidcl.experiment.part import Use
from mpidcl.experiment.problems import Problem
from mpidcl.learning.batches import Batch
from mpidcl.learning.terms.base import Term, TermHost
from mpidcl.model.experts.base import Experts
from mpidcl.model.experts.routing import Routes


class Balance(Term):
    """alpha N sum_i f_i P_i over the N experts in use; f_i: share of the rows whose largest p is that of i;
    P_i: mean of p_i (Fedus et al. 2021, arXiv 2101.03961, equations 4 to 6).

    f is not differentiated. It is alpha where f and P are even and alpha N where one expert has all. Beside
    it: importance * CV(sum of the gates of each expert)^2 (Shazeer et al. 2017, arXiv 1701.06538, equation 7)
    and z * mean(logsumexp(h)^2) (Zoph et al. 2022, arXiv 2202.08906, equation 5). Of the rows of a step, on
    this agent.
    """

    class Options(Options):
        """Weights of the three losses."""

        alpha: float = Field(0.01, ge=0, description="weight of N sum f P")
        importance: float = Field(0.0, ge=0, description="weight of the squared variation of summed gates")
        z: float = Field(0.0, ge=0, description="weight of the squared log of the sum of exp(scores)")

    options: Options
    name = "balance"
    reads_memory = False

    @classmethod
    def problems(cls, use: Use) -> Iterator[Problem]:
        """A model without experts."""
        kind = use.mine.model.kind
        if not issubclass(kinds.resolve("model", kind), Experts):
            yield Problem(
                use.key,
                "should not be there without experts: take it out, or take a model of experts, such as"
                f' model.kind = "experts-mlp". Found kind = "balance" with model.kind = "{kind}"',
            )

    def __init__(self, options: Options, host: TermHost) -> None:
        super().__init__(options, host)
        if not isinstance(host.model, Experts):
            raise ExperimentError(
                'The term "balance" should have a model of experts, such as model.kind = "experts-mlp". Found'
                f" {type(host.model).__name__}. Take it out of [learning] terms."
            )
        self._model = host.model

    def loss(self, batch: Batch) -> Tensor | None:
        routes, options = self._model.routes, self.options
        assert routes is not None
        used = torch.from_numpy(self._model.used).to(routes.scores.device)
        loss = options.alpha * switch_balance(routes, int(used.sum()))
        if options.importance:
            loss = loss + options.importance * variation(routes.spread().sum(0)[used])
        if options.z:
            loss = loss + options.z * routes.scores.logsumexp(1).square().mean()
        return loss


def switch_balance(routes: Routes, used: int) -> Tensor:
    """N sum_i f_i P_i: 1 for even use, N for collapse on one expert."""
    first = routes.chosen[:, 0]
    f = torch.bincount(first, minlength=routes.shares.shape[1]).to(routes.shares.dtype) / len(first)
    return used * (f * routes.shares.mean(0)).sum()


def variation(values: Tensor) -> Tensor:
    """Squared coefficient of variation: variance / mean^2."""
    return values.var(unbiased=False) / values.mean().square().clamp_min(1e-12)
