"""Every `$ command` in a README block marked `console` is run, in order, as a reader would run it.

Blocks marked `sh` are not: they install, or are scripts that run these tests themselves.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mpidcl.launch.mpiexec import LaunchError, find_mpiexec, settings

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def commands(text: str) -> list[str]:
    blocks = re.findall(r"^```console\n(.*?)^```", text, re.M | re.S)
    return [line[2:] for block in blocks for line in block.splitlines() if line.startswith("$ ")]


def expected_status(command: str) -> int:
    said = re.search(r"# exit status (\d+)", command)
    return int(said[1]) if said else 0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a reader stands: the examples are here, and `runs` will be."""
    here = tmp_path_factory.mktemp("reader")
    (here / "examples").symlink_to(ROOT / "examples")
    return here


def test_readme_has_commands() -> None:
    assert len(commands(README)) >= 5


@pytest.mark.timeout(300)
@pytest.mark.parametrize("command", commands(README))
def test_command(command: str, folder: Path, job_free_environment: dict[str, str]) -> None:
    environment = job_free_environment | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    try:
        environment |= settings(find_mpiexec(), 1, folder, environment)
    except LaunchError:
        pytest.skip("no MPI here")
    ended = subprocess.run(
        ["bash", "-c", command], cwd=folder, env=environment, capture_output=True, text=True, timeout=280
    )
    assert ended.returncode == expected_status(command), ended.stdout + ended.stderr


PAGES = ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "pbs/README.md", "slurm/README.md"]
PAGES += sorted(str(page.relative_to(ROOT)) for page in (ROOT / "docs").glob("*.md"))


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    links = re.findall(r"(?<!\w)\[[^\]]*\]\(([^)#:]+)\)", (ROOT / page).read_text())
    assert [link for link in links if not (ROOT / page).parent.joinpath(link).exists()] == []
