"""What `mpidcl check` says of parallel streams before anything runs: rows, costs, what will never happen."""

from __future__ import annotations

import pytest
from parallel_fakes import COMMON, Company

from mpidcl.base.quantities import bytes_text
from mpidcl.errors import ExperimentError
from mpidcl.experiment.reading import from_toml
from mpidcl.network.together import blocks
from mpidcl.network.together.cost import combine_bytes, compare_bytes
from mpidcl.run.preview import check

FLOATS = (64 + 1) * 16 + (16 + 1) * 12 + (12 + 1) * 10


def said(agents: int, *sets: str) -> str:
    return check(from_toml(COMMON.replace("AGENTS", str(agents)), list(sets)))


@pytest.mark.parametrize(("agents", "own"), [(4, 1), (2, 2)])
def test_the_cost_of_a_step_is_that_of_the_agent_with_most_gradients(agents: int, own: int) -> None:
    """Small gradients travel whole, each with its loss, to everybody else."""
    text = said(agents, "stream.timeline=[0, 0, 0, 0]", "learning.terms=[]")
    sent = 4 * (FLOATS + 1) * own * (agents - 1)
    assert f"each gradient has {FLOATS:,} floats" in text
    assert f"sends {bytes_text(sent)} in a step at most" in text
    assert f"one gradient: {bytes_text(8 * FLOATS * (agents - 1) // agents)})" in text


def test_every_further_direction_is_counted() -> None:
    """Gradients too large to travel whole: a slice of each direction goes to everybody else."""
    floats = (64 + 1) * 30000 + (30000 + 1) * 12 + (12 + 1) * 10
    mean, conflict = 'learning.second_moment="mean"', "learning.editing=conflict"
    for directions, sets in ((1, ()), (2, (mean,)), (2, (conflict,)), (3, (mean, conflict))):
        text = said(2, "stream.timeline=[0, 0, 0, 0]", "model.hidden=[30000, 12]", *sets)
        sent = max(
            compare_bytes(floats, 2, agent, rows=4, own=2, facts=1)
            + directions * combine_bytes(floats, 2, agent, rows=4)
            for agent in range(2)
        )
        assert f"sends {bytes_text(sent)} in a step at most" in text, sets


def test_the_memory_is_drawn_and_paid_for_where_there_is_one() -> None:
    one_each = "stream.timeline=[0, 4, 4, 8]"
    with_memory, without = said(2, one_each), said(2, one_each, "learning.terms=[]")
    assert "\nmemory   agent 0" in with_memory and "\nmemory " not in without
    for gradients, text in ((2, with_memory), (1, without)):
        assert f"sends {bytes_text(4 * (FLOATS + 1) * gradients)} in a step" in text


def test_a_batch_of_few_parts_may_cost_more_than_one_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """A memory in three parts makes four gradients, which go in slices; in two, three, which go whole."""
    floats = (64 + 1) * 30000 + (30000 + 1) * 12 + (12 + 1) * 10
    monkeypatch.setattr(blocks, "WHOLE_BYTES", 3 * 4 * floats)
    sets = ("stream.timeline=[0, 0, 0, 0]", "stream.durations=[1, 1, 1, 2]", "model.hidden=[30000, 12]")
    text = said(4, *sets, 'stream.memory_agent="each"')
    assert f"sends {bytes_text(4 * (floats + 1) * 3)} in a step at most" in text


@pytest.mark.parametrize("editing", ["none", "align", "conflict"])
def test_a_memory_in_parts_is_paid_for_by_those_who_have_parts(editing: str) -> None:
    sets = ('stream.memory_agent="each"', f"learning.editing={editing}")
    text, company = said(3, *sets), Company(3, *sets)
    assert "\nmemory   each agent" in text
    most = 0
    step = company.step

    def counted(segment: int, tick: int) -> None:
        nonlocal most
        before = [learner.counters()["combined_bytes"] for learner in company.learners]
        step(segment, tick)
        sent = [a.counters()["combined_bytes"] - b for a, b in zip(company.learners, before, strict=True)]
        most = max(most, *sent)

    company.step = counted  # type: ignore[method-assign]
    company.live()
    assert f"sends {bytes_text(most)} in a step at most" in text


@pytest.mark.parametrize(("capacity", "found"), [("7 rows", "Found room for 7"), ("50 %", "rows or bytes")])
def test_too_small_a_memory_is_found_by_check(capacity: str, found: str) -> None:
    with pytest.raises(ExperimentError, match=found):
        said(1, f"memory.capacity={capacity}")


def test_editing_without_a_memory_is_noted() -> None:
    assert "editing has nothing to edit" in said(1, "learning.terms=[]", "learning.editing=align")
    assert "editing has nothing to edit" not in said(1, "learning.editing=align")
