"""`check --schema` shows every key of every table and every option of every kind."""

from __future__ import annotations

import pytest

from mpidcl.experiment import kinds, schema
from mpidcl.experiment.file import Experiment


@pytest.fixture(scope="module")
def reference() -> str:
    return schema.reference()


def test_every_table_and_key_is_there(reference: str) -> None:
    lines = reference.splitlines()
    for name in (
        "[network]",
        "[network.conditions]",
        "[[network.link]]",
        "[[exchange]]",
        "[[agent]]",
        "[checkpoint]",
    ):
        assert any(line.startswith(f"{name}  ") for line in lines), name
    for key in Experiment.model_fields.keys() - {"network", "stream", "model", "memory", "learning"}:
        assert key in reference


def test_every_option_is_there_with_its_description(reference: str) -> None:
    flat = " ".join(reference.split())
    for room in ("clock", "stream", "model", "policy", "schedule", "term", "exchange", "learner"):
        for kind in kinds.BUILT_IN[room]:
            assert f'= "{kind}"' in flat
            for field in kinds.options_type(room, kind).model_fields.values():
                assert " ".join((field.description or "?").split()) in flat


def test_it_fits_a_terminal(reference: str) -> None:
    assert max(map(len, reference.splitlines())) <= 100


def test_units_defaults_and_bounds_are_shown(reference: str) -> None:
    line = next(line for line in reference.splitlines() if line.startswith("  deadline"))
    assert line.split()[1] == "-"
    assert '"5 ms"' in reference
    assert '"lockstep"' in reference
    assert "> 0" in next(line for line in reference.splitlines() if line.startswith("  lr "))
