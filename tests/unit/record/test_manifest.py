"""Which checkpoint a run goes on from: the newest whole one, and a damaged one is named and left out."""

import json
import shutil
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpidcl.errors import CheckpointError
from mpidcl.record.checkpoint import Image, OlderCheckpointError, file_sha256
from mpidcl.record.groups import write_group
from mpidcl.record.manifest import (
    MARK,
    Complete,
    Manifests,
    agent_key,
    check_mark,
    mark,
    newest_complete,
    state_file,
)
from mpidcl.record.sealed import read_sealed, write_sealed

RANKS = (0, 0, 1, 2)
"""The process of each agent."""
AGENTS = len(RANKS)
RUN = "5eed"


def time_of(number):
    return Fraction(number, 3)


def write(folder, number, rank, ranks=RANKS, time=None):
    """The file of one process; its size and sha256."""
    image, time = Image(), time or time_of(number)
    for agent in (agent for agent, its in enumerate(ranks) if its == rank):
        image.add(agent_key(agent), {MARK: mark(agent, time, RUN), "record": {"of": f"{agent} at {time}"}})
    return image.write(state_file(folder, number, rank))


def save(manifests, folder, number, ranks=(0, 1, 2)):
    return [manifests.add(rank, number, time_of(number), *write(folder, number, rank)) for rank in ranks]


def complete(number):
    return Complete(number, time_of(number), RUN, tuple(f"rank-{rank:04d}.h5" for rank in RANKS))


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "checkpoints"


def saved(folder, *numbers, keep=2):
    manifests = Manifests(folder, RANKS, keep, RUN)
    for number in numbers:
        save(manifests, folder, number)
    return manifests


def newest(folder):
    warnings = []
    return newest_complete(folder, AGENTS, warnings.append, RUN), warnings


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@given(st.lists(st.integers(0, 4), min_size=1, max_size=9), st.data())
@settings(max_examples=40, deadline=None)
def test_agents_are_found_again_however_they_were_spread_over_files(where, data):
    used = sorted(set(where))
    ranks = [used.index(rank) for rank in where]
    with TemporaryDirectory() as name:
        folder = Path(name)
        manifests = Manifests(folder, ranks, 1, RUN)
        order = data.draw(st.permutations(range(len(used))))
        done = [manifests.add(rank, 1, time_of(1), *write(folder, 1, rank, ranks)) for rank in order]
        assert done == [False] * (len(used) - 1) + [True]
        found = newest_complete(folder, len(ranks), pytest.fail, RUN)
        assert found == manifests.newest == Complete.from_tables(json.loads(json.dumps(found.to_tables())))
        wanted = data.draw(st.permutations(range(len(ranks))))  # as any processes would ask
        states = list(found.read(folder, wanted))
    assert [agent for agent, _, _ in states] == wanted
    for agent, path, state in states:
        assert path == state_file(folder, 1, ranks[agent])
        assert state == {
            MARK: {"agent": agent, "time": [1, 3], "run": RUN},
            "record": {"of": f"{agent} at 1/3"},
        }


def test_names_on_disk(folder):
    assert state_file(folder, 200, 3) == folder / "000200" / "rank-0003.h5"
    saved(folder, 1)
    assert names(folder / "000001") == ["manifest.json", "rank-0000.h5", "rank-0001.h5", "rank-0002.h5"]
    found = read_sealed(folder / "000001" / "manifest.json")
    assert (found["cut"], found["time"], found["run"]) == (1, [1, 3], RUN)
    assert found["agents"] == [f"rank-{rank:04d}.h5" for rank in RANKS]
    assert found["files"].keys() == set(found["agents"])


def test_a_manifest_is_written_when_the_last_process_has_saved(folder):
    manifests = Manifests(folder, RANKS, 2, RUN)
    assert save(manifests, folder, 1, [2, 0]) == [False, False]
    assert newest(folder) == (None, [])
    assert save(manifests, folder, 1, [1]) == [True]
    assert newest(folder) == (complete(1), [])


@pytest.mark.parametrize("written", [(), (0,), (0, 2)])
def test_killed_between_two_files_of_a_cut(folder, written):
    """No manifest, so the cut before is used; the cut is written anew when it is reached again."""
    manifests = saved(folder, 1)
    save(manifests, folder, 2, written)
    assert newest(folder) == (complete(1), [])
    save(Manifests(folder, RANKS, 1, RUN, complete(1)), folder, 2)
    assert newest(folder) == (complete(2), [])
    assert names(folder) == ["000002"]


def test_cuts_may_be_begun_before_the_one_before_is_complete(folder):
    manifests = Manifests(folder, RANKS, 2, RUN)
    save(manifests, folder, 1, [0, 1])
    save(manifests, folder, 2, [0])
    save(manifests, folder, 1, [2])
    assert newest(folder)[0] == complete(1)
    assert names(folder) == ["000001", "000002"]
    save(manifests, folder, 2, [1, 2])
    assert newest(folder)[0] == complete(2)


def test_processes_that_disagree_about_a_cut_are_an_error(folder):
    manifests = Manifests(folder, RANKS, 2, RUN)
    save(manifests, folder, 1, [0])
    with pytest.raises(CheckpointError, match="Found 1/3, and 1/2 on rank 1"):
        manifests.add(1, 1, Fraction(1, 2), *write(folder, 1, 1))


@pytest.mark.parametrize("keep", [1, 2, 3])
def test_only_the_last_ones_are_kept(folder, keep):
    saved(folder, 1, 2, 3, 4, keep=keep)
    assert names(folder) == [f"{n:06d}" for n in (1, 2, 3, 4)[-keep:]]
    assert newest(folder) == (complete(4), [])


def test_incomplete_ones_are_removed_with_their_elders_and_newer_ones_stay(folder):
    manifests = Manifests(folder, RANKS, 2, RUN)
    save(manifests, folder, 1, [0])  # killed before the others saved
    saved(folder, 2)
    save(manifests, folder, 4, [0])  # somebody runs ahead
    save(manifests, folder, 3)
    assert names(folder) == ["000002", "000003", "000004"]
    assert newest(folder)[0] == complete(3)


def test_incomplete_ones_are_not_counted_as_kept(folder):
    manifests = saved(folder, 1)
    save(manifests, folder, 2, [0])
    save(manifests, folder, 3)
    assert names(folder) == ["000001", "000002", "000003"]
    save(manifests, folder, 4)
    assert names(folder) == ["000003", "000004"]


def test_files_of_more_processes_from_before_a_stop_do_not_stay(folder):
    saved(folder, 1, 2)
    damage_byte(folder)
    alone = [0] * AGENTS
    manifests = Manifests(folder, alone, 2, RUN, newest(folder)[0])
    manifests.add(0, 2, time_of(2), *write(folder, 2, 0, alone))
    assert names(folder / "000002") == ["manifest.json", "rank-0000.h5"]
    assert newest(folder)[0].files == ("rank-0000.h5",) * AGENTS


def test_other_things_in_the_folder_are_left_alone(folder):
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    (folder / "1-old").mkdir()
    saved(folder, 1, 2, 3)
    assert names(folder) == ["000002", "000003", "1-old", "notes.txt"]
    assert newest(folder)[0] == complete(3)


def test_no_folder_no_checkpoint(folder):
    assert newest(folder) == (None, [])


# --- damage --------------------------------------------------------------------------------------


def damage_byte(folder):
    path = state_file(folder, 2, 1)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def rewrite(change, sealed=True):
    """Change the manifest; `sealed`: with a checksum that fits again."""

    def damage(folder):
        path = folder / "000002" / "manifest.json"
        if sealed:
            write_sealed(path, change(read_sealed(path)))
        else:
            path.write_text(json.dumps(change(json.loads(path.read_text()))))

    return damage


def seal(folder, rank):
    """The manifest that goes with a file as it is now."""
    path = state_file(folder, 2, rank)
    entry = {"size": path.stat().st_size, "sha256": file_sha256(path)}
    rewrite(lambda m: m | {"files": m["files"] | {path.name: entry}})(folder)


def swap_agents(folder):
    """Two agents' states in one file, and the manifest that goes with it."""
    with h5py.File(state_file(folder, 2, 0), "r+") as file:
        file.move("agent-0000", "aside")
        file.move("agent-0001", "agent-0000")
        file.move("aside", "agent-0001")
    seal(folder, 0)


def from_another_cut(folder):
    shutil.copy(state_file(folder, 1, 1), state_file(folder, 2, 1))
    seal(folder, 1)


def from_another_run(folder):
    image = Image()
    image.add(agent_key(2), {MARK: mark(2, time_of(2), "other")})
    image.write(state_file(folder, 2, 1))
    seal(folder, 1)


def not_in_its_file(folder):
    rewrite(lambda m: m | {"agents": m["agents"][:2] + m["agents"][:1:-1]})(folder)


def outside(m):
    entry = {"../000001/rank-0000.h5": m["files"]["rank-0000.h5"]}
    agents = [name.replace("rank-0000.h5", "../000001/rank-0000.h5") for name in m["agents"]]
    return m | {"files": {**entry, **m["files"]}, "agents": agents}


DAMAGES = [
    (damage_byte, "rank-0001.h5"),
    (lambda folder: state_file(folder, 2, 2).unlink(), "rank-0002.h5"),
    (lambda folder: state_file(folder, 2, 0).write_bytes(b""), "rank-0000.h5"),
    (lambda folder: (folder / "000002" / "manifest.json").write_text("{"), "manifest.json"),
    (lambda folder: (folder / "000002" / "manifest.json").write_bytes(b"\xff\xfe"), "manifest.json"),
    (rewrite(lambda m: [], sealed=False), "manifest.json"),
    (rewrite(lambda m: m | {"time": [17, 10]}, sealed=False), "checksum"),
    (rewrite(lambda m: {key: m[key] for key in m if key != "checksum"}, sealed=False), "older version"),
    (rewrite(lambda m: m | {"cut": 3}), "of cut 2. Found that of cut 3"),
    (rewrite(lambda m: m | {"time": [20001, 30000]}), "whose time is [2, 3], not [6667, 10000]"),
    (rewrite(lambda m: m | {"run": "other"}), "of the run with the identity 5eed"),
    (rewrite(lambda m: m | {"format": "mpidcl state 4"}), "Found 'mpidcl state 4'"),
    (swap_agents, "whose agent is 1, not 0"),
    (not_in_its_file, "rank-0002.h5` should be a file of states. It cannot be read"),
    (from_another_cut, "whose time is [1, 3], not [2, 3]"),
    (from_another_run, "whose run is other, not 5eed"),
    (rewrite(lambda m: m | {"time": [1, 0]}), "manifest.json"),
    (rewrite(lambda m: m | {"time": [1, 2, 3]}), "manifest.json"),
    (rewrite(lambda m: m | {"time": None}), "manifest.json"),
    (rewrite(lambda m: m | {"files": {}}), "0 files"),
    (rewrite(lambda m: m | {"agents": m["agents"][:3]}), "each of 4 agents"),
    (rewrite(lambda m: m | {"files": m["files"] | {"more.h5": m["files"]["rank-0000.h5"]}}), "of 4 files"),
    (rewrite(lambda m: m | {"files": dict.fromkeys(m["files"], 3)}), "manifest.json"),
    (rewrite(outside), "is not a file of its folder"),
]


@pytest.mark.parametrize(("damage", "named"), DAMAGES)
def test_a_damaged_one_is_named_and_the_one_before_is_used(folder, damage, named):
    saved(folder, 1, 2)
    damage(folder)
    found, warnings = newest(folder)
    assert found == complete(1)
    assert len(warnings) == 1
    assert "checkpoint 000002 is damaged" in warnings[0]
    assert named in warnings[0]


def test_all_damaged_is_an_error(folder):
    saved(folder, 1, 2)
    for number in (1, 2):
        state_file(folder, number, 0).write_bytes(b"")
    warnings = []
    with pytest.raises(
        CheckpointError,
        match=r"No undamaged checkpoint of this run is left in .* Start a new run with `--again`",
    ):
        newest_complete(folder, AGENTS, warnings.append)
    assert len(warnings) == 2


def test_a_checkpoint_of_an_older_version_is_refused_with_what_to_do(folder):
    """Its manifests had no format, and a file for each agent."""
    saved(folder, 1, 2)
    rewrite(lambda m: {key: m[key] for key in ("time", "run", "files")})(folder)
    with pytest.raises(OlderCheckpointError, match=r"state 1'.*Finish it with that one.*--again"):
        newest(folder)


def test_a_checkpoint_of_format_2_goes_on(folder):
    """Its states were groups of data sets. The next cut is one of today, beside it."""
    saved(folder, 1, 2)
    for rank in sorted(set(RANKS)):
        path = state_file(folder, 2, rank)
        with h5py.File(path, "w") as file:
            file.attrs["format"] = np.bytes_("mpidcl state 2")
            for agent in (agent for agent in range(AGENTS) if RANKS[agent] == rank):
                write_group(file.create_group(agent_key(agent)), {MARK: mark(agent, time_of(2), RUN)})
        seal(folder, rank)
    rewrite(lambda m: m | {"format": "mpidcl state 2"})(folder)
    assert newest(folder) == (complete(2), [])
    assert [state[MARK]["agent"] for _, _, state in complete(2).read(folder, range(AGENTS))] == [0, 1, 2, 3]
    saved(folder, 3)
    assert newest(folder) == (complete(3), [])


def test_another_number_of_agents_does_not_fit(folder):
    saved(folder, 1)
    with pytest.raises(CheckpointError):
        newest_complete(folder, AGENTS + 1, lambda text: None)


def test_a_damaged_one_is_replaced_when_its_cut_is_reached_again(folder):
    saved(folder, 1, 2)
    damage_byte(folder)
    assert newest(folder)[0] == complete(1)
    saved(folder, 2)
    assert newest(folder) == (complete(2), [])


def test_an_old_checkpoint_that_cannot_be_removed_stops_nothing(folder, monkeypatch):
    def refuse(path):
        raise OSError("Directory not empty")

    manifests = saved(folder, 1, 2)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", refuse)
        save(manifests, folder, 3)
    assert newest(folder) == (complete(3), [])
    save(manifests, folder, 4)
    assert names(folder) == ["000003", "000004"]


def test_a_checkpoint_of_another_run_is_not_gone_on_with(folder):
    saved(folder, 1, 2)
    with pytest.raises(CheckpointError, match="of this run"):
        newest_complete(folder, AGENTS, lambda text: None, "other")
    assert newest_complete(folder, AGENTS, lambda text: None).number == 2  # who only looks asks for none


def test_folders_that_were_renamed_are_noticed(folder):
    saved(folder, 1, 2)
    (folder / "000002").rename(folder / "000003")
    found, warnings = newest(folder)
    assert found == complete(1)
    assert "of cut 3. Found that of cut 2" in warnings[0]


def test_a_state_is_compared_again_by_the_agent_that_loads_it(tmp_path):
    check_mark(tmp_path, mark(1, Fraction(1, 3), RUN), 1, Fraction(1, 3), RUN)
    for wrong in (
        mark(0, Fraction(1, 3), RUN),
        mark(1, Fraction(1, 2), RUN),
        mark(1, Fraction(1, 3), "x"),
        {},
    ):
        with pytest.raises(CheckpointError, match="should hold the state of agent 1 at task 0.333333"):
            check_mark(tmp_path, wrong, 1, Fraction(1, 3), RUN)
