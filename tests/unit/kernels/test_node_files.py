"""Files that processes share: replaced whole, locked by one, and nobody waits for ever or in silence."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mpidcl_kernels.base import node_files
from mpidcl_kernels.base.node_files import one_at_a_time, replace_file

HOLDER = """
import sys, time
from pathlib import Path
from mpidcl_kernels.base.node_files import one_at_a_time
with one_at_a_time(Path(sys.argv[1]), 60, "") as held:
    print(held, flush=True)
    sys.stdin.readline()
"""


@contextlib.contextmanager
def holder(lock: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None and process.stdout.readline() == "True\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def test_a_file_is_replaced_and_nothing_is_left_beside_it(tmp_path: Path):
    replace_file(tmp_path / "one", b"first")
    replace_file(tmp_path / "one", b"second")
    assert (tmp_path / "one").read_bytes() == b"second" and os.listdir(tmp_path) == ["one"]


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    replace_file(tmp_path / "one", b"first")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(node_files, "sync", full)
    with pytest.raises(OSError, match="No space"):
        replace_file(tmp_path / "one", b"second")
    assert (tmp_path / "one").read_bytes() == b"first" and os.listdir(tmp_path) == ["one"]


def test_who_waits_says_for_which_file_and_for_whom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(node_files, "SAY_AFTER", 0.05)
    lock = tmp_path / "kernel.lock"
    with holder(lock) as process, one_at_a_time(lock, 0.3, "compiles for itself") as held:
        assert not held
    first, last = caplog.messages
    assert first == f"Waiting for {lock}, held by process {process.pid} on {socket.gethostname()}."
    assert last.endswith("This process goes on and compiles for itself.") and "stopped" not in last


def test_a_stopped_holder_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(node_files, "SAY_AFTER", 0.05)
    lock = tmp_path / "kernel.lock"
    with holder(lock) as process:
        process.send_signal(signal.SIGSTOP)
        with one_at_a_time(lock, 1e9, "compiles for itself") as held:
            assert not held
    assert f"by process {process.pid} on {socket.gethostname()}, which is stopped." in caplog.text


def test_the_lock_of_a_dead_process_is_free(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    lock = tmp_path / "kernel.lock"
    with holder(lock):
        pass
    with caplog.at_level(logging.DEBUG), one_at_a_time(lock, 60, "") as held:
        assert held and caplog.messages == []
        assert lock.read_text() == f"{os.getpid()} {socket.gethostname()}\n"


def test_where_the_file_system_cannot_lock_another_one_can(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    real, spare = node_files.fcntl.flock, tmp_path / "spare.lock"

    def refuse(descriptor: int, how: int) -> None:
        if os.readlink(f"/proc/self/fd/{descriptor}").endswith("kernel.lock"):
            raise OSError(errno.ENOLCK, "no locks here")
        real(descriptor, how)

    with holder(spare):
        monkeypatch.setattr(node_files.fcntl, "flock", refuse)
        with one_at_a_time(tmp_path / "kernel.lock", 0.1, "goes on", lambda: spare) as held:
            assert not held
        with one_at_a_time(tmp_path / "kernel.lock", 0.1, "goes on") as held:
            assert held


def test_an_unsigned_lock_is_waited_for_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    lock = tmp_path / "kernel.lock"
    with holder(lock):
        lock.write_bytes(b"\xff\xfe nobody knows")
        monkeypatch.setattr(node_files, "SAY_AFTER", 0.0)
        with one_at_a_time(lock, 0.1, "goes on") as held:
            assert not held
    assert "held by a process that is not known" in caplog.text
