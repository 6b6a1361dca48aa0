"""Tasks that are learned at once: when each was, what every step did to all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mpidcl.learning.parallel.course import COURSE, ParallelCourse
from mpidcl.learning.parallel.steps import StepLog
from mpidcl.record.records import AgentRecord, one_per_model
from mpidcl.views.base import Metric, Sheet, Tile, View
from mpidcl.views.cost.view import CostView
from mpidcl.views.groups import Group
from mpidcl.views.parallel.balance import balance_lines
from mpidcl.views.parallel.metrics import METRICS, course_metrics, course_of, first_log, steps_of
from mpidcl.views.run import Run
from mpidcl.views.tasks.view import forgetting_tile, metric_tile

ANY_CLASS = (
    " “All classes”: the same when the model may answer with any class of any task, whatever the mode."
)


class ParallelView(View):
    """First and final accuracy, the timeline, gradients and their weights, edits of the memory."""

    name = "parallel"
    reads = (COURSE,)
    instead_of = ("tasks", "cost")

    def metrics(self, record: AgentRecord) -> dict[str, float]:
        return course_metrics(ParallelCourse.from_table(record.tables[COURSE]))

    def shown(self, record: AgentRecord) -> list[Metric]:
        """Without those of the second mask where they repeat the first."""
        course = course_of(record)
        repeated = course is not None and course.one_question
        return [one for one in METRICS if not (repeated and one.name.endswith("_all_classes"))]

    def tiles(self, run: Run) -> list[Tile]:
        return [
            metric_tile(run, "final_accuracy", "final accuracy, on all tasks at the end"),
            metric_tile(run, "first_accuracy", "first accuracy, on each task when it ended"),
            forgetting_tile(run),
        ]

    def reading(self, run: Run) -> str:
        both = "final_accuracy_all_classes" in run.views.shown(run.records)
        return (
            "Accuracies in %, forgetting in points of %; s.e. is the standard error. First accuracy is that"
            " on each task right after its last step; forgetting is first minus final, so positive is loss."
            f"{ANY_CLASS * both} Agents that share one model are one row and one value."
        )

    def lines(self, run: Run) -> list[str]:
        return balance_lines(first_log(run.records))

    def notices(self, run: Run) -> list[str]:
        return self.lines(run)

    def sheets(self, run: Run) -> list[Sheet]:
        """Of the model that the agents share; of the first where each has its own."""
        from mpidcl.views.parallel.figures import gallery, timeline

        models = one_per_model([record for record in run.records if self.sees(record)])
        record, course = models[0], ParallelCourse.from_table(models[0].tables[COURSE])
        mine = [one for one in run.records if one.model == record.model]
        more = f" (agent {record.agent})" if len(models) > 1 else ""
        accuracies = "task-accuracy", "Accuracy of every task", timeline.task_accuracies
        sheets = [
            Sheet.of("timeline", "Timeline", timeline.timeline, course),
            Sheet.of(*accuracies, course, record.evaluations),
        ]
        for one in mine:
            if (log := steps_of(one)) is not None:
                sheets += _step_sheets(log, course)
        rows = gallery.together([one.tables["gallery"] for one in mine if one.has("gallery")])
        if gallery.can_draw(rows):
            sheets.append(Sheet.of("edited-rows", "Edited rows of the memory", gallery.gallery, rows))
        return [replace(one, title=one.title + more) for one in sheets]

    def group_sheets(self, groups: Sequence[Group]) -> list[Sheet]:
        from mpidcl.views.parallel.figures import timeline

        found = [Sheet.of_groups("learning-curves", "Learning curves", timeline.group_courses, groups)]
        if len({group.per_agent("sent_bytes") for group in groups}) > 1:
            found += CostView().group_sheets(groups)
        return found


def _step_sheets(log: StepLog, course: ParallelCourse) -> list[Sheet]:
    from mpidcl.views.parallel.figures import steps

    several, edited = (log.present.sum(axis=1) > 1).any(), np.any(log.moved_max > 0)
    table = [
        (several, "gradient-conflict", "Do the gradients agree?", steps.conflict),
        (True, "gradient-weights", "Weights of the gradients", steps.weights),
        (True, "pareto-slack", "Was every step good for all?", steps.slack),
        (True, "task-loss", "Losses while learning", steps.losses),
        (edited, "edit-distance", "How far edits moved", steps.displacement),
    ]
    return [Sheet.of(*one[1:], log, course) for one in table if one[0]]
