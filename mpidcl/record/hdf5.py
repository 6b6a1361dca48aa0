"""Opening HDF5 files. HDF5 locks what it opens unless told not to, and not every file system has locks.

Nothing here needs those locks: a file is written under a temporary name and never changed after it was
renamed, and one run at a time works in a folder (`record.lock`).
"""

from __future__ import annotations

from pathlib import Path
from typing import IO, Literal

import h5py

DAMAGE = (OSError, AttributeError, LookupError, MemoryError, RuntimeError, TypeError, ValueError)
"""What h5py, JSON and NumPy raise for a file that was damaged or that another program wrote."""


def open_hdf5(file: Path | IO[bytes], mode: Literal["r", "w"]) -> h5py.File:
    """The file for reading, or a new one, without HDF5's own locks."""
    return h5py.File(file, mode, locking=False, track_order=False)
