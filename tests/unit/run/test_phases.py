"""What a log says before the first line of progress."""

from __future__ import annotations

import time

import pytest

from mpidcl.run import phases
from mpidcl.run.phases import Phases

LIMIT_S = 60


def wait_for(capsys: pytest.CaptureFixture[str], text: str) -> str:
    said, deadline = "", time.monotonic() + LIMIT_S
    while text not in said:
        assert time.monotonic() < deadline, said
        time.sleep(0.005)
        said += capsys.readouterr().err
    return said


def test_a_phase_that_lasts_is_said_again_and_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(phases, "FIRST_S", 0.02)
    start = Phases("digits")
    start.begin("compiling kernels")
    said = wait_for(
        capsys, "[digits] compiling kernels, 0 s so far\n[digits] compiling kernels, 0 s so far\n"
    )
    assert said.startswith("[digits] compiling")
    start.begin("loading data")
    wait_for(capsys, "loading data, 0 s so far")
    start.end()
    assert start._thread is not None
    start._thread.join(LIMIT_S)
    assert not start._thread.is_alive()


def test_each_phase_of_a_slow_start_is_said_at_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(phases, "QUICK_S", -1.0)
    start = Phases("digits")
    start.begin("loading data")
    start.end()
    assert capsys.readouterr().err == "[digits] loading data ...\n"


def test_a_quick_start_and_other_ranks_say_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    for start in (Phases("digits"), Phases("digits", speaks=False)):
        start.begin("loading data")
        start.end()
    assert capsys.readouterr().err == ""
