"""Kinds: ours by a short name, anybody's by an import path, with options that are checked alike."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydantic import Field

from mpidcl.errors import ExperimentError
from mpidcl.experiment import kinds
from mpidcl.experiment.file import Experiment
from mpidcl.experiment.options import Options
from mpidcl.experiment.reading import from_tables, from_toml

MODULE = """
from dataclasses import dataclass
from pydantic import Field
from mpidcl.exchange.base import Exchange
from mpidcl.experiment.options import Options

class Talk(Exchange):
    def bytes_range(self, target, budget): ...
    def ask(self, link): ...
    def settle(self, received): ...

class Gossip(Talk):
    class Options(Options):
        words: int = Field(3, ge=1, description="words per gossip")
        tail: tuple[float, ...] = ()

class Plain(Talk):
    @dataclass(frozen=True)
    class Options:
        words: int = 3

class Clash(Talk):
    class Options(Options):
        every: int = 3

class Bare(Talk):
    pass

class Odd(Talk):
    Options = 3

class Half(Exchange):
    class Options(Options):
        pass

function = len
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """An experiment whose exchange is a class of a module that the user wrote."""
    (tmp_path / "own_gossip.py").write_text(MODULE)
    (tmp_path / "own_wrong.py").write_text("\nclass Gossip(:\n")
    (tmp_path / "own_broken.py").write_text("import not_installed_anywhere")
    monkeypatch.syspath_prepend(str(tmp_path))

    def load(kind: str, **options: Any) -> Experiment:
        exchange = {"kind": kind, "when": "task end", **options}
        return from_tables({"name": "x", "agents": 2, "exchange": [exchange]})

    return load


def test_own_options_are_checked_like_ours(own: Any) -> None:
    exchange = own("own_gossip:Gossip", words=5, tail=[1.0, 2.0]).exchange[0]
    assert (exchange.options.words, exchange.options.tail) == (5, (1.0, 2.0))
    with pytest.raises(
        ExperimentError, match="exchange.0.words: should be at least 1. Found 0.*words per gossip"
    ):
        own("own_gossip:Gossip", words=0)
    with pytest.raises(ExperimentError, match="exchange.0.wrods: .*Did you mean `words`"):
        own("own_gossip:Gossip", wrods=1)


def test_who_has_nothing_to_choose_needs_no_options(own: Any) -> None:
    assert own("own_gossip:Bare").exchange[0].options == Options()
    with pytest.raises(ExperimentError, match="`words`: is not a known key|words: is not a known key"):
        own("own_gossip:Bare", words=5)


def test_own_options_may_be_a_dataclass(own: Any) -> None:
    assert own("own_gossip:Plain", words=5).exchange[0].options.words == 5
    for options, says in (({"words": "5"}, "whole number"), ({"wrods": 1}, "Did you mean `words`")):
        with pytest.raises(ExperimentError, match=says):
            own("own_gossip:Plain", **options)


@pytest.mark.parametrize("kind", ["own_gossip:Gossip", "own_gossip:Plain"])
def test_own_methods_survive_the_resolved_text(own: Any, kind: str) -> None:
    experiment = own(kind, words=7)
    assert from_toml(experiment.to_toml()) == experiment


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("own_gossip:Odd", "names a class with wrong options"),
        ("own_gossip:Nobody", '"own_gossip" has no `Nobody`'),
        ("own_gossip:Clash", "has the option `every`, which is a key of this table"),
        ("own_gossip:function", "should name a class"),
        ("own_gossip:Half", "should name an exchange, a subclass of mpidcl.exchange.base:Exchange, complete"),
        ("own_wrong:Gossip", "own_wrong.py, line 2 is no Python"),
        (
            "mpidcl.memory.policies:Fifo",
            "should name an exchange, a subclass of mpidcl.exchange.base:Exchange. ",
        ),
        ("own_gosip:Gossip", "there is no module `own_gosip`"),
        ("own_broken:Gossip", "needs the package `not_installed_anywhere`"),
    ],
)
def test_what_cannot_be_found_is_said(own: Any, kind: str, says: str) -> None:
    with pytest.raises(ExperimentError) as caught:
        own(kind)
    assert "exchange.0.kind" in str(caught.value)
    assert says in str(caught.value)


def test_an_installed_package_may_declare_a_short_name(own: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    declared = {"exchange.gossip": "own_gossip:Gossip", "exchange.data": "own_gossip:Bare"}
    monkeypatch.setattr(kinds, "_declared", lambda: declared)
    assert own("gossip", words=2).exchange[0].options.words == 2
    assert kinds.known_kinds("exchange")["data"] == kinds.BUILT_IN["exchange"]["data"]


@pytest.mark.parametrize("room", list(kinds.BUILT_IN))
def test_every_built_in_kind_is_there_with_documented_options(room: str) -> None:
    for kind in kinds.BUILT_IN[room]:
        kinds.resolve(room, kind)
        if room in ("optimizer", "dataset"):
            continue
        for name, field in kinds.options_type(room, kind).model_fields.items():
            assert field.description, f"{room} {kind}: `{name}` has no description"


def test_reading_an_experiment_imports_only_what_it_uses() -> None:
    heavy = "{'torch', 'mpi4py', 'h5py', 'numba'}"
    code = f"import sys, mpidcl.experiment.file; sys.exit(bool({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


class _Described(Options):
    value: int = Field(1, description="a value")


@dataclass
class _Data:
    value: int = 1


@pytest.mark.parametrize("options", [_Described, _Data])
def test_names_of_options(options: type[Any]) -> None:
    from mpidcl.experiment.tables import field_names

    assert field_names(options) == ["value"]


SORTED = {
    "clock": {"clock": "{}"},
    "stream": {"stream": {"kind": "{}"}},
    "dataset": {"stream": {"dataset": "{}"}},
    "model": {"model": {"kind": "{}"}},
    "policy": {"memory": {"policy": "{}"}},
    "learner": {"learning": {"kind": "{}"}},
    "optimizer": {"learning": {"optimizer": "{}"}},
    "schedule": {"learning": {"schedule": "{}"}},
    "term": {"learning": {"terms": ["{}"]}},
    "exchange": {"exchange": [{"kind": "{}", "when": "task end"}]},
    "combiner": {"learning": {"kind": "parallel", "combiner": "{}"}},
    "editor": {"learning": {"kind": "parallel", "editing": "{}"}},
}


def filled(tables: Any, kind: str) -> Any:
    if isinstance(tables, dict):
        return {key: filled(value, kind) for key, value in tables.items()}
    return [filled(value, kind) for value in tables] if isinstance(tables, list) else tables.format(kind)


@pytest.mark.parametrize("room", SORTED)
def test_a_class_of_another_sort_is_refused(room: str) -> None:
    """Any class of Python's, and one of each other room of ours."""
    others = [next(iter(known.values())) for other, known in kinds.BUILT_IN.items() if other != room]
    for path in ("builtins:dict", *others):
        with pytest.raises(ExperimentError) as caught:
            from_tables({"name": "x", "agents": 2} | filled(SORTED[room], path))
        assert f'should name {kinds.SORTS[room]}. "{path}" is none' in str(caught.value)


def test_all_of_ours_are_of_their_sort() -> None:
    for room, known in kinds.BUILT_IN.items():
        for path in known.values():
            assert kinds.resolve(room, path)
