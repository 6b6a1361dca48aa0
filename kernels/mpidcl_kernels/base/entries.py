"""Compiled kernels on disk: one file for each kernel and types, checked before anything of it is used.

numba keeps an index and numbered files beside it, and unpickles both as they are. A file that was cut then
stops every later start, and one with a changed bit runs as other machine code. Here the name of a file is a
hash of what it was compiled for, and its content begins with a checksum.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numba
from numba.core import caching, serialize

from mpidcl_kernels.base.node_files import replace_file

MAGIC = b"mpidcl kernel 1\n"
DIGEST = 32

if TYPE_CHECKING:
    from mpidcl_kernels.base.cache import Dispatcher, TargetContext

_Cache: Any = caching.FunctionCache  # partly typed: its file would have to be numba's own
_dumps: Callable[[object], bytes] = serialize.dumps

log = logging.getLogger(__name__)


class DamagedError(Exception):
    """A file does not hold what was written to it."""


class Entries:
    """The compiled forms of one function; stands where numba has its `IndexDataCacheFile`.

    `stamp` changes with the source of the function.
    """

    def __init__(self, folder: Path, name: str, stamp: object) -> None:
        self.folder, self.name, self.stamp = folder, name, stamp

    def path(self, key: object) -> Path:
        """Where the form with this key is kept. A key is made of numba's types and of texts."""
        words = repr((numba.__version__, self.stamp, key))
        return self.folder / f"{self.name}.{hashlib.sha256(words.encode()).hexdigest()[:24]}.kernel"

    def load(self, key: object) -> object:
        """What was saved with this key, or None. Raises DamagedError, or whatever unpickling raises."""
        try:
            content = self.path(key).read_bytes()
        except FileNotFoundError:
            return None
        body = content[len(MAGIC) + DIGEST :]
        if content != _sealed(body):
            raise DamagedError("its checksum should be that of its content")
        saved_key, data = pickle.loads(body)  # noqa: S301  # in a folder of this user, and as written
        return data if saved_key == key else None

    def save(self, key: object, data: object) -> None:
        """Keep a form, whole or not at all. Raises OSError."""
        replace_file(self.path(key), _sealed(_dumps((key, data))))

    def drop(self, key: object) -> None:
        """Away with a form that is of no use."""
        with contextlib.suppress(OSError):
            self.path(key).unlink()

    def flush(self) -> None:
        """Away with all forms."""
        for path in self.folder.glob(f"{self.name}.*.kernel"):
            path.unlink(missing_ok=True)


class KernelCache(_Cache):  # type: ignore[misc]
    """numba's cache of one function, which never stops a start: what cannot be read is compiled again."""

    def __init__(self, function: Callable[..., object]) -> None:
        super().__init__(function)
        where = self._impl.locator
        self._cache_file = Entries(
            Path(where.get_cache_path()), self._impl.filename_base, where.get_source_stamp()
        )

    def has_overload(self, sig: object, target_context: TargetContext) -> bool:
        """Is there a file for these types?"""
        key = self._index_key(sig, target_context.codegen())
        return bool(self._cache_file.path(key).exists())

    def load_overload(self, sig: object, target_context: TargetContext) -> object:
        """The compiled form from disk; None when there is none that can be used."""
        try:
            return super().load_overload(sig, target_context)
        except Exception as reason:  # unpickling and LLVM have many ways to fail
            key = self._index_key(sig, target_context.codegen())
            said = str(reason) or type(reason).__name__
            log.warning("%s cannot be used (%s) and is compiled again.", self._cache_file.path(key), said)
            if not isinstance(reason, OSError):  # another node may just have put a good file in its place
                self._cache_file.drop(key)
            return None

    def save_overload(self, sig: object, data: object) -> None:
        """Keep the compiled form, where the disk allows it."""
        try:
            super().save_overload(sig, data)
        except OSError as reason:
            log.warning(
                "%s cannot keep a compiled kernel (%s): each start compiles it.", self.cache_path, reason
            )


def _sealed(body: bytes) -> bytes:
    return MAGIC + hashlib.sha256(body).digest() + body


def keep_compiled(dispatcher: Dispatcher, function: Callable[..., object]) -> None:
    """Let numba's `dispatcher` of `function` keep what it compiles; without a folder for it, it does not."""
    try:
        dispatcher._cache = KernelCache(function)
    except (OSError, RuntimeError) as reason:
        log.warning("%s is compiled at each start: %s.", function.__qualname__, reason)


def is_kept(dispatcher: Dispatcher, types: object) -> bool:
    """Does the cache of numba's `dispatcher` have a form for these types?"""
    cache = dispatcher._cache
    return isinstance(cache, KernelCache) and cache.has_overload(types, dispatcher.targetctx)
