"""States on disk: what goes in comes out, nothing is pickled, and what is damaged or foreign is named."""

import hashlib
import json
import pickle

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mpidcl.errors import CheckpointError
from mpidcl.record.checkpoint import Image, read_parts, read_state, verify_file, write_state
from mpidcl.record.groups import write_group

keys = st.text(
    st.characters(blacklist_characters="/\0", blacklist_categories=("Cs",)), min_size=1, max_size=8
).filter(lambda key: key not in (".", "(plain values)"))
plain = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(st.characters(blacklist_categories=("Cs",))),
)
leaves = st.one_of(
    plain,
    st.lists(plain, max_size=3),
    hnp.arrays(
        st.sampled_from(
            ["bool", "uint8", "int32", "int64", "uint64", "float16", "float32", "float64", "complex64"]
        ),
        hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3),
    ),
)
states = st.recursive(
    st.dictionaries(keys, leaves, max_size=4),
    lambda inner: st.dictionaries(keys, inner | leaves, max_size=3),
    max_leaves=4,
)


def assert_same(a, b):
    assert type(a) is type(b)
    if isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            assert_same(a[key], b[key])
    elif isinstance(a, np.ndarray):
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        assert a.tobytes() == b.tobytes()
    elif isinstance(a, list):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            assert_same(x, y)
    else:
        assert a == b


@given(states)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_goes_in_comes_out(tmp_path, state):
    size, sha256 = write_state(tmp_path / "agent.h5", state)
    data = (tmp_path / "agent.h5").read_bytes()
    assert (len(data), hashlib.sha256(data).digest()) == (size, sha256)
    assert_same(read_state(tmp_path / "agent.h5"), state)


STATE = {
    "learner": {"weights": np.arange(50_000, dtype=np.float32), "moments": {"x": np.zeros((3, 4)), "n": 7}},
    "name": "Grüße", "none": None, "inf": float("inf"), "empty": {}, "list": [1, 2.5, "x"],
    "scalar": np.array(2.5),
}  # fmt: skip


def test_a_whole_state(tmp_path):
    write_state(tmp_path / "new" / "agent.h5", STATE)
    assert_same(read_state(tmp_path / "new" / "agent.h5"), STATE)


def test_nan_and_numbers_of_numpy(tmp_path):
    write_state(tmp_path / "a.h5", {"nan": float("nan"), "count": np.int64(3), "yes": np.bool_(True)})
    found = read_state(tmp_path / "a.h5")
    assert np.isnan(found["nan"])
    assert_same({key: found[key] for key in ("count", "yes")}, {"count": 3, "yes": True})


def test_the_same_state_gives_the_same_bytes(tmp_path):
    sums = {write_state(tmp_path / f"{n}.h5", STATE)[1] for n in range(2)}
    backwards = {key: STATE[key] for key in reversed(STATE)}
    assert len(sums) == 1
    write_state(tmp_path / "b.h5", backwards)
    assert_same(read_state(tmp_path / "b.h5"), STATE)


@given(st.dictionaries(st.sampled_from(["agent-0000", "agent-0001", "x/y", "z"]), states))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
def test_every_state_of_a_file_is_as_if_it_were_alone(tmp_path, parts):
    image = Image()
    for key, state in parts.items():
        image.add(key, state)
    image.write(tmp_path / "rank.h5")
    for state, wanted in zip(read_parts(tmp_path / "rank.h5", parts), parts.values(), strict=True):
        assert_same(state, wanted)


def test_the_picture_is_taken_at_once_and_written_later(tmp_path):
    state, image = {"x": np.zeros(10), "n": [1]}, Image()
    for key in "ab":
        image.add(key, state)
        state["x"] += 1
        state["n"].append(2)
    image.close()
    assert not list(tmp_path.iterdir())
    image.write(tmp_path / "a.h5")
    assert_same(read_parts(tmp_path / "a.h5", ["a"])[0], {"x": np.zeros(10), "n": [1]})
    assert_same(read_parts(tmp_path / "a.h5", ["b"])[0], {"x": np.ones(10), "n": [1, 2]})


def test_nothing_temporary_stays(tmp_path):
    for _ in range(2):
        write_state(tmp_path / "a.h5", STATE)
    assert [path.name for path in tmp_path.iterdir()] == ["a.h5"]


@pytest.mark.parametrize(
    ("state", "word"),
    [
        ({"x": {1, 2}}, "Found set (Object of type set is not JSON"),
        ({"x": b"bytes"}, "Found bytes"),
        ({"x": [np.int64(3)]}, "Found list (Object of type int64"),
        ({"x": {"y": object()}}, "under the key `x/y`"),
        ({"x": [np.zeros(3)]}, "Found list (Object of type ndarray"),
        ({"x": np.array([None, 1])}, "Found an array of object"),
        ({"x": np.array(["a"])}, "Found an array of <U1"),
        ({"x": np.zeros(2, "M8[s]")}, "Found an array of datetime64"),
        ({"x": np.zeros(2, "f4,i4")}, "Found an array of"),
        ({"a/b": 1}, "without '/'. Found 'a/b'"),
        ({".": np.zeros(1)}, "Found '.'"),
        ({"": np.zeros(1)}, "Found ''"),
        ({"a\0b": 1}, "should have keys"),
        ({3: 1}, "Found 3"),
        ({"(plain values)": 1}, "(plain values)"),
        ({"x": {"(small arrays)": np.zeros(1)}}, "(small arrays)"),
    ],
)
def test_what_a_state_cannot_hold(tmp_path, state, word):
    with pytest.raises(CheckpointError) as error:
        write_state(tmp_path / "a.h5", state)
    assert word in str(error.value)
    assert not (tmp_path / "a.h5").exists()


# --- damaged, foreign, missing -------------------------------------------------------------------


def test_damage_is_a_named_error_or_found_by_the_sum(tmp_path):
    path = tmp_path / "rank-0003.h5"
    size, sha256 = write_state(path, {"x": np.arange(20), "n": 1, "group": {"y": np.arange(3.0)}})
    good = path.read_bytes()
    for at in range(0, len(good), 61):
        bad = bytearray(good)
        bad[at] ^= 0xFF
        path.write_bytes(bad)
        with pytest.raises(CheckpointError, match=r"rank-0003.h5.*It was changed"):
            verify_file(path, size, sha256.hex())
        try:
            read_state(path)
        except CheckpointError as error:
            assert "rank-0003.h5" in str(error)


@pytest.mark.parametrize("length", [0, 1, 100, 700, 2000])
def test_truncated_files_are_named(tmp_path, length):
    path = tmp_path / "rank-0003.h5"
    size, sha256 = write_state(path, STATE)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(CheckpointError, match="rank-0003.h5` should be a file of states"):
        read_state(path)
    with pytest.raises(CheckpointError, match=f"rank-0003.h5` should have {size} bytes. Found {length}"):
        verify_file(path, size, sha256.hex())


def test_missing_files_are_named(tmp_path):
    with pytest.raises(CheckpointError, match="rank-0003.h5"):
        read_state(tmp_path / "rank-0003.h5")
    with pytest.raises(CheckpointError, match="rank-0003.h5` is missing"):
        verify_file(tmp_path / "rank-0003.h5", 1, "")


def foreign_hdf5(path, **attributes):
    with h5py.File(path, "w") as file:
        file.attrs.update(attributes)
        file["x"] = np.arange(3)


def foreign_group(path):
    with h5py.File(path, "w") as file:
        file.attrs["format"] = np.bytes_("mpidcl state 2")
        file.create_group("(plain values)")


def foreign_plain(text):
    def write(path):
        with h5py.File(path, "w") as file:
            file.attrs["format"] = np.bytes_("mpidcl state 2")
            file["(plain values)"] = np.frombuffer(text, np.uint8)

    return write


@pytest.mark.parametrize(
    "write",
    [
        lambda path: path.write_text("not HDF5"),
        lambda path: path.write_bytes(pickle.dumps({"x": 1})),
        lambda path: path.mkdir(),
        foreign_hdf5,
        lambda path: foreign_hdf5(path, format="mpidcl state 1"),
        lambda path: foreign_hdf5(path, format=np.bytes_("mpidcl state 2")),
        lambda path: foreign_hdf5(path, format=np.bytes_("mpidcl state 3")),
        lambda path: foreign_hdf5(path, format=np.bytes_("mpidcl state 4")),
        lambda path: foreign_hdf5(path, format=7),
        lambda path: foreign_hdf5(path, format=np.arange(3)),
        lambda path: foreign_hdf5(path, format=np.bytes_("mpidcl state 1")),
        foreign_group,
        foreign_plain(b"{"),
        foreign_plain(b"[1, 2]"),
        foreign_plain(b"\xff\xfe"),
        foreign_plain(b"3"),
    ],
)
def test_foreign_files_are_named(tmp_path, write):
    path = tmp_path / "rank-0003.h5"
    write(path)
    with pytest.raises(CheckpointError, match="rank-0003.h5` should "):
        read_state(path)


def test_nothing_in_a_file_can_run_code(tmp_path):
    """Plain values are one JSON text and arrays have plain types: there is no place for a pickle."""
    write_state(tmp_path / "a.h5", STATE)
    with h5py.File(tmp_path / "a.h5", "r") as file:
        found = []
        file.visititems(lambda name, item: found.append((name, getattr(item, "dtype", None))))
        assert all(dtype is None or dtype.kind in "biufc" for _, dtype in found)
        assert json.loads(file["(plain values)"][()].tobytes())["plain"]["list"] == [1, 2.5, "x"]


def write_in_groups(path, states):
    """A file as the version before this one has written it."""
    with h5py.File(path, "w") as file:
        file.attrs["format"] = np.bytes_("mpidcl state 2")
        for key, state in states.items():
            write_group(file.require_group(key), state)


def test_a_file_of_format_2_is_read(tmp_path):
    write_in_groups(tmp_path / "a.h5", {"/": STATE})
    assert_same(read_state(tmp_path / "a.h5"), STATE)
    write_in_groups(tmp_path / "b.h5", {"agent-0000": {}, "agent-0001": STATE})
    assert_same(read_parts(tmp_path / "b.h5", ["agent-0001", "agent-0000"]), [STATE, {}])
    assert_same(read_parts(tmp_path / "b.h5", ["agent-0001"], "learner")[0], STATE["learner"])
    with pytest.raises(CheckpointError, match=r"b.h5` should be a file of states.*`agent-0000`: .*learner"):
        read_parts(tmp_path / "b.h5", ["agent-0000"], "learner")


def test_a_checkpoint_of_an_older_version_is_refused_with_what_to_do(tmp_path):
    path = tmp_path / "state.h5"
    write_state(path, {"x": 1})
    with h5py.File(path, "r+") as file:
        file.attrs["format"] = np.bytes_("mpidcl state 1")
    with pytest.raises(CheckpointError, match=r"state 1'.*Finish it with that one.*--again"):
        read_state(path)
