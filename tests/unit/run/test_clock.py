"""The stopwatch adds up parts; progress says whole lines, not too many; shares of agents are contiguous."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpidcl.network.schedule.timetable import Event, Moment, Phase
from mpidcl.record.records import Evaluation
from mpidcl.run import progress
from mpidcl.run.clock import PARTS, Stopwatch, peak_rss_bytes
from mpidcl.run.processes import Processes, alone
from mpidcl.run.progress import Progress, StepProgress


def test_parts_add_up(monkeypatch):
    read = []
    monkeypatch.setattr("mpidcl.run.clock.time.perf_counter", lambda: float(read.append(0) or len(read)))
    monkeypatch.setattr("mpidcl.run.clock.time.process_time", lambda: 10.0 * len(read))
    watch = Stopwatch()
    watch.start()
    with watch("learn_s"):
        pass
    with watch("learn_s"):
        pass
    with watch("wait_s", cpu=False):
        pass
    found = watch.seconds()
    # the clock is read at the start, around each part, and for `seconds`
    assert (found["learn_s"], found["wait_s"], found["meet_s"], found["other_s"]) == (2.0, 1.0, 0.0, 4.0)
    assert found["cpu_s"] == 60.0, "waiting does not count"
    assert found["wall_s"] == 7.0


def test_the_parts_are_the_wall_time_wherever_it_is_read():
    watch = Stopwatch()
    watch.load({"start_s": 2.0, "wall_s": 2.0})
    watch.start()
    with watch("evaluate_s"):
        with watch("wait_s", cpu=False):
            pass
        inside = watch.seconds()
    for found in (inside, watch.seconds()):
        assert sum(found[part] for part in PARTS) == pytest.approx(found["wall_s"])
        assert found["evaluate_s"] > 0 < found["wait_s"]


def test_a_part_is_counted_when_its_work_fails():
    watch = Stopwatch()
    with pytest.raises(ValueError, match="no"), watch("meet_s"):
        raise ValueError("no")
    assert watch.seconds()["meet_s"] > 0


def test_a_part_with_another_name_is_a_mistake():
    with pytest.raises(KeyError), Stopwatch()("lern_s"):
        pass


def test_a_stopwatch_goes_on_after_resume():
    watch = Stopwatch()
    watch.load({"wall_s": 100.0, "learn_s": 50.0})
    watch.start()
    assert 100.0 < watch.seconds()["wall_s"] < 110.0
    assert set(watch.seconds()) == {*PARTS, "cpu_s", "wall_s"}
    assert watch.seconds()["learn_s"] == 50.0


def test_memory_is_in_bytes():
    assert 10 * 2**20 < peak_rss_bytes() < 2**40


# --- progress ------------------------------------------------------------------------------------


def said(capsys, monkeypatch, events, quiet=False):
    clock = [1000.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    speak = Progress("demo", 4, lambda event: float(event.moment.time), quiet)
    for seconds, time, phase, found in events:
        clock[0] = 1000.0 + seconds
        speak(Event(Moment(Fraction(time), phase), int(time), 3), found)
    return capsys.readouterr().err.splitlines()


def test_ticks_are_called_what_the_learner_calls_them(capsys):
    speak = Progress("demo", 4, lambda event: float(event.moment.time), tick="tick")
    speak(Event(Moment(Fraction(1), Phase.EVALUATE), 0, 3), Evaluation(0, 3, {"accuracy": (0.5,)}))
    assert "task 1/4 tick 3: " in capsys.readouterr().err


def test_steps_are_counted_over_all_segments(capsys, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    speak = StepProgress("demo", [10, 90])
    found = Evaluation(0, 10, {"accuracy": (0.5, float("nan"), 0.75)})
    events = [
        (0.0, 0, 1, Phase.LEARN, None),
        (20.0, 0, 5, Phase.LEARN, None),  # too soon for a line
        (31.0, 0, 10, Phase.LEARN, None),
        (32.0, 0, 10, Phase.EVALUATE, found),
        (33.0, 0, 10, Phase.CUT, None),
        (70.0, 1, 40, Phase.LEARN, None),
    ]
    for seconds, task, tick, phase, evaluation in events:
        clock[0] = seconds
        speak(Event(Moment(Fraction(task), phase), task, tick), evaluation)
    assert capsys.readouterr().err.splitlines() == [
        "[demo] step 10/100, 31.0 s passed, about 4 min 39 s left",
        "[demo] step 10/100: accuracy on the tasks just tested  62.5 %, 32.0 s passed, about 4 min 48 s left",
        "[demo] step 50/100, 1 min 10 s passed, about 1 min 10 s left",
    ]


def test_a_line_at_the_end_of_a_task_and_every_few_seconds(capsys, monkeypatch):
    found = Evaluation(0, 3, {"accuracy": (0.5, 0.75)})
    lines = said(
        capsys,
        monkeypatch,
        [
            (0.0, 0, Phase.EVALUATE_START, found),
            (6.0, Fraction(1, 4), Phase.EVALUATE, found),
            (7.0, Fraction(1, 2), Phase.EVALUATE, found),  # too soon
            (8.0, 1, Phase.EVALUATE, found),
            (8.5, 1, Phase.CUT, None),
        ],
    )
    assert lines == [
        "[demo] task 1/4 epoch 3: accuracy on tasks so far  62.5 %, 6.0 s passed, about 1 min 30 s left",
        "[demo] task 2/4 epoch 3: accuracy on tasks so far  62.5 %, 8.0 s passed, about 24.0 s left",
    ]


def test_quiet_says_nothing(capsys, monkeypatch):
    found = Evaluation(0, 3, {"accuracy": (0.5,)})
    assert said(capsys, monkeypatch, [(9.0, 1, Phase.EVALUATE, found)], quiet=True) == []


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.25, "0.2 s"), (59.9, "59.9 s"), (61, "1 min 01 s"), (3599.6, "1 h 00 min"), (7260, "2 h 01 min")],
)
def test_durations(seconds, text):
    assert progress._duration(seconds) == text


# --- which agents live where ---------------------------------------------------------------------


@given(st.integers(1, 20), st.integers(1, 20))
def test_shares_are_contiguous_and_even(size, agents):
    shares = [Processes(rank, size).share(agents) for rank in range(size)]
    assert [agent for share in shares for agent in share] == list(range(agents))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
    where = [rank for rank, share in enumerate(shares) for _ in share]
    assert Processes(0, size).rank_of(agents) == where


def test_a_process_alone_needs_no_mpi():
    one = alone()
    assert (one.rank, one.size, one.comm, one.library()) == (0, 1, None, None)
    assert one.gather_text("x") == ["x"]
    assert one.from_rank_0(lambda: 7, str, int) == 7
    assert len(one.hosts) == 1
