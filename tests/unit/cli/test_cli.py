"""The command line: help that teaches, exit statuses, one message per mistake, who is called."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest
from command_line import SMALL, status

from mpidcl.base.rank_variables import Launcher
from mpidcl.errors import EXIT_FAILED, EXIT_RESUMABLE, EXIT_WRONG_INPUT, DataError, DeadlockError
from mpidcl.experiment.reading import load
from mpidcl.launch.ending import STOP_SIGNALS, Ended, guard
from mpidcl.network.stopping import Stopping

COMMANDS = ("run", "check", "report", "data", "bench")


def _ends_with(body: Callable[[], int], ask: Any = None) -> NoReturn:
    raise Ended(body())


# --- help ---------------------------------------------------------------------------------------


def test_help_names_the_commands_and_the_exit_statuses(capsys: pytest.CaptureFixture[str]) -> None:
    assert status("--help") == 0
    text = capsys.readouterr().out
    for word in (*COMMANDS, "Start here", "examples/quickstart.toml", "Exit status", "75"):
        assert word in text


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_examples(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert status(command, "--help") == 0
    text = capsys.readouterr().out
    assert "Examples:" in text
    assert f"mpidcl {command}" in text
    assert len(text.splitlines()) < 60


def test_no_words_show_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert status() in (0, 2)
    captured = capsys.readouterr()
    assert "Usage" in captured.out + captured.err


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom mpidcl import cli\n"
        "try:\n    cli.main(sys.argv[1:])\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'mpi4py', 'numpy', 'h5py', 'matplotlib'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    for words in (["--help"], ["run", "--help"], ["--version"]):
        ended = subprocess.run(
            [sys.executable, "-c", code, *words], capture_output=True, text=True, check=False
        )
        assert ended.returncode == 0, ended.stderr


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    from mpidcl import __version__

    assert status("--version") == 0
    assert capsys.readouterr().out.strip() == f"mpidcl {__version__}"


# --- mistakes -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["rnu"], "No such command 'rnu'"),
        (["run"], "Missing argument"),
        (["run", "none.toml"], "There is no file none.toml"),
        (["run", "{small}", "--set", "agents=100000"], "Say how many with -n"),
        (["run", "{small}", "-n", "3"], "`-n` should be between 1 and 2, the number of agents"),
        (["run", "{small}", "-n", "0"], "-n"),
        (["run", "{small}", "-n", "2", "--driver", "inprocess"], "--driver inprocess has none"),
        (["run", "{small}", "--driver", "pigeon"], "pigeon"),
        (["run", "{small}", "--until", "soon"], '--until should be a number and a unit such as "1 task"'),
        (["run", "{small}", "--set", "agents"], "--set should be KEY=VALUE"),
        (["run", "{small}", "--set", "agents=none"], "agents: should be a whole number"),
        (["check"], "FILE or --schema"),
        (["check", "{small}", "--set", "stream.taks=1"], "Did you mean `tasks`?"),
        (["check", "none.toml"], "There is no file none.toml"),
        (["report", "no-run"], "no-run"),
        (["data", "fetch", "mnits"], "mnits"),
        (["bench", "ring", "-n", "1"], "-n"),
    ],
)
def test_wrong_input_is_said_once_without_a_traceback(
    words: list[str], says: str, small: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status(*(word.format(small=small) for word in words)) == EXIT_WRONG_INPUT
    captured = capsys.readouterr()
    assert says in " ".join(captured.err.replace("│", " ").split())
    assert "Traceback" not in captured.err


def test_nothing_in_a_message_acts_on_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = tmp_path / "a\x1b[31mb\x9bc\udcff"
    assert status("report", name) == EXIT_WRONG_INPUT
    assert "a\\x1b[31mb\\x9bc\\udcff" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "expected", "traceback"),
    [
        (DataError("the file is short"), EXIT_WRONG_INPUT, False),
        (DeadlockError("all wait"), EXIT_FAILED, False),
        (ZeroDivisionError("our fault"), EXIT_FAILED, True),
        (KeyboardInterrupt("of some code"), EXIT_FAILED, True),
        (SystemExit("needs foo"), EXIT_FAILED, True),
        (SystemExit(0), EXIT_FAILED, True),
        (EOFError("cut"), EXIT_FAILED, True),
        (BrokenPipeError("a reader's"), EXIT_FAILED, True),
        (GeneratorExit("odd"), EXIT_FAILED, True),
    ],
)
def test_what_a_user_can_mend_shows_no_traceback_and_all_else_does(
    error: BaseException,
    expected: int,
    traceback: bool,
    small: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def broken(*call: Any, **words: Any) -> str:
        raise error

    monkeypatch.setattr("mpidcl.run.simulation.check", broken)
    monkeypatch.setattr("mpidcl.run.simulation.run", broken)
    for words in (("check", small), ("run", small, "--driver", "inprocess")):
        assert status(*words) == expected
        text = capsys.readouterr().err
        assert ("Traceback" in text) is traceback
        assert str(error) in text
        assert not traceback or type(error).__name__ in text


# --- run ----------------------------------------------------------------------------------------


def test_run_starts_one_rank_per_agent_with_the_same_request(
    small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Any] = []
    monkeypatch.setattr("mpidcl.launch.start.launch", lambda *call: calls.append(call) or 75)
    sets = ["--set", "agents=3", "--set", "learning.threads=2"]
    options = ["--out", "there", "--until", "1 task", "--from", "short", "--again", "-q"]
    assert status("run", small, *sets, *options) == 75
    expected = ["run", str(small), *sets, "--out", "there", "--until", "1 task", "--from", "short"]
    expected += ["--again", "--quiet"]
    assert calls == [(expected, 3, 2)]
    assert status("run", small, "-n", "1") == 75
    assert calls[1] == (["run", str(small)], 1, 1)


@pytest.mark.parametrize("name", [":", "-x", "--help"])
def test_paths_that_programs_on_the_way_would_read_themselves(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """mpiexec takes `:` for the end of a program, and the ranks `-x` for an option."""
    calls: list[Any] = []
    monkeypatch.setattr("mpidcl.launch.start.launch", lambda *call: calls.append(call[0]) or 0)
    monkeypatch.chdir(tmp_path)
    Path(name).write_text(SMALL)
    assert status("run", "--out", name, "--", name) == 0
    assert status("bench", "ring", "--json", f"./{name}") == 0
    assert calls == [["run", f"./{name}", "--out", f"./{name}"], ["bench", "ring", "--json", f"./{name}"]]


def test_a_colon_never_reaches_mpiexec() -> None:
    from mpidcl.launch.mpiexec import LaunchError
    from mpidcl.launch.start import run_ranks

    with pytest.raises(LaunchError, match="mpiexec reads it itself"):
        run_ranks(["program", ":"], 1)


def test_a_locale_without_letters(tmp_path: Path) -> None:
    """In the locale C an umlaut comes as bytes, and is in no file name."""
    file = tmp_path / "small.toml"
    file.write_text(SMALL + '[network]\nfile = "häuser"\n', encoding="utf-8")
    environment = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}

    def said(*words: str) -> tuple[int, str]:
        command = [sys.executable, "-m", "mpidcl", *words]
        done = subprocess.run(command, capture_output=True, env=environment, cwd=tmp_path, check=False)
        return done.returncode, (done.stdout + done.stderr).decode()

    code, text = said("check", "small.toml", "--set", "name=zürich")
    assert code == 0 and 'name = "zürich"' in text and 'file = "häuser"' in text
    code, text = said("check", "small.toml", "--set", "network.topology=file")
    assert code == 2 and "no such file names: set LC_ALL=C.UTF-8" in text and "Traceback" not in text
    code, text = said("run", "small.toml", "--set", "name=zürich", "--driver", "inprocess")
    assert code == 2 and "no such file names, set LC_ALL=C.UTF-8" in text and "Traceback" not in text


def test_run_in_process_and_as_a_rank(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mpidcl.commands.common import DriverName
    from mpidcl.commands.run import Request, _start
    from mpidcl.experiment.units import Cadence
    from mpidcl.run import simulation

    calls: list[Any] = []
    monkeypatch.setattr(simulation, "run", lambda *call, **words: calls.append((*call, words)) or 0)
    monkeypatch.setattr(simulation, "load_everywhere", load)
    asked = ["--driver", "inprocess", "--until", "1 task", "--out", "there", "--set", "seed=3"]
    assert status("run", small, *asked) == 0
    experiment, out, words = calls[0]
    assert (experiment.seed, out) == (3, Path("there"))
    assert isinstance(words.pop("stopping"), Stopping)
    assert words.pop("job_end")() is None  # no job, no end
    assert words.pop("phases").name == small.stem
    assert words == {
        "driver": "inprocess",
        "until": Cadence(1, "task"),
        "again": False,
        "quiet": False,
        "table": True,
        "begin": None,
    }

    monkeypatch.setattr("mpidcl.base.rank_variables.launcher", lambda: Launcher(1, 2, "PMI_SIZE=2"))
    monkeypatch.setattr("mpidcl.launch.rank.run_rank", _ends_with)
    request = Request(small, (), None, DriverName.mpi, None, None, None, False, False)
    with pytest.raises(SystemExit) as end:
        _start(request, None)
    assert end.value.code == 0
    assert calls[1][1] is None
    assert calls[1][2]["driver"] == "mpi"


def test_inherited_variables_of_a_launcher(
    small: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    calls: list[Any] = []
    monkeypatch.setattr("mpidcl.launch.start.launch", lambda *call: calls.append(call) or 0)
    monkeypatch.setattr("mpidcl.run.simulation.run", lambda *call, **words: calls.append("here") or 0)
    monkeypatch.setattr("mpidcl.run.simulation.load_everywhere", load)
    monkeypatch.setattr("mpidcl.launch.rank.run_rank", _ends_with)
    several = Launcher(1, 4, "PMI_SIZE=4")
    for found in (several, Launcher(0, None, "PMIX_RANK=0")):
        monkeypatch.setattr("mpidcl.base.rank_variables.launcher", lambda found=found: found)
        assert status("run", small, "-n", "2") == EXIT_WRONG_INPUT
        said = capsys.readouterr().err
        assert found.named in said and "Leave `-n` out" in said
        assert status("run", small, "--driver", "inprocess") == 0  # never looks at them
    assert calls == ["here"] * 2
    monkeypatch.setattr(
        "mpidcl.base.rank_variables.launcher", lambda: Launcher(0, 1, "SLURM_STEP_NUM_TASKS=1")
    )
    assert status("run", small, "-n", "2") == 0
    assert calls[-1] == (["run", str(small)], 2, 1)
    capsys.readouterr()
    assert status("run", small) == 0
    assert calls[-1] == "here"
    assert "SLURM_STEP_NUM_TASKS=1 says" in capsys.readouterr().err
    assert status("bench", "ring") == 0
    assert calls[-1] == (["bench", "ring"], 4)


@pytest.mark.parametrize("number", STOP_SIGNALS)
@pytest.mark.parametrize("swallowed", [False, True])
def test_every_stop_signal_in_process_can_be_resumed(
    number: int,
    swallowed: bool,
    small: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def interrupted(*call: Any, **words: Any) -> int:
        try:
            signal.raise_signal(number)
        except BaseException:
            if swallowed:
                raise ValueError("another") from None
            raise
        return 0

    ignored = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # where the tests are run under nohup
    before = [signal.getsignal(one) for one in STOP_SIGNALS]
    monkeypatch.setattr("mpidcl.run.simulation.run", interrupted)
    assert status("run", small, "--driver", "inprocess") == EXIT_RESUMABLE
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and signal.Signals(number).name in said
    assert "goes on from the last checkpoint" in said
    monkeypatch.setattr("mpidcl.run.simulation.check", interrupted)
    assert status("check", small) == EXIT_RESUMABLE
    assert [signal.getsignal(one) for one in STOP_SIGNALS] == before
    signal.signal(signal.SIGHUP, ignored)


def test_a_signal_that_comes_while_an_object_is_removed_is_not_lost(
    capsys: pytest.CaptureFixture[str],
) -> None:
    class Goes:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGTERM)

    def body() -> int:
        Goes()
        time.sleep(60)
        return 0

    before = sys.unraisablehook
    assert guard(body) == EXIT_RESUMABLE
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "stopped by SIGTERM" in said
    assert sys.unraisablehook is before


def test_nohup_is_respected() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert guard(lambda: signal.raise_signal(signal.SIGHUP)) == 0
    finally:
        signal.signal(signal.SIGHUP, before)


def test_own_modules_are_found_beside_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "beside_policy.py").write_text(
        "from mpidcl.memory.policies import Reservoir\nclass Mine(Reservoir): pass\n"
    )
    file = folder / "x.toml"
    file.write_text(SMALL + '[memory]\npolicy = "beside_policy:Mine"\n')
    monkeypatch.chdir(tmp_path)
    assert status("check", file) == 0
    assert 'policy = "beside_policy:Mine"' in capsys.readouterr().out


# --- output ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("locale", [{}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}])
def test_a_reader_that_leaves_is_no_failure(locale: dict[str, str]) -> None:
    # typer would write past our streams where these are ASCII
    program, environment = [sys.executable, "-m", "mpidcl", "check", "--schema"], {**os.environ, **locale}
    command = subprocess.Popen(
        program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )
    assert command.stdout is not None and command.stderr is not None
    fcntl.fcntl(command.stdout, fcntl.F_SETPIPE_SZ, 4096)  # less than it has to say
    assert command.stdout.readline()
    command.stdout.close()
    said = command.stderr.read()
    assert (command.wait(), said) == (0, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_output_that_cannot_be_written_is_one_message() -> None:
    program = [sys.executable, "-m", "mpidcl", "check", "--schema"]
    with Path("/dev/full").open("w") as full:
        command = subprocess.run(program, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    said = "mpidcl: standard output cannot be written: No space left on device.\n"
    assert (command.returncode, command.stderr) == (EXIT_WRONG_INPUT, said)


def test_closed_output_is_no_failure() -> None:
    command = subprocess.run(
        ["sh", "-c", 'exec "$0" -m mpidcl check --schema >&- 2>&-', sys.executable], check=False
    )
    assert command.returncode == 0
