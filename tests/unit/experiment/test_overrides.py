"""`--set`: any TOML value or a bare word, anywhere in the file."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpidcl.errors import ExperimentError
from mpidcl.experiment import overrides, toml

SCALARS = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.booleans() | st.text(max_size=8)


@given(st.one_of(SCALARS, st.lists(SCALARS, max_size=3)).filter(lambda v: max(str(v) or "a") < "\ud800"))
def test_every_toml_value_is_understood(value: Any) -> None:
    written = toml.dumps({"v": value}).removeprefix("v = ").rstrip("\n")
    assert overrides.parse_value(written) == value


@given(st.from_regex(r"[a-z][a-z0-9-]{0,12}( [a-z]+)?", fullmatch=True).filter(
    lambda word: word not in ("true", "false", "inf", "nan")
))  # fmt: skip
def test_bare_words_are_text(word: str) -> None:
    assert overrides.parse_value(word) == word


@pytest.mark.parametrize(
    ("text", "value"),
    [("10 epochs", "10 epochs"), ("96 KiB", "96 KiB"), ("0.01", 0.01), ("fashion-mnist", "fashion-mnist"),
     ("2026-11-20", "2026-11-20"), ("", ""), ("[1, 2]", [1, 2]), ("{a = 1}", {"a": 1}),
     ("a\nb = 3", "a\nb = 3"),
     ("1\nb = 3", "1\nb = 3")],
)  # fmt: skip
def test_values(text: str, value: Any) -> None:
    assert overrides.parse_value(text) == value


def test_any_place_can_be_set_and_the_tables_stay_as_they_were() -> None:
    tables = {"learning": {"lr": 1.0}, "exchange": [{"kind": "data"}]}
    sets = [
        "learning.lr=0.5",
        "exchange.0.every=10 epochs",
        "exchange.1.kind=parameters",
        "network.budget=1 kB",
    ]
    assert overrides.apply(tables, sets) == {
        "learning": {"lr": 0.5},
        "exchange": [{"kind": "data", "every": "10 epochs"}, {"kind": "parameters"}],
        "network": {"budget": "1 kB"},
    }
    assert tables == {"learning": {"lr": 1.0}, "exchange": [{"kind": "data"}]}


def test_the_last_of_two_wins_and_lists_appear_when_needed() -> None:
    assert overrides.apply({}, ["agent.0.ids=[1]", "seed=1", "seed=2"]) == {
        "agent": [{"ids": [1]}],
        "seed": 2,
    }


@pytest.mark.parametrize(
    ("assignment", "says"),
    [
        ("learning.lr", "KEY=VALUE"),
        ("=3", "KEY=VALUE"),
        ("learning..lr=3", "KEY=VALUE"),
        ("exchange.5.every=1 task", "number between 0 and 1"),
        ("exchange.first.every=1 task", "number between 0 and 1"),
        ("name.first=x", "leads nowhere"),
        ("learning.terms=[replay]", "[1, 2]"),
    ],
)
def test_what_cannot_be_set_is_said(assignment: str, says: str) -> None:
    with pytest.raises(ExperimentError) as caught:
        overrides.apply({"exchange": [{}], "name": "x"}, [assignment])
    assert says in str(caught.value)
