"""Which checkpoint a run goes on from: the newest whole one, and a damaged one is named and left out."""

import json
import shutil
from fractions import Fraction

import pytest

from mpidcl.errors import CheckpointError
from mpidcl.record.checkpoint import write_state
from mpidcl.record.manifest import Complete, Manifests, agent_file, cut_number, newest_complete

AGENTS = 3


def save(manifests, folder, number, agents=range(AGENTS), time=None):
    if time is not None:
        manifests.times[number] = time
    for agent in agents:
        size, sha256 = write_state(agent_file(folder, number, agent), {"agent": agent, "cut": number})
        manifests.add(number, agent, size, sha256)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "checkpoints"


def saved(folder, *numbers, keep=2):
    manifests = Manifests(folder, AGENTS, keep)
    for number in numbers:
        save(manifests, folder, number)
    return manifests


def newest(folder):
    warnings = []
    return newest_complete(folder, AGENTS, warnings.append), warnings


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_names_on_disk(folder):
    assert cut_number(Fraction(1, 3)) == 333
    assert cut_number(Fraction(10)) == 10_000
    assert agent_file(folder, 200, 3) == folder / "000200" / "agent-0003.h5"


def test_a_manifest_is_written_when_the_last_agent_has_saved(folder):
    manifests = Manifests(folder, AGENTS, 2)
    save(manifests, folder, 1000, agents=[2, 0])
    assert newest(folder) == (None, [])
    assert not (folder / "001000" / "manifest.json").exists()
    save(manifests, folder, 1000, agents=[1])
    assert newest(folder) == (Complete(1000, Fraction(1)), [])
    found = json.loads((folder / "001000" / "manifest.json").read_text())
    assert list(found["files"]) == ["agent-0000.h5", "agent-0001.h5", "agent-0002.h5"]
    assert found["time"] == [1, 1]


def test_cuts_may_be_completed_out_of_step(folder):
    manifests = Manifests(folder, AGENTS, 2)
    save(manifests, folder, 1000, agents=[0, 1])
    save(manifests, folder, 2000, agents=[0])
    save(manifests, folder, 1000, agents=[2])
    assert newest(folder)[0].number == 1000
    assert names(folder) == ["001000", "002000"]
    save(manifests, folder, 2000, agents=[1, 2])
    assert newest(folder)[0].number == 2000


def test_the_exact_time_is_kept(folder):
    save(Manifests(folder, AGENTS, 2), folder, 333, time=Fraction(1, 3))
    assert newest(folder)[0] == Complete(333, Fraction(1, 3))


@pytest.mark.parametrize("keep", [1, 2, 3])
def test_only_the_last_ones_are_kept(folder, keep):
    saved(folder, 1000, 2000, 3000, 4000, keep=keep)
    assert names(folder) == [f"{n:06d}" for n in (1000, 2000, 3000, 4000)[-keep:]]


def test_incomplete_ones_are_removed_with_their_elders_and_newer_ones_stay(folder):
    manifests = Manifests(folder, AGENTS, 2)
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


def rewrite(change):
    def damage(folder):
        path = folder / "002000" / "manifest.json"
        content = json.loads(path.read_text())
        path.write_text(json.dumps(change(content)))

    return damage


DAMAGES = [
    (damage_byte, "agent-0001.h5"),
    (lambda folder: agent_file(folder, 2000, 2).unlink(), "agent-0002.h5"),
    (lambda folder: agent_file(folder, 2000, 0).write_bytes(b""), "agent-0000.h5"),
    (lambda folder: agent_file(folder, 1000, 1).replace(agent_file(folder, 2000, 0)), "agent-0000.h5"),
    (lambda folder: (folder / "002000" / "manifest.json").write_text("{"), "manifest.json"),
    (lambda folder: (folder / "002000" / "manifest.json").write_bytes(b"\xff\xfe"), "manifest.json"),
    (rewrite(lambda m: []), "manifest.json"),
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
    assert found == Complete(1000, Fraction(1))
    assert len(warnings) == 1
    assert "checkpoint 002000 is damaged" in warnings[0]
    assert named in warnings[0]


def test_all_damaged_is_an_error(folder):
    saved(folder, 1000, 2000)
    for number in (1000, 2000):
        agent_file(folder, number, 0).write_bytes(b"")
    warnings = []
    with pytest.raises(
        CheckpointError, match=r"No undamaged checkpoint is left in .* Start a new run with `--again`"
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
    assert newest(folder) == (Complete(2000, Fraction(2)), [])


def test_an_old_checkpoint_that_cannot_be_removed_stops_nothing(folder, monkeypatch):
    def refuse(path):
        raise OSError("Directory not empty")

    manifests = saved(folder, 1000, 2000)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", refuse)
        save(manifests, folder, 3000)
    assert newest(folder) == (Complete(3000, Fraction(3)), [])
    save(manifests, folder, 4000)
    assert names(folder) == ["003000", "004000"]
