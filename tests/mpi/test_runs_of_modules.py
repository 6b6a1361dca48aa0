"""Agents whose modules grow: the same bits in process and over MPI, stopped or not; who exchanges what."""

from __future__ import annotations

import numpy as np
import pytest
from module_texts import CONVOLUTIONAL, DATA, MODULES, PARAMETERS, TRIED_OUT, UNEQUAL, decisions, experiment
from mpi4py import MPI
from whole_runs import Runs, needs_all_ranks

pytestmark = [needs_all_ranks, pytest.mark.timeout(250)]
FIRST = MPI.COMM_WORLD.rank == 0


def test_growing_modules_give_the_same_bits_everywhere(runs: Runs) -> None:
    """All modes at once, agents of different lengths, modules tried out: 1 process, 2, 3 and 4 ranks."""
    text = experiment("all", 4, MODULES, TRIED_OUT, PARAMETERS, DATA, UNEQUAL)
    oracle = runs.alone(text, "inprocess")
    for ranks in (2, 3, 4):
        runs.on(ranks, text, f"mpi-{ranks}")
        assert runs.bits(f"mpi-{ranks}") == runs.bits("inprocess"), f"{ranks} ranks"
    # stopped inside a task by one driver, gone on with by the other
    runs.on(2, text, "stopped", "13 epochs")
    runs.alone(text, "stopped")
    assert runs.bits("stopped") == runs.bits("inprocess")
    if FIRST:
        made = decisions(oracle)
        modules = [[one.module for one in agent if one.kept] for agent in made]
        assert modules == [[3, 4, 5], [3, 4, 5], [], [3, 4]]
        received = [one for agent in made for one in agent if one.received]
        assert received and {one.source for one in received} <= {0, 1, 3}  # agent 2 has nothing to offer


def test_modules_by_class_overlap_give_the_same_bits_on_a_ring(runs: Runs) -> None:
    text = experiment("label", 3, MODULES, PARAMETERS, topology="ring")
    oracle = runs.alone(text, "inprocess")
    runs.on(2, text, "mpi")
    assert runs.bits("mpi") == runs.bits("inprocess")
    if FIRST:
        similarities = [one.similarity for agent in decisions(oracle) for one in agent if one.received]
        assert similarities and set(np.round(similarities, 6)) <= {0.0, round(1 / 3, 6), 1.0}


def test_different_nets_share_what_fits_and_say_what_does_not(
    runs: Runs, capsys: pytest.CaptureFixture[str]
) -> None:
    text = experiment("different", 3, MODULES, DATA, CONVOLUTIONAL)
    oracle = runs.alone(text, "inprocess")
    said = capsys.readouterr().err
    runs.on(2, text, "mpi")
    assert runs.bits("mpi") == runs.bits("inprocess")
    if FIRST:
        made = decisions(oracle)
        sources = [{one.source for one in agent if one.received} for agent in made]
        assert sources == [{1}, {0}, set()]
        assert any(one.kept for one in made[2])
        for agent in (0, 1):
            assert f"agents {agent} and 2 exchange no modules" in said
        assert "[8, 9] at agent 0" in said and "[4, 37] at agent 2" in said
