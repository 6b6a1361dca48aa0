"""A learner that begins with the experts of an earlier run: whose weights it has, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from expert_fakes import experts, weights

from mpidcl.errors import ExperimentError
from mpidcl.learning.experts import reuse
from mpidcl.learning.experts.learner import ExpertsLearner
from mpidcl.learning.saved import Saved

RUN = Path("earlier")


def begin(who: ExpertsLearner, earlier: ExpertsLearner, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the newest checkpoint of `RUN` was that of `earlier`."""
    left = Saved(earlier.experiment, earlier.state())
    monkeypatch.setattr(reuse, "saved", lambda run, agent: left)
    reuse.begin_with(who, RUN)


def test_of_several_that_went_from_a_slot_the_last_one_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    earlier, who = experts(agent=1), experts()
    size = len(weights(earlier)[3])
    earlier.model.change(used=np.arange(4) < 3)
    earlier.changes.retired = {(2, 3): torch.full((size,), 2.0), (10, 3): torch.full((size,), 10.0)}
    begin(who, earlier, monkeypatch)
    assert set(weights(who)[3].tolist()) == {10.0} and who.model.used.all()


def test_experts_of_other_sizes_are_refused_though_they_are_as_many_floats(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    earlier, who = (experts(options={"hidden": sizes}) for sizes in ([3, 4, 5, 6], [6, 5, 4, 3]))
    assert earlier.parameters.data.shape == who.parameters.data.shape
    with pytest.raises(ExperimentError, match="experts have the sizes of those here"):
        begin(who, earlier, monkeypatch)


def test_terms_measure_from_the_weights_that_were_taken_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """SI takes the way of a weight in a task: it does not begin at the weights that were drawn."""
    earlier, who = experts(agent=1), experts(terms=("si",))
    begin(who, earlier, monkeypatch)
    taken = who.parameters.span("modules")
    np.testing.assert_array_equal(who.terms[0].state()["anchor"][taken], who.parameters.data[taken])
