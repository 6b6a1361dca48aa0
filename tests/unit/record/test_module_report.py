"""What a report says of modules, and nothing where there are none."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from matplotlib.figure import Figure

from mpidcl.record.figures.modules import module_growth
from mpidcl.record.figures.provenance import provenance
from mpidcl.record.figures.structures import structures
from mpidcl.record.figures.style import WIDTH, png, styled
from mpidcl.record.folder import RunFolder, open_folder
from mpidcl.record.records import AgentRecord, Evaluation
from mpidcl.record.report import write_report
from mpidcl.record.summary import read_summary

pytestmark = pytest.mark.usefixtures("coarse_pictures")
MODULE_FIGURES = {"module-growth", "module-provenance", "module-structures"}


def figures(page: Path) -> set[str]:
    return {path.stem for path in page.parent.glob("*.png")}


@pytest.fixture(scope="module")
def modular(tmp_path_factory: pytest.TempPathFactory, synthetic: SimpleNamespace) -> Path:
    """The report of a made-up run with modules."""
    path = tmp_path_factory.mktemp("runs") / "modular"
    return write_report([synthetic.write_run(path, joint=2, tasks=6, modules=True)])


def test_modules_have_their_figures_and_their_table(modular: Path, synthetic: SimpleNamespace) -> None:
    assert figures(modular) >= MODULE_FIGURES
    text = modular.read_text()
    records = synthetic.modular(tasks=6, joint=2)
    decisions = [decision for record in records for decision in record.modules]
    assert text.count('<span class="kept"') == sum(decision.kept for decision in decisions)
    assert text.count('<span class="dropped"') == sum(not decision.kept for decision in decisions)
    assert text.count("<small>random</small>") == sum(not decision.received for decision in decisions)
    assert "of the floats of all training rows" in text


@pytest.mark.parametrize("draw", [module_growth, provenance, structures])
def test_pictures_of_modules_are_the_same_bytes_again(
    synthetic: SimpleNamespace, draw: Callable[..., Figure]
) -> None:
    with styled():
        first, second = (png(draw(synthetic.modular(candidates=2))) for _ in range(2))
    assert first == second


@pytest.mark.parametrize("shape", [(1, 2, 0, 1), (2, 14, 4, 3), (21, 3, 1, 2)])
@pytest.mark.parametrize("draw", [module_growth, provenance, structures])
def test_modular_runs_of_any_shape(
    synthetic: SimpleNamespace, shape: tuple[int, int, int, int], draw: Callable[..., Figure]
) -> None:
    """Agents without modules, with one task or with many candidates are no trouble."""
    agents, tasks, joint, candidates = shape
    made = synthetic.modular(agents=agents, tasks=tasks, joint=joint, candidates=candidates)
    other = AgentRecord(agents, evaluations=[Evaluation(0, 3, (0.8,), 1.0)])
    with styled():
        figure = draw([*made, other])
        assert png(figure)
    assert figure.get_figwidth() <= WIDTH + 1e-9


def test_agents_that_never_had_a_candidate(tmp_path: Path, synthetic: SimpleNamespace) -> None:
    folder = RunFolder(tmp_path / "a")
    open_folder(folder, synthetic.experiment_toml(), {})
    made = synthetic.modular(agents=2, tasks=3, joint=3)
    assert not any(record.modules for record in made)
    folder.finish(made, [])
    assert figures(write_report([folder.path])) & MODULE_FIGURES == MODULE_FIGURES - {"module-provenance"}


def test_comparison_of_modular_and_other_runs(tmp_path: Path, synthetic: SimpleNamespace) -> None:
    runs = [
        synthetic.write_run(tmp_path / "a", name="monolithic", exchange=False),
        synthetic.write_run(tmp_path / "b", name="modular", modules=True),
    ]
    text = write_report(runs, tmp_path / "here").read_text()
    mean = read_summary(RunFolder(runs[1]).summary_file)["modules"]["mean"]
    assert "<th>modules</th>" in text
    assert re.search(rf"<td>{mean:.1f} ± \d", text)
    assert "points gained per MiB" in text
