"""A run that is asked to stop, at any moment, saves one cut of all agents; resumed, it has the same bits."""

from __future__ import annotations

import shutil
import signal
import time
from fractions import Fraction
from pathlib import Path

import pytest
from run_bits import bits
from stop_fakes import AskedAt, SavedAt

from mpidcl.errors import EXIT_DONE, EXIT_RESUMABLE, EXIT_WRONG_INPUT, ExperimentError
from mpidcl.experiment.file import Experiment
from mpidcl.experiment.reading import from_toml
from mpidcl.launch.walltime import JobEnd, TooLateError, alarm_for
from mpidcl.network.alarm import Alarm
from mpidcl.network.schedule.timetable import Moment, Phase
from mpidcl.network.stopping import Stopping, stop_time
from mpidcl.record.sealed import read_sealed
from mpidcl.run import simulation

SERIAL = """
name = "stop"
agents = 3
agent = [{ids = [1], learning = {epochs = 3}}]
[stream]
tasks = 2
train_per_class = 20
[learning]
epochs = 4
[evaluation]
every = 2
[[exchange]]
kind = "parameters"
when = "after"
every = "2 epochs"
from_task = 0
"""
MODULAR = """
name = "stop"
agents = 2
[stream]
tasks = 3
joint_tasks = 1
train_per_class = 10
[model]
kind = "compositional-mlp"
width = 8
[learning]
kind = "compositional"
epochs = 2
[[exchange]]
kind = "modules"
when = "task start"
from_task = 1
"""
PARALLEL = """
name = "stop"
agents = 2
stream.kind = "parallel"
stream.tasks = 3
stream.train_per_class = 24
stream.timeline = [0, 2, 4]
memory.policy = "class-quota"
memory.capacity = "5 rows per class"
learning.kind = "parallel"
learning.batch = 12
learning.editing = "align"
model.hidden = [8]
"""
EACH = PARALLEL + 'stream.memory_agent = "each"\n'


def run(experiment: Experiment, out: Path, stopping: Stopping | None = None) -> int:
    return simulation.run(experiment, out, "inprocess", quiet=True, stopping=stopping)


@pytest.mark.parametrize("text", [SERIAL, SERIAL.partition("[[exchange]]")[0], MODULAR, PARALLEL, EACH])
def test_a_stop_at_any_moment_loses_nothing(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    experiment = from_toml(text, ())
    counted = AskedAt(10**9)
    assert run(experiment, tmp_path / "whole", counted) == EXIT_DONE
    events = 10**9 - counted.left
    ends = set()
    for count in range(1, events, events // 8):
        out = tmp_path / str(count)
        asked = AskedAt(count)
        status = run(experiment, out, asked)
        assert status == (EXIT_DONE if asked.end == asked.limit else EXIT_RESUMABLE)
        ends.add(asked.end)
        assert ("stopped by SIGTERM, saved at task" in capsys.readouterr().err) == (status == EXIT_RESUMABLE)
        assert run(experiment, out) == EXIT_DONE
        assert bits(out) == bits(tmp_path / "whole"), (
            f"stopped at event {count} of {events}, time {asked.end}"
        )
    assert len(ends) > 3


@pytest.mark.parametrize("text", [SERIAL, MODULAR, PARALLEL])
def test_checkpoints_by_the_clock_change_nothing_and_can_be_gone_on_with(text: str, tmp_path: Path) -> None:
    experiment = from_toml(text, ('checkpoint.every="1 h"', "checkpoint.keep=100"))
    assert run(experiment, tmp_path / "whole") == EXIT_DONE
    saved = SavedAt(13)
    assert run(experiment, tmp_path / "saved", saved) == EXIT_DONE
    assert bits(tmp_path / "saved") == bits(tmp_path / "whole")
    cuts = sorted({*saved.cuts, saved.limit})
    assert len(cuts) > 3
    found = tmp_path / "saved" / "checkpoints"
    manifests = [read_sealed(path) for path in sorted(found.glob("*/manifest.json"))]
    assert [one["cut"] for one in manifests] == list(range(1, len(cuts) + 1))
    assert [Fraction(*one["time"]) for one in manifests] == cuts
    for later in sorted(found.iterdir())[2:]:
        shutil.rmtree(later)
    (tmp_path / "saved" / "summary.json").unlink()
    assert run(experiment, tmp_path / "saved") == EXIT_DONE
    assert bits(tmp_path / "saved") == bits(tmp_path / "whole")


def test_a_run_ends_before_its_time_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("mpidcl.launch.walltime.LEAST_S", 0.5)
    experiment = from_toml(SERIAL, ("learning.epochs=100000",))
    end = JobEnd(time.monotonic() + 1000.0, "PBS job 7")
    monkeypatch.setattr("mpidcl.network.alarm.LEAST_S", 1000.0)  # half of the time is the most
    assert alarm_for(end, None).margin() == pytest.approx(500.0, abs=1)

    def soon() -> JobEnd:
        return JobEnd(time.monotonic() + 1.0, "PBS job 7")

    assert simulation.run(experiment, tmp_path / "run", "inprocess", job_end=soon) == EXIT_RESUMABLE
    said = capsys.readouterr().err
    assert "saves and ends in time before" in said and "the time is nearly over" in said
    assert "stopped because the time is nearly over, saved at task 0." in said
    assert list((tmp_path / "run/checkpoints").glob("*/manifest.json"))
    for out, error in {"run": TooLateError, "new": ExperimentError}.items():
        with pytest.raises(
            error, match=r"0\.0 s left after start-up \(PBS job 7\): give the run more"
        ) as late:
            simulation.run(experiment, tmp_path / out, "inprocess", job_end=lambda: JobEnd(0.0, "PBS job 7"))
        assert late.value.exit_status == (EXIT_RESUMABLE if out == "run" else EXIT_WRONG_INPUT)


def test_the_end_of_the_time_comes_in_the_place_of_a_checkpoint() -> None:
    """Agents are agreeing on one when the time is nearly over: nobody begins another step after it."""
    now = [0.0]
    stopping = Stopping(Fraction(2))
    stopping.alarm = Alarm(every=10.0, end=100.0, now=lambda: now[0])
    now[0] = 40.0
    assert stopping.asked() and stopping.saving
    now[0] = 95.0
    assert stopping.asked()
    assert stopping.agree(Moment(Fraction(1), Phase.EVALUATE)) == 1
    assert stopping.end == 1 and stopping.cuts == []


def test_only_a_run_that_lives_can_be_asked_and_a_second_time_is_no_question(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stopping = Stopping(Fraction(2))
    assert not stopping.ask(signal.SIGINT)
    with stopping.armed():
        stopping.want(signal.SIGUSR1)  # another process has told of one
        assert stopping.ask(signal.SIGTERM)
        assert stopping.ask(signal.SIGHUP)  # the same event once more
        monkeypatch.setattr("mpidcl.network.stopping.REPEAT_S", 0.0)
        assert stopping.ask(signal.SIGXCPU)
        assert not stopping.ask(signal.SIGINT)
    assert stopping.why == signal.SIGUSR1


@pytest.mark.parametrize(
    ("time", "phase", "end"),
    [
        (0, Phase.LEARN, "1/1000"),
        (1, Phase.EVALUATE, "1"),
        (1, Phase.CUT, "1"),
        (1, Phase.BEGIN_TASK, "1001/1000"),
        (Fraction(4, 3), Phase.CUT, "667/500"),
        (Fraction(5999, 2000), Phase.LEARN, "3"),
        (3, Phase.CUT, "3"),
    ],
)
def test_where_all_stop(time: int | Fraction, phase: Phase, end: str) -> None:
    assert stop_time(Moment(Fraction(time), phase), Fraction(3)) == Fraction(end)
