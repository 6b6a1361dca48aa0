"""Which of the modules that came becomes a candidate? The receiver's side of a modules exchange."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mpidcl.exchange.capabilities import SharesModules
from mpidcl.exchange.modules.answers import SentModule
from mpidcl.exchange.modules.leep import Sources, leep
from mpidcl.exchange.modules.options import ModulesOptions
from mpidcl.exchange.modules.queries import ScoredRows
from mpidcl.exchange.packing.rows import Floats
from mpidcl.learning.compositional.modular import ForeignModule, Origin


def raw(source: int, sent: SentModule) -> ForeignModule:
    """A module with its head and structure as the sender has them."""
    origin = Origin(source, sent.task, sent.module, sent.similarity)
    return ForeignModule(origin, sent.weights, sent.head, sent.structure)


def scored_here(
    options: ModulesOptions, learner: SharesModules, source: int, sent: SentModule, rows: ScoredRows
) -> SentModule:
    """The module with LEEP's sources, and its similarity where the sender gave none.

    The classifier is the sender's module, head and structure inside the receiver's own basis; rows are the
    receiver's validation rows. Without a head there is no classifier: the similarity stays unknown.
    """
    if sent.head is None:
        return sent
    found = leep(learner.logits_with(raw(source, sent), rows.x), rows.y, rows.classes)
    similarity = found.score if options.rank_by == "leep" else sent.similarity
    sources = found.sources if options.head_by == "leep" else sent.sources
    return replace(sent, similarity=similarity, sources=sources)


def head_in_own_order(head: Floats, sources: Sources, labels: NDArray[np.int64]) -> Floats:
    """W' = P W (DCL, arXiv 2405.17466): `head [classes, width + 1]`, biases last, its rows where they belong.

    Class c of the receiver, with label `labels[c]`, takes row `sources[c]`; rows that nobody takes are zero.
    """
    own = np.zeros_like(head)
    taken = sources >= 0
    own[labels[taken]] = head[sources[taken]]
    return own


def foreign(
    options: ModulesOptions, source: int, sent: SentModule, labels: NDArray[np.int64]
) -> ForeignModule:
    """A module as the receiver's learner takes it: head in its own order of labels."""
    head = None
    if options.head_by != "none" and sent.head is not None and sent.sources is not None:
        head = head_in_own_order(sent.head, sent.sources, labels)
    structure = sent.structure if options.structure else None
    return ForeignModule(raw(source, sent).origin, sent.weights, head, structure)


def best_first(modules: list[ForeignModule], scores: list[float]) -> list[ForeignModule]:
    """Modules by score, the highest first; then the lower task, then the lower sender. NaN comes last."""

    def order(pair: tuple[ForeignModule, float]) -> tuple[float, int, int]:
        origin, score = pair[0].origin, pair[1]
        return (math.inf if math.isnan(score) else -score, origin.task, origin.source)

    return [module for module, _ in sorted(zip(modules, scores, strict=True), key=order)]
