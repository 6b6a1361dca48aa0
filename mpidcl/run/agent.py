"""One agent's life: a generator that learns, shares, measures and saves, and never touches MPI."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from mpidcl.base.state import State, state_of
from mpidcl.errors import RequestError
from mpidcl.exchange.meeting import Meetings
from mpidcl.learning.learner import Learner, Scores
from mpidcl.network.frames.ledger import FRAME, Ledger
from mpidcl.network.requests import Halt, Life, Pulse, Reply, Request, Saved
from mpidcl.network.schedule.timetable import START, Event, Moment, Phase, Timetable
from mpidcl.network.stopping import Stopping
from mpidcl.record.journal import Journal
from mpidcl.record.measures import measured
from mpidcl.record.records import DIVERGED, AgentRecord, Evaluation, LedgerRow, counted_by
from mpidcl.record.tables import Tables, joined
from mpidcl.run.clock import Stopwatch, peak_rss_bytes
from mpidcl.run.greeting import greet
from mpidcl.stream.stream import Stream

Save = Callable[[int, Moment, State], Future[Saved] | None]
"""Takes (agent, cut, state), and writes it while the agent goes on. The future says what was written; None:
it is written with the state of another agent, who gets the future."""


@dataclass
class Agent:
    """An agent and everything it owns. `timetable` is set once all agents' task lengths are known.

    `ahead`: its evaluations also test the tasks to come.
    `saving` are the files that are being written, in order. Agents of one process share it: whoever comes
    first tells the driver of those that are on the disk.
    """

    number: int
    stream: Stream
    learner: Learner
    meetings: Meetings
    ledger: Ledger
    kinds: Sequence[str]
    ahead: bool = False
    journal: Journal | None = None
    save: Save | None = None
    notice: Callable[[Event, Evaluation | None], None] | None = None
    warn: Callable[[str], None] | None = None
    stopping: Stopping = field(default_factory=Stopping)
    saving: deque[Future[Saved]] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self.timetable: Timetable
        self.clock = Stopwatch()
        self.evaluations: list[Evaluation] = []
        self._last = START
        self._heeded = 0
        self._diverged: int | None = None  # the task in which it was seen first

    def live(self) -> Life:
        """The agent's whole life, or the rest of it after `load`. Returns its record."""
        self.clock.start()
        yield from self._timed("start_s", greet(self.number, self.meetings, self.timetable, self.warn))
        events = self._events()
        while (event := next(events, None)) is not None:
            if self.stopping.asked() and self._heeded == self.stopping.agreements:
                with self.clock("wait_s", cpu=False):
                    yield Halt()
            if self._heeded != self.stopping.agreements:
                self._heed()
                events = self._events()
                continue
            self.stopping.begin(self.number, event.moment)
            yield from self._live_through(event)
            self._last = event.moment
            if self.saving:
                yield from self._report_saved(wait=False)
            if self.stopping.pulse():
                yield Pulse()
        yield from self._report_saved(wait=True)
        return self.record()

    def _events(self) -> Iterator[Event]:
        """The rest of the timetable. Raises RequestError where it is none, goes back or has no last cut."""
        last, said = self._last, f"{type(self.timetable).__name__}.events()"
        found = self.timetable.events(after=last)
        if not isinstance(found, Iterator):
            raise RequestError(f"{said} should be an iterator of events. Found {type(found).__name__}.")
        for event in found:
            if not isinstance(event, Event) or not isinstance(event.moment, Moment):
                raise RequestError(
                    f"{said} should give mpidcl.network.schedule.timetable.Event, each with its Moment."
                    f" Found {event!r:.80}."
                )
            if event.moment <= last:
                raise RequestError(
                    f"{said} should give events in order, all after {last}. Found {event.moment} then."
                    " Sort them, and leave out those up to `after`."
                )
            last = event.moment
            yield event
        if last < (end := Moment(self.timetable.end, Phase.CUT)):
            raise RequestError(
                f"{said} should give a last event at {end}, where all save. Found none after {last}."
            )

    def _heed(self) -> None:
        """From here on with the cuts on which all agents have agreed, and to the one at which all end."""
        self._heeded = self.stopping.agreements
        self.timetable = self.timetable.with_cuts(tuple(self.stopping.cuts), self.stopping.end)

    def _live_through(self, event: Event) -> Generator[Request, Reply, None]:
        if event.uses or event.due or event.moment.phase is Phase.ARRIVE:
            yield from self._timed("meet_s", self.meetings.hold(event))
        match event.moment.phase:
            case Phase.LEARN:
                yield from self._timed("learn_s", self.learner.learn(event.task, event.tick - 1), "learn")
                if self.notice is not None:
                    self.notice(event, None)
            case Phase.BEGIN_TASK:
                with self.clock("learn_s"):
                    self.learner.begin_task(self.stream.task(event.task))
            case Phase.END_TASK:
                yield from self._timed("learn_s", self.learner.end_task(), "end_task")
                self._look_for_divergence(event)
            case Phase.EVALUATE | Phase.EVALUATE_START:
                work = self.learner.evaluate(event.task)
                found = yield from self._timed("evaluate_s", work, "evaluate")
                ahead: Scores = {}
                later = range(event.task + 1, len(self.stream.ticks))
                if self.ahead and later:
                    coming = self.learner.evaluate_ahead([self.stream.task(u) for u in later])
                    ahead = yield from self._timed("evaluate_s", coming, "evaluate_ahead")
                with self.clock("evaluate_s"):
                    self._enter(event, found, ahead)
            case Phase.CUT:
                self._look_for_divergence(event)  # what a neighbour has shared last may not be finite
                yield from self._save(event)

    def _timed(
        self, name: str, work: Generator[Request, Reply, Any], method: str = ""
    ) -> Generator[Request, Reply, Any]:
        """What `work` returns; its own time is counted as `name`, and the time until a reply as waiting.

        Raises RequestError that names the `method` of the learner whose work is no generator.
        """
        if method and not isinstance(work, Generator):
            raise RequestError(
                f"{type(self.learner).__name__}.{method} should be a generator: begin it with `yield from ()`"
                f" or yield what it asks the others. Found one that returns {type(work).__name__}."
            )
        before = self.clock.turn_to(name)
        try:
            reply: Reply | None = None
            while True:
                try:
                    request = next(work) if reply is None else work.send(reply)
                except StopIteration as stop:
                    return stop.value
                self.clock.turn_to("wait_s", cpu=False)
                reply = yield request
                self.clock.turn_to(name)
        finally:
            self.clock.turn_back(before)

    def _look_for_divergence(self, event: Event) -> None:
        """Note and say once when learning has left the finite numbers: results from there on mean nothing."""
        if self._diverged is not None or self.learner.finite():
            return
        self._diverged = event.task
        if self.warn is not None:
            self.warn(
                f"agent {self.number}: its parameters are no longer finite numbers after task {event.task},"
                " and its neighbours may follow. Lower [learning] lr; the results from here on mean nothing."
            )

    def _enter(self, event: Event, scores: Scores, ahead: Scores) -> None:
        """Record what was just measured, on the tasks so far and on those to come."""
        sent = self.ledger.rows()
        name, tasks = type(self.learner).__name__, None if self.stream.online else event.task + 1
        measures = self.learner.measures
        found = Evaluation(
            task=event.task,
            tick=event.tick,
            values=measured(name, measures, scores, tasks),
            ahead=measured(name, measures, ahead) if ahead else {},
            time=float(event.moment.time),
            wire_bytes=sum(row.payload_bytes + row.header_bytes for row in sent),
            paper_floats=sum(row.paper_floats for row in sent),
        )
        self.evaluations.append(found)
        if self.journal is not None:
            self.journal.append(found)
        if self.notice is not None:
            self.notice(event, found)

    def _save(self, event: Event) -> Generator[Request, Reply, None]:
        last = self.save is None
        if self.save is not None:
            with self.clock("checkpoint_s"):
                written = self.save(self.number, event.moment, self.state())
            if last := written is not None:
                self.saving.append(written)
        if self.notice is not None:
            self.notice(event, None)
        if not last:
            with self.clock("wait_s", cpu=False):
                yield Pulse()  # others of this process come to the cut; its file is held in memory until then

    def _report_saved(self, wait: bool) -> Generator[Request, Reply, None]:
        """Tell the driver of every checkpoint that has reached the disk."""
        while self.saving and (wait or self.saving[0].done()):
            with self.clock("checkpoint_s", cpu=False):
                saved = self.saving.popleft().result()
            with self.clock("wait_s", cpu=False):
                yield saved

    def record(self) -> AgentRecord:
        """What the run folder keeps of this agent."""
        return AgentRecord(
            agent=self.number,
            joint_tasks=self.stream.shape.joint_tasks,
            evaluations=self.evaluations,
            ledger=[self._ledger_row(*count) for count in self.ledger.rows()],
            tables=self.tables(),
            counters=self.counters(),
            timing=self.clock.seconds(),
            peak_rss_bytes=peak_rss_bytes(),
            digest=self.learner.digest(),
            measures=tuple(self.learner.measures),
        )

    def tables(self) -> Tables:
        """Those of the learner and of the exchanges. Raises RecordError where they do not go together."""
        return joined([(type(self.learner).__name__, self.learner.tables()), *self.meetings.tables()])

    def counters(self) -> dict[str, int]:
        """Those of the learner, and `diverged`: the task in which its parameters were first seen not to be
        finite, if they were. Raises RecordError where no record can hold them.
        """
        found = counted_by(type(self.learner).__name__, self.learner.counters())
        return found if self._diverged is None else found | {DIVERGED: self._diverged}

    def _ledger_row(self, target: int, exchange: int, *counts: Any) -> LedgerRow:
        kind = "frame" if exchange == FRAME else self.kinds[exchange]
        return LedgerRow(self.number, target, exchange, kind, *counts)

    def state(self) -> State:
        """Everything that a resumed run needs, and the record so far."""
        return {
            "learner": state_of(self.learner),
            "meetings": self.meetings.state(),
            "ledger": self.ledger.state(),
            "record": self.record().state(),
        }

    def load(self, state: State, moment: Moment) -> None:
        """Go on from a state that was saved at the cut `moment`. The journal is made to be as it was then."""
        record = AgentRecord.from_state(state["record"])
        self.learner.load(state["learner"], self.stream.task)
        self.learner.load_tables(record.tables)
        self.meetings.load(state["meetings"])
        self.meetings.load_tables(record.tables)
        self.ledger.load(state["ledger"])
        self.evaluations = record.evaluations
        self._diverged = record.counters.get(DIVERGED)
        self.clock.load(record.timing)
        if self.journal is not None and not self.journal.restore(record.evaluations) and self.warn:
            self.warn(f"{self.journal.path} was damaged: its lines are written again from the checkpoint")
        self._last = moment
