"""An agent's life: what happens in which order, what is saved at a cut, and that resume gives the same."""

from concurrent.futures import Future
from fractions import Fraction

import pytest
from network_fakes import World, digests, fake, topology

from mpidcl.network.inprocess import InProcessDriver
from mpidcl.network.requests import Saved
from mpidcl.network.schedule.timetable import Moment, Phase, Rhythm
from mpidcl.record.checkpoint import read_state, write_state
from mpidcl.record.journal import Journal
from mpidcl.run.clock import PARTS

RULES = [Rhythm("after", 1, 0, "all"), Rhythm("task start", 1, 0, "all")]


def world(**keys):
    return World(topology("ring", 3), [[2, 1], [3, 2], [1]], RULES, [fake(legs=2), fake(size=3000)], **keys)


def test_a_life_in_order():
    one = World(topology("ring", 1), [[0, 2]], (), evaluate_every=1)
    agent = one.agent(0)
    record = InProcessDriver().drive({0: agent.live()})[0]
    assert agent.learner.log == [
        ("begin", 0), ("end", 0), ("begin", 1), ("evaluate", 1), ("learn", 1, 0), ("evaluate", 1),
        ("learn", 1, 1), ("end", 1), ("evaluate", 1),
    ]  # fmt: skip
    assert [(e.task, e.tick, e.time) for e in record.evaluations] == [(1, 0, 1.0), (1, 1, 1.5), (1, 2, 2.0)]
    assert {len(e.main) for e in record.evaluations} == {2}
    assert record.ledger == []


def test_evaluations_say_what_was_sent_so_far():
    record = World(topology("ring", 2), [[2, 2]] * 2, evaluate_every=1).in_process()[0]
    sent = [e.wire_bytes for e in record.evaluations]
    assert sent == sorted(sent)
    assert sent[0] == 0
    assert sent[-1] == sum(row.wire_bytes for row in record.ledger)
    assert record.evaluations[-1].paper_floats == sum(row.paper_floats for row in record.ledger)


def test_one_agent_equals_many_that_share_nothing():
    """Without links every agent lives as it would alone."""
    together = World(topology("erdos-renyi", 3, probability=0.0), [[2]] * 3).in_process()
    for number in range(3):
        alone = World(topology("erdos-renyi", 3, probability=0.0), [[2]] * 3).agent(number)
        record = InProcessDriver().drive({number: alone.live()})[number]
        assert record.digest == together[number].digest


def test_lives_are_repeatable_and_times_are_counted():
    first, second = world().in_process(), world().in_process()
    assert digests(first) == digests(second)
    timing = first[0].timing
    assert timing["wall_s"] > 0
    for record in first.values():
        assert sum(record.timing[part] for part in PARTS) == pytest.approx(record.timing["wall_s"])
        assert record.timing["start_s"] > 0


# --- saving and going on -------------------------------------------------------------------------


class Store:
    """Saves to real files at once; keeps (agent, cut) -> path."""

    def __init__(self, folder):
        self.folder, self.paths, self.saved = folder, {}, []

    def __call__(self, agent, cut, state):
        path = self.folder / f"{agent}-{float(cut.time):g}.h5"
        self.paths[agent, cut.time] = path
        done = Future()
        done.set_result(Saved(agent, cut.time, *write_state(path, state)))
        return done


@pytest.mark.parametrize("every", [Fraction(1), Fraction(1, 2), Fraction(1, 3)])
def test_going_on_from_every_cut_gives_the_same(tmp_path, every):
    store = Store(tmp_path)
    whole = world(cut_every=every, evaluate_every=1)
    whole.save = store
    heard = []
    want = digests(whole.in_process(on_saved=heard.append))
    cuts = sorted({time for _, time in store.paths})
    assert cuts == [every * n for n in range(1, int(2 / every) + 1)]
    assert len(heard) == 3 * len(cuts)
    for cut in cuts:
        agents = world(cut_every=every, evaluate_every=1).agents()
        for number, agent in agents.items():
            agent.load(read_state(store.paths[number, cut]), Moment(cut, Phase.CUT))
        rest = InProcessDriver().drive({n: agent.live() for n, agent in agents.items()})
        assert digests(rest) == want, cut


def test_stopping_early_and_going_on_gives_the_same(tmp_path):
    want = digests(world().in_process())
    store = Store(tmp_path)
    for until in (Fraction(1, 2), Fraction(7, 6), None):
        part = world(until=until)
        part.save = store
        agents = part.agents()
        if store.paths:
            last = max(time for _, time in store.paths)
            for number, agent in agents.items():
                agent.load(read_state(store.paths[number, last]), Moment(last, Phase.CUT))
        found = InProcessDriver().drive({n: agent.live() for n, agent in agents.items()})
    assert digests(found) == want


def test_the_journal_is_cut_back_to_the_checkpoint(tmp_path):
    store = Store(tmp_path)
    whole = world()
    whole.save = store
    agents = whole.agents()
    for number, agent in agents.items():
        agent.journal = Journal(tmp_path / f"agent-{number}.jsonl", number)
    records = InProcessDriver().drive({n: agent.live() for n, agent in agents.items()})
    before = (tmp_path / "agent-1.jsonl").read_bytes()
    assert agents[1].journal.read() == records[1].evaluations
    agents = whole.agents()
    for number, agent in agents.items():
        agent.journal = Journal(tmp_path / f"agent-{number}.jsonl", number)
        agent.load(read_state(store.paths[number, 1]), Moment(Fraction(1), Phase.CUT))
    assert len((tmp_path / "agent-1.jsonl").read_bytes()) < len(before)
    InProcessDriver().drive({n: agent.live() for n, agent in agents.items()})
    assert (tmp_path / "agent-1.jsonl").read_bytes() == before


def test_a_lost_journal_is_written_again_from_the_checkpoint(tmp_path):
    store = Store(tmp_path)
    whole = world()
    whole.save = store
    agents = whole.agents()
    agents[1].journal = Journal(tmp_path / "agent-1.jsonl", 1)
    InProcessDriver().drive({n: agent.live() for n, agent in agents.items()})
    before = (tmp_path / "agent-1.jsonl").read_bytes()
    (tmp_path / "agent-1.jsonl").write_bytes(before[:10])
    agents = whole.agents()
    agents[1].journal = Journal(tmp_path / "agent-1.jsonl", 1)
    for number, agent in agents.items():
        agent.load(read_state(store.paths[number, 1]), Moment(Fraction(1), Phase.CUT))
    assert before.startswith((tmp_path / "agent-1.jsonl").read_bytes())
    InProcessDriver().drive({n: agent.live() for n, agent in agents.items()})
    assert (tmp_path / "agent-1.jsonl").read_bytes() == before


def test_times_add_up_over_the_pieces_of_a_run(tmp_path):
    store = Store(tmp_path)
    whole = world()
    whole.save = store
    whole.in_process()
    agent = world().agent(0)
    agent.load(read_state(store.paths[0, 1]) | {}, Moment(Fraction(1), Phase.CUT))
    before = read_state(store.paths[0, 1])["record"]["timing"]
    assert agent.clock.seconds()["learn_s"] == before["learn_s"] > 0


def test_a_checkpoint_is_reported_when_it_is_on_the_disk_and_not_before():
    pending = []

    def save(agent, cut, state):
        pending.append(Future())
        if cut.time == 2:
            pending[-1].set_result(Saved(agent, cut.time, 1, b""))
        return pending[-1]

    agent = World(topology("ring", 1), [[1, 1]], (), save=save).agent(0)
    begin_task = agent.learner.begin_task

    def slow_disk(task):
        if task == 1:
            assert not pending[0].done()
            pending[0].set_result(Saved(0, Fraction(1), 1, b""))
        begin_task(task)

    agent.learner.begin_task = slow_disk
    life = agent.live()
    next(life)  # the greeting
    assert life.send([]) == Saved(0, Fraction(1), 1, b"")
    assert agent.learner.log[-1] == ("begin", 1)  # told at once, learning went on before
    assert life.send([]) == Saved(0, Fraction(2), 1, b"")
    with pytest.raises(StopIteration):
        life.send([])


def test_a_failing_disk_ends_the_life():
    def save(agent, cut, state):
        failed = Future()
        failed.set_exception(OSError("no space left on device"))
        return failed

    with pytest.raises(OSError, match="no space left"):
        World(topology("ring", 1), [[1, 1]], (), save=save).in_process()


def test_notices_hear_of_ticks_evaluations_and_cuts():
    heard = []
    agent = World(topology("ring", 1), [[1]], ()).agent(0)
    agent.notice = lambda event, found: heard.append((event.moment.phase.name, found is not None))
    InProcessDriver().drive({0: agent.live()})
    assert heard == [("EVALUATE_START", True), ("LEARN", False), ("EVALUATE", True), ("CUT", False)]
