"""The pages about the experiment file, the command line, learning and own methods say what is true."""

from __future__ import annotations

import importlib
import re
import shlex
import sys
import tomllib
from pathlib import Path

import pytest
from pydantic_core import PydanticUndefined

from mpidcl import cli
from mpidcl.commands.common import look_beside
from mpidcl.errors import ExperimentError
from mpidcl.experiment import kinds
from mpidcl.experiment.options import Options
from mpidcl.experiment.reading import from_tables, from_toml
from mpidcl.experiment.sections import Learning, Memory
from mpidcl.experiment.units import Capacity
from mpidcl.learning.gradient.options import GradientOptions

ROOT = Path(__file__).resolve().parents[2]
PAGES = {
    name: (ROOT / "docs" / f"{name}.md").read_text()
    for name in (
        "experiment-file",
        "command-line",
        "learning",
        "own-methods",
        "ptychography",
        "damtl",
        "dmkd",
        "regression",
        "exchanges",
    )
}
OWN = ROOT / "examples" / "own_methods"


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGES[page], flags=re.DOTALL)


@pytest.fixture(autouse=True)
def _own_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(ROOT)
    look_beside(OWN / "own_methods.toml")


@pytest.mark.parametrize(
    "text",
    [
        text
        for page in ("experiment-file", "learning", "own-methods", "ptychography", "damtl", "dmkd")
        for text in blocks(page, "toml")
    ],
)
def test_experiments_on_the_pages_are_valid(text: str) -> None:
    tables = {"name": "page", "agents": 2, **tomllib.loads(text)}
    experiment = from_tables(tables)
    assert from_toml(experiment.to_toml()) == experiment


def in_words(value: object) -> str:
    """A default as the tables of the page show it."""
    if value is None or value is PydanticUndefined:
        return "–" if value is None else "needed"
    if isinstance(value, tuple):
        return str([getattr(entry, "kind", entry) for entry in value]).replace("'", '"')
    return str(value).lower() if isinstance(value, bool) else str(getattr(value, "kind", value))


@pytest.mark.parametrize(
    ("table", "left_out"),
    [
        (kinds.options_type("model", "mlp"), ()),
        (kinds.options_type("model", "cnn"), ()),
        (kinds.options_type("model", "resnet18"), ()),
        (kinds.options_type("model", "ptychonn"), ()),
        (kinds.options_type("stream", "ptychography"), ()),
        (kinds.options_type("stream", "linear-tasks"), ()),
        (kinds.options_type("stream", "field"), ()),
        (kinds.options_type("stream", "table"), ()),
        (kinds.options_type("schedule", "constant"), ()),
        (kinds.options_type("schedule", "steps"), ("warm_up", "by_agents")),
        (kinds.options_type("schedule", "cyclic"), ("warm_up", "by_agents")),
        (kinds.options_type("term", "replay"), ()),
        (kinds.options_type("term", "ewc"), ()),
        (kinds.options_type("term", "si"), ()),
        (kinds.options_type("term", "lwf"), ()),
        (kinds.options_type("term", "icarl"), ()),
        (kinds.options_type("learner", "gradient"), ()),
        (kinds.options_type("term", "der"), ()),
        (kinds.options_type("term", "er-ace"), ()),
        (kinds.options_type("term", "agem"), ()),
        (kinds.options_type("term", "gem"), ()),
        (kinds.options_type("model", "experts-mlp"), ()),
        (kinds.options_type("model", "experts-cnn"), ()),
        (kinds.options_type("learner", "experts"), tuple(GradientOptions.model_fields)),
        (kinds.options_type("term", "balance"), ()),
        (kinds.options_type("term", "distillation"), ()),
        (kinds.options_type("term", "preservation"), ()),
        (kinds.options_type("term", "predictions"), ()),
        (kinds.options_type("exchange", "predictions"), ()),
        (Learning, ("options",)),
        (Memory, ("options",)),
        (kinds.options_type("exchange", "experts"), ()),
        (kinds.options_type("policy", "candidate"), ()),
        (kinds.options_type("policy", "class-quota"), ()),
    ],
)
def test_option_tables_of_the_pages_are_those_of_the_code(
    table: type[Options], left_out: tuple[str, ...]
) -> None:
    rows = [
        f"| `{name}` | {in_words(field.get_default(call_default_factory=True))} | {field.description} |"
        for name, field in table.model_fields.items()
        if name not in left_out
    ]
    pages = "".join(PAGES[name] for name in ("learning", "ptychography", "regression", "dmkd", "exchanges"))
    assert "\n|---|---|---|\n" + "\n".join(rows) + "\n\n" in pages


def test_every_capacity_of_the_learning_page_can_be_read() -> None:
    rows = re.search(
        r"^\| `capacity` \| room \|\n\|---.*\n((?:\|.*\n)+)", PAGES["learning"], flags=re.MULTILINE
    )
    assert rows is not None
    spellings = re.findall(r'`"(.+?)"`', rows[1])
    assert len(spellings) >= 5
    for spelling in spellings:
        read = Capacity.parse(spelling)
        assert Capacity.parse(str(read)) == read


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
        from_toml(text, ["network.budget=96 kib", "learning.epoch=3"], "quickstart.toml")
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
        module, _, name = path.partition(":")
        assert isinstance(getattr(importlib.import_module(module), name), type)
