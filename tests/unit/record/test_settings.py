"""Settings of runs that older code has made, beside those of today."""

from __future__ import annotations

from pathlib import Path

import pytest

from mpidcl.experiment.reading import load
from mpidcl.record.settings import completed, differences, flat_settings

EXAMPLES = Path(__file__).parents[3] / "examples"
ONE_MEMORY = load(EXAMPLES / "replay" / "one-memory.toml").to_toml()


def without(text: str, *keys: str) -> str:
    """A resolved experiment without lines that begin with these keys."""
    lines = text.splitlines(keepends=True)
    kept = [line for line in lines if line.split(" = ")[0] not in keys]
    assert len(kept) == len(lines) - len(keys)
    return "".join(kept)


def test_a_run_of_older_code_has_the_defaults_of_keys_that_came_since() -> None:
    older = without(ONE_MEMORY, "progress")
    assert "memory.progress" in differences(flat_settings(older), flat_settings(ONE_MEMORY))
    assert not differences(completed(older), flat_settings(ONE_MEMORY))


def test_what_is_not_the_default_still_differs() -> None:
    older = without(ONE_MEMORY, "progress")
    here = flat_settings(ONE_MEMORY) | {"memory.draw": "class-balanced"}
    assert differences(completed(older), here) == {"memory.draw": ("uniform", "class-balanced")}


def test_a_key_that_only_the_older_code_had_is_told() -> None:
    older = without(ONE_MEMORY, "progress") + "\n[memory2]\nold = 1\n"
    found = differences(completed(older), flat_settings(ONE_MEMORY))
    assert found["memory2.old"] == ("1", "(absent)") and "memory.progress" in found


@pytest.mark.parametrize(
    "name", ["quickstart", "replay/one-memory", "baselines/derpp", "dcl/modmod", "emgd/ps-emnist"]
)
def test_what_today_has_written_is_complete(name: str) -> None:
    text = load(EXAMPLES / f"{name}.toml").to_toml()
    assert completed(text) == flat_settings(text)
