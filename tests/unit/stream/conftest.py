"""What the stream tests share: a cache of their own, and a folder for files written on the spot."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def stream_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def own_cache(stream_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test reads or fills the user's cache; decoded arrays are shared by the tests of a session."""
    monkeypatch.setenv("MPIDCL_CACHE", str(stream_cache))
    return stream_cache


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that MPIDCL_DATA points at, and an empty cache."""
    folder = tmp_path / "data"
    folder.mkdir()
    monkeypatch.setenv("MPIDCL_DATA", str(folder))
    monkeypatch.setenv("MPIDCL_CACHE", str(tmp_path / "cache"))
    return folder
