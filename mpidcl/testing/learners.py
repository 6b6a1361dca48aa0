"""What every learner must do."""

from __future__ import annotations

from mpidcl.base.state import State
from mpidcl.experiment.file import Experiment
from mpidcl.learning.learner import Learner
from mpidcl.record.measures import Measure
from mpidcl.testing.company import Company, check_tables, global_chances
from mpidcl.testing.trial import Tables, experiment_with, must


def check_learner(learner: type[Learner], tables: Tables | None = None) -> None:
    """Raises AssertionError where a learner is not one.

    Two agents learn two small tasks of digits; `tables` are those of an experiment, such as
    {"stream": {"kind": "my_module:MyStream"}, "learning": {"my_option": 3}}. Held are: `learn`, `end_task`
    and `evaluate` are generators; `evaluate` gives the measures and changes nothing; the same seed gives the
    same bits; a learner that goes on from its state, written to a file and read again, ends as one that was
    never stopped; nothing draws from a generator that everybody shares.

    >>> from mpidcl.learning.gradient.learner import GradientLearner
    >>> check_learner(GradientLearner, {"model": {"hidden": [8]}})
    """
    check_learning(experiment_with(learner, tables), learner.__name__)


def check_learning(experiment: Experiment, name: str) -> None:
    """The same for the learner of an experiment; `name` stands in messages."""
    chances = global_chances()
    whole = Company(experiment)
    _check_measures(whole.learners[0])
    cuts: dict[int, list[tuple[State, State]]] = {whole.length // 3: [], 2 * whole.length // 3: []}
    first = 0
    for cut in cuts:
        whole.live(first, cut)
        cuts[cut], first = whole.saved(), cut
    whole.live(first)
    for one in whole.learners:
        check_tables(one)
        must(one.finite(), f"{name} should stay finite on two small tasks. Lower its rate.")
    must(
        global_chances() == chances,
        f"{name} should draw from generators of its own (mpidcl.randomness). A shared one has moved.",
    )
    _check_repeats(experiment, whole, name)
    for cut, saved in cuts.items():
        resumed = Company(experiment)
        resumed.load(saved)
        resumed.live(cut)
        must(
            resumed.digests() == whole.digests(),
            f"{name} should go on from its state as if it had never stopped. Stopped before"
            f" {whole.moments[0][cut]} it ends with another digest: does `state` hold all that it uses?",
        )
        missed = [line for line in resumed.told if line not in whole.told]
        must(not missed, f"{name} should measure the same after a resume. Found {missed[:1]}.")


def _check_measures(learner: Learner) -> None:
    name, measures = type(learner).__name__, learner.measures
    must(
        measures and all(isinstance(one, Measure) for one in measures),
        f"{name}.measures should hold at least one mpidcl.record.measures.Measure. Found {measures!r}.",
    )


def _check_repeats(experiment: Experiment, whole: Company, name: str) -> None:
    again = Company(experiment)
    again.live()
    must(
        (again.digests(), again.told) == (whole.digests(), whole.told),
        f"{name} should give the same bits with the same seed. Two runs differ: does it draw from a generator"
        " of its own, and leave out of its digest what a clock made?",
    )
