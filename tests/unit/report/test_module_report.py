"""What a report says of modules, and nothing where there are none."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch

from mpidcl.learning.compositional.decisions import ModuleDecision
from mpidcl.record.folder import RunFolder, open_folder, read_summary
from mpidcl.record.records import AgentRecord, Evaluation
from mpidcl.record.tables import to_columns
from mpidcl.report.page import write_report
from mpidcl.views.figures.style import WIDTH, png, styled
from mpidcl.views.modules.counts import decisions, shares
from mpidcl.views.modules.growth import module_growth
from mpidcl.views.modules.provenance import provenance
from mpidcl.views.modules.structures import structures
from mpidcl.views.summary import summarise

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
    made = [decision for record in records for decision in decisions(record)]
    assert text.count('<span class="kept"') == sum(decision.kept for decision in made)
    assert text.count('<span class="dropped"') == sum(not decision.kept for decision in made)
    assert text.count("<small>random</small>") == sum(not decision.received for decision in made)
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
    other = AgentRecord(agents, evaluations=[Evaluation(0, 3, {"accuracy": (0.8,)}, 1.0)])
    with styled():
        figure = draw([*made, other])
        assert png(figure)
    assert figure.get_figwidth() <= WIDTH + 1e-9


def test_an_arrow_for_each_received_module_that_was_kept_and_a_number_for_each_kept(
    synthetic: SimpleNamespace,
) -> None:
    records = synthetic.modular(agents=5, tasks=9)
    made = [decision for record in records for decision in decisions(record) if decision.kept]
    received = [decision for decision in made if decision.received]
    (axes,) = provenance(records).axes
    arrows = [patch for patch in axes.patches if isinstance(patch, FancyArrowPatch)]
    assert len(arrows) == len(received) > 0
    numbers = [text.get_text() for text in axes.texts if text.get_text().isdecimal()]
    assert sorted(numbers) == sorted(str(decision.module) for decision in made)
    known = [record for record in records if record.agent != received[0].source]
    left = [one for record in known for one in decisions(record) if one.kept and one.received]
    (axes,) = provenance(known).axes  # an agent that is not shown sends no arrow
    arrows = [patch for patch in axes.patches if isinstance(patch, FancyArrowPatch)]
    assert len(arrows) == sum(one.source != received[0].source for one in left) < len(left)


def test_a_map_shows_the_shares_of_the_structures(synthetic: SimpleNamespace) -> None:
    records = synthetic.modular(agents=2, tasks=4)
    maps = [axes.images[0].get_array() for axes in structures(records).axes if axes.images]
    for record, shown in zip(records, maps, strict=True):
        depth = shares(record).shape[2]
        for task, one in enumerate(shares(record)):
            first = task * (depth + 1)
            assert np.array_equal(shown[:, first : first + depth].filled(np.nan), one, equal_nan=True)


def test_a_gain_over_no_right_row_hides_no_other() -> None:
    decision = ModuleDecision(1, 0, 4, 0.6, 0.0, -1, -1, -1, math.nan, 5)
    tables = {
        "modules": to_columns(ModuleDecision, [decision]),
        "structures": {"share": np.full((2, 5, 4), 0.2)},
    }
    growing = AgentRecord(0, tables=tables)
    (points,) = (
        line for line in module_growth([growing]).axes[1].lines if line.get_label() == "random, kept"
    )
    assert points.get_ydata() == pytest.approx([600])


def test_agents_that_never_had_a_candidate(tmp_path: Path, synthetic: SimpleNamespace) -> None:
    folder = RunFolder(tmp_path / "a")
    open_folder(folder, synthetic.experiment_toml(), {})
    made = synthetic.modular(agents=2, tasks=3, joint=3)
    assert not any(map(decisions, made))
    folder.finish(made, [], summarise(made))
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
