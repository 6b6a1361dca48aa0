"""What every term of the loss must do."""

from __future__ import annotations

from mpidcl.learning.terms.base import Term
from mpidcl.testing.learners import check_learning
from mpidcl.testing.trial import Tables, experiment_with


def check_term(term: type[Term], tables: Tables | None = None) -> None:
    """Raises AssertionError where a learner with this term is no learner any more (`check_learner`).

    `tables` as there; {"term": {...}} are options of the term.

    >>> from mpidcl.learning.terms.replay import Replay
    >>> check_term(Replay, {"model": {"hidden": [8]}, "term": {"mix": "separate"}})
    """
    check_learning(experiment_with(term, tables), term.__name__)
