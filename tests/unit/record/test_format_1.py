"""Files of the format before this one are read, and say what they have always said.

The files were written by version 0.12 (commit ff0cad6): agents that grow by modules, and edited streams.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mpidcl.record.folder import read_summary
from mpidcl.record.results import read_results, write_results
from mpidcl.views.summary import SINCE_BASELINES, check_summary, reproducible, summarise

DATA = Path(__file__).parents[2] / "data" / "results_1"
TABLES = {
    "modules-label": {"divergence", "modules", "structures"},
    "elastic-align": {"course", "steps", "gallery"},
}


@pytest.mark.parametrize("name", TABLES)
def test_an_old_file_gives_the_summary_that_its_run_has_written(name: str) -> None:
    records = read_results(DATA / f"{name}.h5").records
    written = read_summary(DATA / f"{name}.json")
    check_summary(DATA / f"{name}.json", written, records)
    made = reproducible(summarise(records))
    for metrics in (made["metrics"], made["metrics"]["by_agent"], made["metrics"]["standard_error"]):
        for later in SINCE_BASELINES:
            metrics.pop(later, None)  # those that the run has
    assert made == {key: value for key, value in reproducible(written).items() if key in made}
    assert {table for record in records for table in record.tables} == TABLES[name]


@pytest.mark.parametrize("name", TABLES)
def test_an_old_file_written_anew_holds_the_same(name: str, tmp_path: Path) -> None:
    old = read_results(DATA / f"{name}.h5")
    write_results(tmp_path / "new.h5", *old)
    new = read_results(tmp_path / "new.h5")
    assert new.links == old.links
    for one, other in zip(old.records, new.records, strict=True):
        np.testing.assert_equal(other.state(), one.state())
