"""A run that begins with a shorter one has the bits of one that was never stopped, or is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from run_bits import bits

from mpidcl.errors import EXIT_DONE, ExperimentError
from mpidcl.experiment.reading import from_toml
from mpidcl.experiment.units import Cadence
from mpidcl.record.sealed import read_sealed
from mpidcl.run import simulation

EXPERIMENT = """
name = "long"
agents = 6
[clock]
kind = "virtual"
[network]
topology = "groups"
groups = {of = 3, inside = "directed-ring"}
conditions = {latency = "300 ms", loss = "10 %"}
[stream]
kind = "linear-tasks"
samples = 60
features = 3
[learning]
kind = "linear"
[evaluation]
every = "18 s"
[checkpoint]
every = "20 epochs"
keep = 9
[[exchange]]
kind = "nodes"
when = "after"
every = "1 tick"
links = "members"
from_task = 0
[[exchange]]
kind = "means"
when = "after"
every = "3 ticks"
links = "between"
from_task = 0
[[exchange]]
kind = "relation"
when = "after"
every = "3 ticks"
links = "messenger"
from_task = 0
"""
FAST = "agent=[{ids = [1], clock = {rate = 2.0}, stream = {samples = 110}}]"


def go(out: Path, *sets: str, begin: Path | None = None) -> Path:
    whole = from_toml(EXPERIMENT, sets)
    assert simulation.run(whole, out, "inprocess", quiet=True, begin=begin) == EXIT_DONE
    return out


def first_cut(folder: Path) -> tuple[int, float]:
    """The oldest checkpoint that is left, and its time."""
    manifest = read_sealed(min((folder / "checkpoints").glob("*/manifest.json")))
    first, second = manifest["time"]
    return int(manifest["cut"]), first / second


@pytest.mark.parametrize(
    ("short", "more"),
    [
        ((), ("stream.samples=100",)),
        ((), ("stream.tasks=2",)),
        (
            ("stream.tasks=2", "stream.move=0.5", "checkpoint.keep=30"),
            ("stream.tasks=2", "stream.move=0.5", "stream.samples=70"),
        ),
        (("clock.ticks=regular",), ("clock.ticks=regular", "stream.samples=61")),
        ((FAST,), (FAST.replace("110", "150"),)),
    ],
    ids=["samples", "a task", "samples of tasks", "one sample", "of one agent"],
)
def test_it_has_the_bits_of_a_run_that_was_never_stopped(
    short: tuple[str, ...], more: tuple[str, ...], tmp_path: Path
) -> None:
    begun = go(tmp_path / "short", *short)
    before = bits(begun)
    longer = go(tmp_path / "longer", "checkpoint.keep=99", *more, begin=begun)
    number, time = first_cut(longer)
    assert number > 1 and time >= 30  # of a shorter run that lasts for 70 s at least, or 50 s
    assert bits(longer) == bits(go(tmp_path / "whole", *more))
    assert bits(begun) == before


def test_the_same_command_goes_on_and_a_finished_one_is_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    begun, more = go(tmp_path / "short"), "stream.samples=100"
    whole = from_toml(EXPERIMENT, [more])
    until = Cadence(55, "second")
    assert simulation.run(whole, tmp_path / "longer", "inprocess", until, quiet=True, begin=begun) == 75
    longer = go(tmp_path / "longer", more, begin=begun)
    assert bits(longer) == bits(go(tmp_path / "whole", more))
    assert go(longer, more, begin=tmp_path / "nowhere") == longer
    assert bits(longer) == bits(tmp_path / "whole")


def test_a_checkpoint_at_which_some_agent_is_at_its_end_is_no_place_to_go_on_from(tmp_path: Path) -> None:
    begun = go(tmp_path / "short", "checkpoint.keep=1")
    with pytest.raises(ExperimentError) as error:
        go(tmp_path / "longer", "stream.samples=100", begin=begun)
    said = str(error.value)
    assert "--from should be a run with a checkpoint before 48.8596 s" in said, said
    assert "where this run begins to differ from it. Found the oldest at 72.921 s in" in said, said
    assert go(tmp_path / "longer", "stream.samples=100")  # anew, in the folder of the attempt


@pytest.mark.parametrize(
    ("sets", "says"),
    [
        (["stream.samples=50"], "stream.samples  60     50"),
        (["stream.samples=100", "learning.lr=0.02"], "learning.lr"),
        (["stream.samples=100", "seed=1"], "seed  0      1"),
        (["stream.samples=100", "agents=9"], "agents  6      9"),
    ],
)
def test_another_experiment_is_refused(sets: list[str], says: str, tmp_path: Path) -> None:
    begun = go(tmp_path / "short")
    with pytest.raises(ExperimentError) as error:
        go(tmp_path / "longer", *sets, begin=begun)
    said = str(error.value)
    assert "differs in stream.samples and stream.tasks, which may be larger here" in said
    assert says in said, said


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExperimentError, match=r"--from should be the folder of a run\. Found no experiment"):
        go(tmp_path / "longer", begin=tmp_path)


def test_exchanges_that_begin_at_another_task_begin_the_run_anew(tmp_path: Path) -> None:
    """Without `from_task` they wait for the second task where there is one: nothing is the same."""
    waiting = "exchange=[{kind = 'nodes', when = 'after', every = '1 tick', links = 'members'}]"
    begun = go(tmp_path / "short", waiting)
    with pytest.raises(ExperimentError, match="where this run begins to differ from it"):
        go(tmp_path / "longer", waiting, "stream.tasks=2", begin=begun)


def test_free_agents_go_on_from_the_end_of_a_task_that_is_not_their_last(tmp_path: Path) -> None:
    """At the end of a run they have said farewell. Their time is counted in tasks: more samples change it."""
    free = ("clock.kind=free", "evaluation.every=20", "checkpoint.every=1 task", "network.conditions={}")
    begun = go(tmp_path / "short", *free, "stream.tasks=2")
    longer = go(tmp_path / "longer", *free, "stream.tasks=3", "checkpoint.keep=9", begin=begun)
    assert first_cut(longer) == (1, 1.0)
    assert read_sealed(longer / "summary.json")["agents"] == 6
    with pytest.raises(ExperimentError, match="begins to differ"):
        go(tmp_path / "other", *free, "stream.tasks=2", "stream.samples=70", begin=begun)


def test_lockstep_goes_on_from_the_end_with_one_task_more(tmp_path: Path) -> None:
    """All agents end a task at one time: the end of a run is a cut like any other."""
    lockstep = (
        "clock.kind=lockstep",
        "evaluation.every=20",
        "checkpoint.every=1 task",
        "network.conditions={}",
    )
    begun = go(tmp_path / "short", *lockstep, "stream.tasks=2")
    longer = go(tmp_path / "longer", *lockstep, "stream.tasks=3", begin=begun)
    assert bits(longer) == bits(go(tmp_path / "whole", *lockstep, "stream.tasks=3"))
