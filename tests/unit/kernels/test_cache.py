"""The folder of compiled kernels: private, named by what compiled code depends on, refused when open."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numba
import pytest

from mpidcl_kernels.base import cache, node_files


def test_the_name_holds_user_cpu_and_versions():
    name = cache.folder_name()
    assert str(os.getuid()) in name and numba.__version__ in name
    assert "/" not in name and " " not in name


def test_a_new_folder_is_private_and_used_again(tmp_path: Path):
    folder = cache.private_folder(tmp_path, "kernels")
    assert folder == tmp_path / "kernels" and folder.stat().st_mode & 0o777 == 0o700
    assert cache.private_folder(tmp_path, "kernels") == folder


@pytest.mark.parametrize("mode", [0o755, 0o770, 0o702])
def test_a_folder_open_to_others_is_refused(tmp_path: Path, mode: int):
    (tmp_path / "kernels").mkdir()
    (tmp_path / "kernels").chmod(mode)
    with pytest.warns(RuntimeWarning, match="should be your own folder"):
        found = cache.private_folder(tmp_path, "kernels")
    assert found != tmp_path / "kernels" and cache.is_private(found)


@pytest.mark.parametrize("what", ["link", "file"])
def test_a_link_or_a_file_is_refused(tmp_path: Path, what: str):
    if what == "link":
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        (tmp_path / "kernels").symlink_to(tmp_path / "elsewhere")
    else:
        (tmp_path / "kernels").write_text("")
    with pytest.warns(RuntimeWarning):
        assert cache.is_private(cache.private_folder(tmp_path, "kernels"))


def test_another_owner_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "kernels").mkdir(mode=0o700)
    me = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: me + 1)
    assert not cache.is_private(tmp_path / "kernels")


def run_a_kernel(**variables: str) -> str:
    code = (
        "import numpy as np\n"
        "from mpidcl_kernels import step; from mpidcl_kernels.base import cache\n"
        "import sys; assert 'numba' not in sys.modules, 'work at import'\n"
        "a = [np.ones(3, np.float32) for _ in range(3)]\n"
        "step.sgd(*a, np.array([0]), np.array([3]), 0.5)\n"
        "print(cache.prepare())\n"
        "assert not {'torch', 'mpi4py', 'h5py', 'mpidcl'} & set(sys.modules)\n"
    )
    environment = {k: v for k, v in os.environ.items() if k != cache.USER_CHOICE} | variables
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True
    ).stdout.strip()


def test_kernels_are_compiled_into_the_private_folder_and_import_nothing_above(tmp_path: Path):
    folder = Path(run_a_kernel(MPIDCL_CACHE=str(tmp_path / "shared"), TMPDIR=str(tmp_path)))
    assert folder.parent == tmp_path / "shared/kernels" and list(folder.rglob("*.kernel"))
    assert not list(tmp_path.glob("mpidcl-kernels-*/*.kernel"))  # nothing of it is lost with a job's TMPDIR


def test_the_cache_of_the_user_is_the_systems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv(cache.OUR_CACHE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache._users_cache() == str(tmp_path / "mpidcl/kernels")
    monkeypatch.setenv(cache.OUR_CACHE, str(tmp_path / "mine"))
    assert cache._users_cache() == str(tmp_path / "mine/kernels")


def test_a_home_that_cannot_be_written_is_done_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(cache.OUR_CACHE, str(tmp_path / "file"))
    assert cache._users_cache() == ""
    monkeypatch.setattr(cache.tempfile, "gettempdir", lambda: str(tmp_path))
    assert cache._own_folder("").parent == tmp_path


def test_a_folder_that_inherits_its_group_is_private(tmp_path: Path):
    folder = cache.private_folder(tmp_path, "kernels")
    folder.chmod(0o2700)
    assert cache.private_folder(tmp_path, "kernels") == folder


def test_a_users_own_choice_is_respected(tmp_path: Path):
    folder = Path(run_a_kernel(NUMBA_CACHE_DIR=str(tmp_path / "mine")))
    assert folder.parent == tmp_path / "mine" and list(folder.rglob("*.kernel"))
    assert cache.is_private(folder)  # whoever else may write beside it


def test_a_chosen_folder_with_somebody_elses_in_our_place_is_not_read(tmp_path: Path):
    taken = tmp_path / cache.folder_name()
    taken.mkdir()
    taken.chmod(0o777)
    with pytest.warns(RuntimeWarning, match="0700"):
        assert cache._own_folder(str(tmp_path)) != taken


def test_without_any_temporary_folder_kernels_are_still_compiled(monkeypatch: pytest.MonkeyPatch):
    def none(*_: object, **__: object) -> str:
        raise FileNotFoundError("No usable temporary directory found")

    monkeypatch.setattr(cache.tempfile, "gettempdir", none)
    with pytest.warns(RuntimeWarning, match="Set TMPDIR"):
        folder = cache._own_folder("")
    cache._node_folder.cache_clear()
    with cache._one_at_a_time(folder, "kernel"):
        assert not folder.exists()


PROGRAM = """
import sys
from mpidcl_kernels import step; from mpidcl_kernels.base import cache
step.warm()
print(*cache.counts())
"""


def start(folder: Path) -> subprocess.Popen[str]:
    environment = os.environ | {cache.USER_CHOICE: str(folder)}
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM], env=environment, stdout=subprocess.PIPE, text=True
    )


def test_processes_that_start_at_once_compile_once(tmp_path: Path):
    everybody = [start(tmp_path) for _ in range(4)]
    counts = [tuple(map(int, process.communicate(timeout=60)[0].split())) for process in everybody]
    kernels = sum(counts[0])
    assert sum(compiled for compiled, _ in counts) == kernels > 0
    assert sum(loaded for _, loaded in counts) == 3 * kernels


def test_what_is_compiled_is_loaded_without_a_lock(tmp_path: Path):
    """So nobody waits for a lock of a shared file system that a lost node holds."""
    assert int(start(tmp_path).communicate(timeout=60)[0].split()[0]) > 0
    locks = list(tmp_path.rglob("*.lock"))
    for lock in locks:
        lock.unlink()
    assert int(start(tmp_path).communicate(timeout=60)[0].split()[0]) == 0
    assert locks and not list(tmp_path.rglob("*.lock"))


def test_without_locks_everybody_compiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(lock: int, how: int) -> None:
        raise OSError("no locks here")

    monkeypatch.setattr(node_files.fcntl, "flock", refuse)
    before = sorted(os.listdir("/proc/self/fd"))
    with cache._one_at_a_time(tmp_path, "kernel"):
        pass
    with cache._one_at_a_time(Path("/proc/nothing"), "kernel"):
        pass
    assert sorted(os.listdir("/proc/self/fd")) == before
    with pytest.raises(OSError, match="the kernel's own"), cache._one_at_a_time(tmp_path, "kernel"):
        raise OSError("the kernel's own")


def test_the_name_changes_with_the_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    before = cache.folder_name()
    (tmp_path / "one.py").write_text("x = 1")
    monkeypatch.setattr(cache, "__file__", str(tmp_path / "cache.py"))
    first = cache.folder_name()
    (tmp_path / "one.py").write_text("x = 2")
    assert len({before, first, cache.folder_name()}) == 3
