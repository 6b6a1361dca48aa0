"""The page on networks of experts: its file and the example run, and write what the view shows."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mpidcl.experiment.reading import from_toml, load
from mpidcl.report.loaded import load_run
from mpidcl.run import simulation
from mpidcl.run.preview import check

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "dmkd.md").read_text()
(FILE,) = re.findall(r"```toml\n(.*?)```", PAGE, flags=re.DOTALL)
SMALL = ("stream.tasks=3", "learning.epochs=2", "agents=2", "stream.test_per_class=10")


def test_the_file_runs_and_has_the_tables_of_the_page(tmp_path: Path) -> None:
    experiment = from_toml(FILE, [*SMALL, "learning.first=4", "learning.grow=1"])
    assert simulation.run(experiment, tmp_path / "run", driver="inprocess", quiet=True) == 0
    (listed,) = re.findall(r"in the tables (.*?)\.\n", PAGE)
    for record in load_run(tmp_path / "run").records:
        assert set(re.findall(r"`(\w+)`", listed)) <= {*record.tables}
    metrics = json.loads((tmp_path / "run" / "summary.json").read_text())["metrics"]
    assert metrics["expert_information"] >= 0 and 0 <= metrics["expert_balance"] <= 1


def test_the_example_runs_and_experts_come(tmp_path: Path) -> None:
    experiment = load(ROOT / "examples" / "dmkd" / "quickstart.toml", SMALL)
    assert "note:" not in check(experiment)
    assert simulation.run(experiment, tmp_path / "run", driver="inprocess", quiet=True) == 0
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["experts"]["came"] == 2 * 2
    assert summary["communication"]["payload_bytes"] > 0


def test_figures_of_the_page_are_those_of_the_report() -> None:
    from mpidcl.learning.experts.log import ExpertLog
    from mpidcl.views.experts import view

    text = Path(view.__file__).read_text()
    rows = PAGE.split("| figure | what to look at |\n|---|---|\n")[1].split("\n\n")[0].splitlines()
    titles = [row.split("|")[1].strip() for row in rows]
    assert len(titles) == 3 and ExpertLog().tables() == {}
    assert all(title.capitalize() in text for title in titles)


SHORTER = """
import runpy, sys
main = runpy.run_path(sys.argv[1])["main"]
main.__globals__["EPOCHS"] = 8
main(0)
"""


@pytest.mark.timeout(300)
def test_modules_learn_from_modules_on_any_number_of_ranks(job_free_environment: dict[str, str]) -> None:
    pytest.importorskip("mpi4py")
    program = [sys.executable, "-m", "mpi4py", "-c", SHORTER, str(ROOT / "examples" / "dmkd" / "m2mkd.py")]
    start = [sys.executable, "-m", "mpidcl.launch", "2", "280", "--"]
    found = [
        subprocess.run(command, env=job_free_environment, capture_output=True, text=True, check=True).stdout
        for command in (program, start + program)
    ]
    assert found[0] == found[1]
    first = {
        words: float(right)
        for words, right in re.findall(r"begins with (.*), after 0, .* epochs: ([\d.]+) %", found[0])
    }
    assert first["all of it"] > 2 * first["the ends"] and first["all of it"] > 2 * first["nothing"]
