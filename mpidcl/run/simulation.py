"""Runs an experiment: builds this process's agents, chooses the driver, drives, and writes the run folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from pathlib import Path
from signal import Signals

from mpidcl.base.notices import say, warn
from mpidcl.errors import EXIT_DONE, EXIT_RESUMABLE, DataError, ExperimentError
from mpidcl.experiment.file import Experiment
from mpidcl.experiment.reading import from_toml, load
from mpidcl.experiment.units import Cadence, Period
from mpidcl.launch.walltime import JobEnd, alarm_for
from mpidcl.network.alarm import Alarm
from mpidcl.network.requests import Driver, of_agent
from mpidcl.network.schedule.graphs import build_topology
from mpidcl.network.schedule.timetable import START, Moment, Phase
from mpidcl.network.schedule.topology import Topology
from mpidcl.network.stopping import TIME_IS_UP, Stopping
from mpidcl.record.atomic import make_folder, remove_parts
from mpidcl.record.checkpoint import wait_for
from mpidcl.record.environment import environment, environment_changes
from mpidcl.record.folder import RunFolder, RunState, locate, open_beside, open_folder
from mpidcl.record.identity import Identity, read_identity, write_identity
from mpidcl.record.lock import Lock
from mpidcl.record.manifest import MARK, Complete, check_mark, newest_complete
from mpidcl.record.mending import find_damage, reopen
from mpidcl.record.records import AgentRecord
from mpidcl.report.table import results_table
from mpidcl.run.agent import Agent
from mpidcl.run.building import all_ticks, build_agent, schedule_time, set_timetables, time_words
from mpidcl.run.compiled.choose import is_compiled
from mpidcl.run.compiled.driver import CompiledDriver, take_ticks
from mpidcl.run.compiled.engine import Engine
from mpidcl.run.inputs import check_here, identity_of
from mpidcl.run.longer import begin_from
from mpidcl.run.needs import refuse_too_much
from mpidcl.run.origins import origin_notes, origins
from mpidcl.run.phases import Phases
from mpidcl.run.preview import check, idle_notes, network_notes, part_notes
from mpidcl.run.processes import Processes, alone, prepare_libraries
from mpidcl.run.progress import Progress, StepProgress, TimedProgress
from mpidcl.run.saving import Saver
from mpidcl.views.summary import check_summary, summarise


@dataclass(frozen=True)
class Start:
    """What rank 0 found out about the run folder and tells everybody.

    `cut`: the checkpoint to go on from. `beside`: the folder is one that `--again` has made.
    """

    folder: Path
    identity: Identity
    finished: bool = False
    cut: Complete | None = None
    beside: bool = False

    def to_text(self) -> str:
        """As JSON."""
        cut = None if self.cut is None else self.cut.to_tables()
        return json.dumps([str(self.folder), asdict(self.identity), self.finished, cut, self.beside])

    @classmethod
    def from_text(cls, text: str) -> Start:
        """What `to_text` wrote."""
        folder, identity, finished, cut, beside = json.loads(text)
        known = Identity.from_tables(identity)
        return cls(Path(folder), known, finished, None if cut is None else Complete.from_tables(cut), beside)


def run(
    experiment: Experiment,
    out: Path | None = None,
    driver: str = "mpi",
    until: Cadence | None = None,
    again: bool = False,
    quiet: bool = False,
    table: bool = False,
    stopping: Stopping | None = None,
    job_end: Callable[[], JobEnd | None] | None = None,
    phases: Phases | None = None,
    begin: Path | None = None,
) -> int:
    """Run, or go on with, an experiment; every rank of the job calls it. Returns the exit status.

    `out`: the run folder (default runs/NAME). `until`: stop early, with a checkpoint and status 75.
    `quiet`: no progress. `table`: print the table of results at the end, also of a run that is finished.
    `stopping.ask` while it runs: all agents stop at the next cut that they agree on (75). `job_end`, called
    by rank 0 alone: when the time is over; all stop before that (75). `phases` hears what goes on before the
    first line of progress. `begin`: the folder of a shorter run with which a new one begins.
    Raises MpidclError with one clear message when something is wrong.
    """
    processes = alone() if driver == "inprocess" else Processes.world()
    if processes.size > experiment.agents:
        raise ExperimentError(
            f"There should be at most one rank per agent, {experiment.agents} for this experiment. "
            f"Found {processes.size} ranks. Start fewer: mpiexec -n {experiment.agents} ..., "
            "or raise `agents`."
        )
    stop = None if until is None else schedule_time(until, experiment, "--until")
    if phases is not None:
        phases.name, processes.phases = experiment.name, phases
    processes.phases.begin("looking at the run folder and the data")
    with closing(Lock()) as lock:
        start = processes.from_rank_0(
            lambda: _ready(_open(experiment, out, again, processes, quiet, lock), experiment, begin),
            Start.to_text,
            Start.from_text,
        )
        status = EXIT_DONE
        if not start.finished:
            status = _go(experiment, processes, start, stop, quiet, stopping or Stopping(), job_end)
    if table and status == EXIT_DONE and processes.rank == 0:
        print(results_table(start.folder))
        if not quiet:
            say(f"mpidcl: the run is in {start.folder}; `mpidcl report {start.folder}` draws it.")
    return status


def _go(
    experiment: Experiment,
    processes: Processes,
    start: Start,
    until: Fraction | None,
    quiet: bool,
    stopping: Stopping,
    job_end: Callable[[], JobEnd | None] | None,
) -> int:
    processes.phases.begin("loading libraries")
    prepare_libraries(experiment, processes.local_rank)
    return _Run(experiment, processes, start, until, quiet, stopping, job_end or (lambda: None)).run()


def _open(
    experiment: Experiment, out: Path | None, again: bool, processes: Processes, quiet: bool, lock: Lock
) -> Start:
    """Opens the run folder on rank 0: `lock` holds it then, unless there is nothing to do in it."""
    folder, toml = locate(experiment.name, out), experiment.to_toml()
    identity = _identity(experiment, None if again else folder)
    threads, device = experiment.learning.threads, _device(experiment.learning.device)
    here = environment(processes.library(), processes.hosts, threads, device=device)
    here["data"] = {name: told for name, (told, _) in origins(experiment).items()}
    if again:
        return Start(open_beside(folder, toml, here, lock, identity).path, identity, beside=True)
    state = open_folder(folder, toml, here, lock, identity)
    if state is RunState.NEW:
        return Start(folder.path, identity)
    if state is RunState.FINISHED:
        damage = find_damage(folder, warn, check_summary)
        if damage is None:
            return Start(folder.path, identity, finished=True)
        identity = identity_of(experiment, _topology(experiment))  # all of it is needed now
        reopen(folder, experiment.agents, identity, lock, damage, warn)
    found = newest_complete(folder.checkpoints, experiment.agents, warn, identity.digest)
    for line in environment_changes(folder.environment(), here):
        if not line.startswith("mpi:"):  # drivers and MPI libraries give the same bits
            warn(f"resumed on something else, results may differ in the last digits: {line}")
    if read_identity(folder.path) is None:
        write_identity(folder.path, identity)  # lost or damaged; the checkpoints say that it is this one
    if found is None:
        return Start(folder.path, identity)
    if not quiet:
        passed = time_words(experiment).after(found.time)
        say(f"[{experiment.name}] goes on after {passed}, from {folder.path}")
    return Start(folder.path, identity, False, found)


def _device(name: str) -> str:
    """Where models live; "auto" depends on the machine, and is all that torch is needed for here."""
    if name != "auto":
        return name
    from mpidcl.model.build import choose_device

    return choose_device(name).type


def _identity(experiment: Experiment, folder: RunFolder | None) -> Identity:
    """What a run is begun with. The table of a finished run in `folder` can be seen without its data, too."""
    topology = _topology(experiment)
    try:
        return identity_of(experiment, topology)
    except DataError as error:
        if folder is None or folder.state() is not RunState.FINISHED:
            raise
        warn(f"the data of the finished run were not compared: {error}")
        return identity_of(experiment, topology, data=False)


def _topology(experiment: Experiment) -> Topology:
    return build_topology(experiment.network, experiment.agents, experiment.seed)


def _ready(start: Start, experiment: Experiment, begin: Path | None) -> Start:
    """Without half-written files of killed processes; with a cut of the run that it is to begin with."""
    if start.finished:
        return start
    folder = RunFolder(start.folder)  # whose report others may be writing
    remove_parts(folder.path, folder.journals, folder.checkpoints, *folder.checkpoints.glob("*"))
    if begin is None or start.cut is not None:
        return start
    return replace(start, cut=begin_from(begin, experiment, _topology(experiment), folder, start.identity))


class _Run:
    """One process's part of a run."""

    def __init__(
        self,
        experiment: Experiment,
        processes: Processes,
        start: Start,
        until: Fraction | None,
        quiet: bool,
        stopping: Stopping,
        job_end: Callable[[], JobEnd | None],
    ) -> None:
        self.experiment, self.processes, self.start, self.until = experiment, processes, start, until
        self.quiet, self.stopping, self.job_end = quiet, stopping, job_end
        self.end: JobEnd | None = None
        self.words = time_words(experiment)
        self.folder = RunFolder(start.folder)
        self.topology = _topology(experiment)
        check_here(experiment, self.topology, processes, start.identity)
        self.ranks = processes.rank_of(experiment.agents)
        self.compiled = processes.comm is None and is_compiled(experiment, self.topology)
        keep, digest = experiment.checkpoint.keep, start.identity.digest
        self.saver = Saver(self.folder.checkpoints, processes.rank, self.ranks, keep, digest, start.cut)

    def run(self) -> int:
        agents = self._agents()
        self.stopping.limit = agents[0].timetable.end
        if self.processes.rank == 0:
            self.stopping.notice = self._announce
            self.stopping.alarm = self.saver.alarm = self._alarm()
        driver = self._compiled(agents) if self.compiled else self._driver(agents)
        self.processes.phases.begin("learning")
        with self.saver.writer, self.stopping.armed():
            driver.drive({agent.number: agent.live() for agent in agents})
        driver.close()
        self.processes.phases.end()
        end, finished = agents[0].timetable.end, agents[0].timetable.finished
        if self.processes.rank == 0:
            self._conclude(end, finished, agents[0].meetings.oracles())
        return EXIT_DONE if finished else EXIT_RESUMABLE

    def _alarm(self) -> Alarm | None:
        """What the clock asks for. Raises when the time is over too soon."""
        every = self.experiment.checkpoint.every
        self.end = self.job_end()
        period = every.seconds if isinstance(every, Period) else None
        alarm = alarm_for(self.end, period, self.start.cut is not None)
        if self.end is not None and not self.quiet:
            say(f"[{self.experiment.name}] saves and ends in time before {self.end}")
        return alarm

    def _announce(self, why: int | None, cut: Fraction) -> None:
        where = f"all agents go on to {self.words.at(cut, 10)}, save and end"
        if why is None:
            if cut == self.stopping.limit and cut not in self.stopping.cuts[:-1]:
                warn("an agent is at the end already: the next checkpoint by the clock is that of the end.")
        elif why == TIME_IS_UP:
            warn(f"the time is nearly over, {self.end}: {where}.")
        else:
            warn(f"{Signals(why).name}: {where}; a second signal ends at once.")

    def _agents(self) -> list[Agent]:
        refuse_too_much(self.experiment, self.processes)
        numbers = self.processes.share(self.experiment.agents)
        self.processes.phases.begin("compiling kernels")
        self.processes.warm_up(self.experiment)
        self.processes.phases.begin("loading data")
        agents = []
        for number in numbers:
            with of_agent(number):
                agents.append(build_agent(self.experiment, self.topology, number, self.compiled))
        ticks = self._ticks(agents)
        set_timetables(agents, self.experiment, self.topology, ticks, self.until)
        if self.compiled:
            take_ticks(agents)
        for agent in agents:
            agent.meetings.check()
            agent.save, agent.saving = self.saver.save, self.saver.saving
            agent.warn, agent.stopping = warn, self.stopping
            agent.journal = self.folder.journal(agent.number)
            # rank 0 made it, but a network file system may not show it to this node yet
            make_folder(agent.journal.path.parent)
            with of_agent(agent.number):
                self._begin(agent)
        if self.processes.rank == 0:
            notes = network_notes(self.experiment, self.topology) if self.experiment.exchange else []
            notes += origin_notes(self.experiment)
            notes += [*idle_notes(self.experiment, self.topology, ticks), *part_notes(self.experiment)]
            for note in notes:
                warn(note)
            agents[0].notice = self._progress(agents[0])
        return agents

    def _progress(self, agent: Agent) -> Progress:
        name, first = self.experiment.name, self.processes.phases.end
        main, timetable, tick = agent.learner.measures[0], agent.timetable, agent.learner.tick
        if agent.stream.online:
            return StepProgress(name, agent.stream.ticks, self.quiet, first, main, agent.stream.step)
        if not self.words.together:
            timed = timetable.tasks, timetable.done, float(timetable.end), self.words
            return TimedProgress(name, *timed, self.quiet, first, main, tick)
        return Progress(name, timetable.tasks, timetable.done, self.quiet, first, main, tick)

    def _ticks(self, agents: Sequence[Agent]) -> list[list[int]]:
        """Ticks per task of all agents of the run, by agent."""
        everything: dict[str, list[int]] = {}
        for text in self.processes.gather_text(json.dumps(all_ticks(agents))):
            everything |= json.loads(text)
        return [everything[str(number)] for number in range(self.experiment.agents)]

    def _begin(self, agent: Agent) -> None:
        cut = self.start.cut
        if cut is None:
            self.folder.journal(agent.number).restore([])
            return
        for number, path, state in cut.read(self.folder.checkpoints, [agent.number]):
            check_mark(path, state[MARK], number, cut.time, self.start.identity.digest)
            agent.load(state, Moment(cut.time, Phase.CUT))

    def _compiled(self, agents: Sequence[Agent]) -> Driver:
        cut = self.start.cut
        after = START if cut is None else Moment(cut.time, Phase.CUT)
        engine = Engine(agents, self.topology, self.experiment.seed, after)
        self.processes.phases.begin("compiling kernels")
        engine.compile()
        checksum_all = self.experiment.network.checksum == "all"
        return CompiledDriver(engine, checksum_all, self.saver.heard, self.stopping)

    def _driver(self, agents: Sequence[Agent]) -> Driver:
        network, memory = self.experiment.network, self.experiment.memory
        checksum_all = network.checksum == "all"
        if self.processes.comm is None:
            from mpidcl.network.inprocess import InProcessDriver

            return InProcessDriver(checksum_all, self.saver.heard, self.stopping)
        from mpidcl.network.mpi.driver import MpiDriver

        progress = memory.progress if memory.scope == "global" else "none"
        driver = MpiDriver(
            self.processes.comm,
            self.topology,
            self.ranks,
            checksum_all,
            network.deadline,
            self.saver.heard,
            self.stopping,
            self.processes.hosts,
            progress == "thread",
        )
        if progress in ("auto", "hooks"):
            for agent in agents:
                agent.learner.poll_in_layers(driver.poll)
        return driver

    def _why_stopped(self, end: Fraction, at: Fraction) -> str:
        if self.stopping.end is not None and end < self.stopping.limit:
            why = self.stopping.why
            by = f"by {Signals(why).name}" if why else "because the time is nearly over"
            return f"stopped {by}, saved at {self.words.at(at, 10)}; the same command"
        said = "stopped" if at == end else f"asked to stop at {self.words.at(end)}, but it was already"
        asked = " as asked" if at == end else ""
        return f"{said} at {self.words.at(at)}{asked}; the same command without --until"

    def _conclude(self, end: Fraction, finished: bool, oracles: Sequence[str]) -> None:
        if not finished:
            at = end if self.start.cut is None else max(end, self.start.cut.time)
            where = f" with `--out {self.start.folder}` in place of --again" if self.start.beside else ""
            warn(f"{self._why_stopped(end, at)}{where} goes on.")
            return
        cut, folder, everybody = self.saver.newest, self.folder.checkpoints, range(self.experiment.agents)
        assert cut is not None and cut.time == end  # the run is over: all have saved there
        for path in {cut.file(folder, agent) for agent in everybody}:
            wait_for(path)
        records = [AgentRecord.from_state(one) for _, _, one in cut.read(folder, everybody, "record")]
        summary = summarise(records) | ({"oracles": list(oracles)} if oracles else {})
        links = [(source, target) for source, target in self.topology.edges.tolist()]
        self.folder.finish(records, links, summary)


def load_everywhere(path: Path, sets: Sequence[str] = ()) -> Experiment:
    """The experiment that rank 0 reads, on every rank. Collective.

    Raises ExperimentError on rank 0 when the file is wrong; that ends the job (launch).
    """
    return Processes.world().from_rank_0(lambda: load(path, sets), Experiment.to_toml, from_toml)


__all__ = ["check", "load_everywhere", "run"]
