"""Format 3 of states: small arrays lie in one data set, large ones apart; damage is named."""

import json

import h5py
import numpy as np
import pytest

from mpidcl.errors import CheckpointError
from mpidcl.record.checkpoint import Image, read_parts, read_state, write_state
from mpidcl.record.packing import SMALL_BYTES

TABLE, SMALL = "(plain values)", "(small arrays)"
DTYPES = (
    "?", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8", "g", "c8", "c16",
    ">f8", ">i4", ">c8",
)  # fmt: skip
SHAPES = ((), (0,), (1,), (3,), (2, 0, 3), (2, 3), (1, 1, 1, 2), (4096, 2))


def of(dtype, shape):
    return (np.arange(np.prod(shape, dtype=int)) % 2).reshape(shape).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_arrays_of_every_type_and_shape_come_back(tmp_path, dtype, shape):
    """Between bytes that leave no other array where its type would like to begin."""
    state = {"a": np.array([7], np.uint8), "x": {"y": of(dtype, shape), "n": 1}, "z": np.array([9], np.uint8)}
    write_state(tmp_path / "a.h5", state)
    found = read_state(tmp_path / "a.h5")
    assert found["a"] == 7 and found["z"] == 9 and found["x"]["n"] == 1
    array = found["x"]["y"]
    assert (array.dtype, array.shape) == (np.dtype(dtype), shape)
    assert array.tobytes() == state["x"]["y"].tobytes()


def test_what_was_read_may_be_changed_and_is_nobody_elses(tmp_path):
    write_state(tmp_path / "a.h5", {"x": np.zeros(3), "y": np.zeros(3), "z": np.zeros(SMALL_BYTES)})
    found = read_state(tmp_path / "a.h5")
    for array in found.values():
        assert array.flags.writeable and array.flags.aligned and array.base is None
    found["x"] += 1
    assert not found["y"].any()


def test_views_are_saved_as_they_look(tmp_path):
    x = np.arange(12.0).reshape(3, 4)
    write_state(tmp_path / "a.h5", {"t": x.T, "s": x[::2, ::-1], "one": np.broadcast_to(x[0, 1], (5,))})
    found = read_state(tmp_path / "a.h5")
    assert found["t"].tolist() == x.T.tolist() and found["s"].tolist() == x[::2, ::-1].tolist()
    assert found["one"].tolist() == [1.0] * 5


def test_only_large_arrays_have_a_data_set_of_their_own(tmp_path):
    below, large = np.zeros(SMALL_BYTES - 1, np.uint8), np.ones(SMALL_BYTES, np.uint8)
    state = {
        "few": {str(n): np.zeros(4) for n in range(1000)},
        "deep": {"er": {"large": large, "below": below}},
    }
    write_state(tmp_path / "a.h5", state)
    names = []
    with h5py.File(tmp_path / "a.h5") as file:
        file.visit(names.append)
    assert sorted(names) == [TABLE, SMALL, "deep", "deep/er", "deep/er/large"]


def test_a_table_may_be_longer_than_an_attribute(tmp_path):
    state = {"text": "x" * 2**17, "list": list(range(10_000)), "a": {"x" * 2**16: np.arange(3)}}
    write_state(tmp_path / "a.h5", state)
    found = read_state(tmp_path / "a.h5")
    assert found["text"] == state["text"] and found["list"] == state["list"]
    assert found["a"]["x" * 2**16].tolist() == [0, 1, 2]


def test_one_part_of_one_state(tmp_path):
    image, large = Image(), np.arange(SMALL_BYTES)
    for n in range(3):
        state = {"p": {"x": np.array([n]), "large": large + n, "n": n}, "pp": {"x": np.zeros(2)}, "empty": {}}
        image.add(f"agent-{n}", state)
    image.write(tmp_path / "a.h5")
    for n, part in zip((2, 0), read_parts(tmp_path / "a.h5", ["agent-2", "agent-0"], "p"), strict=True):
        assert part.keys() == {"x", "large", "n"} and part["n"] == part["x"][0] == n
        assert np.array_equal(part["large"], large + n)
    assert read_parts(tmp_path / "a.h5", ["agent-1"], "empty") == [{}]
    for wrong in ("none", "p/x", "x"):
        with pytest.raises(CheckpointError, match=rf"a.h5`.*`agent-1`: .*a dict under `{wrong}`"):
            read_parts(tmp_path / "a.h5", ["agent-1"], wrong)


# --- damage -----------------------------------------------------------------------------------------

STATE = {
    "n": 1, "in": {"x": np.arange(3.0), "yes": np.array([True, False]), "list": [1]},
    "y": np.arange(4, dtype="i4"), "big": {"er": np.arange(SMALL_BYTES, dtype="f4")},
}  # fmt: skip


def table(change):
    """What rewrites the table of a state."""

    def damage(group):
        found = json.loads(group[TABLE][()].tobytes())
        replaced = change(found)
        rewrite(group, TABLE, json.dumps(found if replaced is None else replaced).encode())

    return damage


def rewrite(group, name, data):
    del group[name]
    group[name] = np.frombuffer(data, np.uint8)


def text(old, new):
    def damage(group):
        data = group[TABLE][()].tobytes()
        assert data.count(old) == 1
        rewrite(group, TABLE, data.replace(old, new))

    return damage


def small(key, *said):
    return table(lambda t: t["small"].update({key: list(said)}))


def replaced(name, make):
    def damage(group):
        data = group[name][()]
        del group[name]
        make(group, name, data)

    return damage


def virtual(group, name, data):
    group.file["elsewhere"] = data
    layout = h5py.VirtualLayout(data.shape, data.dtype)
    layout[:] = h5py.VirtualSource(group.file["elsewhere"])
    group.create_virtual_dataset(name, layout)


def never_written(group, name, data):
    group.create_dataset(name, (2**40,), data.dtype)


DAMAGES = {
    "no table": (lambda g: g.__delitem__(TABLE), "doesn't exist"),
    "no small arrays": (lambda g: g.__delitem__(SMALL), "(small arrays)"),
    "no large array": (
        lambda g: g.__delitem__("big/er"),
        "['big/er'] should be in the table and in the file",
    ),
    "no JSON": (lambda g: rewrite(g, TABLE, b"{"), "Expecting"),
    "half of the table": (lambda g: rewrite(g, TABLE, g[TABLE][()].tobytes()[:100]), "line 1"),
    "no UTF-8": (lambda g: rewrite(g, TABLE, b"\xff\xfe\xff"), "decode"),
    "a pickle": (lambda g: rewrite(g, TABLE, b"\x80\x04\x95\x00."), "decode"),
    "deep": (lambda g: rewrite(g, TABLE, b"[" * 10**6), "recursion"),
    "a list": (table(lambda t: [t]), "should have the keys plain, small and large"),
    "a key more": (table(lambda t: t | {"more": 1}), "should have the keys plain, small and large"),
    "a key less": (table(lambda t: {"plain": {}, "small": {}}), "should have the keys"),
    "plain is a list": (table(lambda t: t | {"plain": [1]}), "a dict under `plain`"),
    "small is a list": (table(lambda t: t | {"small": []}), "a dict under `small`"),
    "a value twice": (text(b'"n": 1', b'"n": 1, "n": 2'), "a key twice: 'n'"),
    "an array twice": (text(b'"in/x"', b'"y"'), "a key twice: 'y'"),
    "an array and a value": (table(lambda t: t["plain"].update(y=2)), "`y` should be one value"),
    "small and large": (small("big/er", "<f4", [0]), "`big/er` should be one value"),
    "in no dict": (text(b'"in/x"', b'"on/x"'), "a dict under `on`"),
    "in a list": (text(b'"in/x"', b'"in/list/x"'), "a dict under `list`, and has [1]"),
    "in an array": (text(b'"in/yes"', b'"in/x/yes"'), "a dict under `x`"),
    "without a name": (text(b'"in/x"', b'"in/"'), "`in/` should be one value"),
    "bytes too few": (
        lambda g: rewrite(g, SMALL, g[SMALL][()].tobytes()[:-1]),
        "should have the shape (42,)",
    ),
    "bytes too many": (lambda g: rewrite(g, SMALL, g[SMALL][()].tobytes() + b"\0"), "and has (43,)"),
    "another shape": (small("in/x", "<f8", [4]), "(small arrays)` should have the shape (50,)"),
    "a giant": (small("in/x", "<f8", [2**40]), "should have the shape (8796093022226,)"),
    "a giant of nothing": (
        small("none", "<f8", [0, 2**70]),
        "`none` should have a type of numbers and a shape",
    ),
    "a giant, nearly": (small("none", "<f8", [0] + [2**47] * 3), "`agent-0001`"),
    "too many axes": (small("none", "<f8", [0] * 99), "`agent-0001`"),
    "a negative shape": (small("in/x", "<f8", [-3]), "`in/x` should have a type of numbers and a shape"),
    "a fraction": (small("in/x", "<f8", [3.0]), "`in/x` should have"),
    "a truth": (small("in/x", "<f8", [True]), "`in/x` should have"),
    "no shape": (small("in/x", "<f8", 3), "`in/x` should have"),
    "too short": (small("in/x", "<f8"), "`in/x` should have"),
    "too long": (small("in/x", "<f8", [3], 0), "`in/x` should have"),
    "objects": (small("in/x", "|O", [3]), "`in/x` should have a type of numbers"),
    "objects of 8": (small("in/x", "|O8", [3]), "`in/x` should have a type of numbers"),
    "texts": (small("in/x", "<U2", [3]), "`in/x` should have a type of numbers"),
    "records": (small("in/x", "f4,f4", [3]), "`in/x` should have a type of numbers"),
    "no type": (small("in/x", "<f3", [3]), "<f3"),
    "a type of numbers": (small("in/x", 8, [3]), "`in/x` should have a type of numbers"),
    "no truth": (
        lambda g: rewrite(
            g, SMALL, g[SMALL][()].tobytes().replace(b"\1\0" + bytes(4), b"\2\0" + bytes(4), 1)
        ),
        "`in/yes` should hold bytes 0 and 1",
    ),
    "other numbers": (replaced(SMALL, lambda g, n, d: g.__setitem__(n, d.view("i1"))), "a data set of uint8"),
    "a group": (replaced(SMALL, lambda g, n, d: g.create_group(n)), "a data set of uint8"),
    "two axes": (replaced(SMALL, lambda g, n, d: g.__setitem__(n, d[None])), "and has (1, 42)"),
    "a text of two axes": (replaced(TABLE, lambda g, n, d: g.__setitem__(n, d[None])), "the shape of a text"),
    "a text of objects": (
        replaced(TABLE, lambda g, n, d: g.__setitem__(n, d.tobytes().decode())),
        "a data set of uint8, and is",
    ),
    "a table of giants": (replaced(TABLE, never_written), "should lie in one piece"),
    "large of another type": (
        replaced("big/er", lambda g, n, d: g.__setitem__(n, d.view("i4"))),
        "of float32",
    ),
    "large of another shape": (replaced("big/er", lambda g, n, d: g.__setitem__(n, d[1:])), "(16384,)"),
    "large and said so": (
        table(lambda t: t["large"].update({"big/er": ["<f4", [2**40]]})),
        "(1099511627776,)",
    ),
    "packed with zlib": (
        replaced("big/er", lambda g, n, d: g.create_dataset(n, data=d, compression="gzip")),
        "in one piece of 65536 bytes",
    ),
    "of another file": (replaced("big/er", virtual), "in one piece of 65536 bytes"),
    "never written": (
        replaced("big/er", lambda g, n, d: g.create_dataset(n, d.shape, d.dtype)),
        "in one piece",
    ),
    "one more": (
        lambda g: g.__setitem__("more", np.zeros(2)),
        "['more'] should be in the table and in the file",
    ),
    "a group more": (lambda g: g.create_group("in"), "['in'] should be in the table"),
    "no group": (lambda g: replaced_by_array(g), "it should be a group"),
}


def replaced_by_array(group):
    file, name = group.file, group.name
    del file[name]
    file[name] = np.zeros(3)


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_state_is_named(tmp_path, name):
    """File, agent, what should be; those beside it are read."""
    damage, words = DAMAGES[name]
    path, image = tmp_path / "rank-0003.h5", Image()
    for key in ("agent-0000", "agent-0001"):
        image.add(key, STATE)
    image.write(path)
    with h5py.File(path, "r+") as file:
        damage(file["agent-0001"])
    with pytest.raises(
        CheckpointError, match=r"rank-0003.h5` should be a file of states.*`agent-0001`: "
    ) as error:
        read_parts(path, ["agent-0000", "agent-0001"])
    assert words in str(error.value)
    assert np.array_equal(read_parts(path, ["agent-0000"])[0]["big"]["er"], STATE["big"]["er"])


def test_any_byte_of_a_packed_state_may_be_wrong(tmp_path):
    """What is read then has the form of a state, or it is a named error: `verify_file` finds the rest."""
    path = tmp_path / "rank-0003.h5"
    write_state(path, {"n": 1, "in": {"x": np.arange(3.0)}, "y": np.arange(4, dtype="i4")})
    good = path.read_bytes()
    begin = good.index(b'{"plain"')
    for at in range(begin, begin + 120):
        for bit in (0x01, 0x10, 0x80):
            bad = bytearray(good)
            bad[at] ^= bit
            path.write_bytes(bad)
            try:
                found = read_state(path)
            except CheckpointError as error:
                assert "rank-0003.h5" in str(error)
            else:
                arrays = [
                    v for v in (*found.values(), *found.get("in", {}).values()) if isinstance(v, np.ndarray)
                ]
                assert all(array.dtype.kind in "biufc" and array.nbytes <= 40 for array in arrays)
