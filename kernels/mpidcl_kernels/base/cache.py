"""Where compiled kernels are kept: one private folder per user, kind of CPU and version.

It lies in the user's cache folder, which the nodes of a cluster usually share: who compiles first does it for
all nodes with such a CPU. Where that cannot be written it lies in the node's folder for temporary files.

Compiled kernels are kept as pickles, so a folder that somebody else could write to would let them run
code as this user. Such a folder is refused, and a private temporary one is used in its place.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import stat
import sys
import tempfile
import warnings
import zlib
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import ParamSpec, Protocol, TypeVar, cast

from mpidcl_kernels.base.node_files import one_at_a_time

USER_CHOICE = "NUMBA_CACHE_DIR"
OUR_CACHE = "MPIDCL_CACHE"
"""Environment variables: another folder for compiled kernels; for all that mpidcl keeps between runs."""

P = ParamSpec("P")
R = TypeVar("R", covariant=True)

WAIT_AT_MOST = 120.0
"""Seconds that are waited for another process that compiles a kernel: enough on a node that is overloaded."""


class Config(Protocol):
    """numba's settings."""

    CACHE_DIR: str


class Statistics(Protocol):
    """How often a kernel was found in the cache of its kind, by types."""

    cache_hits: dict[object, int]
    cache_misses: dict[object, int]


class TargetContext(Protocol):
    """What numba compiles for; part of the key of a compiled form."""

    def codegen(self) -> object: ...


class Dispatcher(Protocol):
    """What numba makes of a function: what we use of it, whether its version has types or not."""

    targetctx: TargetContext
    compile: Callable[[object], object]
    _cache: object

    @property
    def stats(self) -> Statistics: ...

    def disable_compile(self) -> None: ...

    def __call__(self, *arguments: object) -> object: ...


class Compiled(Protocol[P, R]):
    """A function that is compiled on its first call."""

    dispatcher: Callable[[], Dispatcher]

    def __call__(self, *arguments: P.args, **named: P.kwargs) -> R: ...


def _package_version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "source"


def _sources() -> str:
    """Checksum of all kernels. Numba notices a changed function, but not a changed one that it calls."""
    files = sorted(Path(__file__).parents[1].rglob("*.py"))
    return f"{zlib.crc32(b''.join(file.read_bytes() for file in files)):08x}"


def folder_name() -> str:
    """Name of the folder: user id, CPU name, all versions, and a checksum of the kernels."""
    from llvmlite import binding  # type: ignore[import-untyped]

    parts = (
        str(os.getuid()),
        binding.get_host_cpu_name(),
        sys.implementation.cache_tag or "python",
        _package_version("numba"),
        _package_version("mpidcl"),
        _sources(),
    )
    return "mpidcl-kernels-" + "-".join(re.sub(r"[^A-Za-z0-9.+_]", "_", part) for part in parts)


def is_private(folder: Path) -> bool:
    """True for a real folder (no link) that this user owns and nobody else may enter."""
    status = folder.lstat()
    return (
        stat.S_ISDIR(status.st_mode)
        and status.st_uid == os.getuid()
        and status.st_mode & 0o777 == 0o700  # below a folder of a group it may also have that group
    )


def private_folder(parent: Path, name: str) -> Path:
    """Make or reuse `parent/name` with mode 0700; a private temporary folder when it is not ours.

    Warns with RuntimeWarning when the folder belongs to somebody else or is open to others.
    """
    folder = parent / name
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        if is_private(folder):
            return folder
        reason = "it belongs to another user, is open to others, or is not a folder"
    except OSError as error:
        reason = str(error)
    warnings.warn(
        f"The cache of compiled kernels should be your own folder with mode 0700. Found {folder}: {reason}."
        f" Kernels are compiled anew in this process. Remove that path, or set {USER_CHOICE}.",
        RuntimeWarning,
        stacklevel=2,
    )
    return Path(_temporary().name)


@functools.cache
def _temporary() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="mpidcl-kernels-")


@functools.cache
def prepare() -> Path:
    """Point numba at this user's folder, before anything is compiled; it may be in NUMBA_CACHE_DIR."""
    import numba

    config = cast("Config", numba.config)
    folder = _own_folder(os.environ.get(USER_CHOICE) or config.CACHE_DIR or _users_cache())
    config.CACHE_DIR = str(folder)
    return folder


def _users_cache() -> str:
    """The folder for kernels in the user's cache; "" where it cannot be made or written."""
    with contextlib.suppress(OSError, RuntimeError):  # RuntimeError: this user has no home
        system = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "mpidcl")
        parent = Path(os.environ.get(OUR_CACHE) or system, "kernels")
        parent.mkdir(parents=True, exist_ok=True)
        if os.access(parent, os.W_OK | os.X_OK):
            return str(parent)
    return ""


def _own_folder(chosen: str) -> Path:
    try:
        parent = Path(chosen or tempfile.gettempdir())
        with contextlib.suppress(OSError):  # said below
            parent.mkdir(parents=True, exist_ok=True)
        return private_folder(parent, folder_name())
    except OSError as reason:  # a full disk: not even a temporary folder can be made
        warnings.warn(
            f"Compiled kernels should be kept in a temporary folder. Found: {reason}. Each start may compile"
            f" them. Set TMPDIR, or {USER_CHOICE}, to a folder that can be written.",
            RuntimeWarning,
            stacklevel=2,
        )
        return Path(os.devnull) / "kernels"  # can be neither made nor written: numba looks for a place itself


_made: list[Dispatcher] = []  # numba's dispatchers of this process, in order of their first call


def counts() -> tuple[int, int]:
    """Kernels that this process has compiled, and that it has loaded from the cache instead."""
    statistics = [dispatcher.stats for dispatcher in _made]
    compiled_here = sum(sum(s.cache_misses.values()) for s in statistics)
    return compiled_here, sum(sum(s.cache_hits.values()) for s in statistics)


@contextlib.contextmanager
def _one_at_a_time(folder: Path, name: str) -> Iterator[None]:
    """Hold the lock of kernel `name`: one process compiles it, the others find it in the cache.

    Where the file system of the cache cannot lock, that of temporary files can: then it is one per node.
    """
    with contextlib.ExitStack() as until:
        # Without a lock (a folder that cannot be written, a holder that is stopped) each compiles anew.
        with contextlib.suppress(OSError):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = f"{name}.lock"

            def spare() -> Path:
                return _node_folder(folder.name) / lock

            until.enter_context(one_at_a_time(folder / lock, WAIT_AT_MOST, "compiles for itself", spare))
        yield


@functools.cache
def _node_folder(name: str) -> Path:
    """A folder of this user on this node; only locks lie there."""
    return private_folder(Path(tempfile.gettempdir()), name)


def compiled(function: Callable[P, R], reorder: bool = False) -> Compiled[P, R]:
    """`function` compiled by numba on its first call, from the cache where it has been compiled before.

    Sums are taken in the order of the source, unless `reorder` lets the compiler choose an order that
    vectorises; it depends on the machine and on lengths, never on values or addresses. The compiled form
    does not hold Python's lock. Processes of one node that call it at once compile it once.
    """
    fastmath: set[str] | bool = {"reassoc", "nsz", "contract"} if reorder else False

    @functools.cache
    def dispatcher() -> Dispatcher:
        folder = prepare()
        import numba

        from mpidcl_kernels.base.entries import is_kept, keep_compiled

        compile_with = numba.njit(nogil=True, fastmath=fastmath, error_model="numpy")
        made = cast("Dispatcher", compile_with(function))
        keep_compiled(made, function)
        compile_or_load = made.compile

        # numba calls `compile` for types that are new to this process: it loads from the cache or compiles.
        def compile_alone(types: object) -> object:
            if is_kept(made, types):  # many ranks of many nodes may look at once: no lock for that
                return compile_or_load(types)
            with _one_at_a_time(folder, f"{function.__module__}.{function.__qualname__}"):
                return compile_or_load(types)

        made.compile = compile_alone
        _made.append(made)
        return made

    @functools.wraps(function)
    def call(*arguments: object) -> object:
        return dispatcher()(*arguments)

    ready = cast("Compiled[P, R]", call)
    ready.dispatcher = dispatcher  # its `signatures` tell what was compiled
    return ready


def compiled_only(function: Callable[P, R], *arguments: object) -> Callable[P, R]:
    """`function` compiled now, for these numba types alone; more special arrays are passed as these."""
    made = compiled(function).dispatcher()
    made.compile(arguments)
    made.disable_compile()
    return cast("Callable[P, R]", made)
