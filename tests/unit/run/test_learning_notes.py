"""Settings of learning that are allowed but hardly meant are said at the start."""

import pytest

from mpidcl.experiment.reading import from_toml
from mpidcl.run import preview as checking

EXPERIMENT = """
name = "notes"
agents = 2
[stream]
dataset = "digits"
tasks = 2
[model]
kind = "compositional-mlp"
[learning]
kind = "compositional"
"""


@pytest.mark.parametrize(
    ("sets", "said"),
    [
        ([], False),
        (["learning.epochs=1"], True),
        (["learning.epochs=2"], False),
        (["learning.accommodate=1"], True),
        (["learning.epochs=1", "learning.accommodate=2"], False),
        (["agent.0={ids=[1], learning={epochs=1}}"], True),
        (["learning.kind=gradient", "learning.epochs=1", "model.kind=mlp"], False),
    ],
)
def test_a_task_that_only_accommodates_is_said(sets, said):
    found = checking.check(from_toml(EXPERIMENT, sets))
    assert ("head and its structure do not learn" in found) == said


@pytest.mark.parametrize("candidates", [0, 1])
def test_modules_that_nobody_would_try_are_said(candidates):
    modules = 'exchange=[{kind="modules", when="task start", from_task=1}]'
    found = checking.check(
        from_toml(EXPERIMENT, [modules, f"learning.candidates={candidates}", "learning.epochs=2"])
    )
    assert ("none tries any" in found) == (candidates == 0)


@pytest.mark.parametrize(
    ("capacity", "said"),
    [
        ("40 rows", True),
        ("1 MiB", True),
        ("5 rows per class", False),
        ("5 rows per task", False),
        ("10 %", False),
    ],
)
def test_a_candidate_memory_with_one_room_is_said(capacity, said):
    text = 'name = "notes"\nagents = 1\nstream.dataset = "digits"\nmemory.policy = "candidate"\n'
    found = checking.check(from_toml(f'{text}memory.capacity = "{capacity}"'))
    assert ("soon holds rows of the latest task alone" in found) == said
