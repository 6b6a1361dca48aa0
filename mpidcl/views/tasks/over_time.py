"""Accuracy over a time that all agents share though each is in a task of its own: virtual time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mpidcl.network.schedule.words import TimeWords
from mpidcl.record.records import AgentRecord
from mpidcl.views.figures.style import (
    COLOURS,
    FAINT,
    INK,
    colour,
    end_labels,
    new_figure,
    shade,
)
from mpidcl.views.groups import Group
from mpidcl.views.mean_error import band
from mpidcl.views.tasks.curves import (
    Line,
    Models,
    TaskCurve,
    Value,
    current,
    group_lines,
    of_one_run,
    seen,
    time_axis,
)
from mpidcl.views.tasks.metrics import Course
from mpidcl.views.units import axis, scale
from mpidcl.views.views import records_in


def course_line(record: AgentRecord, value: Value) -> Line:
    """All evaluations of an agent in order. Times rise: a task begins an instant after the last one ends."""
    times: list[float] = []
    for row in Course.of(record).rows:
        times.append(max(row.time, np.nextafter(times[-1], np.inf)) if times else row.time)
    return times, [value(row) for row in Course.of(record).rows]


def curve_over_time(records: Models, value: Value) -> TaskCurve:
    """Mean over agents at each time at which any was tested; what an agent measured last stays its value."""
    lines = {pair: course_line(record, value) for pair, record in records.items()}
    time = np.array(sorted({time for times, _ in lines.values() for time in times}))
    return TaskCurve(time, *band({pair: np.interp(time, *line) for pair, line in lines.items()}))


def learning_over_time(records: Sequence[AgentRecord], words: TimeWords) -> Figure:
    """A thin line is one agent, broken where it begins a task: above on all tasks that it has seen so far,
    below on the task that it is learning. The black line is the mean over agents, the band ± one standard
    error over the agents of this run, which share its seed. Agents are in different tasks at one time. One
    that has learned all of its tasks is tested no more: its line ends, and its last value stays in the mean.
    """
    main, models = records[0].main, of_one_run(records)
    figure = new_figure(5.2)
    panels = figure.subplots(2, 1, sharex=True, sharey=True)
    time_axis(panels[0], records, words)
    titles = {"all tasks seen so far": seen, "current task": current}
    for axes, (where, value) in zip(panels, titles.items(), strict=True):
        mean, factor = curve_over_time(models, value), scale(main.unit)
        _draw_agents(axes, records, value, factor)
        shade(axes, mean.time, factor * (mean.mean - mean.error), factor * (mean.mean + mean.error), INK)
        axes.plot(mean.time, factor * mean.mean, color=INK, linewidth=1.8)
        axes.set_title(where)
    panels[-1].set_xlabel(words.axis)
    figure.supylabel(axis(main.words, main.unit), fontsize=9)
    return figure


def _draw_agents(axes: Axes, records: Sequence[AgentRecord], value: Value, factor: float) -> None:
    """A line for each; few have a colour each, and a name at the right."""
    few, labels = len(records) <= len(COLOURS), []
    for place, record in enumerate(records):
        course, ink = Course.of(record), colour(place) if few else FAINT
        for rows in course.by_task.values():
            values = [factor * value(row) for row in rows]
            axes.plot([row.time for row in rows], values, color=ink, linewidth=1.1, alpha=0.9 if few else 0.4)
        labels.append((factor * value(course.last), f"agent {record.agent}", ink))
    if few:
        end_labels(axes, axes.get_xlim()[1], labels, gap=0.12)


def groups_over_time(groups: Sequence[Group]) -> Figure:
    """Mean over agents and seeds of the accuracy on all tasks that an agent has seen so far, the band is ±
    one standard error over seeds. Agents are in different tasks at one time; the last value of one that has
    learned all of its tasks stays in the mean.
    """
    main, words = groups[0].main, groups[0].runs[0].time
    named = axis(f"{main.words} on tasks seen so far", main.unit)
    found = [[curve_over_time(group.models, seen)] for group in groups]

    def limits(axes: Axes) -> None:
        time_axis(axes, records_in(groups), words)

    return group_lines(groups, found, words.axis, named, scale(main.unit), limits)
