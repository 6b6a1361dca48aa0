"""The view of mail: what became of frames and messages, in numbers, words and figures."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from mpidcl.errors import EXIT_DONE
from mpidcl.exchange.free_mail import FreeCame
from mpidcl.exchange.mail import Aged, Came
from mpidcl.experiment.reading import from_toml
from mpidcl.network.schedule.words import SECONDS, TASKS
from mpidcl.record.records import AgentRecord, Evaluation, LedgerRow
from mpidcl.record.tables import to_columns
from mpidcl.report.loaded import load_run
from mpidcl.report.page import write_report
from mpidcl.report.table import results_table
from mpidcl.run import simulation
from mpidcl.views.figures.style import png, styled
from mpidcl.views.mail.numbers import AGES, MAIL, Fate, ages, fates, in_ticks, together
from mpidcl.views.mail.view import MailView, used
from mpidcl.views.run import OWN_TIME, Run
from mpidcl.views.tasks.curves import in_tasks, of_one_run, seen
from mpidcl.views.tasks.over_time import course_line, curve_over_time

FILE = """
name = "mail"
agents = 3
clock = {kind = "virtual", rate = 2.0}
agent = [{ids = [2], clock = {rate = 1.0}}]
stream = {tasks = 2, classes_per_task = 2, train_per_class = 8}
learning = {epochs = 6}
evaluation = {every = 2}
network = {conditions = {latency = "100 ms", bandwidth = "200 kB/s", jitter = "400 ms", loss = "20 %"}}
exchange = [
    {kind = "parameters", when = "after", every = "1 tick", from_task = 0},
    {kind = "data", when = "after", every = "2 ticks", from_task = 0},
]
"""


def record(agent: int, came: list[Came], aged: list[Aged] = (), **more: Any) -> AgentRecord:  # type: ignore[assignment]
    tables = {MAIL: to_columns(Came, came)} | ({AGES: to_columns(Aged, aged)} if aged else {})
    return AgentRecord(agent, tables=tables, **more)


def came(source: int, frames: int, lost: int, skipped: int, messages: int, late: int, age: float) -> Came:
    """Nothing was dropped."""
    return Came(source, frames, lost, skipped, messages=messages, late=late, age=age)


@pytest.fixture
def records() -> list[AgentRecord]:
    sent = [LedgerRow(0, 1, 4, "data", 9, 9, 9, 9, 0.0)]
    return [
        record(
            0,
            [Came(1, frames=10, lost=1, skipped=2, messages=6, late=1, age=9.0)],
            [Aged(1, 0, 1, 6)],
            ledger=sent,
        ),
        record(
            1,
            [Came(0, frames=10, lost=3, skipped=0, messages=4, late=0, age=6.0)],
            [Aged(0, 0, -1, 2), Aged(0, 4, 3, 2)],
        ),
        record(2, [Came(0, frames=5, lost=5, skipped=0, messages=0, late=0, age=0.0)]),
    ]


def test_what_became_of_frames(records: list[AgentRecord]) -> None:
    found = fates(records)
    assert list(found) == [(0, 1), (0, 2), (1, 0)]
    assert found[1, 0] == Fate(10, 1, 2, 6, 1, 9.0)
    assert (found[1, 0].arrived, found[1, 0].mean_age, found[1, 0].late_share) == (7, 1.5, 1 / 7)
    assert found[0, 2].mean_age is None and found[0, 2].late_share is None
    whole = together(found.values())
    assert whole == Fate(25, 9, 2, 10, 1, 15.0)
    assert MailView().summary(records) == {
        "mail": {
            "frames": 25, "lost": 9, "skipped": 2, "down": 0, "dropped": 0, "used": 10, "late": 1,
            "mean_age": 1.5,
        }
    }  # fmt: skip
    assert MailView().summary(records[2:])["mail"]["mean_age"] == -1  # type: ignore[index]
    assert used(found[0, 2]) == "No message was used."


def test_ages_by_exchange(records: list[AgentRecord]) -> None:
    first, second = ages(records)
    assert (first.exchange, first.kind, second.exchange, second.kind) == (0, "", 4, "data")
    assert first.powers.tolist() == [-1, 0, 1] and first.messages.tolist() == [2, 0, 6]
    assert first.median == pytest.approx(2 ** (1 / 3))  # two of the six of a bar from 1 s to 2 s
    assert second.median == pytest.approx(2**2.5)


def test_tiles_lines_and_figures(records: list[AgentRecord]) -> None:
    run, view = cast(Run, SimpleNamespace(records=records)), MailView()
    assert all(view.sees(one) for one in records) and not view.sees(AgentRecord(0))
    lost, age = view.tiles(run)
    assert lost.number == "36.0\N{NO-BREAK SPACE}%" and "of 25 frames were lost, 8.00" in lost.words
    assert age.number == "1.50\N{NO-BREAK SPACE}s" and "9.09" in age.words
    assert view.lines(run) == [
        "Mail: 25 frames were due; 9 were lost, and 2 skipped, as their line was busy.",
        "10 messages were used at a mean age of 1.50 s; 1 came late, after a newer one or beside it.",
    ]
    many = [
        record(
            n,
            [came(other, 9, 1, 1, 1, 1, 1.0) for other in range(6) if other != n],
        )
        for n in range(6)
    ]
    with styled():
        for some, names in ((records, ["mail-ages", "mail-links"]), (many, ["mail-links"])):
            sheets = view.sheets(cast(Run, SimpleNamespace(records=some)))
            assert [sheet.name for sheet in sheets] == names
            assert all((figure := sheet.draw()) is not None and png(figure) for sheet in sheets)
    (links,) = sheets
    figure = links.draw()
    assert figure is not None
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == [f"to agent {n}" for n in range(6)]  # 30 links would be too many rows


def test_frames_whose_link_was_down(records: list[AgentRecord]) -> None:
    gone = record(3, [Came(0, frames=8, down=3, messages=5, age=5.0)])
    run, view = cast(Run, SimpleNamespace(records=[*records, gone])), MailView()
    assert fates([gone])[0, 3].arrived == 5 and view.summary([gone])["mail"]["down"] == 3  # type: ignore[index]
    assert view.lines(run)[0].endswith("and 2 skipped, as their line was busy. 3 found their link down.")
    with styled():
        (figure,) = (cast(Any, one.draw()) for one in view.sheets(run) if one.name == "mail-links")
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()][-1] == "link down"


def test_a_run_that_did_not_know_of_links_that_are_down(records: list[AgentRecord]) -> None:
    older = {name: values for name, values in records[0].tables[MAIL].items() if name != "down"}
    assert fates([AgentRecord(0, tables={MAIL: older})]) == fates(records[:1])


def test_ages_under_the_clock_free_are_ticks(records: list[AgentRecord]) -> None:
    free = [FreeCame(1, frames=10, lost=1, skipped=2, messages=6, late=1, age=9.0, unanswered=1)]
    ticking = AgentRecord(
        0,
        tables={
            MAIL: to_columns(FreeCame, free),
            AGES: to_columns(Aged, [Aged(1, 0, -20, 3), Aged(1, 0, 3, 2)]),
        },
    )
    run, view = cast(Run, SimpleNamespace(records=[ticking])), MailView()
    assert not in_ticks(records) and in_ticks([ticking])
    assert view.tiles(run)[1].number == "1.5\N{NO-BREAK SPACE}ticks"
    assert view.lines(run)[1].startswith("6 messages were used at a mean age of 1.5 ticks;")
    with styled():
        histogram, links = (cast(Any, sheet.draw()) for sheet in view.sheets(run))
    assert histogram.axes[0].get_xlabel() == "age when used [ticks of the sender]"
    bars = [(bar.get_x() + bar.get_width() / 2, bar.get_height()) for bar in histogram.axes[0].patches]
    assert bars == [(pytest.approx(place - 0.5), share) for place, share in enumerate((60, 0, 0, 40))]
    assert [label.get_text() for label in histogram.axes[0].get_xticklabels()] == ["0", "1", "2–3", "4–7"]
    assert links.axes[1].get_xlabel() == "mean age when used [ticks]"


def test_a_mean_over_time_keeps_what_an_agent_measured_last() -> None:
    def known(agent: int, *rows: tuple[int, int, float, tuple[float, ...]]) -> AgentRecord:
        found = [Evaluation(task, tick, {"accuracy": values}, time) for task, tick, time, values in rows]
        return AgentRecord(agent, evaluations=found)

    quick = known(
        0, (0, 0, 0.0, (0.0,)), (0, 2, 2.0, (1.0,)), (1, 0, 2.0, (1.0, 0.0)), (1, 4, 4.0, (1.0, 1.0))
    )
    slow = known(1, (0, 0, 0.0, (0.0,)), (0, 2, 8.0, (0.8,)))
    times, values = course_line(quick, seen)
    assert np.all(np.diff(times) > 0) and list(values) == [0, 1, 0.5, 1]
    curve = curve_over_time(of_one_run([quick, slow]), seen)
    assert curve.time.tolist()[-1] == 8.0
    assert curve.mean[[0, -1]].tolist() == pytest.approx([0, 0.9])
    assert curve.mean[1:3].tolist() == pytest.approx(
        [0.6, 0.35]
    )  # the end of a task, and the begin of the next
    assert [row.time for row in in_tasks(quick).evaluations] == [0, 1, 1, 2]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, TASKS),
        ({"clock": "lockstep"}, TASKS),
        ({"clock.kind": "virtual"}, SECONDS),
        ({"clock": "os:system"}, OWN_TIME),
        ({"clock": 3}, OWN_TIME),
    ],
)
def test_the_time_of_a_run(settings: dict[str, Any], words: object) -> None:
    run = Run(Path(), "", settings, {}, [], [], {}, True, cast(Any, None))
    assert run.time == words


def test_a_real_run_and_its_page(tmp_path: Path, coarse_pictures: None) -> None:
    sync = ["clock=lockstep", "agent=[]", "name=sync"]
    for name, sets in (("async", []), ("sync", sync)):
        assert (
            simulation.run(from_toml(FILE, sets), tmp_path / name, driver="inprocess", quiet=True)
            == EXIT_DONE
        )
    summary = json.loads((tmp_path / "async" / "summary.json").read_text())
    found = fates(load_run(tmp_path / "async").records)
    whole = together(found.values())
    assert summary["mail"]["frames"] == whole.frames == summary["communication"]["frames"]
    assert whole.lost and whole.skipped and whole.used and whole.late
    assert whole.used + whole.late >= sum(
        one.messages.sum() for one in ages(load_run(tmp_path / "async").records)
    )
    assert "Mail: " in results_table(tmp_path / "async")
    page = write_report([tmp_path / "async"])
    text = page.read_text()
    assert "Mail, link by link" in text and "0 → 1" in text
    assert "a point is the mean over 1/40 of the run" in text
    assert {"mail-ages", "mail-links"} < {path.stem for path in page.parent.glob("*.png")}
    alone = write_report([tmp_path / "sync"])
    assert "mail" not in json.loads((tmp_path / "sync" / "summary.json").read_text())
    assert "1/40" not in alone.read_text() and "virtual time" not in alone.read_text()
    both = write_report([tmp_path / "sync", tmp_path / "async"], tmp_path / "both")
    assert "The curve starts anew with each task" in both.read_text()
    one = write_report([tmp_path / "async"], tmp_path / "again")
    assert "Agents are in different tasks at one time" in one.read_text()
