"""`mpidcl bench driver` measures what it says: so many ticks, each with a frame to both neighbours."""

import pytest

from mpidcl.benchmarks import driver_tick


@pytest.mark.parametrize(("agents", "exchanges", "ticks"), [(3, 1, 4), (5, 2, 3)])
def test_every_tick_sends_a_frame_to_both_neighbours(agents, exchanges, ticks):
    assert driver_tick.run(agents, exchanges, ticks)[1] == 2 * agents * ticks


def test_a_row_is_a_line(monkeypatch):
    monkeypatch.setattr(driver_tick, "AGENT_TICKS", 60)
    (row,) = driver_tick.measure(1, ((4, 2),))
    assert (row["bench"], row["agents"], row["exchanges"]) == ("driver", 4, 2)
    row["seconds"] = 1.5e-4
    assert driver_tick.line(row) == "    4 agents, 2 exchanges  2 frames out and in: 150 us a tick"
