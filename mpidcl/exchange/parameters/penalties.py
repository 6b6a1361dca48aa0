"""The learner's loss terms that a parameters exchange keeps up to date (FedProx, FedCurv)."""

from __future__ import annotations

from typing import Any


def install_proximal(learner: Any, mu: float) -> Any:
    """Adds (mu / 2) |w - w_ref|^2 to the learner's loss; idle until `set_reference`."""
    from mpidcl.learning.terms.proximal import Proximal

    term = Proximal(Proximal.Options(mu=mu), learner)
    learner.add_term(term)
    return term


def install_curvature(learner: Any, weight: float) -> Any:
    """Adds weight * sum_j F_j (w - w_j)^2 to the learner's loss; idle until `set_sums`."""
    from mpidcl.learning.terms.curvature import Curvature

    term = Curvature(Curvature.Options(weight=weight), learner)
    learner.add_term(term)
    return term
