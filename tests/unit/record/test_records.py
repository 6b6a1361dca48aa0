"""Records survive their state and `results.h5` unchanged, and the file has the same bytes every time."""

from __future__ import annotations

import hashlib
import resource
import time
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest

from mpidcl.errors import RecordError, RunFolderError
from mpidcl.record.measures import ACCURACY, Measure
from mpidcl.record.records import AgentRecord, Evaluation
from mpidcl.record.results import read_results, write_results
from mpidcl.views.modules.counts import shares


def leaves(state: object) -> list[object]:
    if isinstance(state, dict):
        return [leaf for key in sorted(state) for leaf in leaves(state[key])]
    return [state]


@pytest.fixture
def mixed(synthetic: SimpleNamespace) -> list[AgentRecord]:
    """Agents with different numbers of tasks and evaluations, and one with nothing."""
    return [
        *synthetic.records(agents=2, tasks=3),
        AgentRecord(2, evaluations=[Evaluation(0, 0, {"accuracy": (0.25,)}, 0.0)]),
        AgentRecord(3, digest="ä"),
        AgentRecord(4, evaluations=[Evaluation(0, 0, {"accuracy": (0.5,)}, ahead={"accuracy": (0.1, 0.2)})]),
    ]


def test_state_round_trip(mixed: list[AgentRecord]) -> None:
    for record in mixed:
        assert AgentRecord.from_state(record.state()) == record


def test_state_has_only_plain_leaves(mixed: list[AgentRecord]) -> None:
    plain = (np.ndarray, int, float, bool, str, list, type(None))
    assert all(isinstance(leaf, plain) for leaf in leaves(mixed[0].state()))


def test_results_round_trip(tmp_path: Path, synthetic: SimpleNamespace, mixed: list[AgentRecord]) -> None:
    write_results(tmp_path / "results.h5", mixed[::-1], synthetic.RING)
    found = read_results(tmp_path / "results.h5")
    assert found.records == mixed
    assert found.links == sorted(synthetic.RING)


def same(one: AgentRecord, other: AgentRecord) -> bool:
    """Equal in everything, arrays and NaN included."""
    pairs = zip(leaves(one.state()), leaves(other.state()), strict=True)
    return all(
        np.array_equal(a, b, equal_nan=a.dtype.kind == "f") if isinstance(a, np.ndarray) else a == b
        for a, b in pairs
    )


def test_modules_survive_state_and_results(tmp_path: Path, synthetic: SimpleNamespace) -> None:
    made = [
        *synthetic.modular(agents=3, candidates=2),
        AgentRecord(3, evaluations=[Evaluation(0, 0, {"accuracy": (0.5,)})]),
    ]
    assert len({shares(record).shape for record in made}) > 2
    write_results(tmp_path / "results.h5", made, [])
    read = read_results(tmp_path / "results.h5").records
    for record, found in zip(made, read, strict=True):
        assert same(record, found)
        assert same(record, AgentRecord.from_state(record.state()))


def test_tables_lie_one_after_the_other_and_say_whose_a_row_is(tmp_path: Path) -> None:
    """Rows of other shapes are padded, and have their own shape again when they are read."""
    made = [AgentRecord(agent, digest="a") for agent in range(3)]
    for record, wide in zip(made[1:], (2, 3), strict=True):
        rows = np.arange(4 * wide, dtype=np.int64).reshape(2, 2, wide)
        record.tables["own"] = {"rows": rows, "wall_s": np.ones(2), "flag": np.array([True, False])}
    write_results(tmp_path / "results.h5", made, [])
    with h5py.File(tmp_path / "results.h5") as file:
        assert file["tables/own/agent"][()].tolist() == [1, 1, 2, 2]
        assert set(file["timing/own"]) == {"wall_s"}
    read = read_results(tmp_path / "results.h5").records
    assert all(same(record, found) for record, found in zip(made, read, strict=True))


def test_counters_are_columns_and_may_be_missing(tmp_path: Path) -> None:
    made = [AgentRecord(0, counters={"flops": 3, "own": 0}), AgentRecord(1, counters={"flops": 4})]
    write_results(tmp_path / "results.h5", made, [])
    read = read_results(tmp_path / "results.h5").records
    assert [record.counters for record in read] == [{"flops": 3, "own": 0}, {"flops": 4}]


def test_every_measure_is_an_array(tmp_path: Path) -> None:
    measures = (Measure("loss", better="lower"), ACCURACY)
    rows = [Evaluation(0, 1, {"loss": (0.25,), "accuracy": (float("nan"),)}, 0.5)]
    record = AgentRecord(0, evaluations=rows, measures=measures)
    write_results(tmp_path / "results.h5", [record], [])
    with h5py.File(tmp_path / "results.h5") as file:
        assert file["loss"].shape == file["accuracy"].shape == (1, 1, 1)
    (read,) = read_results(tmp_path / "results.h5").records
    assert read.measures == measures
    assert same(read, record)


def test_tables_of_other_columns_are_refused(tmp_path: Path) -> None:
    made = [
        AgentRecord(0, tables={"own": {"a": np.ones(1)}}),
        AgentRecord(1, tables={"own": {"b": np.ones(1)}}),
    ]
    with pytest.raises(RecordError, match="same columns"):
        write_results(tmp_path / "results.h5", made, [])


def test_accuracy_is_one_array_padded_with_nan(
    tmp_path: Path, synthetic: SimpleNamespace, mixed: list[AgentRecord]
) -> None:
    write_results(tmp_path / "results.h5", mixed, [])
    with h5py.File(tmp_path / "results.h5") as file:
        accuracy = file["accuracy"][()]
        assert accuracy.shape == (5, 18, 3)
        assert accuracy[0, 0, 0] == mixed[0].evaluations[0].main[0]
        assert np.isnan(accuracy[0, 0, 1:]).all()
        assert np.isnan(accuracy[3]).all()
        assert accuracy[4, 0].tolist() == [0.5, 0.1, 0.2], "tasks to come follow those seen"


def test_same_records_give_the_same_bytes_later(
    tmp_path: Path, synthetic: SimpleNamespace, mixed: list[AgentRecord]
) -> None:
    for name in ("one", "two"):
        write_results(tmp_path / name, mixed, synthetic.RING)
        time.sleep(1.1)  # HDF5 object times have a resolution of one second
    first, second = ((tmp_path / name).read_bytes() for name in ("one", "two"))
    assert hashlib.sha256(first).digest() == hashlib.sha256(second).digest()


def test_timing_touches_nothing_outside_its_group(
    tmp_path: Path, synthetic: SimpleNamespace, mixed: list[AgentRecord]
) -> None:
    slow = deepcopy(mixed)
    for record in slow:
        record.timing = {name: 2 * value for name, value in record.timing.items()}
        record.peak_rss_bytes *= 2
    write_results(tmp_path / "one", mixed, synthetic.RING)
    write_results(tmp_path / "two", slow, synthetic.RING)
    with h5py.File(tmp_path / "one") as one, h5py.File(tmp_path / "two") as two:
        found: list[str] = []
        one.visititems(lambda name, item: found.append(name) if isinstance(item, h5py.Dataset) else None)
        differ = [name for name in found if one[name][()].tobytes() != two[name][()].tobytes()]
    assert differ
    assert all(name.startswith("timing/") for name in differ)


@pytest.mark.parametrize("keep", [0, 10, 900, 4000])
def test_a_file_cut_short_is_named(tmp_path: Path, mixed: list[AgentRecord], keep: int) -> None:
    path = tmp_path / "results.h5"
    write_results(path, mixed, [])
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(RunFolderError, match=r"results\.h5"):
        read_results(path)


def test_another_hdf5_file_is_refused(
    tmp_path: Path, synthetic: SimpleNamespace, mixed: list[AgentRecord]
) -> None:
    with h5py.File(tmp_path / "results.h5", "w") as file:
        file["x"] = 1
    with pytest.raises(RunFolderError, match="should have the format"):
        read_results(tmp_path / "results.h5")


def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, synthetic: SimpleNamespace, mixed: list[AgentRecord]
) -> None:
    path = tmp_path / "results.h5"
    write_results(path, mixed, [])
    before = path.read_bytes()
    with pytest.raises(AttributeError):
        write_results(path, [None], [])  # type: ignore[list-item]
    assert path.read_bytes() == before
    assert [child.name for child in tmp_path.iterdir()] == ["results.h5"]


def test_results_that_the_disk_has_no_room_for_are_one_message(
    tmp_path: Path, synthetic: SimpleNamespace
) -> None:
    # HDF5 writes most of a small file when it is closed, and fails there with a RuntimeError.
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, usual[1]))
    try:
        with pytest.raises(RunFolderError, match=r"results\.h5` cannot be written"):
            write_results(tmp_path / "results.h5", synthetic.records(), synthetic.RING)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)
    assert list(tmp_path.iterdir()) == []
