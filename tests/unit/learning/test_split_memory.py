"""Each agent keeps the rows of its own tasks: no row travels, and the memory's gradient is put together."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from parallel_fakes import Company

from mpidcl.learning.combiners.base import MEMORY
from mpidcl.learning.editing import align
from mpidcl.learning.editing.align import Align
from mpidcl.learning.editing.operator import parameter_gradient
from mpidcl.learning.parallel.gradients import GradientRows

EACH = 'stream.memory_agent="each"'


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """All batches of the memory whose gradient was asked for: (step, agent, batch, gradient)."""
    seen: list[Any] = []
    inner = GradientRows.gradient

    def spy(self: Any, place: int, number: int, task: int, step: int, batch: Any, *rest: Any) -> Any:
        found = inner(self, place, number, task, step, batch, *rest)
        if task == MEMORY:
            seen.append((step, self._learner.agent, batch, found.vector.copy(), found.facts.copy()))
        return found

    monkeypatch.setattr(GradientRows, "gradient", spy)
    return seen


def by_step(batches: list[Any]) -> dict[int, list[Any]]:
    steps: dict[int, list[Any]] = {}
    for step, *rest in batches:
        steps.setdefault(step, []).append(rest)
    return steps


@pytest.mark.parametrize("mode", ["class", "task"])
def test_the_parts_are_the_gradient_of_all_their_rows(batches: list[Any], mode: str) -> None:
    company = Company(3, EACH, "learning.lr=1e-30", f'stream.incremental="{mode}"')
    company.live()
    several = [parts for parts in by_step(batches).values() if len(parts) > 1]
    assert several
    learner = company.learners[0]
    for parts in several:
        rows = [batch for _, batch, _, _ in parts]
        assert sum(map(len, rows)) == 12 and sum(batch.share for batch in rows) == pytest.approx(1)
        x, y, mask = (np.concatenate([getattr(batch, name) for batch in rows]) for name in ("x", "y", "mask"))
        whole = type(rows[0])(x, y, mask)
        loss = learner.rows._loss(learner.model.prepare(torch.from_numpy(x)), whole)
        learner.parameters.zero_grad()
        loss.backward()
        total = sum(vector for _, _, vector, _ in parts)
        np.testing.assert_allclose(total, learner.parameters.grad.numpy(), rtol=1e-4, atol=1e-7)
        assert sum(float(facts[0]) for *_, facts in parts) == pytest.approx(loss.item(), rel=1e-5)


def test_agents_hold_rows_of_their_own_tasks_and_all_know_how_many(batches: list[Any]) -> None:
    company = Company(3, EACH)
    company.live()
    for learner, stream in zip(company.learners, company.streams, strict=True):
        own = {t for t in range(stream.tasks) if stream.owner(t) == learner.agent}
        rows = learner.memory.quota
        assert set(rows.take(rows.rows).task.tolist()) == own
        assert learner.memory.held[learner.agent] == len(rows)
        np.testing.assert_array_equal(learner.memory.held, company.learners[0].memory.held)
    assert 0 < sum(company.learners[0].memory.held) <= company.learners[0].memory.quota.budget
    for _, agent, batch, *_ in batches:
        mine = [t for t in range(company.streams[0].tasks) if company.streams[0].owner(t) == agent]
        assert set(batch.y.tolist()) <= {c for t in mine for c in company.streams[0].classes[t]}


def test_older_classes_shrink_everywhere_as_with_one_keeper() -> None:
    split, first = Company(3, EACH), Company(3)
    for company in (split, first):
        company.live()
    held = [learner.memory.quota for learner in split.learners]
    labels = np.concatenate([rows.take(rows.rows).y for rows in held])
    keeper = first.learners[0].memory.quota
    np.testing.assert_array_equal(np.bincount(labels), np.bincount(keeper.take(keeper.rows).y))


def test_no_row_travels() -> None:
    """What agents send beyond comparing and combining is a number for each end, not rows of pixels."""
    company = Company(3, EACH, "learning.terms=[]")
    kept = Company(3, EACH)
    for each in (company, kept):
        each.live(until=1)
    rows = kept.learners[0].memory.held.sum() * 64 * 4
    told = [[one.counters()["combined_bytes"] for one in each.learners] for each in (company, kept)]
    sent = [after - before for before, after in zip(*told, strict=True)]
    assert rows > 0 and max(sent) == 2 * 8  # one whole number to each of two others


def test_without_replay_nothing_is_kept_and_nothing_is_asked_at_the_end_of_a_task() -> None:
    company = Company(3, EACH, "learning.terms=[]")
    company.live()
    assert [len(learner.memory.quota) for learner in company.learners] == [0, 0, 0]
    assert not company.learners[0].log.present[:, 0].any()


def test_models_stay_equal() -> None:
    company = Company(4, EACH, 'learning.combiner="graddrop"', 'learning.editing="align"')
    company.live()
    assert len({learner.digest() for learner in company.learners}) == 1


@pytest.mark.parametrize("editing", ['{kind="align", lr=0.5, steps=2}', '"conflict"'])
def test_every_agent_edits_its_rows_and_the_log_has_them_all(editing: str, batches: list[Any]) -> None:
    company = Company(3, EACH, f"learning.editing={editing}")
    company.live()
    for learner in company.learners:
        quota = learner.memory.quota
        assert quota.displacement(quota.rows).max() > 0
    (log,) = [learner.log for learner in company.learners if learner.log is not None]
    steps = sorted(by_step(batches))
    edited = np.flatnonzero(np.isfinite(log.moved_mean[: log.count]))
    with_tasks = [step for step in steps if log.present[step, 1:].any()]
    assert edited.tolist() == with_tasks
    assert (log.moved_mean[edited] <= log.moved_max[edited]).all() and (log.moved_max[edited] > 0).all()


def test_an_edit_reads_the_gradient_of_the_whole_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    def look(self: Any, moment: Any) -> Any:
        if moment.part is not None:
            seen.append((moment.memory_gradient.clone(), moment.part.clone(), moment.part.data_ptr()))
        return moment.x * 0, 0.0

    monkeypatch.setattr(Align, "change", look)
    company = Company(3, EACH, 'learning.editing="align"')
    company.live()
    whole = seen[0][0]
    together = [part for gradient, part, _ in seen if gradient.equal(whole)]
    assert len(together) > 1  # all who edit in this step read the same gradient
    torch.testing.assert_close(sum(together), whole)
    vectors = {vector.ctypes.data for learner in company.learners for vector in learner.rows._vectors}
    assert {place for *_, place in seen} <= vectors  # parts are read where they are


def test_a_second_edit_knows_what_the_first_did_to_its_part(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    def look(self: Any, moment: Any) -> Any:
        if moment.part is not None:
            gradient = parameter_gradient(moment.loss, moment.flat, moment.x)
            seen.append((moment.memory_gradient.clone(), moment.part.clone(), gradient))
        return torch.ones_like(moment.x), 0.1

    monkeypatch.setattr(Align, "change", look)
    Company(3, EACH, 'learning.editing={kind="align", steps=3}').live(until=3)
    assert len(seen) >= 6
    for first in range(0, len(seen), 3):
        whole, part, _ = seen[first]
        for memory, own, gradient in seen[first : first + 3]:
            torch.testing.assert_close(own, gradient)
            torch.testing.assert_close(memory - own, whole - part, rtol=1e-4, atol=1e-6)
        assert not torch.allclose(seen[first + 1][1], part, rtol=1e-3)


@pytest.mark.parametrize(("space", "alike"), [("pixels", False), ("parameters", True)])
def test_random_edits_draw_by_row_apart_and_by_parameter_alike(
    monkeypatch: pytest.MonkeyPatch, space: str, alike: bool
) -> None:
    drawn: list[Any] = []
    inner = align._random_like

    def spy(lengths_of: Any, rng: Any) -> Any:
        found = inner(lengths_of, rng)
        drawn.append((found / torch.linalg.vector_norm(found[:1])).flatten()[:8])
        return found

    monkeypatch.setattr(align, "_random_like", spy)
    company = Company(3, EACH, f'learning.editing={{kind="random", space="{space}"}}')
    company.live(until=3)
    drawn.clear()
    for learner, stream in zip(company.learners, company.streams, strict=True):
        learner.begin_task(stream.task(3))
    company.step(3, 0)  # the first step to which the memory of all three gives
    first, *others = drawn
    assert others and all(torch.allclose(first, other, atol=1e-4) == alike for other in others)


def test_state_and_load_go_on_exactly() -> None:
    sets = (EACH, 'learning.editing="align"')
    whole, begun, other = Company(3, *sets), Company(3, *sets), Company(3, *sets)
    whole.live()
    begun.live(until=2)
    for old, new, stream in zip(begun.learners, other.learners, other.streams, strict=True):
        new.load(old.state(), stream.task)
    other.live(first=2)
    assert [a.digest() for a in whole.learners] == [b.digest() for b in other.learners]
    for a, b in zip(whole.learners, other.learners, strict=True):
        one, two = a.memory.quota, b.memory.quota
        np.testing.assert_array_equal(one.take(one.rows).x, two.take(two.rows).x)


def test_one_agent_alone_keeps_the_memory_as_ever() -> None:
    digests = []
    for sets in ((EACH,), ()):
        company = Company(1, *sets)
        company.live()
        digests.append(company.learners[0].digest())
    assert digests[0] == digests[1]
