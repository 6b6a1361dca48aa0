"""A small experiment with a class in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mpidcl.experiment.file import Experiment
from mpidcl.experiment.part import Part
from mpidcl.experiment.reading import from_tables

Tables = Mapping[str, Any]
"""Tables of an experiment file, such as {"learning": {"lr": 0.1}}."""
SMALL: Tables = {
    "name": "check",
    "agents": 2,
    "learning": {"epochs": 2, "batch": 8},
}
TASKS: Tables = {
    "tasks": 2,
    "classes_per_task": 2,
    "train_per_class": 8,
    "validation_per_class": 4,
    "test_per_class": 4,
}
"""Of a stream of ours: few rows of the digits that are built in."""
EXCHANGE: Tables = {"when": "after", "every": "1 epoch", "from_task": 0}
PLACES: dict[str, tuple[str, str]] = {
    "learner": ("learning", "kind"),
    "stream": ("stream", "kind"),
    "policy": ("memory", "policy"),
}


def experiment_with(part: type[Part], tables: Tables | None = None) -> Experiment:
    """An experiment that names `part`; `tables` say what else differs, and its options.

    Raises ExperimentError where they do not fit together.
    """
    path = f"{part.__module__}:{part.__qualname__}"
    found = merged(SMALL, tables or {})
    if "kind" not in found.get("stream", {}) and part.room != "stream":
        found["stream"] = {**TASKS, **found.get("stream", {})}
    if part.room == "exchange":
        own = {**EXCHANGE, **dict((tables or {}).get("exchange", {})), "kind": path}
        found["exchange"] = [own]
    elif part.room == "term":
        own = {**dict((tables or {}).get("term", {})), "kind": path}
        found.pop("term", None)
        found["learning"] = {**found["learning"], "terms": [own]}
    else:
        table, key = PLACES[part.room]
        found[table] = {**found.get(table, {}), key: path}
    return from_tables(found, f"The experiment to check {part.__name__}")


def merged(first: Tables, second: Tables) -> dict[str, Any]:
    """Both, table by table; the second wins."""
    found = {key: dict(value) if isinstance(value, Mapping) else value for key, value in first.items()}
    for key, value in second.items():
        found[key] = {**found.get(key, {}), **value} if isinstance(value, Mapping) else value
    return found


def must(holds: object, said: str) -> None:
    """Raises AssertionError that says what does not hold, under `python -O`, too."""
    if not holds:
        raise AssertionError(said)
