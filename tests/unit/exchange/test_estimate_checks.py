"""What is refused, and what is noted, of exchanges of estimates that do not fit each other or the groups."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from linear_fakes import DAMTL, experiment, lived

from mpidcl.errors import ExperimentError
from mpidcl.experiment.checks import problems_between
from mpidcl.learning.linear.relation import Relation, RelationOptions
from mpidcl.run.preview import part_notes

NODES, MEANS, RELATION = DAMTL


def refused(*exchanges: dict[str, Any]) -> str:
    """What is wrong with two groups that have these exchanges."""
    (problem,) = problems_between(experiment(exchanges=exchanges))
    return str(problem)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"least": 5.0, "most": 1.0}, "least: should be at most `most` = 1. Found 5"),
        ({"step": "gradient", "form": "identity"}, 'step: should be "damped" with form = "identity"'),
        ({"form": "fixed", "graph": [[0, 1], [0, 2]]}, "graph.1: should be two of the 2 groups, 0 to 1"),
        ({"form": "fixed", "graph": [[0, -1]]}, "graph.0: should be two of the 2 groups"),
        ({"form": "fixed", "graph": [[1, 1]]}, "graph.0: should be two different groups. Found [1, 1]"),
        ({"form": "fixed", "graph": []}, "graph: should have a pair of groups. Found none"),
    ],
)
def test_options_of_a_relation_that_cannot_be_followed_are_refused(
    options: dict[str, Any], says: str
) -> None:
    assert says in refused(NODES, MEANS, {**RELATION, **options})


def test_a_second_relation_is_refused() -> None:
    said = refused(*DAMTL, {**RELATION, "form": "identity"})
    assert "exchange.3.kind: should be `relation` once: agents learn one. Found another as exchange 2" in said


@pytest.mark.parametrize(
    ("exchanges", "groups", "says"),
    [
        ([NODES, RELATION], {}, "no relation is learned, because no exchange `means`"),
        ([NODES, MEANS], {}, "means of groups change nothing, because there is no exchange `relation`"),
        ([MEANS, RELATION], {}, "the mean of a group is the model of who speaks for it"),
        ([{**NODES, "links": "between"}], {}, 'with links = "between" draws no model'),
        ([{**NODES, "links": "all"}], {"of": 1}, 'with links = "all" draws no model'),
        ([NODES, {**MEANS, "links": "inside"}, RELATION], {}, 'links = "inside" of the exchange `means`'),
        ([NODES, MEANS, {**RELATION, "links": "report"}], {}, 'links = "report" of the exchange `relation`'),
        (
            [NODES, MEANS, {**RELATION, "graph": [[0, 1]]}],
            {},
            "`graph` of the exchange `relation` is not read",
        ),
        ([NODES, MEANS, {**RELATION, "form": "laplacian", "least": 1.0}], {}, "`least` of the exchange"),
    ],
)
def test_what_changes_nothing_is_noted(exchanges: Any, groups: dict[str, Any], says: str) -> None:
    (note,) = part_notes(experiment(exchanges=exchanges, groups=groups))
    assert says in note


@pytest.mark.parametrize(
    ("exchanges", "groups"),
    [
        (DAMTL, {}),
        ([MEANS, RELATION], {"of": 1}),
        ([NODES], {"of": 6}),
        ([NODES, RELATION], {"of": 6}),
        ([{**NODES, "links": "all", "how": "average"}], {"of": 1}),
        ([NODES, {**MEANS, "links": "all"}, {**RELATION, "links": "all"}], {}),
    ],
)
def test_what_is_meant_is_not_noted(exchanges: Any, groups: dict[str, Any]) -> None:
    assert part_notes(experiment(exchanges=exchanges, groups=groups)) == []


def test_keys_of_other_learners_are_noted() -> None:
    learning = {"optimizer": "sgd", "batch": 32, "threads": 1}
    (note,) = part_notes(experiment(learning=learning))
    assert note == 'note: learning.kind = "linear" does not read optimizer, batch of [learning].'


def test_a_relation_that_would_let_models_grow_without_end_is_refused() -> None:
    with pytest.raises(ExperimentError, match=r"lam_G Theta_kk should be below 2\. Found .*`strength`"):
        lived(experiment(exchanges=(NODES, MEANS, {**RELATION, "strength": 1000.0})))


@pytest.mark.parametrize("form", ["logdet", "sparse"])
def test_means_beside_which_the_ridge_is_nothing_are_refused(form: Any) -> None:
    relation = Relation(RelationOptions(form=form, mean="zero"), (1, 1))
    means = np.array([[1e9, 1e9], [-1e9, -1e9]])
    with pytest.raises(
        ExperimentError, match=r"`ridge` .* should be larger.* Found 0\.01, and means up to 1e\+09"
    ):
        relation.step(means, np.zeros(2))


def test_means_with_infinite_squares_leave_the_relation_as_it_was() -> None:
    relation = Relation(RelationOptions(), (1, 1))
    relation.step(np.array([[1e300], [0.0]]), np.zeros(2))
    assert relation.theta.tolist() == np.eye(2).tolist()
