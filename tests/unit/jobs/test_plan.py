"""From agents to nodes and ranks; walltimes, names and other words of a job."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpidcl.errors import ExperimentError
from mpidcl.jobs.plan import Layout, clock_text, job_name, layout, seeds, walltime_s, word


@pytest.mark.parametrize(
    ("agents", "nodes", "per_node", "cores", "threads", "found"),
    [
        (4, None, None, None, 1, Layout(1, 4, 4)),
        (40, None, None, None, 1, Layout(3, 14, 40)),
        (40, None, None, 32, 1, Layout(2, 20, 40)),
        (40, None, None, 32, 4, Layout(5, 8, 40)),
        (10, 3, None, 32, 1, Layout(3, 4, 10)),
        (10, None, 4, 32, 1, Layout(3, 4, 10)),
        (100, 2, 8, 32, 1, Layout(2, 8, 16)),  # ranks share the agents
        (1, None, None, None, 64, Layout(1, 1, 1)),
    ],
)
def test_layout(
    agents: int, nodes: int | None, per_node: int | None, cores: int | None, threads: int, found: Layout
) -> None:
    assert layout(agents, nodes, per_node, cores, threads) == found


@given(st.integers(1, 500), st.none() | st.integers(1, 20), st.none() | st.integers(1, 64), st.integers(1, 4))
def test_a_layout_has_a_rank_on_every_node_and_an_agent_for_every_rank(
    agents: int, nodes: int | None, per_node: int | None, threads: int
) -> None:
    try:
        found = layout(agents, nodes, per_node, None, threads)
    except ExperimentError:
        return
    assert found.ranks <= agents
    assert found.per_node * (found.nodes - 1) < found.ranks <= found.per_node * found.nodes


@pytest.mark.parametrize(
    ("asked", "message"),
    [((4, 5, None, None, 1), "a node would be empty"), ((64, None, 64, 32, 1), "at most 32")],
)
def test_layout_that_cannot_be(asked: tuple[int, int, int, int, int], message: str) -> None:
    with pytest.raises(ExperimentError, match=message):
        layout(*asked)


@pytest.mark.parametrize("text", ["", "30:00", "1:60:00", "0 s", "-5 min", "5 weeks", "5"])
def test_walltime_that_cannot_be_read(text: str) -> None:
    with pytest.raises(ExperimentError, match="--walltime should be a time with its unit"):
        walltime_s(text)


def test_walltime_without_room_for_a_start() -> None:
    with pytest.raises(ExperimentError, match='should be 60 s or more.* Found "30 s"'):
        walltime_s("30 s")


@given(st.integers(60, 10**6))
def test_walltime_is_read_as_it_is_written(seconds: int) -> None:
    assert walltime_s(clock_text(seconds)) == seconds == walltime_s(f"{seconds} s")


@given(st.text())
def test_job_names_are_what_every_batch_system_takes(name: str) -> None:
    found = job_name(name)
    assert found.isascii() and found[0].isalpha() and len(found) <= 15
    assert all(c.isalnum() or c in "_.-" for c in found)


@pytest.mark.parametrize("text", ["3", "5-3", "1-1", "0-4:0", "0,3", "a-b"])
def test_seeds_that_are_no_array(text: str) -> None:
    with pytest.raises(ExperimentError, match="--seeds should be FIRST-LAST"):
        seeds(text)


@pytest.mark.parametrize("text", ["", "my project", "-x", "a\n#PBS -q b", "$(id)"])
def test_accounts_are_one_word(text: str) -> None:
    with pytest.raises(ExperimentError, match="--account should be one word"):
        word(text, "--account")
