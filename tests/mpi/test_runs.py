"""One experiment gives the same bits in process and over MPI, at any number of ranks, stopped or not."""

from __future__ import annotations

import pytest
from run_texts import DATA, MAIL, PARAMETERS, UNEQUAL, UNEVEN, experiment
from whole_runs import Runs, needs_all_ranks

pytestmark = [needs_all_ranks, pytest.mark.timeout(200)]


@pytest.mark.parametrize(
    ("name", "agents", "topology", "parts", "ranks"),
    [
        ("eight", 8, "random", (PARAMETERS, DATA, UNEQUAL), (1, 3, 4)),
        # three agents with three task lengths on a ring: link by link their meetings would wait in a circle
        ("circle", 3, "ring", (PARAMETERS, UNEQUAL), (2, 3)),
    ],
)
def test_any_number_of_ranks_gives_the_bits_of_one_process(
    runs: Runs, name: str, agents: int, topology: str, parts: tuple[str, ...], ranks: tuple[int, ...]
) -> None:
    text = experiment(name, agents, topology, *parts)
    runs.alone(text, "inprocess")
    for n in ranks:
        runs.on(n, text, f"mpi-{n}")
        assert runs.bits(f"mpi-{n}") == runs.bits("inprocess"), f"{n} ranks"


def test_stopped_anywhere_and_resumed_is_never_stopped(runs: Runs) -> None:
    text = experiment("stops", 4, "complete", PARAMETERS, DATA, UNEQUAL)
    runs.alone(text, "whole")
    for number, stop in enumerate(("2 tasks", "11 epochs")):
        out = f"stopped-{number}"
        runs.alone(text, out, stop)
        runs.on(2, text, out)  # by the other driver, and by another number of ranks
        assert runs.bits(out) == runs.bits("whole"), stop
    runs.on(4, text, "thrice", "6 epochs")
    runs.on(4, text, "thrice", "9 epochs")
    runs.on(3, text, "thrice", "10 epochs")
    runs.on(4, text, "thrice")
    assert runs.bits("thrice") == runs.bits("whole")


def test_by_mail_a_stop_between_any_ticks_changes_nothing(runs: Runs) -> None:
    """Frames are on their way, questions not answered, lines busy and agents away when it stops."""
    text = experiment("stops", 5, "ring", MAIL, UNEVEN, '[checkpoint]\nevery = "3 epochs"\n')
    runs.alone(text, "whole")
    runs.on(2, text, "stopped", "4.5 s")
    runs.alone(text, "stopped", "7 s")
    runs.on(3, text, "stopped", "11.23 s")
    runs.on(4, text, "stopped")
    assert runs.bits("stopped") == runs.bits("whole")
