"""In what runs differ from the published protocol, from their own settings."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path

from mpidcl.experiment.reading import load
from mpidcl.record.settings import ABSENT, differences, flat_settings
from mpidcl.reproduce.protocol import ROWS, sets_of
from mpidcl.views.run import Run

_OF_THE_RUN = ("name", "seed")


def departures(run: Run, dataset: str, row: str, examples: Path) -> dict[str, tuple[str, str]]:
    """Setting -> (of the run, published), where they differ; every size is one of them.

    Settings that the run does not name are newer than it and not counted.
    """
    found = differences(run.settings, _published(dataset, row, examples))
    return {key: pair for key, pair in found.items() if key not in _OF_THE_RUN and pair[0] != ABSENT}


def words(found: Iterable[dict[str, tuple[str, str]]]) -> str:
    """`agents = 4 (published 8), stream.tasks = 7 (published 10)`, each difference once.

    Periods that only follow the epochs are left out when those differ.
    """
    each = {(key, *pair) for one in found for key, pair in one.items()}
    shorter = any(key == "learning.epochs" for key, _, _ in each)
    told = sorted(one for one in each if not (shorter and one[0].endswith(".every")))
    return ", ".join(f"{key} = {here} (published {there})" for key, here, there in told)


@cache
def _published(dataset: str, row: str, examples: Path) -> dict[str, object]:
    file = examples / f"{ROWS[row].file}.toml"
    return flat_settings(load(file, sets_of(ROWS[row], dataset)).to_toml())
