"""How much parameters matter: scores against formulas, and which ones are the top."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from learning_fakes import learner, task

from mpidcl.learning.gradient.squares import label_fisher
from mpidcl.learning.importance import importance, top

SOME = np.array([0.5, -2.0, 0.0, 1.0, 4.0, -3.0], np.float32)
FISHER = np.array([1.0, 0.0, 4.0, 2.0, 8.0, 2.0], np.float32)


def test_scores_are_the_formulas():
    np.testing.assert_array_equal(importance("magnitude", SOME), np.abs(SOME))
    np.testing.assert_array_equal(importance("fisher", SOME, FISHER), FISHER)
    layers = [slice(0, 3), slice(3, 6)]
    found = importance("mixed", SOME, FISHER, 0.25, layers)
    wanted = np.abs(SOME / [2, 2, 2, 4, 4, 4]) ** 0.25 * (FISHER / [4, 4, 4, 8, 8, 8]) ** 0.75
    np.testing.assert_allclose(found, wanted, rtol=1e-6)
    ends = [importance("mixed", SOME[4:], FISHER[4:], mix) for mix in (0.0, 1.0)]
    np.testing.assert_allclose(ends, [FISHER[4:] / 8, np.abs(SOME[4:]) / 4], rtol=1e-6)
    assert np.all(importance("mixed", np.zeros(3, np.float32), np.zeros(3, np.float32)) == 0)


@pytest.mark.parametrize("fisher", [None, FISHER[:5]])
def test_a_score_by_fisher_information_wants_it(fisher):
    with pytest.raises(ValueError, match="should have 6 floats for a score by mixed. Found (none|5)"):
        importance("mixed", SOME, fisher)


def test_the_fisher_information_of_a_logistic_model_ranks_as_its_closed_form():
    """F of weight (c, j) is the mean of ([y = c] - p_c)^2 x_j^2, of bias c without x."""
    who = learner(options={"hidden": [6], "dropout": 0.0})
    who.begin_task(task(0, rows=30))
    rows = who.tasks.training(0)
    who.model.eval()
    with torch.no_grad():
        x = who.model.encode(rows.z).double()
        p = who.model.outputs_of(x.float(), 0).double().softmax(1)
    off = (torch.eye(2)[rows.y] - p).square()
    wide = torch.cat([x, torch.ones(len(x), 1)], 1).square()
    wanted = torch.einsum("nc,nj->cj", off, wide).numpy() / len(x)
    span = who.parameters.span("heads")
    values = who.parameters.data[span].numpy()
    fisher = label_fisher(who.model, rows)[span].numpy()
    found = importance("fisher", values, fisher).reshape(5, 2, -1)
    np.testing.assert_allclose(found[0], wanted, rtol=1e-4, atol=1e-9)
    assert np.all(found[1:] == 0)  # heads of tasks that nobody has seen
    both = importance("mixed", values, fisher, 0.5).reshape(found.shape)[0]
    own = np.abs(values.reshape(found.shape)[0])
    formula = np.sqrt(own / np.abs(values).max() * wanted / wanted.max())
    np.testing.assert_allclose(both, formula, rtol=1e-3, atol=1e-6)


def test_the_top_of_each_layer_and_of_all():
    scores = np.array([9, 8, 7, 6, 1, 2, 3, 4, 0], np.float32)
    layers = [slice(0, 4), slice(4, 8), slice(8, 9)]
    assert top(scores, 0.5, layers).tolist() == [0, 1, 6, 7, 8]
    assert top(scores, 5 / 9).tolist() == [0, 1, 2, 3, 7]
    assert top(scores, 1e-9, layers).tolist() == [0, 7, 8]  # one of each at least
    assert top(scores, 1.0, layers).tolist() == list(range(9))
    assert top(np.ones(30, np.float32), 0.1).tolist() == [0, 1, 2]  # not four, for 0.1 * 30 is 3.0...04


@settings(max_examples=80)
@given(
    st.lists(st.sampled_from([0.0, 1.0, 2.0, 3.0]), min_size=1, max_size=60),
    st.floats(0.01, 1),
    st.integers(1, 5),
)
def test_among_equal_scores_the_first_win_in_every_layer(scores, share, parts):
    values = np.array(scores, np.float32)
    ends = np.linspace(0, len(values), parts + 1).astype(int)
    layers = [slice(a, b) for a, b in zip(ends, ends[1:], strict=False) if a < b]
    found = top(values, share, layers)
    assert np.all(np.diff(found) > 0)
    for layer in layers:
        mine = found[(found >= layer.start) & (found < layer.stop)] - layer.start
        count = int(np.ceil(share * (layer.stop - layer.start) - 1e-9))
        ranked = np.argsort(-values[layer], kind="stable")[:count]
        assert mine.tolist() == sorted(ranked.tolist())
