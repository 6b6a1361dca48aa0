"""How hard a row is for the model: logits [n, C] and labels [n] in, scores [n] out, larger = harder.

Only `cross-entropy` needs labels. `margin` is the distance of the two largest logits, as in the
published code; for two classes every scorer but `random` and `cross-entropy` ranks alike.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Scorer = Literal["cross-entropy", "least-confidence", "margin", "entropy", "random"]
Logits = NDArray[np.floating]
Labels = NDArray[np.int64]
Scores = NDArray[np.float64]


def score(kind: Scorer, logits: Logits, labels: Labels, random: np.random.Generator) -> Scores:
    """Scores [n] of `kind`; `random` is drawn from by the scorer of that name only."""
    if kind == "random":
        return random.random(len(logits))
    return _SCORERS[kind](np.asarray(logits, np.float64), labels)


def log_softmax(logits: Logits) -> Scores:
    """Logarithms of the class probabilities [n, C]."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    result: Scores = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return result


def _cross_entropy(logits: Scores, labels: Labels) -> Scores:
    chosen: Scores = np.take_along_axis(log_softmax(logits), labels[:, None], axis=1)[:, 0]
    return -chosen


def _least_confidence(logits: Scores, labels: Labels) -> Scores:
    confidence: Scores = np.exp(log_softmax(logits).max(axis=1))
    return -confidence


def _margin(logits: Scores, labels: Labels) -> Scores:
    if logits.shape[1] == 1:  # nothing to confuse the only class with
        return np.full(len(logits), -np.inf)
    second, first = np.partition(logits, -2, axis=1)[:, -2:].T
    margin: Scores = first - second
    return -margin


def _entropy(logits: Scores, labels: Labels) -> Scores:
    logs = log_softmax(logits)
    result: Scores = -(np.exp(logs) * logs).sum(axis=1)
    return result


_SCORERS: dict[str, Callable[[Scores, Labels], Scores]] = {
    "cross-entropy": _cross_entropy,
    "least-confidence": _least_confidence,
    "margin": _margin,
    "entropy": _entropy,
}
