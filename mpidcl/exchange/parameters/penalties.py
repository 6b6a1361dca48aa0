"""The learner's loss terms that a parameters exchange keeps up to date (FedProx, FedCurv)."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from mpidcl.base.arrays import Parts
from mpidcl.exchange.capabilities import SharesParameters

if TYPE_CHECKING:
    from mpidcl.learning.gradient.learner import GradientLearner
    from mpidcl.learning.terms.curvature import Curvature
    from mpidcl.learning.terms.proximal import Proximal


def install_proximal(learner: SharesParameters, mu: float, parts: Parts) -> Proximal:
    """Adds (mu / 2) |w - w_ref|^2 to the learner's loss; idle until `set_reference`."""
    from mpidcl.learning.terms.proximal import Proximal

    takes = _taking_terms(learner)
    term = Proximal(Proximal.Options(mu=mu, parts=parts), takes)
    takes.add_term(term)
    return term


def install_curvature(learner: SharesParameters, weight: float, parts: Parts) -> Curvature:
    """Adds weight * sum_j F_j (w - w_j)^2 to the learner's loss; idle until `set_sums`."""
    from mpidcl.learning.terms.curvature import Curvature

    takes = _taking_terms(learner)
    term = Curvature(Curvature.Options(weight=weight, parts=parts), takes)
    takes.add_term(term)
    return term


def _taking_terms(learner: SharesParameters) -> GradientLearner:
    """The same: `needs` of the exchange says that it takes terms."""
    return cast("GradientLearner", learner)
