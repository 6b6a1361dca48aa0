"""Two runs never share a folder; one that ended, however it ended, leaves it free."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest

from mpidcl.errors import RunFolderError
from mpidcl.record.folder import RunFolder, RunState, open_folder
from mpidcl.record.lock import Lock
from mpidcl.record.records import Evaluation


def test_a_folder_in_use_is_refused_until_its_run_has_ended(
    tmp_path: Path, synthetic: SimpleNamespace
) -> None:
    folder, toml = RunFolder(tmp_path), synthetic.experiment_toml()
    with closing(Lock()) as first:
        assert open_folder(folder, toml, {}, first) is RunState.NEW
        for _ in range(2):  # nothing learned yet, and unfinished
            with pytest.raises(RunFolderError, match="one run at a time"), closing(Lock()) as second:
                open_folder(folder, toml, {}, second)
            folder.journal(0).append(Evaluation(0, 0, (0.5,)))
    with closing(Lock()) as second:
        assert open_folder(folder, toml, {}, second) is RunState.UNFINISHED


def test_a_finished_run_may_be_looked_at_by_many(tmp_path: Path, synthetic: SimpleNamespace) -> None:
    folder, toml = RunFolder(tmp_path), synthetic.experiment_toml()
    with closing(Lock()) as first, closing(Lock()) as second:
        open_folder(folder, toml, {}, first)
        folder.finish(synthetic.records(), synthetic.RING)
        assert open_folder(folder, toml, {}, second) is RunState.FINISHED


def test_a_file_system_without_locks_is_used_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int, operation: int) -> None:
        raise OSError("not supported")

    (tmp_path / "file").touch()
    monkeypatch.setattr("fcntl.flock", refuse)
    Lock().take(tmp_path / "file")


def test_the_same_process_may_take_a_file_that_was_replaced(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with closing(Lock()) as lock:
        lock.take(tmp_path / "file")
        lock.take(tmp_path / "file")
