"""`[clock]`: a word or a table, written back as it was, and what must fit to it."""

from __future__ import annotations

import tomllib
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpidcl.errors import ExperimentError
from mpidcl.experiment.reading import from_toml
from mpidcl.experiment.units import Cadence
from mpidcl.run.building import schedule_time
from mpidcl.run.preview import part_notes

BARE = 'name = "clocks"\nagents = 2\n'
SECONDS = "clock=own_clocks:Seconds"
DATA = 'exchange=[{kind="data", when="after", every="20 ticks"}]'
EXCHANGE = 'exchange=[{kind="own_clocks:Patient", when="after", every="20 ticks"}]'
TICKING = [EXCHANGE, "checkpoint.every=10 min"]


def mistake(*sets: str) -> str:
    with pytest.raises(ExperimentError) as caught:
        from_toml(BARE, sets)
    return str(caught.value)


@pytest.mark.parametrize(
    ("written", "back"),
    [
        ([], 'clock = "lockstep"'),
        (["clock.kind=lockstep"], 'clock = "lockstep"'),
        (["clock=own_clocks:Own"], 'clock = "own_clocks:Own"'),
        ([SECONDS, *TICKING], '[clock]\nkind = "own_clocks:Seconds"\nrate = 1.0'),
    ],
)
def test_a_clock_is_a_word_where_that_says_all(written: list[str], back: str) -> None:
    experiment = from_toml(BARE, written)
    text = experiment.to_toml()
    assert back in text
    assert from_toml(text).to_toml() == text
    keys = list(tomllib.loads(text))
    assert keys.index("agents") < keys.index("clock") < keys.index("network")


def test_an_exchange_under_a_clock_that_it_does_not_know() -> None:
    says = mistake(SECONDS, DATA, "checkpoint.every=10 min")
    assert (
        'exchange.0.kind: should be an exchange that knows clock = "own_clocks:Seconds". Found "data", which'
        ' knows: "lockstep"' in says
    )
    assert from_toml(BARE, [SECONDS, *TICKING]).clock.options.rate == 1.0
    # a clock that keeps the name of lockstep keeps its rules
    assert from_toml(BARE, ["clock=own_clocks:Own", DATA])


def test_a_learner_that_asks_the_others() -> None:
    parallel = ["stream.kind=parallel", "memory.policy=class-quota", "learning.kind=parallel"]
    says = mistake(SECONDS, *parallel, "checkpoint.every=10 min")
    assert (
        'learning.kind: should be a learner that knows clock = "own_clocks:Seconds". Found "parallel"' in says
    )


@pytest.mark.parametrize("every", ["100 s", "5 min", "20 ms"])
@pytest.mark.parametrize("when", ["before", "after", "task start"])
def test_seconds_need_a_virtual_time(when: str, every: str) -> None:
    says = mistake(f'exchange=[{{kind="data", when="{when}", every="{every}"}}]')
    assert (
        'exchange.0.every: should be in tasks, epochs or ticks, such as "1 task" or "5 epochs".'
        f' Found "{every}", which needs a clock with virtual time: clock = "lockstep" is none' in says
    )
    assert "one thing needs mending" in says


def test_where_there_is_a_virtual_time() -> None:
    experiment = from_toml(BARE, [SECONDS, *TICKING, "exchange.0.every=2 min"])
    assert experiment.exchange[0].every.seconds == 120.0
    assert schedule_time(Cadence.parse("90 s"), experiment) == 90
    with pytest.raises(ExperimentError, match=r'--until should be in ticks or seconds, such as "20 ticks"'):
        schedule_time(Cadence.parse("1 task"), experiment, "--until")
    assert (
        'checkpoint.every: should be in ticks or seconds, such as "20 ticks" or "100 s". Found "1 task"'
        in mistake(SECONDS)
    )


def test_a_stop_after_seconds_is_refused_by_lockstep() -> None:
    with pytest.raises(ExperimentError, match=r'--until should be in tasks, epochs or ticks.* Found "100 s"'):
        schedule_time(Cadence.parse("100 s"), from_toml(BARE), "--until")


@given(st.integers(1, 500), st.integers(1, 100))
def test_lockstep_counts_time_in_tasks(count: int, epochs: int) -> None:
    experiment = from_toml(BARE, [f"learning.epochs={epochs}"])
    assert schedule_time(Cadence(count, "task"), experiment) == count
    assert schedule_time(Cadence(count, "epoch"), experiment) == Fraction(count, epochs)


def test_checkpoints_by_the_wall_clock_stay() -> None:
    assert from_toml(BARE, ["checkpoint.every=10 min"]).checkpoint.every.seconds == 600  # type: ignore[union-attr]


def test_a_clock_of_a_wrong_sort() -> None:
    says = mistake("clock=builtins:dict")
    assert "clock.kind: should name a clock, a subclass of mpidcl.network.schedule.clock:Clock" in says


# --- the clock `virtual` -------------------------------------------------------------------------


def test_tests_at_equal_times_need_a_virtual_time() -> None:
    assert 'evaluation.every: should be in epochs, such as 10. Found "30 s", which needs a clock' in mistake(
        "evaluation.every=30 s"
    )
    text = from_toml(BARE, ["clock=virtual", "evaluation.every=30 s"]).to_toml()
    assert 'every = "30 s"' in text and from_toml(text).to_toml() == text


@pytest.mark.parametrize(
    ("sets", "told"),
    [
        (
            ['exchange=[{kind="data", when="before", every="2 ticks"}]'],
            'should be "after" or "task end" where',
        ),
        (
            ['exchange=[{kind="modules", when="task end"}]'],
            'should be an exchange that knows clock = "virtual"',
        ),
        (["learning.one_model=true"], "agents that train one model step together"),
        (["memory.scope=global"], "all agents draw from one memory at one time"),
        (
            ['agent=[{ids=[0], clock={kind="lockstep"}}]'],
            "should be that of [clock], for all agents have one",
        ),
        (["clock.rate=0"], "clock.rate: should be more than 0"),
        (["clock.away=1"], "clock.away"),
        (['clock.absences=[["3 s", "2 s"]]'], "should be pairs of times, the first before the second"),
    ],
)
def test_what_does_not_go_with_it_is_refused(sets: list[str], told: str) -> None:
    assert told in mistake("clock.kind=virtual", *sets)


VIRTUAL = "clock={kind='virtual', rate=2.0}"
MODULAR = ["model.kind=compositional-mlp", "learning.kind=compositional", "stream.joint_tasks=1"]
TERMS = 'learning.terms=[{kind="replay", mix="batch"}]'


@pytest.mark.parametrize(
    ("sets", "says"),
    [
        (
            ['exchange=[{kind="parameters", when="before", every="5 ticks"}]'],
            'exchange.0.when: should be "after" or "task end" where clock = "virtual". Found "before"',
        ),
        (
            ['exchange=[{kind="data", when="task start"}]'],
            'exchange.0.when: should be "after" or "task end" where clock = "virtual". Found "task start"',
        ),
        (
            [*MODULAR, 'exchange=[{kind="modules", when="task start"}]'],
            'exchange.0.kind: should be an exchange that knows clock = "virtual". Found "modules", which'
            ' knows: "lockstep"',
        ),
        (
            ["learning.one_model=true"],
            'learning.one_model: should be false where clock = "virtual": agents that train one model step'
            " together. Found true",
        ),
        (
            ["memory.scope=global", TERMS],
            'memory.scope: should be "local" where clock = "virtual": all agents draw from one memory at one'
            ' time. Found "global"',
        ),
        (
            ["stream.kind=parallel", "memory.policy=class-quota", "learning.kind=parallel"],
            'learning.kind: should be a learner that knows clock = "virtual". Found "parallel", which knows:'
            ' "lockstep"',
        ),
        (
            ["agent=[{ids=[1], clock={kind='lockstep'}}]"],
            'agent.0.clock.kind: should be that of [clock], for all agents have one: "virtual". Found'
            ' "lockstep"',
        ),
        (
            ["agent=[{ids=[1], clock={kind='own_clocks:Own'}}]"],
            'agent.0.clock.kind: should be that of [clock], for all agents have one: "virtual". Found'
            ' "own_clocks:Own"',
        ),
        (
            ["agent=[{ids=[1], clock={kind='virtul'}}]"],
            'agent.0.clock.kind: should be one of "lockstep", "virtual", "free", or your own'
            ' "package.module:Class". Found "virtul". Did you mean "virtual"?',
        ),
        (
            ["agent=[{ids=[1], clock={rte=1}}]"],
            'agent.0.clock.rte: is not a known key. Did you mean `rate`? (kind is "virtual")',
        ),
        (
            ["agent=[{ids=[1], clock={rate=-1}}]"],
            "agent.0.clock.rate: should be more than 0.0. Found -1.",
        ),
        (["agent=[{ids=[1], clock='virtual'}]"], 'agent.0.clock: should be a table. Found "virtual".'),
        (["clock.ticks=gauss"], 'clock.ticks: should be one of "poisson", "regular" or "log-normal".'),
    ],
)
def test_what_virtual_time_leaves_no_room_for(sets: list[str], says: str) -> None:
    found = mistake(VIRTUAL, *sets)
    assert f"one thing needs mending:\n  {says}" in found


def test_an_agent_that_ticks_at_another_rate() -> None:
    experiment = from_toml(BARE, [VIRTUAL, "agent=[{ids=[1], clock={kind='virtual', rate=0.5}}]"])
    assert [experiment.for_agent(number).clock.options.rate for number in (0, 1)] == [2.0, 0.5]
    says = mistake("agent=[{ids=[1], clock={rate=1}}]")
    assert 'agent.0.clock.rate: is not a known key. Known here: kind (kind is "lockstep")' in says


def test_what_waits_for_others_is_refused_under_free() -> None:
    free = "clock=free"
    assert from_toml(BARE, [free, DATA]).clock.kind == "free"
    says = mistake(free, 'exchange=[{kind="data", when="before", every="20 ticks"}]')
    assert 'exchange.0.when: should be "after" or "task end" where clock = "free". Found "before"' in says
    says = mistake(free, 'exchange=[{kind="modules", when="task start", every="1 task"}]')
    assert 'should be an exchange that knows clock = "free". Found "modules", which knows: "lockstep"' in says
    assert 'learning.one_model: should be false where clock = "free"' in mistake(
        free, "learning.one_model=true"
    )
    assert 'memory.scope: should be "local" where clock = "free"' in mistake(free, "memory.scope=global")
    says = mistake(free, 'exchange=[{kind="data", when="after", every="20 s"}]')
    assert 'Found "20 s", which needs a clock with virtual time: clock = "free" is none' in says
    assert "evaluation.every: should be in epochs" in mistake(free, "evaluation.every=5 s")


def test_free_says_that_it_cannot_be_repeated_and_that_it_does_not_wait() -> None:
    said = part_notes(from_toml(BARE, ["clock=free"]))
    assert [note.split(":")[1] for note in said] == [' clock = "free" cannot be repeated']
    said = part_notes(from_toml(BARE, ["clock=free", "network.conditions.latency=5 ms"]))
    assert (
        len(said) == 2 and "latency, jitter and bandwidth of [network] are counted and not waited" in said[1]
    )


# --- links that come and go ----------------------------------------------------------------------

GONE = 'network.link=[{down=[["10 s", "20 s"]]}]'


@pytest.mark.parametrize("clock", ["lockstep", "free"])
def test_links_that_come_and_go_need_mail_in_virtual_time(clock: str) -> None:
    files = ["network.topology=file", "network.changes=links.csv"]
    for key, sets in {"network.link.0.down": [GONE], "network.changes": files}.items():
        assert (
            f'one thing needs mending:\n  {key}: should be left out where clock = "{clock}": links come and'
            ' go in virtual time, which clock = "virtual" has' in mistake(f"clock={clock}", *sets)
        )
        text = from_toml(BARE, ["clock=virtual", *sets]).to_toml()
        assert from_toml(text).to_toml() == text
    assert "down" not in from_toml(BARE, ["clock=virtual"]).to_toml()
    says = mistake("clock=virtual", 'network.link=[{down=[["3 s", "2 s"]]}]')
    assert "network.link.0.down: should be pairs of times, the first before the second" in says


def test_a_topology_has_one_list_of_links() -> None:
    virtual, changes = "clock=virtual", "network.changes=links.csv"
    says = mistake(virtual, "network.topology=file", "network.file=edges", changes)
    assert "network.changes: should stand in place of `file`: it has the links, too. Found both" in says
    says = mistake(virtual, changes)
    assert 'network.changes: should not be there with topology = "ring"' in says


# --- exchanges by chance -------------------------------------------------------------------------

BY_CHANCE = 'exchange=[{kind="data", when="after", share="20 %"}]'


@pytest.mark.parametrize("clock", ["virtual", "free"])
def test_a_share_stands_in_the_place_of_every(clock: str) -> None:
    text = from_toml(BARE, [f"clock={clock}", BY_CHANCE]).to_toml()
    assert "\nshare = 0.2" in text and from_toml(text).to_toml() == text
    (table,) = from_toml(text).to_tables()["exchange"]  # type: ignore[misc]
    assert "every" not in table
    assert "\nshare" not in from_toml(BARE, [f"clock={clock}", DATA]).to_toml()


@pytest.mark.parametrize(
    ("clock", "table", "says"),
    [
        (
            "lockstep",
            'when="after", share=0.2',
            'should be left out where clock = "lockstep", under which no exchange happens by chance: say'
            ' `every`, such as "5 epochs". Found 0.2',
        ),
        (
            "virtual",
            'when="after", share=0.2, every="1 tick"',
            'should stand in place of `every`. Found both, and every = "1 tick": remove one',
        ),
        (
            "virtual",
            'when="task end", share=0.2',
            'should go with when = "after": it is a share of all ticks. Found when = "task end"',
        ),
        ("free", 'when="after", share=0', "should be more than 0. Found 0."),
        ("free", 'when="after", share=1.5', 'should be a share such as 0.1 or "10 %", between 0 and 1'),
    ],
)
def test_where_a_share_can_not_stand(clock: str, table: str, says: str) -> None:
    found = mistake(f"clock={clock}", f'exchange=[{{kind="data", {table}}}]')
    assert f"one thing needs mending:\n  exchange.0.share: {says}" in found


def test_a_share_of_too_many_ticks() -> None:
    rows = ["clock=virtual", "learning.epochs=10000000", "evaluation.every=1000000"]
    says = mistake(*rows, BY_CHANCE)
    assert (
        "exchange.0.share: should be at most 0.02 with 5 tasks of 10,000,000 epochs: an agent keeps" in says
    )
