"""States as groups of HDF5: dicts are groups, arrays data sets, and one JSON text per group the plain values.

Small states beside large data sets are kept so, and checkpoints of format 2 were.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import h5py
import numpy as np

from mpidcl.base.state import OwnState, State
from mpidcl.errors import CheckpointError

PLAIN = "(plain values)"
RESERVED = ("", ".", PLAIN, "(small arrays)")
"""Names that no key of a state may have."""


class Place:
    """Where in a state one is: whose it is, and the keys from there on down. For messages."""

    __slots__ = ("above", "owner")

    def __init__(self, owner: str = "", above: tuple[str, ...] = ()) -> None:
        self.owner, self.above = owner, above

    def of(self, state: Mapping[str, Any]) -> Place:
        """The place of a state that was found here: one that says whose it is begins anew."""
        return Place(state.owner) if isinstance(state, OwnState) else self

    def below(self, key: str) -> Place:
        """The place of what is under a key."""
        return Place(self.owner, (*self.above, key))

    def checked(self, key: object) -> str:
        """A key. Raises CheckpointError for one that HDF5 cannot have, or that has a meaning here."""
        if not isinstance(key, str) or key in RESERVED or "/" in key or "\0" in key:
            raise CheckpointError(f"{self._said} should have keys that are texts without '/'. Found {key!r}.")
        return key

    def plain(self, key: str, value: object) -> object:
        """A value as JSON can hold it. Raises CheckpointError for what it cannot."""
        if isinstance(value, np.generic):
            value = value.item()
        if value is None or isinstance(value, bool | int | float | str):
            return value
        try:
            if isinstance(value, np.ndarray):
                raise ValueError(f"an array of {value.dtype}")
            json.dumps(value)
        except (TypeError, ValueError) as error:
            what = error if isinstance(value, np.ndarray) else f"{type(value).__name__} ({error})"
            raise CheckpointError(
                f"{self._said} should hold arrays of numbers, numbers, texts, None, lists of those, and"
                f" dicts. Found {what} under the key `{'/'.join((*self.above, key))}`. Save what it is made"
                " of as one of these: a tensor as `.numpy(force=True)`, say."
            ) from None
        return value

    @property
    def _said(self) -> str:
        return f"{self.owner}.state()" if self.owner else "A state"


def is_array(value: object) -> bool:
    """Whether a value is an array of numbers."""
    return isinstance(value, np.ndarray) and value.dtype.kind in "biufc"


def write_group(group: h5py.Group, state: Mapping[str, Any], place: Place | None = None) -> None:
    """Add a state to a file. Raises CheckpointError for what a file of plain data cannot hold."""
    place = (place or Place()).of(state)
    plain = {}
    for key, value in state.items():
        place.checked(key)
        if isinstance(value, Mapping):
            write_group(group.create_group(key), value, place.below(key))
        elif is_array(value):
            group.create_dataset(key, data=value, track_times=False)
        else:
            plain[key] = place.plain(key, value)
    write_text(group, PLAIN, json.dumps(plain))


def write_text(group: h5py.Group, name: str, text: str) -> None:
    """A text as a data set: attributes of HDF5 hold 64 KiB."""
    group.create_dataset(name, data=np.frombuffer(text.encode(), np.uint8), track_times=False)


def read_group(group: h5py.Group) -> State:
    """What `write_group` wrote. Raises one of `checkpoint.DAMAGE` for something else."""
    state: State = dict(json.loads(group[PLAIN][()].tobytes()))
    for key, item in group.items():
        if key != PLAIN:
            state[key] = read_group(item) if isinstance(item, h5py.Group) else item[...]
    return state
