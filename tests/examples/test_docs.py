"""The pages about the experiment file, the command line and own methods say what is true."""

from __future__ import annotations

import re
import shlex
import sys
import tomllib
from pathlib import Path

import pytest

from mpidcl import cli, kinds
from mpidcl.commands.common import look_beside
from mpidcl.errors import ExperimentError
from mpidcl.experiment import Experiment

ROOT = Path(__file__).resolve().parents[2]
PAGES = {
    name: (ROOT / "docs" / f"{name}.md").read_text()
    for name in ("experiment-file", "command-line", "own-methods")
}
OWN = ROOT / "examples" / "own_methods"


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGES[page], flags=re.DOTALL)


@pytest.fixture(autouse=True)
def _own_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(ROOT)
    look_beside(OWN / "own_methods.toml")


@pytest.mark.parametrize("text", blocks("experiment-file", "toml") + blocks("own-methods", "toml"))
def test_experiments_on_the_pages_are_valid(text: str) -> None:
    tables = {"name": "page", "agents": 2, **tomllib.loads(text)}
    experiment = Experiment.from_tables(tables)
    assert Experiment.from_toml(experiment.to_toml()) == experiment


@pytest.mark.parametrize(
    "line", re.findall(r"^\$ mpidcl (check .*)$", PAGES["experiment-file"], flags=re.MULTILINE)
)
def test_check_commands_on_the_page_work(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main(shlex.split(line))
    assert end.value.code == 0
    assert "# timetable" in capsys.readouterr().out


@pytest.mark.parametrize(
    "line", re.findall(r"^\$ mpidcl (run .*)$", PAGES["command-line"], flags=re.MULTILINE)
)
def test_run_commands_on_the_page_are_understood(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from mpidcl.commands import run

    asked: list[run.Request] = []
    monkeypatch.setattr(run, "_start", lambda request, ranks: asked.append(request) or 0)
    with pytest.raises(SystemExit) as end:
        cli.main(shlex.split(line))
    assert end.value.code == 0
    assert asked[0].file == Path("examples/quickstart.toml")


def test_the_mistakes_on_the_page_are_the_real_ones() -> None:
    text = (ROOT / "examples" / "quickstart.toml").read_text()
    with pytest.raises(ExperimentError) as caught:
        Experiment.from_toml(text, ["network.budget=96 kib", "learning.epoch=3"], "quickstart.toml")
    shown = blocks("experiment-file", "text")[0].strip().splitlines()
    assert str(caught.value).splitlines()[: len(shown)] == shown


def test_every_option_of_run_is_on_the_page() -> None:
    for option in ("-n", "--set", "--out", "--driver", "--until", "--again", "--quiet"):
        assert f"`{option}" in PAGES["command-line"]


def test_code_on_the_page_is_that_of_the_examples() -> None:
    code = "\n".join(file.read_text() for file in OWN.glob("*.py"))
    for block in blocks("own-methods", "python"):
        assert block.strip() in code


def test_the_base_classes_on_the_page_are_there() -> None:
    for path in re.findall(r"`(mpidcl\.[\w.]+:\w+)`", PAGES["own-methods"]):
        assert isinstance(kinds.resolve("exchange", path), type)
