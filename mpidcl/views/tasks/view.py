"""Tasks that come one after the other: how well each is known, and what becomes of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from mpidcl.record.measures import Measure
from mpidcl.record.records import AgentRecord
from mpidcl.views.base import Metric, Sheet, Tile, View
from mpidcl.views.groups import Group, of_one_measure
from mpidcl.views.mean_error import MARK
from mpidcl.views.run import Run
from mpidcl.views.tasks.metrics import agent_metrics
from mpidcl.views.units import PERCENT, axis, difference_unit, plural, with_error


class TasksView(View):
    """Metrics of continual learning, curves of learning, and the matrix of all tasks after each."""

    name = "tasks"

    def metrics(self, record: AgentRecord) -> dict[str, float]:
        return agent_metrics(record.evaluations, record.joint_tasks, record.measures)

    def shown(self, record: AgentRecord) -> list[Metric]:
        main, *more = record.measures
        unit, points = main.unit, difference_unit(main.unit)
        average, final = f"average {main.words}", f"final {main.words}"
        lost = "forgetting since learned"
        speed, current, short = "learning speed", "learning speed, current", "… of current task"
        found = [
            Metric(f"average_{main.name}", average, unit, average, axis(average, unit)),
            Metric(f"final_{main.name}", final, unit, final, axis(final, unit), True),
            Metric("learning_speed", speed, unit, "", axis(speed, unit), True),
            Metric("learning_speed_current", f"{current} task", unit, current, axis(short, unit), True),
            Metric("forward_transfer", "forward transfer (zero-shot)", unit),
            Metric("backward_transfer", "backward transfer", unit),
            Metric("forgetting", lost, unit, lost, axis(lost, points)),
            *(Metric(name, words, unit, papers=words) for name, words in _of_papers(record).items()),
        ]
        return [
            *found[:2],
            *(replace(one, of=main.name) for one in found[2:]),
            *(
                Metric(f"{when}_{one.name}", f"{when} {one.words}", one.unit, compared)
                for one in more
                for when, compared in (("average", ""), ("final", f"final {one.words}"))
            ),
        ]

    def tiles(self, run: Run) -> list[Tile]:
        main, *more = run.records[0].measures
        return [
            metric_tile(run, f"final_{main.name}", f"final {main.words}, on all tasks at the end"),
            *(metric_tile(run, f"final_{one.name}", f"final {one.words}, on all tasks") for one in more),
            metric_tile(run, f"average_{main.name}", f"average {main.words}, over the whole run"),
            forgetting_tile(run),
        ]

    def reading(self, run: Run) -> str:
        main = run.records[0].main
        return (
            f"{units_words(main)}; s.e. is the standard error. Learning speed is the area under the"
            f" {main.words} on the tasks seen, divided by the ticks it spans{_short(run.records)}. Positive"
            " forgetting and negative backward transfer mean loss."
            f" {papers_reading(_of_papers(run.records[0]))}"
        )

    def sheets(self, run: Run) -> list[Sheet]:
        from mpidcl.views.tasks import curves, matrix, over_time

        main, time = run.records[0].main, run.time
        curve_of = curves.learning_curves if time.together else over_time.learning_over_time
        more = ONE_HEAD if run.settings.get("stream.incremental") == "class" else ""
        curve = Sheet.of("learning-curve", "Learning curve", curve_of, run.records, time, main=main)
        panels = f"{main.name}-by-agent", "Every task of every agent", curves.agent_panels
        squares = f"{main.name}-matrix", f"{main.words.capitalize()} matrix", matrix.accuracy_matrix
        return [
            replace(curve, reading=curve.reading + more),
            Sheet.of(*panels, run.records, time, main=main),
            Sheet.of(*squares, run.records, main=main),
        ]

    def group_sheets(self, groups: Sequence[Group]) -> list[Sheet]:
        from mpidcl.views.tasks import curves, over_time

        groups = of_one_measure(groups)
        alike = {group.runs[0].time for group in groups}
        apart = len(alike) == 1 and not alike.pop().together
        draw = over_time.groups_over_time if apart else curves.group_curves
        speed = "learning-speed", "How fast a new task is learned", curves.group_speeds
        return [
            Sheet.of_groups("learning-curves", "Learning curves", draw, groups),
            Sheet.of_groups(*speed, groups),
        ]


def in_units(words: str, unit: str) -> str:
    """`Accuracies in %`."""
    return f"{words} in {unit}" if unit else words


def units_words(main: Measure) -> str:
    """What the numbers of a table are in, a sentence without its full stop."""
    words = in_units(f"{plural(main).capitalize()} and learning speed", main.unit)
    if main.unit == PERCENT:
        return f"{words}, backward transfer and forgetting in points of %"
    return f"{words}: {main.better} is better"


def metric_tile(run: Run, metric: str, words: str, unit: str | None = None) -> Tile:
    """A metric's mean with its error; `unit`: what stands behind it, if not the unit of the metric."""
    metrics, own = run.summary["metrics"], run.views.shown(run.records)[metric].unit
    shown = own if unit is None else unit
    error = metrics["standard_error"][metric]
    small = "" if error is None else f"± {with_error(error, None, unit=own)}{MARK}{' ' * bool(shown)}"
    return Tile(with_error(metrics[metric], None, unit=own), small + shown, words)


def forgetting_tile(run: Run) -> Tile:
    """What was lost since a task was learned."""
    unit = difference_unit(run.records[0].main.unit)
    words = f"{unit} of forgetting" if unit else "forgetting"
    return metric_tile(run, "forgetting", f"{words} since learned: lost since the end of a task", unit="")


PAPERS = {"bwt": "BWT", "fwt": "FWT", "forgetting_max": "forgetting since best"}
"""Metrics as papers print them, and what we call them: `forgetting` is another one, see `PAPERS_READING`."""
PAPERS_READING = {
    "bwt": "BWT is the last value minus that when a task was learned.",
    "fwt": "FWT is the value before a task begins minus that of the first weights.",
    "forgetting_max": "Forgetting since best (forgetting_max in summary.json) is the best value minus the"
    " last.",
}


def _short(records: Sequence[AgentRecord]) -> str:
    """What an area over one tick is."""
    most = max((row.tick for record in records for row in record.evaluations), default=0)
    return ": with one tick a task, the mean of before and after it" if most == 1 else ""


def _of_papers(record: AgentRecord) -> dict[str, str]:
    """Those that a run has: there was a task to forget, or tasks to come were tested."""
    ahead = any(one.ahead for one in record.evaluations)
    return {name: PAPERS[name] for name in PAPERS if record.tasks > 1 and (ahead or name != "fwt")}


def papers_reading(names: Iterable[str]) -> str:
    """What these are, and how they differ from ours of a like name."""
    told = [PAPERS_READING[name] for name in names]
    if not told:
        return ""
    return (
        f"As most papers print them, a mean over all tasks but the last (FWT: the first): {' '.join(told)}"
        " Forgetting since learned (forgetting in summary.json) is the value when a task was learned minus"
        " the last, a mean over all tasks, where the last one counts as 0; backward transfer is what each"
        " task did to those before it."
    )


ONE_HEAD = (
    " All classes share one head, and those that have not come are hardly ever answered: a new task begins"
    " near zero, and an old one also sinks because its rows are taken for new classes."
)
