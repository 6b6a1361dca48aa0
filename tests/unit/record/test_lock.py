"""Two runs never share a folder; one that ended, however it ended, leaves it free."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest

from mpidcl.errors import RunFolderError
from mpidcl.record import lock as lock_module
from mpidcl.record.folder import RunFolder, RunState, open_folder
from mpidcl.record.lock import LOCK, FolderInUseError, Lock
from mpidcl.record.records import Evaluation
from mpidcl.views.summary import summarise

# Starts a run in a folder as often as it is told to, slowly: "FOLDER", or "FOLDER again".
STARTER = """
import errno, sys, time
from contextlib import closing
from pathlib import Path
import mpidcl.record.folder as folder
import mpidcl.record.lock as lock_module
from mpidcl.errors import RunFolderError

def slow(function):
    def later(*arguments):
        time.sleep(0.1)
        return function(*arguments)
    return later

def no_locks(descriptor, operation):
    raise OSError(errno.ENOLCK, "No locks available")

folder.write_text, folder.make_folder = slow(folder.write_text), slow(folder.make_folder)
folder.RunFolder.state = slow(folder.RunFolder.state)
if "no locks" in sys.argv:
    lock_module.fcntl.flock = no_locks
for line in sys.stdin:
    path, _, again = line.strip().partition(" ")
    with closing(lock_module.Lock(lambda text: None)) as lock:
        try:
            first = folder.RunFolder(Path(path))
            if again:
                print(folder.open_beside(first, "seed = 0", {}, lock).path, flush=True)
            else:
                print(folder.open_folder(first, "seed = 0", {}, lock).value, flush=True)
        except RunFolderError as error:
            print("one run at a time" if "one run at a time" in str(error) else error, flush=True)
        sys.stdin.readline()
"""


def no_locks(descriptor: int, operation: int) -> None:
    raise OSError(errno.ENOLCK, "No locks available")


@pytest.fixture
def without_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fcntl, "flock", no_locks)
    monkeypatch.setattr(lock_module, "SETTLE_S", 0.0)


@pytest.fixture
def stranger() -> Iterator[int]:
    """Id of another process that lives."""
    process = subprocess.Popen(["sleep", "600"])
    yield process.pid
    process.kill()
    process.wait()


def named(host: str, process: int) -> str:
    return json.dumps([host, process, lock_module._start(process)])


def test_a_folder_in_use_is_refused_until_its_run_has_ended(
    tmp_path: Path, synthetic: SimpleNamespace
) -> None:
    folder, toml = RunFolder(tmp_path), synthetic.experiment_toml()
    with closing(Lock()) as first:
        assert open_folder(folder, toml, {}, first) is RunState.NEW
        for _ in range(2):  # nothing learned yet, and unfinished
            with pytest.raises(RunFolderError, match="one run at a time"), closing(Lock()) as second:
                open_folder(folder, toml, {}, second)
            folder.journal(0).append(Evaluation(0, 0, {"accuracy": (0.5,)}))
    with closing(Lock()) as second:
        assert open_folder(folder, toml, {}, second) is RunState.UNFINISHED


def test_the_message_names_who_holds_the_folder(tmp_path: Path) -> None:
    with closing(Lock()) as first, closing(Lock()) as second:
        first.take(tmp_path)
        with pytest.raises(FolderInUseError, match=f"process {os.getpid()} on {socket.gethostname()}"):
            second.take(tmp_path)


def test_a_finished_run_may_be_looked_at_by_many(tmp_path: Path, synthetic: SimpleNamespace) -> None:
    folder, toml = RunFolder(tmp_path), synthetic.experiment_toml()
    with closing(Lock()) as first, closing(Lock()) as second:
        open_folder(folder, toml, {}, first)
        folder.finish(synthetic.records(), synthetic.RING, summarise(synthetic.records()))
        assert open_folder(folder, toml, {}, second) is RunState.FINISHED


@pytest.mark.parametrize("options", [(), ("no locks",)])
def test_of_several_that_start_at_once_each_has_a_folder_of_its_own(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    command = [sys.executable, "-c", STARTER, *options]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    starters = [subprocess.Popen(command, **pipes) for _ in range(3)]  # type: ignore[call-overload]

    def all_at_once(line: str) -> list[str]:
        for starter in starters:
            starter.stdin.write(line + "\n")
            starter.stdin.flush()
        found = [starter.stdout.readline().strip() for starter in starters]
        for starter in starters:  # they hold what they have until now
            starter.stdin.write("\n")
            starter.stdin.flush()
        return sorted(found)

    try:
        all_at_once(str(tmp_path / "warm"))  # from here on all of them have started
        assert all_at_once(f"{tmp_path}/run") == ["new", "one run at a time", "one run at a time"]
        found = all_at_once(f"{tmp_path}/beside again")
        assert len(set(found)) == 3
        assert all(Path(path).name.startswith("beside") for path in found)
        assert all((Path(path) / "experiment.toml").is_file() for path in found)
    finally:
        for starter in starters:
            starter.stdin.close()
            starter.wait(60)


@pytest.mark.usefixtures("without_locks")
def test_without_locks_the_file_names_who_holds_the_folder(tmp_path: Path, stranger: int) -> None:
    said: list[str] = []
    with closing(Lock(said.append)) as lock:
        lock.take(tmp_path)
        assert json.loads((tmp_path / LOCK).read_text())[:2] == [socket.gethostname(), os.getpid()]
        lock.take(tmp_path)  # the same process may
    assert (tmp_path / LOCK).read_bytes() == b""
    assert len(said) == 2
    assert "a file system without locks (No locks available)" in said[0]
    (tmp_path / LOCK).write_text(named(socket.gethostname(), stranger))
    with pytest.raises(FolderInUseError, match=f"process {stranger} on"):
        lock.take(tmp_path)
    assert (tmp_path / LOCK).read_text() == named(socket.gethostname(), stranger)


@pytest.mark.usefixtures("without_locks")
def test_without_locks_a_name_that_was_left_behind_keeps_nobody_out(tmp_path: Path, stranger: int) -> None:
    dead = subprocess.Popen(["true"])
    dead.wait()
    again = json.dumps([socket.gethostname(), stranger, "another start: the number was used again"])
    for left in (named(socket.gethostname(), dead.pid), again, named("elsewhere", stranger), "{", "[]"):
        (tmp_path / LOCK).write_text(left)
        said: list[str] = []
        with closing(Lock(said.append)) as lock:
            lock.take(tmp_path)
        assert ("on elsewhere, did not say" in said[0]) == ("elsewhere" in left)


def test_hdf5_needs_no_locks_of_its_own(tmp_path: Path, synthetic: SimpleNamespace) -> None:
    """HDF5 locks what it opens, and refuses to open it where it cannot: whole runs were lost."""
    from mpidcl.record.checkpoint import read_state, write_state
    from mpidcl.record.results import read_results, write_results

    write_state(tmp_path / "state.h5", {"a": 1})
    write_results(tmp_path / "results.h5", synthetic.records(), synthetic.RING)
    for name, read in (("state.h5", read_state), ("results.h5", read_results)):
        with (tmp_path / name).open("rb+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            read(tmp_path / name)  # type: ignore[operator]
