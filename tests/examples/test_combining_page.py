"""docs/combining.md, and the example that it points to, run as they are."""

from __future__ import annotations

import doctest
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def test_the_page_runs() -> None:
    pytest.importorskip("mpi4py")
    # in a process of its own: MPI may be started once, and never in the tests' process
    code = "import doctest, sys; print(doctest.testfile(sys.argv[1], module_relative=False))"
    page = str(ROOT / "docs" / "combining.md")
    done = subprocess.run([sys.executable, "-c", code, page], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    assert "failed=0" in done.stdout, done.stdout
    assert len(doctest.DocTestParser().get_examples(Path(page).read_text())) >= 8


@pytest.mark.parametrize(("ranks", "words"), [(1, []), (3, ["mgda"])])
def test_the_example_trains_one_net(
    ranks: int, words: list[str], job_free_environment: dict[str, str]
) -> None:
    pytest.importorskip("mpi4py")
    example = ROOT / "examples" / "library" / "combine_in_your_loop.py"
    command = [sys.executable, "-m", "mpidcl.launch", str(ranks), "100", "--", sys.executable, str(example)]
    done = subprocess.run(
        [*command, *words], env=job_free_environment, capture_output=True, text=True, timeout=110
    )
    assert done.returncode == 0, done.stderr
    assert "one net on all ranks: True" in done.stdout
    accuracies = re.findall(r"([\d.]+) %", done.stdout)
    assert len(accuracies) == ranks and min(map(float, accuracies)) > 80
