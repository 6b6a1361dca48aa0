"""Schedule time as people read it: tasks under `lockstep`, seconds under a clock with virtual time."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from mpidcl.errors import EXIT_DONE, EXIT_RESUMABLE, ExperimentError
from mpidcl.experiment.reading import from_toml
from mpidcl.experiment.units import Cadence
from mpidcl.network.schedule.timetable import Event, Moment, Phase
from mpidcl.network.schedule.words import SECONDS
from mpidcl.record.records import Evaluation
from mpidcl.run import progress, simulation
from mpidcl.run.preview import check
from mpidcl.run.progress import TimedProgress

FILE = """
name = "words"
agents = 3
clock = {kind = "virtual", rate = 2.0}
agent = [{ids = [2], clock = {rate = 1.0}}]
stream = {tasks = 2, classes_per_task = 2, train_per_class = 8}
learning = {epochs = 4}
network = {conditions = {latency = "100 ms", bandwidth = "1 MB/s"}}
exchange = [{kind = "parameters", when = "after", every = "1 tick", from_task = 0}]
"""


def test_where_a_run_stops_and_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    experiment, words = from_toml(FILE), {"driver": "inprocess"}
    assert (
        simulation.run(experiment, tmp_path / "a", until=Cadence.parse("1500 ms"), **words) == EXIT_RESUMABLE
    )
    assert "stopped at 1.5 s as asked; the same command without --until goes on." in capsys.readouterr().err
    assert simulation.run(experiment, tmp_path / "a", until=Cadence.parse("1 s"), **words) == EXIT_RESUMABLE
    assert "asked to stop at 1 s, but it was already at 1.5 s;" in capsys.readouterr().err
    assert simulation.run(experiment, tmp_path / "a", **words) == EXIT_DONE
    said = capsys.readouterr().err
    assert f"[words] goes on after 1.5 s, from {tmp_path / 'a'}" in said
    assert " s, task 2/2 epoch 4: accuracy on tasks so far" in said


def test_what_check_says() -> None:
    text = check(from_toml(FILE))
    timetable = text.split("# timetable\n")[1].split("\n\n")[0].splitlines()
    assert timetable[1].endswith("messages of an agent to each neighbour, after, every 1 tick")
    assert timetable[2].startswith("the run ends at ") and "of virtual time" in timetable[2]
    assert timetable[3].startswith("2 agents: poisson ticks, 2 per second, 9 to 10 until the end")
    assert timetable[4].startswith("1 agent: poisson ticks, 1 per second, ")
    assert sum("in flight" in line for line in timetable) == 3  # between fast ones, to the slow one, from it
    assert "each frame: a header of 105 bytes" in text  # 48 and a stamp
    slow = check(from_toml(FILE, ["network.conditions.bandwidth=50 kB/s"]))
    assert "note: a frame of link 0 -> 1, of 65.2 KiB, takes 1.33 s on its line" in slow
    assert slow.count("note: a frame") == 1 and "The same holds for 5 other links." in slow
    shares = 'exchange=[{kind="parameters", when="after", share="25 %", from_task=0}]'
    told = check(from_toml(FILE, [shares]))
    assert "messages of an agent to each neighbour, after, each tick with chance 0.25" in told
    lockstep = check(from_toml(FILE, ["clock=lockstep", "agent=[]"]))
    assert "virtual" not in lockstep.split("# timetable")[1] and "in flight" not in lockstep
    assert "each frame: a header of 48 bytes" in lockstep


def test_links_under_other_conditions_are_told_apart() -> None:
    exception = 'network.link=[{from=[0], latency="5 s"}]'
    assert check(from_toml(FILE, [exception])).count(" 5.07 s underway") == 2


def test_how_short_a_time_may_be() -> None:
    with pytest.raises(
        ExperimentError, match="--until should be at least a thousandth of a second. Found 100 us"
    ):
        simulation.run(from_toml(FILE), until=Cadence.parse("100 us"), driver="inprocess")


def test_progress_goes_by_time(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1000.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    speak = TimedProgress("demo", 2, lambda event: event.task + event.tick / 4, 50.0, SECONDS)
    found = Evaluation(0, 4, {"accuracy": (0.5, 0.75)})
    events = [
        (0, 0.0, Phase.EVALUATE_START, 0, 0, found),
        (6, 2.5, Phase.EVALUATE, 0, 1, found),
        (7, 4.0, Phase.EVALUATE, 0, 2, found),  # too soon
        (8, 10.0, Phase.EVALUATE, 0, 4, found),
        (20, Fraction(20), Phase.CUT, 1, 4, None),  # too soon
        (40, Fraction(25), Phase.CUT, 1, 4, None),
        (80, Fraction(50), Phase.CUT, 1, 4, None),  # the end is told by others
    ]
    for wall, time, phase, task, tick, evaluation in events:
        clock[0] = 1000.0 + wall
        speak(Event(Moment(time, phase), task, tick), evaluation)
    accuracy = "accuracy on tasks so far  62.5 %, "
    assert capsys.readouterr().err.splitlines() == [
        f"[demo] 2.5 s of 50 s, task 1/2 epoch 1: {accuracy}6.0 s passed, about 1 min 54 s left",
        f"[demo] 10 s of 50 s, task 1/2 epoch 4: {accuracy}8.0 s passed, about 32.0 s left",
        "[demo] 25 s of 50 s, task 2/2 epoch 4: 40.0 s passed, about 40.0 s left",
    ]
