"""Tasks that are learned at once: when each was, what every step did to all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from mpidcl.learning.parallel.course import COURSE, ParallelCourse
from mpidcl.learning.parallel.steps import StepLog
from mpidcl.record.records import AgentRecord, one_per_model
from mpidcl.views.base import Metric, Sheet, Tile, View
from mpidcl.views.cost.view import CostView
from mpidcl.views.groups import Group
from mpidcl.views.mean_error import ONE_SEED
from mpidcl.views.parallel.balance import balance_lines
from mpidcl.views.parallel.metrics import ONE_MASK, PARALLEL, course_metrics, course_of, first_log, steps_of
from mpidcl.views.run import Run
from mpidcl.views.tasks.view import forgetting_tile, metric_tile
from mpidcl.views.units import PERCENT

_FINAL, _FIRST, _LOST = "final accuracy", "first accuracy", "forgetting"
METRICS = (
    Metric("first_accuracy", _FIRST, PERCENT, _FIRST, f"{_FIRST} [%]"),
    Metric("first_accuracy_all_classes", f"{_FIRST}, all classes", PERCENT),
    Metric("final_accuracy", _FINAL, PERCENT, _FINAL, f"{_FINAL} [%]", True),
    Metric(
        "final_accuracy_all_classes", f"{_FINAL}, all classes", PERCENT, "final, all classes",
        "… all classes [%]", True, beside="final_accuracy",
    ),
    Metric("forgetting", _LOST, PERCENT, _LOST, f"{_LOST} [points]", True),
    Metric(
        "forgetting_all_classes", f"{_LOST}, all classes", PERCENT, f"{_LOST}, all classes",
        "… all classes [points]",
    ),
)  # fmt: skip
"""In the order of a table."""


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
        kept = ONE_MASK if course is not None and course.one_question else PARALLEL
        return [one for one in METRICS if one.name in kept]

    def tiles(self, run: Run) -> list[Tile]:
        return [
            metric_tile(run, "final_accuracy", "final accuracy, on all tasks at the end"),
            metric_tile(run, "first_accuracy", "first accuracy, on each task when it ended"),
            forgetting_tile(run),
        ]

    def reading(self, run: Run) -> str:
        both = "final_accuracy_all_classes" in run.views.shown(run.records)
        more = (
            " “All classes”: the same when the model may answer with any class of any task,"
            " whatever the mode."
        )
        return (
            "Accuracies in %, forgetting in points of %; s.e. is the standard error. First accuracy is that"
            " on each task right after its last step; forgetting is first minus final, so positive is loss."
            f"{more if both else ''} Agents that share one model are one row and one value."
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
        accuracies = partial(timeline.task_accuracies, course, record.evaluations)
        sheets = [
            Sheet("timeline", "Timeline", TIMELINE, partial(timeline.timeline, course)),
            Sheet("task-accuracy", "Accuracy of every task", ACCURACY, accuracies),
        ]
        for one in mine:
            if (log := steps_of(one)) is not None:
                sheets += _step_sheets(log, course)
        rows = gallery.together([one.tables["gallery"] for one in mine if one.has("gallery")])
        if gallery.can_draw(rows):
            draw = partial(gallery.gallery, rows)
            sheets.append(Sheet("edited-rows", "Edited rows of the memory", GALLERY, draw))
        return [replace(one, title=one.title + more) for one in sheets]

    def group_sheets(self, groups: Sequence[Group]) -> list[Sheet]:
        from mpidcl.views.parallel.figures import timeline

        draw = partial(timeline.group_courses, groups)
        found = [Sheet("learning-curves", "Learning curves", CURVES, draw)]
        if len({group.per_agent("sent_bytes") for group in groups}) > 1:
            found += CostView().group_sheets(groups)
        return found


def _step_sheets(log: StepLog, course: ParallelCourse) -> list[Sheet]:
    from mpidcl.views.parallel.figures import conflict, weights

    table = [
        ("gradient-weights", "Weights of the gradients", WEIGHTS, weights.weights),
        ("pareto-slack", "Was every step good for all?", SLACK, weights.slack),
        ("task-loss", "Losses while learning", LOSS, weights.losses),
    ]
    if (log.present.sum(axis=1) > 1).any():
        words = "Do the gradients agree?"
        table.insert(0, ("gradient-conflict", words, CONFLICT, conflict.conflict))
    if np.any(log.moved_max > 0):
        words = "How far edits moved"
        table.append(("edit-distance", words, DISPLACEMENT, weights.displacement))
    return [Sheet(name, title, reading, partial(draw, log, course)) for name, title, reading, draw in table]


TIMELINE = (
    "A bar per task from its first to its last step, with the agent that computes its gradients where "
    "there are several; beside it the accuracy right after its last step → at the end of the run, under "
    "the mask of the mode. The grey bar is the memory of tasks that have ended. Below: how many gradients "
    "each step combines. Look for stretches with many gradients: there they may disagree."
)

ACCURACY = (
    "Accuracy on each task under the mask of the mode, tested whenever a task ends (dotted lines). The "
    "ring is the end of the task itself: what falls to its right is forgotten. Where the model must tell "
    "apart the classes of all tasks that have started, a part of each fall is only that there are more "
    "classes to confuse."
)

CONFLICT = (
    "Left, above: mean and smallest cosine over the pairs of gradients of a step; the band holds all "
    "steps of a piece. Left, below: the share of pairs with a negative cosine. Right: the mean cosine of "
    "each two over the steps that they shared; blue agrees, red is in conflict, grey never met. Red in "
    "the column of the memory: learning something new undoes something old."
)

WEIGHTS = (
    "Weight that each gradient got in the direction, numbered where its task begins (dashed: the memory). "
    "Below, the largest share that one gradient took of the weight of its step (the sum of absolute values): "
    "above the line one task decides alone, and the others learn only as far as they agree with it. Last, "
    "where the method has them, the elastic factors: how fast each loss was asked to fall. A weight near "
    "zero means that the others already serve this task."
)

SLACK = (
    "Above: the smallest cosine between the direction and a gradient. Above zero a small step decreases "
    "all losses; below zero some task pays for the others. Below, for elastic methods: the smallest "
    "decrease beyond the one that its elastic factor promised, as a share of |d|². Zero: every promise "
    "was kept, to first order; below zero, as a floor under the weights may cause, one was broken. Both "
    "are about a small step along the direction itself: an optimiser such as Adam, which scales each "
    "parameter by its own past, may still let a loss rise."
)

LOSS = (
    "Mean loss of each task's batches while it was learned (dashed: the memory), numbered where a task "
    "begins. Losses of tasks that overlap should fall together; a memory whose loss rises is being "
    "overwritten."
)

DISPLACEMENT = (
    "How far one edit moved the rows of its batch (L2 over pixels 0..1): mean and largest, the band holds "
    "all steps of a piece. Edits should stay small beside the length of a picture, and not grow."
)

GALLERY = (
    "Rows of the memory that were moved furthest among those kept for this picture, at the end of the "
    "run: as they came, as they are now, and the difference, as many times larger as is said there (grey: "
    "unchanged); below, their task and distance from the original. Edits that one can see change what the "
    "row shows, and should be smaller."
)

CURVES = (
    "Mean accuracy on the tasks that were tested when a task ended, under the mask of the mode; the band "
    "is ± one standard error over seeds. Tasks that begin pull the mean down, as does what is forgotten."
    + ONE_SEED
)
