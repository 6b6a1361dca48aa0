"""The words for metrics, and which of them a table shows."""

from __future__ import annotations

from collections.abc import Iterable

from mpidcl.record.parallel_metrics import ONE_MASK, PARALLEL, SERIAL
from mpidcl.record.records import AgentRecord

SHOWN = {
    "average_accuracy": "average accuracy",
    "first_accuracy": "first accuracy",
    "first_accuracy_all_classes": "first accuracy, all classes",
    "final_accuracy": "final accuracy",
    "final_accuracy_all_classes": "final accuracy, all classes",
    "learning_speed": "learning speed",
    "learning_speed_current": "learning speed, current task",
    "forward_transfer": "forward transfer (zero-shot)",
    "backward_transfer": "backward transfer",
    "forgetting": "forgetting",
    "forgetting_all_classes": "forgetting, all classes",
}
"""Metrics in the order they are shown, with the words for them."""
_COMPARED = {
    "final_accuracy": "final accuracy",
    "average_accuracy": "average accuracy",
    "learning_speed_current": "learning speed, current",
    "first_accuracy": "first accuracy",
    "final_accuracy_all_classes": "final, all classes",
    "forgetting": "forgetting",
    "forgetting_all_classes": "forgetting, all classes",
}


def metric_words(records: Iterable[AgentRecord]) -> dict[str, str]:
    """Name to words of the metrics that the streams of these agents have."""
    return _those_of(SHOWN, records)


def compared_words(records: Iterable[AgentRecord]) -> dict[str, str]:
    """The fewer ones by which runs are compared in the terminal, the main one first."""
    return _those_of(_COMPARED, records)


def _those_of(words: dict[str, str], records: Iterable[AgentRecord]) -> dict[str, str]:
    kinds = {_metrics_of(record) for record in records} or {SERIAL}
    return {name: text for name, text in words.items() if any(name in kind for kind in kinds)}


def _metrics_of(record: AgentRecord) -> tuple[str, ...]:
    """Without those of the second mask where they repeat the first."""
    if record.course is None:
        return SERIAL
    return ONE_MASK if record.course.one_question else PARALLEL
