"""Preservation: which parameters are kept, the penalty, and what comes back when a task ends."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from expert_fakes import TASKS as EXPERT_TASKS
from expert_fakes import experts
from learning_fakes import live
from term_fakes import TASKS, check_resumed, shifted, slope_along, somewhere, with_term

from mpidcl.experiment.reading import from_toml
from mpidcl.learning.gradient.learner import GradientLearner
from mpidcl.learning.gradient.squares import label_fisher
from mpidcl.learning.terms.base import make_term
from mpidcl.learning.terms.preservation import EPS, Preservation

FILE = 'name = "x"\nagents = 2\n'


def ended(options: dict[str, Any] | None = None) -> tuple[GradientLearner, Preservation]:
    """A learner whose first task has ended."""
    who = with_term(Preservation, {"rows": 10**6, **(options or {})})
    live(who, TASKS[:1])
    term = who.terms[0]
    assert isinstance(term, Preservation)
    return who, term


def layers(who: GradientLearner) -> list[slice]:
    return [slice(s.start, s.stop) for s in who.parameters.segments if s.kind != "frozen"]


@pytest.mark.parametrize("score", ["magnitude", "fisher", "mixed"])
def test_the_mask_is_the_top_share_of_every_layer(score: str) -> None:
    who, term = ended({"score": score, "share": 0.25})
    state = term.state()
    weights, fisher, mask = (state[name] for name in ("weights", "fisher", "mask"))
    np.testing.assert_allclose(fisher, label_fisher(who.model, who.tasks.training(0)), rtol=1e-5)
    for layer in layers(who):
        size, known = np.abs(weights[layer]).astype(np.float64), fisher[layer].astype(np.float64)
        scores = {
            "magnitude": size,
            "fisher": known,
            "mixed": np.sqrt(size / size.max() * known / max(known.max(), 1e-30)),
        }[score]
        kept = mask[layer] > 0
        assert kept.sum() == np.ceil(0.25 * kept.size - 1e-9)
        assert scores[kept].min() >= scores[~kept].max() * (1 - 1e-6)


def test_the_gradient_is_that_of_the_penalty_and_touches_the_mask_alone() -> None:
    who, term = ended({"weight": 3.0, "share": 0.5})
    grad = torch.zeros_like(who.parameters.grad)
    term.on_gradient(grad, None)  # type: ignore[arg-type]
    assert not grad.any() and term.penalty() == 0  # at the anchor
    weights = shifted(who)
    term.on_gradient(grad, None)  # type: ignore[arg-type]
    way = somewhere(len(weights))
    found = slope_along(term.penalty, weights, way, 0.1)
    assert found == pytest.approx(float(grad.double() @ way.double()), rel=1e-4) and found != 0
    assert not grad[torch.from_numpy(term.state()["mask"]) == 0].any()


def test_the_penalty_has_no_half() -> None:
    who, term = ended({"weight": 3.0, "share": 1.0})
    fisher, anchor = (term.state()[name].astype(np.float64) for name in ("fisher", "weights"))
    away = shifted(who).numpy().astype(np.float64) - anchor
    assert term.penalty() == pytest.approx(3.0 * float((fisher * away**2).sum()), rel=1e-5)


def test_injection_brings_back_exactly_the_mask() -> None:
    who, term = ended({"transfer": "injection", "share": 0.3})
    before = term.state()
    who.begin_task(TASKS[1])
    weights = shifted(who)
    moved = weights.numpy().copy()
    term.after_task(1)
    kept = before["mask"] > 0
    np.testing.assert_array_equal(weights.numpy()[kept], before["weights"][kept])
    np.testing.assert_array_equal(weights.numpy()[~kept], moved[~kept])
    assert term.penalty() == 0.0


def test_a_merge_is_the_mean_weighted_by_fisher_information() -> None:
    who, term = ended({"transfer": "merge", "share": 1.0})
    old = term.state()
    who.begin_task(TASKS[1])
    weights = shifted(who)
    new = weights.numpy().astype(np.float64)
    fisher = label_fisher(who.model, who.tasks.training(1)).numpy().astype(np.float64)
    term.after_task(1)
    known = old["fisher"].astype(np.float64)
    wanted = (known * old["weights"] + (fisher + EPS) * new) / (known + fisher + EPS)
    np.testing.assert_allclose(weights.numpy(), wanted, rtol=1e-4, atol=1e-6)


def test_equal_information_gives_the_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "mpidcl.learning.terms.preservation.label_fisher",
        lambda model, rows: torch.ones_like(model.flat.grad),
    )
    who, term = ended({"transfer": "merge", "share": 1.0})
    old = term.state()["weights"]
    who.begin_task(TASKS[1])
    new = shifted(who).numpy().copy()
    term.after_task(1)
    np.testing.assert_allclose(term.state()["weights"], (old + new) / 2, rtol=1e-5, atol=1e-6)


def test_information_adds_up_and_fades() -> None:
    who, term = ended({"gamma": 0.5, "weight": 0.0})
    first = term.state()["fisher"]
    who.begin_task(TASKS[1])
    term.after_task(1)
    mine = label_fisher(who.model, who.tasks.training(1)).numpy()
    np.testing.assert_allclose(term.state()["fisher"], mine + 0.5 * first, rtol=1e-4, atol=1e-9)


def test_specialised_experts_are_protected_more() -> None:
    who = experts()
    options = Preservation.Options(share=1.0, weight=1.0)
    who.add_term(make_term(Preservation, options, who))  # type: ignore[arg-type]
    live(who, EXPERT_TASKS[:1])
    state = who.terms[0].state()
    for span, special in zip(who.model.module_spans, who.model.specialised, strict=True):
        np.testing.assert_allclose(state["pull"][span], 2 * state["fisher"][span] * (1 + special), rtol=1e-5)
    encoder = who.parameters.span("shared")
    np.testing.assert_allclose(state["pull"][encoder], 2 * state["fisher"][encoder], rtol=1e-5)
    assert any(special > 0 for special in who.model.specialised)


@pytest.mark.parametrize("transfer", ["regularisation", "injection", "merge"])
def test_a_resumed_learner_has_the_same_bits(transfer: str) -> None:
    check_resumed(lambda: with_term(Preservation, {"transfer": transfer, "rows": 3}))


@pytest.mark.parametrize(
    ("learning", "what"),
    [
        ('objective = "regression"\nterms = ["preservation"]', "no classes"),
        ('one_model = true\nterms = ["preservation"]', "one_model"),
    ],
)
def test_what_it_cannot_go_with(learning: str, what: str) -> None:
    with pytest.raises(Exception, match=what):
        from_toml(f"{FILE}[learning]\n{learning}\n")
