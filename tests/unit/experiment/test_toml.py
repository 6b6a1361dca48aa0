"""Writing TOML: tomllib reads back what was written."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpidcl.experiment import toml

SCALARS = (
    st.text(st.characters(exclude_categories=("Cs",)), max_size=8)
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.booleans()
)
KEYS = st.text(st.characters(exclude_categories=("Cs",)), max_size=6)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(KEYS, VALUES, max_size=4))
def test_what_is_written_is_read_back(tables: dict[str, Any]) -> None:
    assert tomllib.loads(toml.dumps(tables)) == tables


def test_the_layout_is_the_one_that_people_write() -> None:
    text = toml.dumps({"b": {"x": [1, 2], "c": {"y": True}}, "a": "text", "e": [{"k": 1.5}, {"k": 2}]})
    assert text == 'a = "text"\n\n[b]\nx = [1, 2]\n\n[b.c]\ny = true\n\n[[e]]\nk = 1.5\n\n[[e]]\nk = 2\n'


def test_values_that_toml_does_not_have_are_refused() -> None:
    with pytest.raises(TypeError, match="None"):
        toml.dumps({"a": None})
