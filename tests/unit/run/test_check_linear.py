"""What `mpidcl check` and lines of progress say of linear learners: samples and tasks, and their bytes."""

from __future__ import annotations

from fractions import Fraction

import pytest

from mpidcl.experiment.reading import from_toml
from mpidcl.network.schedule.timetable import Event, Moment, Phase
from mpidcl.record.measures import Measure
from mpidcl.record.records import Evaluation
from mpidcl.run.preview import check
from mpidcl.run.progress import StepProgress

FILE = """
name = "linear"
agents = 6
clock = "virtual"
network = {topology = "groups", groups = {of = 3, inside = "directed-ring", deputies = 0}}
stream = {kind = "small_regression:Small", samples = 4000}
learning = {kind = "linear", lr = 0.02}
"""
BLOCK_BYTES = 8 * 512 * 4


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("stream.tasks=1", "6 agents: 1 task of 4,000 samples"),
        ("stream.tasks=3", "6 agents: 3 tasks of 4,000 samples each"),
    ],
)
def test_check_speaks_of_tasks_and_samples(change: str, words: str) -> None:
    text = check(from_toml(FILE, [change]))
    assert words in text.splitlines()
    assert not any(word in text for word in ("segment", "4000 steps"))


def test_check_tells_the_bytes_of_the_model() -> None:
    """w, what its group is to follow (two rows of 3, and 2), and a copy of one neighbour with its weight."""
    member = 8 * (3 + 2 * 3 + 2 + (3 + 1))
    text = check(from_toml(FILE))
    assert (
        f"6 agents need at least {(member + BLOCK_BYTES) / 1024:.1f} KiB each: model and optimiser {member} B"
        in text
    )


def test_a_speaker_has_means_and_the_relation_too() -> None:
    """Each agent a group of its own: its model, six means with noise and time, and six rows of six."""
    speaker = 8 * (3 + 2 * 3 + 2 + (3 + 1) + 2 * 3 + 3 * (3 + 1) + 6 * (3 + 2) + 36)
    text = check(from_toml(FILE, ['network={topology="ring"}']))
    assert f"model and optimiser {speaker} B" in text


def test_lines_of_progress_speak_of_samples(capsys: pytest.CaptureFixture[str]) -> None:
    speak = StepProgress("demo", [100], measure=Measure("error", "squared error", "lower"), step="sample")
    event = Event(Moment(Fraction(1, 2), Phase.EVALUATE), 0, 50)
    speak(event, Evaluation(0, 50, {"error": (0.25,)}))
    assert capsys.readouterr().err.startswith("[demo] sample 50/100: squared error 0.25, ")
