"""Pictures of a ptychography run: what the net makes of test patterns of one object when all tasks are over.

    mpidcl run examples/replay/ptychography.toml --set name=rehearsal
    mpidcl run examples/replay/ptychography.toml --set name=incremental --set learning.terms=[]
    python examples/replay/pictures.py pictures.png runs/incremental runs/rehearsal

A row for each pattern: the pattern, then amplitude and phase as they are, and as each run answers. The runs
have one stream and seed. `--task 0` is the object, `--patterns 3` how many, `--agent 0` who answers.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mpidcl.experiment import kinds
from mpidcl.experiment.reading import load
from mpidcl.record.manifest import newest_complete

Images = NDArray[np.float32]


class Answers(NamedTuple):
    """Test patterns x [n, 1, h, w], what they mean y [n, 2, h, w], and what a run answers [n, 2, h, w]."""

    x: Images
    y: Images
    found: Images


def answers_of(run: Path, agent: int, task: int, patterns: int) -> Answers:
    """What an agent of a finished run answers to the first test patterns of a task."""
    mine = load(run / "experiment.toml").for_agent(agent)
    stream = kinds.resolve("stream", mine.stream.kind)(mine, agent)
    learner = kinds.resolve("learner", mine.learning.kind)(mine, agent, stream.shape)
    saved = newest_complete(run / "checkpoints", mine.agents, print)
    if saved is None:
        raise SystemExit(f"{run} should be the folder of a finished run. It has no complete checkpoint.")
    ((_, _, state),) = saved.read(run / "checkpoints", [agent], "learner")
    learner.load(state, stream.task)
    rows = stream.task(task).test.part(slice(0, patterns))
    return Answers(rows.x(), rows.y, learner.logits(rows.x(), task).reshape(rows.y.shape))


def draw(answers: dict[str, Answers]) -> Figure:
    """All answers side by side; one scale for each sort of image."""
    first = next(iter(answers.values()))
    columns = {"pattern": (first.x[:, 0], "magma", 0.0, 1.0)}
    sorts = (("amplitude", 0, "gray", 0.5, 1.0), ("phase", 1, "RdBu_r", -np.pi / 2, np.pi / 2))
    for name, place, colours, least, most in sorts:
        images = {"truth": first.y, **{run: one.found for run, one in answers.items()}}
        for whose, values in images.items():
            columns[f"{name},\n{whose}"] = (values[:, place], colours, least, most)
    rows = len(first.x)
    figure = Figure(figsize=(1.3 * len(columns), 1.3 * rows + 0.4), layout="constrained")
    places = figure.subplots(rows, len(columns), squeeze=False)
    for column, (name, (pictures, colours, least, most)) in enumerate(columns.items()):
        places[0, column].set_title(name, fontsize=8)
        for row in range(rows):
            places[row, column].imshow(pictures[row], cmap=colours, vmin=least, vmax=most)
            places[row, column].set_axis_off()
    return figure


def main() -> None:
    """Draw the runs that the command line names."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("out", type=Path, help="the picture to write, such as pictures.png")
    parser.add_argument("runs", type=Path, nargs="+", help="folders of finished runs with one stream")
    parser.add_argument("--task", type=int, default=0, help="which object")
    parser.add_argument("--patterns", type=int, default=3, help="how many test patterns")
    parser.add_argument("--agent", type=int, default=0, help="whose answers")
    asked = parser.parse_args()
    answers = {run.name: answers_of(run, asked.agent, asked.task, asked.patterns) for run in asked.runs}
    draw(answers).savefig(asked.out, dpi=100)
    for name, one in answers.items():
        amplitude, phase = np.abs(one.found - one.y).mean((0, 2, 3))
        print(f"{name}: amplitude error {amplitude:.3f}, phase error {phase:.3f} rad on these patterns")


if __name__ == "__main__":
    main()
