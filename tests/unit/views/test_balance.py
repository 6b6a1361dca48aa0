"""Who decides the direction: shares of the weight, and a memory that is known by heart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from parallel_records import course, shared

from mpidcl.learning.parallel.steps import StepLog
from mpidcl.record.folder import RunFolder, open_folder
from mpidcl.record.records import AgentRecord
from mpidcl.report.page import write_report
from mpidcl.report.table import results_table
from mpidcl.views.figures.style import png
from mpidcl.views.parallel.balance import balance_lines, decided_alone, largest_share, memorised
from mpidcl.views.parallel.figures.steps import weights
from mpidcl.views.parallel.metrics import first_log
from mpidcl.views.summary import summarise

pytestmark = pytest.mark.usefixtures("coarse_pictures")


def log_of(*steps: tuple[tuple[int, ...], list[float], list[float], list[float] | None]) -> StepLog:
    """Steps of (tasks, lengths of orthogonal gradients, losses, weights)."""
    log = StepLog(3, len(steps))
    for number, (tasks, lengths, losses, found) in enumerate(steps):
        gram = np.diag(np.square(lengths))
        log.add(number, tasks, gram, None if found is None else np.array(found), None, np.array(losses))
    return log


def test_shares_are_of_absolute_values_in_steps_with_several_gradients() -> None:
    ones = [1.0, 1.0]
    log = log_of(
        ((0,), [1.0], [1.0], [1.0]),
        ((-1, 1), ones, ones, [19.0, -1.0]),
        ((1, 2), ones, ones, [0.05, 0.95]),
        ((1, 2), ones, ones, [0.5, 0.5]),
        ((1, 2), ones, ones, None),
        ((1, 2), ones, ones, [0.0, 0.0]),
    )
    np.testing.assert_allclose(largest_share(log), [np.nan, 0.95, 0.95, 0.5, np.nan, np.nan])
    assert decided_alone(log) == (pytest.approx(2 / 3), pytest.approx(1 / 3))


def test_without_weights_nobody_is_said_to_decide() -> None:
    log = log_of(((0, 1), [1.0, 1.0], [1.0, 1.0], None))
    assert np.isnan(decided_alone(log)).all() and np.isnan(memorised(log))
    assert balance_lines(log) == []
    assert balance_lines(None) == []


@pytest.mark.parametrize(
    ("lengths", "losses", "known"),
    [
        ([0.05, 1.0, 1.0], [0.02, 1.0, 2.0], 1.0),
        ([0.05, 1.0, 1.0], [0.5, 1.0, 2.0], 0.0),  # short, because its rows disagree
        ([0.5, 1.0, 1.0], [0.02, 1.0, 2.0], 0.0),
        ([50.0, 1000.0, 1000.0], [2e-5, 1e-3, 2e-3], 1.0),  # the scale does not matter
    ],
)
def test_a_memory_is_memorised_when_loss_and_gradient_are_small_beside_the_new(
    lengths: list[float], losses: list[float], known: float
) -> None:
    step = ((-1, 0, 1), lengths, losses, [1.0, 1.0, 1.0])
    alone = ((-1,), lengths[:1], losses[:1], [1.0])
    assert memorised(log_of(step, alone)) == known


def memorising(share: float) -> list[AgentRecord]:
    """A run with a memory in all steps, memorised in this share of them, which then takes the weight."""
    records = shared(agents=2)
    often = int(100 * share)
    step = ((-1, 0), [0.01, 2.0], [0.01, 1.5], [1e3, 1.0]), ((-1, 0), [1.0, 1.0], [1.0, 1.0], [1.0, 1.0])
    log = log_of(*[step[0]] * often, *[step[1]] * (100 - often))
    records[0].tables["steps"] = log.table()
    return records


@pytest.mark.parametrize(("share", "warned"), [(0.6, True), (0.2, False)])
def test_page_and_terminal_tell_the_share_and_warn(tmp_path: Path, share: float, warned: bool) -> None:
    records = memorising(share)
    toml = 'name = "a"\nagents = 2\n[stream]\nkind = "parallel"\n'
    open_folder(RunFolder(tmp_path / "a"), toml, {})
    RunFolder(tmp_path / "a").finish(records, [], summarise(records))
    told = f"in {100 * share:.0f} % of the steps with several, the memory's in {100 * share:.0f} %."
    page = write_report([tmp_path / "a"]).read_text().replace("&#39;", "'")
    for text in (page, " ".join(results_table(tmp_path / "a").split())):
        assert told in text
        assert ("the memory is memorised" in text) == warned


def titles(figure: Figure) -> str:
    return " ".join(axes.get_title(loc="right") for axes in figure.axes)


def test_the_figure_of_the_weights_says_how_often_one_decides() -> None:
    log = first_log(memorising(0.6))
    assert log is not None
    figure = weights(log, course())
    assert "above 90 % in 60 of 100 steps with several gradients" in titles(figure)
    png(figure)
    log.weights[:] = np.nan
    assert titles(weights(log, course())).strip() == ""
