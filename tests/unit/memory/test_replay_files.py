"""A saved replay buffer goes on, on any number of agents; what is damaged or another one is refused."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from replay_fakes import CLASSES, FORMS, check, lives, made, settings

from mpidcl.errors import ReplayError
from mpidcl.memory.replay import files
from mpidcl.memory.replay.files import MANIFEST, save
from mpidcl.memory.replay.loading import load
from mpidcl.memory.replay.shared import SharedReplay
from mpidcl.network.inprocess import InProcessDriver


def drive(works):
    return InProcessDriver().drive(dict(enumerate(works)))


def saved(form, agents: int, folder: Path, steps: int = 20) -> list[SharedReplay]:
    """Agents that have pushed and saved."""
    every = lives(form, agents)
    drive(life.steps(steps) for life in every.values())
    drive(save(life.replay, folder) for life in every.values())
    return [life.replay for life in every.values()]


def loaded(form, agents: int, folder: Path) -> list[SharedReplay]:
    replays = [SharedReplay(form, agents, agent) for agent in range(agents)]
    drive(load(replay, folder) for replay in replays)
    return replays


def keys_of(replays) -> Counter:
    return Counter(k for r in replays for k in r.share.storage["key"][r.share.used()].tolist())


@pytest.mark.parametrize("name", FORMS)
def test_on_as_many_agents_everything_is_as_it_was(name, tmp_path):
    before, after = saved(FORMS[name], 3, tmp_path), loaded(FORMS[name], 3, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        MANIFEST, *(f"step-000000020-rank-000{agent}-0.h5" for agent in range(3))
    ]  # fmt: skip
    for one, other in zip(before, after, strict=True):
        _same(one.state(), other.state())


def _same(one, other):
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one.keys() - {"number"}:  # of the next request: saving has asked, too
            _same(one[key], other[key])
    else:
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("agents", [1, 2, 5])
@pytest.mark.parametrize("name", FORMS)
def test_on_another_number_nothing_is_lost_and_classes_keep_their_rooms(name, agents, tmp_path):
    form = FORMS[name]
    before, after = saved(form, 3, tmp_path), loaded(form, agents, tmp_path)
    assert keys_of(after) == keys_of(before)
    for replay in after:
        rows = {
            column.name: replay.share.storage[column.name][replay.share.used()] for column in form.columns
        }
        check(rows, 99)
        assert (replay.share.held <= replay.share.rooms).all()
        assert replay.step == 20 and np.array_equal(replay.sizes, after[0].sizes)
        if form.parted:
            assert np.array_equal(rows["y"], np.repeat(np.arange(CLASSES), replay.share.held))
    held = np.array([len(replay.share) for replay in after])
    of_class = np.array([np.bincount(_labels(replay), minlength=CLASSES) for replay in after])
    if form.policy != "reservoir":
        assert np.ptp(held) <= (CLASSES if form.parted else 1)
    if form.classes is not None:
        assert np.ptp(of_class, axis=0).max() <= 1
    assert sum(replay.share.seen.sum() for replay in after) <= sum(r.share.seen.sum() for r in before) + 20
    _go_on(after)


def _labels(replay):
    return replay.share.storage["y"][replay.share.used()]


def _go_on(replays):
    """They draw and insert as others do; the first rows come two steps later."""

    def life(replay):
        first = yield from replay.wait()
        assert first.rows == 0
        for step in range(20, 26):
            yield from replay.push(made(10**6 * replay.agent + 10 * step + np.arange(3)))
            drawn = yield from replay.wait()
            check({name: drawn.block[name] for name in ("key", "x", "y", "crc")}, step + 2)
            assert drawn.rows == sum(replay.settings.draws)

    drive(life(replay) for replay in replays)
    for replay in replays:
        check(
            {name: replay.share.storage[name][replay.share.used()] for name in ("key", "x", "y", "crc")}, 99
        )


def test_a_window_of_the_latest_rows_stays_one(tmp_path):
    """What is oldest on an agent is overwritten first, also after rows were dealt."""
    form = settings("12 rows", policy="fifo")
    saved(form, 3, tmp_path)
    after = loaded(form, 2, tmp_path)
    for replay in after:
        share = replay.share
        order = np.argsort(share.storage["sequence"], kind="stable")
        oldest = set(share.storage["key"][order[:2]].tolist())
        share.insert(share.check(made([7 * 10**6, 7 * 10**6 + 1])))
        assert not oldest & set(share.storage["key"].tolist())


def test_pieces_give_the_same_files(tmp_path, monkeypatch):
    saved(FORMS["candidate per class"], 2, tmp_path / "whole")
    monkeypatch.setattr(files, "PIECE_BYTES", 300)
    before = saved(FORMS["candidate per class"], 2, tmp_path / "parts")
    for name in ("whole", "parts"):
        after = loaded(FORMS["candidate per class"], 2, tmp_path / name)
        for one, other in zip(before, after, strict=True):
            _same(one.state(), other.state())
        assert keys_of(loaded(FORMS["candidate per class"], 3, tmp_path / name)) == keys_of(before)


def test_a_folder_always_holds_one_buffer(tmp_path, monkeypatch):
    """A save that ends in the middle leaves the last one whole; the next one clears up."""
    form = FORMS["reservoir"]
    replays = saved(form, 2, tmp_path)
    before = keys_of(replays)
    with monkeypatch.context() as patch:
        patch.setattr(files, "_complete", lambda *_: (_ for _ in ()).throw(ReplayError("the disk is full")))
        with pytest.raises(ReplayError, match="rank 0: the disk is full"):
            drive(save(replay, tmp_path) for replay in replays)
    assert keys_of(loaded(form, 2, tmp_path)) == before
    drive(save(replay, tmp_path) for replay in replays)
    assert len(list(tmp_path.iterdir())) == 3
    assert keys_of(loaded(form, 2, tmp_path)) == before


def test_a_folder_that_cannot_be_written_is_told_by_all(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ReplayError, match=r"rank 0: .*cannot be written"):
        saved(FORMS["reservoir"], 2, tmp_path / "file")


# --- what is refused -----------------------------------------------------------------------------


def _truncate(folder, path):
    path.write_bytes(path.read_bytes()[:-100])


def _damage(folder, path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def _other_manifest(change):
    def edit(folder, path):
        from mpidcl.record.sealed import read_sealed, write_sealed

        content = read_sealed(folder / MANIFEST)
        change(content)
        write_sealed(folder / MANIFEST, content)

    return edit


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lambda folder, path: path.unlink(), r"rank 1: .*step-000000006-rank-0001-0.h5` is missing"),
        (_truncate, r"rank 1: .*rank-0001-0.h5` should have [0-9]+ bytes"),
        (_damage, r"rank 1: .*rank-0001-0.h5` should have the sha256"),
        (lambda folder, path: (folder / MANIFEST).unlink(), "saved replay buffer. Found no replay.json"),
        (lambda folder, path: (folder / MANIFEST).write_text("{"), "replay.json` should say what was saved"),
        (
            lambda folder, path: (folder / MANIFEST).write_text(json.dumps({"format": "mpidcl replay 1"})),
            "it has no checksum",
        ),
        (_other_manifest(lambda c: c.update(format="9")), "it has the format '9'"),
        (_other_manifest(lambda c: c["settings"].update(capacity="9 rows")), "capacity: 60 rows. Found 9"),
        (_other_manifest(lambda c: c["settings"].update(columns="x <f4 [3]")), "the same columns: key <i8"),
    ],
)  # fmt: skip
def test_what_is_damaged_or_another_one_is_refused(harm, words, tmp_path):
    form = FORMS["reservoir"]
    saved(form, 2, tmp_path, steps=6)
    harm(tmp_path, tmp_path / "step-000000006-rank-0001-0.h5")
    for agents in (2, 3):
        with pytest.raises(ReplayError, match=words):
            loaded(form, agents, tmp_path)


def test_a_share_of_other_columns_is_refused(tmp_path):
    """The manifest fits and the file does not: somebody has put another one in its place."""
    form = FORMS["reservoir"]
    saved(form, 1, tmp_path / "a", 6)
    other = type(form)(form.columns[:2], form.capacity, form.draws)
    replay = SharedReplay(other, 1, 0)
    drive([replay.push({name: made([1])[name] for name in ("key", "x")})])
    drive([save(replay, tmp_path / "b")])
    a, b = (next((tmp_path / name).glob("*.h5")) for name in "ab")
    a.write_bytes(b.read_bytes())
    _other_manifest(lambda c: c["files"][0].update(size=a.stat().st_size, sha256=files.file_sha256(a)))(
        tmp_path / "a", a
    )
    with pytest.raises(ReplayError, match="its column `y` is not as declared"):
        loaded(form, 1, tmp_path / "a")


def test_rows_that_do_not_fit_into_the_rooms_of_fewer_ranks_are_refused(tmp_path):
    form = settings("20 rows", per_rank=True)
    saved(form, 3, tmp_path)
    with pytest.raises(
        ReplayError, match="room for 60 rows on each rank. Found room for 20: go on with more"
    ):
        loaded(form, 1, tmp_path)
