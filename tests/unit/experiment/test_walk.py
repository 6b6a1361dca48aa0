"""Every key of the experiment file takes every nasty value: an experiment as good as any, or one message."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest

from mpidcl.errors import ExperimentError
from mpidcl.experiment import kinds, network_table, sections
from mpidcl.experiment.file import Experiment
from mpidcl.experiment.reading import from_tables, from_toml
from mpidcl.experiment.tables import field_names

BASE = """
name = "walk"
agents = 3
[stream]
tasks = 3
[[network.link]]
class = "slow"
[[exchange]]
kind = "parameters"
when = "before"
every = "1 epochs"
[[agent]]
ids = [1]
learning = {lr = 0.01}
"""
PARALLEL = """
name = "walk"
agents = 2
stream.kind = "parallel"
memory.policy = "class-quota"
learning.kind = "parallel"
"""
DEEP: Any = "x"
for _ in range(15):
    DEEP = [DEEP]
NASTY: tuple[Any, ...] = (
    0, -1, 2**63 - 1, 2**64, 10**5000, 1e308, -1e-320, float("nan"), float("inf"), True,
    "", "a\0b", "x\x1b[31m", "x" * 20_000, "..", "builtins:dict", "9" * 5000 + " s",
    "1e999 s", "1e999 TiB", "1e30 rows", "1e999 %", "1e-999 B/s",
    [], [0, 0], [2, -1], DEEP, [1] * 200, {}, {"kind": "builtins:dict"},
)  # fmt: skip
Key = tuple[str | int, ...]


def common() -> Iterator[Key]:
    """Keys of the tables that every experiment has."""
    yield from [(name,) for name in Experiment.model_fields]
    tables: dict[Key, list[str]] = {
        ("network",): field_names(network_table.Network),
        ("network", "conditions"): field_names(network_table.Conditions),
        ("network", "link", 0): field_names(network_table.LinkRule),
        ("stream",): sections.Stream.known_keys(),
        ("model",): sections.Model.known_keys(),
        ("memory",): sections.Memory.known_keys(),
        ("learning",): sections.Learning.known_keys(),
        ("exchange", 0): sections.ExchangeTable.known_keys(),
        ("evaluation",): field_names(sections.Evaluation),
        ("checkpoint",): field_names(sections.Checkpoint),
        ("agent", 0): field_names(sections.AgentRule),
        ("agent", 0, "learning"): sections.Learning.known_keys(),
    }
    for table, names in tables.items():
        yield from [(*table, name) for name in names]


PLACES: dict[str, tuple[str, Key, str]] = {
    "clock": (BASE, ("clock",), "kind"),
    "stream": (BASE, ("stream",), "kind"),
    "model": (BASE, ("model",), "kind"),
    "policy": (BASE, ("memory",), "policy"),
    "optimizer": (BASE, ("learning",), "optimizer"),
    "schedule": (BASE, ("learning", "schedule"), "kind"),
    "objective": (BASE, ("learning", "objective"), "kind"),
    "term": (BASE, ("learning", "terms", 0), "kind"),
    "exchange": (BASE, ("exchange", 0), "kind"),
    "learner": (BASE, ("learning",), "kind"),
    "editor": (PARALLEL, ("learning", "editing"), "kind"),
    "combiner": (PARALLEL, ("learning", "combiner"), "kind"),
}


def of_kind(room: str, kind: str) -> Iterator[tuple[dict[str, Any], Key]]:
    """Keys of the options of one kind, each with an experiment that has the kind."""
    text, table, key = PLACES[room]
    tables = put(tomllib.loads(text), (*table, key), kind)
    if "parallel" in (kind, tables["learning"].get("kind") if "learning" in tables else None):
        tables = put(tomllib.loads(PARALLEL), (*table, key), kind)
    names = [key] if room == "optimizer" else field_names(kinds.options_type(room, kind))
    for name in names:
        yield tables, (*table, name)


def put(tables: dict[str, Any], key: Key, value: Any) -> dict[str, Any]:
    """A copy with `value` at `key`; tables and entries of lists that are missing are made."""
    changed = deepcopy(tables)
    place: Any = changed
    for part, following in zip(key, key[1:], strict=False):
        if isinstance(part, str):
            place = place.setdefault(part, [{}] if isinstance(following, int) else {})
        else:
            place = place[part]
    place[key[-1]] = value
    return changed


def try_all(tables: dict[str, Any], key: Key) -> int:
    """How many of the nasty values are accepted at `key`."""
    accepted = 0
    for value in NASTY:
        try:
            experiment = from_tables(put(tables, key, value), "walk.toml")
        except ExperimentError as error:
            text = str(error)
            assert text.startswith("walk.toml cannot be used; ") and len(text) < 60_000
            assert all(c.isprintable() or c == "\n" for c in text)
            assert not {"pydantic", "validator", "Input", "sys.set"} & set(text.replace(".", " ").split())
        else:
            assert from_toml(experiment.to_toml()) == experiment
            accepted += 1
    return accepted


def test_every_common_key() -> None:
    tables = tomllib.loads(BASE)
    accepted = [try_all(tables, key) for key in common()]
    assert len(accepted) > 75
    assert max(accepted) < len(NASTY) / 2


@pytest.mark.parametrize("room", PLACES)
def test_every_option_of_every_kind(room: str) -> None:
    for kind in kinds.BUILT_IN[room]:
        for tables, key in of_kind(room, kind):
            assert try_all(tables, key) < len(NASTY) / 2
