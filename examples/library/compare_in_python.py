"""mpidcl as a library: run one experiment with and without sharing, and compare the agents in pairs.

    python examples/library/compare_in_python.py            about 5 seconds, in this one process
    python examples/library/compare_in_python.py FOLDER     the run folders go there, not into runs/library

Both runs have the same seed, so each agent has the same tasks, rows and first weights in both. A second
call reads what the first one left. "mpidcl report FOLDER/alone FOLDER/together" shows the same runs.
"""

import sys
from pathlib import Path

from mpidcl.experiment.file import Experiment
from mpidcl.experiment.reading import load
from mpidcl.report.loaded import load_run
from mpidcl.run import simulation
from mpidcl.views.groups import group_runs, paired_differences
from mpidcl.views.run import Run

QUICKSTART = Path(__file__).resolve().parents[1] / "quickstart.toml"
SHORTER = ["stream.tasks=3"]  # as --set on the command line


def run(experiment: Experiment, folder: Path) -> Run:
    """Run it here, without MPI, or go on with it; then read what it left."""
    simulation.run(experiment, folder, driver="inprocess", quiet=True)
    return load_run(folder)


def main(out: Path) -> None:
    """Print the accuracy that sharing brought each agent, and what it cost."""
    alone = run(load(QUICKSTART, [*SHORTER, "name=alone", "exchange=[]"]), out / "alone")
    together = run(load(QUICKSTART, [*SHORTER, "name=together"]), out / "together")

    for record in together.records:
        last = record.evaluations[-1]
        print(f"agent {record.agent} knows its {len(last.main)} tasks to {100 * last.mean:.1f} %")

    (difference,) = paired_differences(group_runs([alone, together]), "final_accuracy")
    for (seed, agent), points in difference.values.items():
        print(f"agent {agent}, seed {seed}: {100 * points:+.1f} points by sharing")
    mean = difference.mean  # of one seed, which is no evidence: runs of more seeds have an error over seeds
    gain, error = 100 * mean.mean, 100 * mean.standard_error
    print(f"mean of {mean.over()}: {gain:+.1f} points (standard error {error:.1f})")
    print(f"for {together.total('wire_bytes') / 1e6:.2f} MB on all links together")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("runs/library"))
