"""What departs from the publication in every run stands on the page, and is what the example files say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mpidcl.experiment.reading import load
from mpidcl.record.settings import flat_settings
from mpidcl.reproduce import page
from mpidcl.reproduce.choices import CHOICES, choice_lines, choices
from mpidcl.reproduce.found import Found
from mpidcl.reproduce.protocol import ROWS, sets_of

EXAMPLES = Path(__file__).parents[3] / "examples" / "dcl"


def about(*rows: str) -> list[str]:
    return [choice.about for choice in choices(list(rows))]


def test_a_departure_is_told_where_it_concerns_a_row() -> None:
    assert about() == [] and choice_lines([]) == []
    assert about("monolithic-isolated") == ["memory", "evaluation"]
    assert {"hidden candidate", "which net answers"} < set(about("modular-isolated"))
    assert {"labels of received rows", "rows that validate"} < set(about("monolithic-data"))
    assert "accommodation with all modes" in about("all-modes")
    assert "accommodation with all modes" not in about("modmod-1", "modular-data")


def test_the_page_and_its_numbers_tell_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Found, "rows", ["all-modes"])
    text = "\n".join(page.page_lines(Found(), []))
    told = page._json(Found(), [])["not_as_published_in_every_run"]
    assert len(told) == len(CHOICES) and json.dumps(told)
    assert text.count("The public code: ") == len(CHOICES)
    assert all(f"- **{one['about']}**. Ours: {one['ours']}." in text for one in told)


def settings(row: str) -> dict[str, Any]:
    return flat_settings(load(EXAMPLES / f"{ROWS[row].file}.toml", sets_of(ROWS[row], "mnist")).to_toml())


def labels(row: str) -> str:
    (key,) = [key for key in settings(row) if key.endswith(".labels")]
    return str(settings(row)[key])


def test_ours_is_what_the_example_files_say() -> None:
    assert {settings(row)["memory.policy"] for row in ROWS} == {"reservoir"}
    assert {labels(row) for row in ("modular-data", "all-modes")} == {"groundtruth"}
    assert labels("monolithic-data") == "same-as-query"
    assert labels("modular-data-same-as-query") == "same-as-query"
    assert labels("monolithic-data-groundtruth") == "groundtruth"
    assert "learning.accommodate" not in settings("all-modes"), "the last epoch"
