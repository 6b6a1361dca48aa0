"""Maps of the field: the same as those of the stream, from the settings and the record of a run alone."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from regression_fakes import experiment_of

from mpidcl.record.records import AgentRecord, Evaluation
from mpidcl.record.settings import flat_settings
from mpidcl.stream.regression.field import FieldStream
from mpidcl.views.field.figures import field_maps
from mpidcl.views.field.maps import maps_of
from mpidcl.views.field.view import FieldView
from mpidcl.views.figures.style import png, styled
from mpidcl.views.run import Run

AGENTS = 8


def made(off: float = 0.0, **options: Any) -> tuple[FieldStream, Run]:
    """Every second agent of a group is `off` above the truth in each number of its model, the other below."""
    experiment = experiment_of("field", 2, AGENTS, 3, **options)
    stream = FieldStream(experiment, 0)
    records = []
    for agent in range(AGENTS):
        truth = cast(Any, stream.task(len(stream.ticks) - 1).truth)
        group = agent // 2
        model = truth[group] + (off if agent % 2 else -off)
        own = {"group": np.array([group]), "model": model[None], "truth": truth[group][None]}
        rows = [Evaluation(len(stream.ticks) - 1, 1, {"error": (0.0,)}, 1.0)]
        records.append(AgentRecord(agent, 1, rows, tables={"estimates": own}))
    settings = flat_settings(experiment.to_toml())
    return stream, cast(Run, SimpleNamespace(records=records, settings=settings, seed=3, path=Path()))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"side": 9, "coordinates": "grid", "rho": 0.5},
        {"regions": "stripes", "side": 12, "tasks": 3, "move": 0.5},
    ],
)
def test_maps_are_those_of_the_stream(options: dict[str, Any]) -> None:
    stream, run = made(off=0.25, **options)
    found = maps_of(run)
    assert found is not None
    np.testing.assert_array_equal(found.field, stream.field(len(stream.ticks) - 1))
    np.testing.assert_allclose(found.estimate, found.best)  # the mean of two agents is the truth
    assert 0 < found.rms(found.best) < found.field.std()
    assert found.rms(found.field + 2) == pytest.approx(2)
    assert sorted(set(found.region.ravel().tolist())) == [0, 1, 2, 3]


def test_runs_without_maps() -> None:
    _, run = made()
    run.records[0].tables["estimates"]["model"][:] = np.nan
    assert maps_of(run) is None and FieldView().sheets(run) == []
    _, run = made()
    assert maps_of(cast(Run, SimpleNamespace(**vars(run) | {"records": [AgentRecord(0)]}))) is None
    for changed in ({"stream.kind": "linear-tasks"}, {"stream.regions": "circles"}):
        settings = run.settings | changed
        assert maps_of(cast(Run, SimpleNamespace(**vars(run) | {"settings": settings}))) is None


def test_the_figure() -> None:
    _, run = made(regions="stripes")
    (sheet,) = FieldView().sheets(run)
    assert sheet.name == "field" and "best models" in sheet.reading
    with styled():
        found = maps_of(run)
        assert found is not None
        figure = field_maps(found)
        assert png(figure)
        assert [axes.get_title(loc="left") for axes in figure.axes[:2]] == ["field", "estimate"]
        assert figure.axes[2].get_title(loc="left") == f"error: rms {found.rms(found.estimate):.3g}"
        assert len(figure.axes[0].lines) == 3 * 10  # three borders of ten cells
