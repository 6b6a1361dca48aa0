"""What no experiment can be, by its text or its files: one message, whatever the key."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mpidcl.base import files
from mpidcl.errors import ExperimentError
from mpidcl.experiment import plain
from mpidcl.experiment.reading import from_toml, load

SMALL = 'name = "small"\nagents = 2\n'
TEXTS = {
    "a number of 5,000 digits": ("seed = " + "9" * 5000, "thousands of digits"),
    "the same in a key of text": ('stream.data = {x = "1"}\nseed = 1' + "0" * 5000, "thousands of digits"),
    "lists in 900 lists": ("network.shape = " + "[" * 900 + "]" * 900, "nested"),
    "lists in 20 lists": ("network.shape = " + "[" * 20 + "]" * 20, "nested at most 12 deep"),
    "tables in 5,000 tables": ("a." * 5000 + "b = 1", "nested too deep"),
    "a number of 65 bits": ("seed = 18446744073709551616", "no key takes more than 64 bits"),
    "a number that 32 bits do not hold": ("learning.lr = 1e39", "learning.lr: should be at most 1e38"),
    "no number": ("stream.data = {x = nan}", "stream.data.x: should be a finite number. Found nan"),
    "a character that acts": ('network.file = "a\\u0000b"', "no control characters. Found '\\x00'"),
    "a key that acts": (
        '"\\u001b[31m" = 1',
        "the experiment: should have a key that has no control characters",
    ),
    "a long text": (f'network.file = "{"x" * 20_000}"', "at most 10,000 characters. Found 20,000"),
    "a long list": (f"agent = [{{ids = {list(range(100_001))}}}]", "at most 100,000 entries. Found 100,001"),
}


@pytest.mark.parametrize("name", TEXTS)
def test_texts(name: str) -> None:
    text, says = TEXTS[name]
    with pytest.raises(ExperimentError) as caught:
        from_toml(f"{SMALL}{text}\n")
    assert says in str(caught.value)
    assert str(caught.value).replace("\n", "").isprintable()


@pytest.mark.parametrize(
    "value",
    ["9" * 5000, "[" * 900 + "]" * 900, "[" * 20 + "]" * 20, "18446744073709551616", "1e39", "a\x00b"],
)
def test_the_same_from_the_command_line(value: str) -> None:
    with pytest.raises(ExperimentError) as caught:
        from_toml(SMALL, [f"learning.lr={value}"])
    assert len(str(caught.value)) < 500


def test_entries_that_are_wrong_do_not_make_a_list_too_short() -> None:
    with pytest.raises(ExperimentError) as caught:
        from_toml(SMALL, ["model.hidden=[0]"])
    assert "one thing needs mending" in str(caught.value)
    with pytest.raises(ExperimentError, match="model.hidden: should have at least 1 entries"):
        from_toml(SMALL, ["model.hidden=[]"])


@pytest.mark.parametrize("key", ["exchange.99999999999999999999.kind", "exchange." + "9" * 5000 + ".kind"])
def test_an_entry_far_away(key: str) -> None:
    with pytest.raises(ExperimentError, match="should have a number between 0 and 0"):
        from_toml(SMALL + "exchange = []\n", [f"{key}=data"])


def test_ordinary_texts_are_not_touched() -> None:
    tables = {
        "a": {"ü": ["two\nlines\tand a tab", "no\N{NO-BREAK SPACE}break"]},
        "b": [0, -(2**63), 1e38, True],
    }
    assert list(plain.problems(tables)) == []


@pytest.fixture
def strange(tmp_path: Path) -> dict[str, tuple[str, str]]:
    """Paths that are no text files, and what is said of them."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(files.MOST_BYTES + 1)
    return {
        "pipe": (str(tmp_path / "pipe"), "it is a pipe, and should be a file"),
        "folder": (str(tmp_path), "it is a folder, and should be a file"),
        "device": ("/dev/zero", "it is a device, and should be a file"),
        "bytes": (str(tmp_path / "bytes"), "it is not a text in UTF-8"),
        "huge": (str(tmp_path / "huge"), "should have at most 67,108,864"),
        "lengthy": ("x" * 5000, "File name too long"),
        "nul": ("a\0b", "no file can have such a name"),
        "inside a file": (str(tmp_path / "bytes" / "x"), "Not a directory"),
    }


KINDS = ("pipe", "folder", "device", "bytes", "huge", "lengthy", "nul", "inside a file")


@pytest.mark.parametrize("kind", KINDS)
def test_files_of_every_kind(strange: dict[str, tuple[str, str]], kind: str) -> None:
    path, says = strange[kind]
    with pytest.raises(files.UnreadableError) as caught:
        files.read_text(path)
    assert says in str(caught.value)
    with pytest.raises(ExperimentError, match="cannot be read as an experiment file"):
        load(path)


@pytest.mark.parametrize("kind", KINDS)
def test_edge_lists_of_every_kind(strange: dict[str, tuple[str, str]], kind: str) -> None:
    from mpidcl.experiment.network_table import Network
    from mpidcl.network.schedule.graphs import build_topology

    path, says = strange[kind]
    with pytest.raises(ExperimentError) as caught:
        build_topology(Network(topology="file", file=path), 2, 0)
    assert "could not be read" in str(caught.value) and says in str(caught.value)


REFUSED = {
    "learning.betas=[2, -1]": [
        "learning.betas.0: should be less than 1",
        "learning.betas.1: should be at least 0",
    ],
    "learning.eps=1e-300": ["learning.eps: should be at least"],
    "learning.batch=9999999999999999999": ["batch: should be much smaller: no key takes more than 64 bits"],
    "learning.threads=100000": ["learning.threads: should be at most 1024"],
    "learning.epochs=10000000000": ["learning.epochs: should be a number of epochs", "at most 1,000,000,000"],
    "agents=1000000000": ["agents: should be at most 10000"],
    "stream.tasks=1000000000": ["stream.tasks: should be at most 10000"],
    "model.hidden=[0]": ["model.hidden.0: should be at least 1"],
    "model.hidden=[-1]": ["model.hidden.0: should be at least 1"],
    "network.budget=10000000 TiB": ["network.budget: should be a size", "at most 1048576 TiB"],
    "memory.capacity=1e30 rows": ["memory.capacity: should be a capacity", "at most 1000000000000 rows"],
    "network.topology=complete": [
        "agents: should be fewer in a complete network: 3,000 of them have 8,997,000 links"
    ],
    "agent.0={ids=[1], learning={threads=2}}": ["agent.0.learning.threads: should stand in [learning]"],
    "stream.replacement=true": ["stream.tasks: should be at most 258 with 3,000 agents"],
}


@pytest.mark.parametrize("change", REFUSED)
def test_what_is_out_of_bounds(change: str) -> None:
    sets = [change]
    if "complete" in change or "replacement" in change:
        sets += ["agents=3000"]
    if "replacement" in change:
        sets += ["stream.tasks=300"]
    with pytest.raises(ExperimentError) as caught:
        from_toml(SMALL, sets)
    assert [says for says in REFUSED[change] if says not in str(caught.value)] == []


@pytest.mark.parametrize("model", ["cnn", "compositional-cnn"])
@pytest.mark.parametrize(
    ("name", "value"), [("std", "[0.0]"), ("std", "[-1.0]"), ("std", "[1e-320]"), ("mean", "[1e30]")]
)
def test_colours_that_no_image_has(model: str, name: str, value: str) -> None:
    with pytest.raises(ExperimentError, match=f"model.{name}.0: should be at"):
        from_toml(SMALL, [f"model.kind={model}", f"model.{name}={value}"])


EPOCHS = "learning.epochs=100000000"
LONG = ["stream.tasks=100", "stream.replacement=true", EPOCHS, "evaluation.every=100000000"]


def test_epochs_alone_are_no_burden_but_what_is_kept_of_them_is() -> None:
    assert from_toml(SMALL, LONG).learning.epochs == 10**8
    for agent in ([], ["learning.epochs=10", "agent.0={ids=[1], learning={epochs=100000000}}"]):
        with pytest.raises(ExperimentError) as caught:
            from_toml(SMALL, [*LONG, *agent, "evaluation.every=1"])
        least = str(caught.value).split("evaluation.every: should be at least ")[1].split()[0]
        assert from_toml(SMALL, [*LONG, *agent, f"evaluation.every={least.replace(',', '')}"])
        with pytest.raises(ExperimentError, match="every evaluation"):
            from_toml(SMALL, [*LONG, *agent, f"evaluation.every={int(least.replace(',', '')) - 1}"])


def test_meetings_are_kept_too() -> None:
    def every(epochs: int) -> list[str]:
        return [*LONG, f'exchange=[{{kind="data", when="after", every="{epochs} epochs"}}]']

    assert from_toml(SMALL, every(10_000)).exchange[0].every.count == 10_000
    with pytest.raises(ExperimentError, match=r'exchange.0.every: should be at least "10000 epochs"'):
        from_toml(SMALL, every(9_999))
