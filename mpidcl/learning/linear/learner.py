"""The inner problem of DAMTL as reconstructed: a linear model, drawn to its neighbours and to other groups.

    g_i = -x (y - x'w_i) + lam_L sum_j a_ij (w_i - w_j) + own_k w_i + pull_k
    w_i <- w_i - alpha_t g_i,     alpha_t = lr (1 + t)^-decay

w_j is the newest copy that has come from an in-neighbour j of the same group: the copy of a silent one
stands. (own_k, pull_k) is what the messenger of group k has said last (`relation.py`); 0 until it has.
Nothing here imports torch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from mpidcl.base.shape import Shape
from mpidcl.base.state import State
from mpidcl.errors import ExperimentError
from mpidcl.experiment import kinds
from mpidcl.experiment.options import Options
from mpidcl.experiment.part import Use
from mpidcl.experiment.units import counted
from mpidcl.learning.learner import Learner, Scores
from mpidcl.learning.linear.relation import Doubles, Relation
from mpidcl.learning.linear.speaker import Speaker
from mpidcl.learning.linear.stability import settled_weights, stable_rate, together
from mpidcl.learning.linear.strength import Settling
from mpidcl.learning.need import Need
from mpidcl.network.requests import Asking
from mpidcl.network.schedule.groups import Groups, groups_of, pulls_inside
from mpidcl.record.measures import Measure
from mpidcl.record.tables import Tables
from mpidcl.stream.regression.stream import RegressionStream
from mpidcl.stream.regression.task import BLOCK, RegressionTask
from mpidcl_kernels.linear.node import LONGEST, node_step

if TYPE_CHECKING:
    from mpidcl.experiment.file import Experiment
    from mpidcl.stream.stream import Stream

ERROR = Measure("error", "squared error of the model", "lower")
"""|w - w*|^2, w* the true model of the agent's group."""
MSE = Measure("mse", "mean squared error", "lower")
"""Of the answers to the test rows."""
R2 = Measure("r2", "R^2", "higher")
"""1 - mean squared error / variance of the test answers."""
UNREAD = (
    "optimizer", "momentum", "betas", "eps", "weight_decay", "epochs", "batch", "device", "reset_optimizer",
)  # fmt: skip
"""Keys of [learning] that are for learners of other kinds."""
NAMED = 20
"""Groups whose names are shown, at most."""


class LinearOptions(Options):
    """Options of `kind = "linear"`."""

    coupling: float = Field(
        default=1.0,
        ge=0,
        le=1e6,
        description="lam_L: how strongly a model is drawn to those of its neighbours",
    )
    weights: Literal["one", "mean"] = Field(
        default="one", description="a_ij, the weight of an in-neighbour: 1, or 1 / how many there are"
    )
    decay: float = Field(
        default=0.0, ge=0, le=1, description="the step size is lr * (1 + samples)^-decay; 0: constant"
    )


class LinearLearner(Learner):
    """A linear model w [d] in float64, one sample at a tick."""

    Options: ClassVar[type[Options]] = LinearOptions
    takes = RegressionTask
    tick = "sample"
    kernels: ClassVar[tuple[str, ...]] = ("linear.node", "precision")

    @classmethod
    def need(cls, mine: Experiment, stream: Stream) -> Need:
        """Of the agent that needs least: the model, copies of its neighbours, and a block of samples.

        Where every agent speaks for a group also models of its members, means of all groups, and Theta.
        """
        (features,) = stream.shape.input_shape
        groups, sizes = groups_of(mine.network, mine.agents), dict[int, tuple[int, ...]]()
        for members in groups.members:
            sizes.setdefault(len(members), members)
        heard = min(int(pulls_inside(mine.network, one).sum(1).min()) for one in sizes.values())
        numbers = 3 * features + 2 + heard * (features + 1)  # w, what its group is to follow, copies
        if all(map(groups.may_speak, range(mine.agents))):
            numbers += min(sizes) * (features + 1) + 2 * features  # models, their mean, what has drawn it
            numbers += features * (features + 1)  # what features are like
            numbers += len(groups) * (features + 2 + len(groups))  # means, noises, times, Theta
        return Need(model=8 * numbers, batch=8 * BLOCK * (features + 1))

    @classmethod
    def notes(cls, use: Use) -> Iterator[str]:
        """Keys of gradient learners that say something, and that this one does not read."""
        learning = use.mine.learning
        fields = type(learning).model_fields
        said = [name for name in UNREAD if getattr(learning, name) != fields[name].get_default()]
        if said:
            yield f'note: learning.kind = "{learning.kind}" does not read {", ".join(said)} of [learning].'

    def __init__(self, experiment: Experiment, agent: int, shape: Shape) -> None:
        super().__init__(experiment, agent, shape)
        self.options: LinearOptions = experiment.learning.options
        (features,) = shape.input_shape
        self.lr = experiment.learning.lr
        self.groups: Groups = groups_of(experiment.network, experiment.agents)
        self.group = int(self.groups.of[agent])
        stream = kinds.resolve("stream", experiment.stream.kind)
        known = issubclass(stream, RegressionStream) and stream.knows_truth
        self.measures = (ERROR, MSE, R2) if known else (R2, MSE)
        self.w: Doubles = np.zeros(features)
        self.samples, self.variance = 0, 0.0
        members = self.groups.members[self.group]
        hears = pulls_inside(experiment.network, members)
        heard = np.flatnonzero(hears[members.index(agent)])
        self._sources = {members[place]: number for number, place in enumerate(heard)}
        self._seen, self._weights = np.zeros((len(heard), features)), np.zeros(len(heard))
        self._weight = 1.0 if self.options.weights == "one" else 1.0 / max(len(heard), 1)
        self._row, self._pulls, self.told = np.zeros(2), np.zeros((2, features)), -1.0
        self._coupling, self._together = 0.0, np.zeros(len(members))
        self._bound, self._related = np.inf, 0
        self._hears = hears if self.options.weights == "one" else _shares(hears)
        self.speaker: Speaker | None = None
        if self.groups.may_speak(agent):
            weights = settled_weights(self._hears)
            self.speaker = Speaker(self.group, members, weights, len(self.groups), features)
        self.relation: Relation | None = None
        self.tasks: list[RegressionTask] = []
        self._block: tuple[int, int, Doubles, Doubles] | None = None  # of a task, number

    # --- what exchanges do with it ------------------------------------------------------------------

    def be_drawn(self) -> None:
        """Said once, before the first sample, by the exchange whose models draw it to those of its group."""
        self._coupling = self.options.coupling
        if self.speaker is not None:
            self._together = together(self._hears, self._coupling)

    def hear(self, source: int, model: Doubles, variance: float) -> None:
        """The newest model of a member of its group, with the mean of its squared residuals."""
        if (place := self._sources.get(source)) is not None:
            self._seen[place] = model
            self._weights[place] = self._weight
        if self.speaker is not None:
            self.speaker.hear(source, model, variance)

    def follow(self, time: float, own: float, pull: Doubles) -> None:
        """What its group's messenger has found at `time`; an older word than the last is left.

        Raises ExperimentError for one that would let the model grow without end.
        """
        if self._rate() * own >= 2:
            raise ExperimentError(
                f"The relation of groups should draw agent {self.agent} less: lr times its weight lam_G"
                f" Theta_kk should be below 2. Found {self._rate() * own:.3g}, with which its model grows"
                " without end. Set a lower `strength` of the exchange `relation`, or a lower `most`. Without"
                " `strength` the weight grows with squared residuals: give y a unit that makes them about 1."
            )
        if time > self.told:
            self.told, self._row[...], self._pulls[1] = time, (own, 1.0), pull

    def report(self, now: float) -> None:
        """Of a speaker: its own model belongs to the mean of its group.

        A group of one has nobody to tell its relation: it takes an outer step whenever it tells its mean.
        """
        if len(self.groups.members[self.group]) > 1:
            self._report(now)
        elif (found := self.relate(now)) is not None:
            self.follow(now, *found)
        else:
            self._report(now)

    def _report(self, now: float) -> None:
        if self.speaker is not None:
            self.speaker.hear(self.agent, self.w, self.variance)
            self.speaker.average(now, self.samples, self._rate(), self._row[0], self._pulls[1])

    def relate(self, now: float) -> tuple[float, Doubles] | None:
        """One outer step of a speaker, and what its group is to follow; None: some group is unheard of."""
        speaker, relation = self.speaker, self.relation
        if speaker is None or relation is None:
            return None
        self._report(now)
        if not speaker.complete:
            return None
        relation.step(speaker.means, speaker.noises)
        lone, noise = self._rate() * speaker.variance / 2, float(speaker.noises[self.group])
        settling = Settling(lone, noise, self._together, speaker.variances, self._strongest())
        strength = relation.strength(self.group, speaker.means, speaker.noises, settling)
        self._related = self.samples
        return relation.pull(self.group, speaker.means, strength)

    def _strongest(self) -> float:
        """The largest own weight of a relation that finds its weight itself.

        A model stays stable, by half of what is left below the bound of the step size. And it moves to where
        it is drawn no faster than it is told where that is.
        """
        rate, passed = self._rate(), max(self.samples - self._related, 1)
        return min(1 / rate - 1 / self._bound, 1 / (rate * passed))

    # --- the life of a task -------------------------------------------------------------------------

    def begin_task(self, task: RegressionTask) -> None:
        """Take up the samples of a task. Raises ExperimentError for a step size beyond stability."""
        self.tasks.append(task)
        self._look()
        if self._rate() >= self._bound:
            raise ExperimentError(
                f"learning.lr should be below {self._bound:.3g} for agent {self.agent}: above it the errors"
                f" of its model grow without end. Found {self._rate():g}. Lower lr, or [learning] coupling;"
                " `mpidcl check` tells the bound of the samples alone."
            )

    def _look(self) -> None:
        """The first samples of its last task tell what features are like."""
        first, _ = self.block(len(self.tasks) - 1, 0)
        self._bound = stable_rate(first, self._coupling * self._weight * len(self._sources))
        if self.speaker is not None:
            self.speaker.look(first)

    def _rate(self) -> float:
        decay = self.options.decay
        return self.lr * (1.0 + self.samples) ** -decay if decay else self.lr

    def learn(self, task: int, tick: int) -> Asking[None]:
        """One sample."""
        yield from ()
        number, place = divmod(tick, BLOCK)
        xs, ys = self.block(task, number)
        rate = self._rate()
        self.samples += 1
        residual = node_step(
            self.w, xs[place], ys[place], self._seen, self._weights, self.options.coupling, self._row,
            self._pulls, rate,
        )  # fmt: skip
        self.variance += (residual * residual - self.variance) / min(self.samples, LONGEST)

    def block(self, task: int, number: int) -> tuple[Doubles, Doubles]:
        """Samples x [BLOCK, d], y [BLOCK] of a task that has begun; the last block asked for is kept."""
        if self._block is None or self._block[:2] != (task, number):
            x, y = self.tasks[task].block(number)
            self._block = task, number, np.ascontiguousarray(x), y
        return self._block[2:]

    def evaluate(self, upto: int) -> Asking[Scores]:
        """Measures [upto + 1] on the tasks begun; NaN where there is no test row, or no truth."""
        yield from ()
        found = [self._scores(task) for task in self.tasks[: upto + 1]]
        return {one.name: np.array([scores[one.name] for scores in found]) for one in self.measures}

    def _scores(self, task: RegressionTask) -> dict[str, float]:
        scores = dict.fromkeys(("error", "mse", "r2"), np.nan)
        with np.errstate(over="ignore", invalid="ignore"):
            if task.truth is not None:
                scores["error"] = float(((self.w - task.truth[task.group]) ** 2).sum())
            if len(task.test_y):
                scores["mse"] = float(np.mean((task.test_y - task.test_x @ self.w) ** 2))
                if (spread := float(task.test_y.var())) > 0:
                    scores["r2"] = 1 - scores["mse"] / spread
        return {name: value if np.isfinite(value) else np.nan for name, value in scores.items()}

    def describe(self, stream: Stream, company: int) -> list[str]:
        """Groups, by name where they have one, and the largest stable step size of the samples alone."""
        names = stream.group_names() if isinstance(stream, RegressionStream) else ()
        named = [f"group {number}: {name}" for number, name in enumerate(names[:NAMED])]
        if len(names) > NAMED:
            named.append(f"and {len(names) - NAMED} more")
        bound = stable_rate(stream.task(0).block(0)[0])
        return [
            "# groups",
            f"{counted(len(self.groups), 'group')}, {counted(len(self.groups.of), 'agent')}; each agent"
            f" learns a linear model of {len(self.w)} numbers. lr = {self.lr:g}; without neighbours it is"
            f" stable below {bound:.3g}",
            *named,
            "",
        ]

    # --- the compiled run ---------------------------------------------------------------------------

    @property
    def sources(self) -> Mapping[int, int]:
        """Neighbours that draw it, and the row of each in `seen`."""
        return self._sources

    @property
    def weight(self) -> float:
        """a_ij of each of them."""
        return self._weight

    def lay(self, place: Callable[[str, Doubles], Doubles]) -> None:
        """Let its arrays be those that `place(name, array)` returns, with the same numbers in them."""
        self.w, self._seen = place("w", self.w), place("seen", self._seen)
        self._weights = place("weights", self._weights)
        self._row, self._pulls = place("row", self._row), place("pulls", self._pulls)
        if self.speaker is not None:
            self.speaker.lay(place)

    # --- the record -----------------------------------------------------------------------------------

    def finite(self) -> bool:
        return bool(np.isfinite(self.w).all())

    def tables(self) -> Tables:
        """`estimates`: the model; `relation`: of who may speak, Theta and the means of all groups."""
        nothing = np.full(len(self.w), np.nan)
        truth = self.tasks[-1].truth if self.tasks else None
        found: Tables = {
            "estimates": {
                "group": np.array([self.group]),
                "model": self.w[None].copy(),
                "truth": (nothing if truth is None else truth[self.group])[None],
                "variance": np.array([self.variance]),
            }
        }
        if self.speaker is not None and self.relation is not None:
            found["relation"] = {
                "theta": self.relation.theta.copy(),
                "mean": self.speaker.means.copy(),
                "heard": self.speaker.times.copy(),
            }
        return found

    def counters(self) -> dict[str, int]:
        """`samples` learned; of who may speak, outer steps that were `unsolved`."""
        unsolved = {} if self.relation is None else {"unsolved": self.relation.unsolved}
        return {"samples": self.samples, **unsolved}

    def digest(self) -> str:
        learned = [self.w, self._row, self._pulls]
        if self.relation is not None:
            learned.append(self.relation.theta)
        return hashlib.sha256(b"".join(np.ascontiguousarray(one).tobytes() for one in learned)).hexdigest()

    def state(self) -> State:
        state: dict[str, Any] = {
            "w": self.w.copy(), "samples": self.samples, "variance": self.variance,
            "seen": self._seen.copy(), "weights": self._weights.copy(), "row": self._row.copy(),
            "pulls": self._pulls.copy(), "told": self.told, "tasks": len(self.tasks),
            "related": self._related,
        }  # fmt: skip
        if self.speaker is not None:
            state["speaker"] = self.speaker.state()
        if self.relation is not None:
            state["theta"], state["unsolved"] = self.relation.theta.copy(), self.relation.unsolved
        return state

    def load(self, state: State, task_of: Callable[[int], Any]) -> None:
        self.w[...], self._seen[...], self._weights[...] = state["w"], state["seen"], state["weights"]
        self._row[...], self._pulls[...] = state["row"], state["pulls"]
        self.samples, self.variance = int(state["samples"]), float(state["variance"])
        self.told = float(state["told"])
        self._related = int(state["related"])
        self.tasks = [task_of(index) for index in range(int(state["tasks"]))]
        self._block = None
        if self.tasks:
            self._look()
        if self.speaker is not None:
            self.speaker.load(state["speaker"])
        if self.relation is not None:
            self.relation.theta, self.relation.unsolved = np.array(state["theta"]), int(state["unsolved"])


def _shares(hears: Doubles) -> Doubles:
    """Rows of sum 1, where there is anybody to hear."""
    found: Doubles = hears / np.maximum(hears.sum(1, keepdims=True), 1.0)
    return found
