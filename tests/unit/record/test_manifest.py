"""Which checkpoint a run goes on from: the newest whole one, and a damaged one is named and left out."""

import json
import shutil
from fractions import Fraction

import pytest

from mpidcl.errors import CheckpointError
from mpidcl.record.checkpoint import write_state
from mpidcl.record.manifest import (
    MARK,
    Complete,
    Manifests,
    agent_file,
    check_mark,
    cut_number,
    mark,
    newest_complete,
)
from mpidcl.record.sealed import read_sealed, write_sealed

AGENTS = 3
RUN = "5eed"


def save(manifests, folder, number, agents=range(AGENTS), time=None):
    time = Fraction(number, 1000) if time is None else time
    for agent in agents:
        state = {MARK: mark(agent, time, RUN), "of": f"agent {agent} at {time}"}
        manifests.add(time, agent, *write_state(agent_file(folder, number, agent), state))


def complete(number, time=None):
    return Complete(number, Fraction(number, 1000) if time is None else time, RUN)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "checkpoints"


def saved(folder, *numbers, keep=2):
    manifests = Manifests(folder, AGENTS, keep, RUN)
    for number in numbers:
        save(manifests, folder, number)
    return manifests


def newest(folder):
    warnings = []
    return newest_complete(folder, AGENTS, warnings.append, RUN), warnings


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_names_on_disk(folder):
    assert cut_number(Fraction(1, 3)) == 333
    assert cut_number(Fraction(10)) == 10_000
    assert agent_file(folder, 200, 3) == folder / "000200" / "agent-0003.h5"


def test_a_manifest_is_written_when_the_last_agent_has_saved(folder):
    manifests = Manifests(folder, AGENTS, 2, RUN)
    save(manifests, folder, 1000, agents=[2, 0])
    assert newest(folder) == (None, [])
    assert not (folder / "001000" / "manifest.json").exists()
    save(manifests, folder, 1000, agents=[1])
    assert newest(folder) == (complete(1000), [])
    found = json.loads((folder / "001000" / "manifest.json").read_text())
    assert list(found["files"]) == ["agent-0000.h5", "agent-0001.h5", "agent-0002.h5"]
    assert found["time"] == [1, 1]


def test_cuts_may_be_completed_out_of_step(folder):
    manifests = Manifests(folder, AGENTS, 2, RUN)
    save(manifests, folder, 1000, agents=[0, 1])
    save(manifests, folder, 2000, agents=[0])
    save(manifests, folder, 1000, agents=[2])
    assert newest(folder)[0].number == 1000
    assert names(folder) == ["001000", "002000"]
    save(manifests, folder, 2000, agents=[1, 2])
    assert newest(folder)[0].number == 2000


def test_the_exact_time_is_kept(folder):
    save(Manifests(folder, AGENTS, 2, RUN), folder, 333, time=Fraction(1, 3))
    assert newest(folder)[0] == complete(333, Fraction(1, 3))


def test_two_cuts_within_a_thousandth_of_a_task_are_not_mixed(folder):
    """`--until "21 epochs"` of 5000, and a checkpoint every 20: both are cut 4."""
    manifests, times = Manifests(folder, AGENTS, 2, RUN), (Fraction(20, 5000), Fraction(21, 5000))
    save(manifests, folder, 4, agents=[0], time=times[0])
    save(manifests, folder, 4, agents=[0], time=times[1])  # agent 0 runs ahead
    for time in times:
        save(manifests, folder, 4, agents=[1, 2], time=time)
    assert newest(folder) == (complete(4, times[1]), [])


@pytest.mark.parametrize("keep", [1, 2, 3])
def test_only_the_last_ones_are_kept(folder, keep):
    saved(folder, 1000, 2000, 3000, 4000, keep=keep)
    assert names(folder) == [f"{n:06d}" for n in (1000, 2000, 3000, 4000)[-keep:]]


def test_incomplete_ones_are_removed_with_their_elders_and_newer_ones_stay(folder):
    manifests = Manifests(folder, AGENTS, 2, RUN)
    save(manifests, folder, 1000, agents=[0])  # killed before the others saved
    saved(folder, 2000)
    save(manifests, folder, 4000, agents=[0])  # somebody runs ahead
    save(manifests, folder, 3000)
    assert names(folder) == ["002000", "003000", "004000"]
    assert newest(folder)[0].number == 3000


def test_incomplete_ones_are_not_counted_as_kept(folder):
    manifests = saved(folder, 1000)
    save(manifests, folder, 2000, agents=[0])
    save(manifests, folder, 3000)
    assert names(folder) == ["001000", "002000", "003000"]
    save(manifests, folder, 4000)
    assert names(folder) == ["003000", "004000"]


def test_other_things_in_the_folder_are_left_alone(folder):
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    (folder / "1-old").mkdir()
    saved(folder, 1000, 2000, 3000)
    assert names(folder) == ["002000", "003000", "1-old", "notes.txt"]
    assert newest(folder)[0].number == 3000


def test_no_folder_no_checkpoint(folder):
    assert newest(folder) == (None, [])


# --- damage --------------------------------------------------------------------------------------


def damage_byte(folder):
    path = agent_file(folder, 2000, 1)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def rewrite(change, sealed=True):
    """Change the manifest; `sealed`: with a checksum that fits again."""

    def damage(folder):
        path = folder / "002000" / "manifest.json"
        if sealed:
            write_sealed(path, change(read_sealed(path)))
        else:
            path.write_text(json.dumps(change(json.loads(path.read_text()))))

    return damage


def swap_agents(folder):
    """Two agents' files, and the manifest that goes with it."""
    one, other = (agent_file(folder, 2000, agent) for agent in (0, 1))
    one.rename(folder / "aside")
    other.rename(one)
    (folder / "aside").rename(other)
    rewrite(lambda m: m | {"files": swapped(m["files"])})(folder)


def swapped(files):
    return files | {
        "agent-0000.h5": files["agent-0001.h5"],
        "agent-0001.h5": files["agent-0000.h5"],
    }


def from_another_cut(folder):
    """An agent's file of the cut before, and the manifest that goes with it."""
    shutil.copy(agent_file(folder, 1000, 1), agent_file(folder, 2000, 1))
    older = read_sealed(folder / "001000" / "manifest.json")["files"]["agent-0001.h5"]
    rewrite(lambda m: m | {"files": m["files"] | {"agent-0001.h5": older}})(folder)


def from_another_run(folder):
    path = agent_file(folder, 2000, 1)
    size, sha256 = write_state(path, {MARK: mark(1, Fraction(2), "other")})
    entry = {"size": size, "sha256": sha256.hex()}
    rewrite(lambda m: m | {"files": m["files"] | {"agent-0001.h5": entry}})(folder)


DAMAGES = [
    (damage_byte, "agent-0001.h5"),
    (lambda folder: agent_file(folder, 2000, 2).unlink(), "agent-0002.h5"),
    (lambda folder: agent_file(folder, 2000, 0).write_bytes(b""), "agent-0000.h5"),
    (lambda folder: agent_file(folder, 1000, 1).replace(agent_file(folder, 2000, 0)), "agent-0000.h5"),
    (lambda folder: (folder / "002000" / "manifest.json").write_text("{"), "manifest.json"),
    (lambda folder: (folder / "002000" / "manifest.json").write_bytes(b"\xff\xfe"), "manifest.json"),
    (rewrite(lambda m: [], sealed=False), "manifest.json"),
    (rewrite(lambda m: m | {"time": [17, 10]}, sealed=False), "checksum"),
    (rewrite(lambda m: {key: m[key] for key in m if key != "checksum"}, sealed=False), "older version"),
    (rewrite(lambda m: m | {"time": [17, 10]}), "cut 001700"),
    (rewrite(lambda m: m | {"time": [2001, 1000]}), "cut 002001"),
    (rewrite(lambda m: m | {"time": [20001, 10000]}), "whose time is [2, 1], not [20001, 10000]"),
    (rewrite(lambda m: m | {"run": "other"}), "of the run with the identity 5eed"),
    (swap_agents, "whose agent is 1, not 0"),
    (from_another_cut, "whose time is [1, 1], not [2, 1]"),
    (from_another_run, "whose run is other, not 5eed"),
    (rewrite(lambda m: m | {"time": [1, 0]}), "manifest.json"),
    (rewrite(lambda m: m | {"time": [1, 2, 3]}), "manifest.json"),
    (rewrite(lambda m: m | {"time": None}), "manifest.json"),
    (rewrite(lambda m: m | {"files": {}}), "manifest.json"),
    (
        rewrite(lambda m: m | {"files": m["files"] | {"agent-0003.h5": m["files"]["agent-0000.h5"]}}),
        "manifest.json",
    ),
    (rewrite(lambda m: m | {"files": dict.fromkeys(m["files"], 3)}), "manifest.json"),
]


@pytest.mark.parametrize(("damage", "named"), DAMAGES)
def test_a_damaged_one_is_named_and_the_one_before_is_used(folder, damage, named):
    saved(folder, 1000, 2000)
    damage(folder)
    if not agent_file(folder, 1000, 1).exists():  # the damage took it from there
        with pytest.raises(CheckpointError):
            newest(folder)
        return
    found, warnings = newest(folder)
    assert found == complete(1000)
    assert len(warnings) == 1
    assert "checkpoint 002000 is damaged" in warnings[0]
    assert named in warnings[0]


def test_all_damaged_is_an_error(folder):
    saved(folder, 1000, 2000)
    for number in (1000, 2000):
        agent_file(folder, number, 0).write_bytes(b"")
    warnings = []
    with pytest.raises(
        CheckpointError,
        match=r"No undamaged checkpoint of this run is left in .* Start a new run with `--again`",
    ):
        newest_complete(folder, AGENTS, warnings.append)
    assert len(warnings) == 2


def test_another_number_of_agents_does_not_fit(folder):
    saved(folder, 1000)
    with pytest.raises(CheckpointError):
        newest_complete(folder, AGENTS + 1, lambda text: None)


def test_a_damaged_one_is_replaced_when_its_cut_is_reached_again(folder):
    saved(folder, 1000, 2000)
    damage_byte(folder)
    assert newest(folder)[0].number == 1000
    saved(folder, 2000)
    assert newest(folder) == (complete(2000), [])


def test_an_old_checkpoint_that_cannot_be_removed_stops_nothing(folder, monkeypatch):
    def refuse(path):
        raise OSError("Directory not empty")

    manifests = saved(folder, 1000, 2000)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", refuse)
        save(manifests, folder, 3000)
    assert newest(folder) == (complete(3000), [])
    save(manifests, folder, 4000)
    assert names(folder) == ["003000", "004000"]


def test_a_checkpoint_of_another_run_is_not_gone_on_with(folder):
    saved(folder, 1000, 2000)
    with pytest.raises(CheckpointError, match="of this run"):
        newest_complete(folder, AGENTS, lambda text: None, "other")
    assert newest_complete(folder, AGENTS, lambda text: None).number == 2000  # who only looks asks for none


def test_folders_that_were_renamed_are_noticed(folder):
    saved(folder, 1000, 2000)
    (folder / "002000").rename(folder / "003000")
    found, warnings = newest(folder)
    assert found == complete(1000)
    assert "cut 003000. Found the time 2, which is cut 002000" in warnings[0]


def test_a_state_is_compared_again_by_the_agent_that_loads_it(tmp_path):
    check_mark(tmp_path, mark(1, Fraction(1, 3), RUN), 1, Fraction(1, 3), RUN)
    for wrong in (
        mark(0, Fraction(1, 3), RUN),
        mark(1, Fraction(1, 2), RUN),
        mark(1, Fraction(1, 3), "x"),
        {},
    ):
        with pytest.raises(CheckpointError, match="should be the state of agent 1 at task 0.333333"):
            check_mark(tmp_path, wrong, 1, Fraction(1, 3), RUN)
