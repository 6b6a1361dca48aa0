"""A run folder is made, found again, resumed, and never confused with another one."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from mpidcl.errors import RunFolderError
from mpidcl.record.environment import environment, environment_changes, source_commit
from mpidcl.record.folder import RunFolder, RunState, locate, open_beside, open_folder
from mpidcl.record.identity import Identity, read_identity
from mpidcl.record.lock import Lock
from mpidcl.record.records import Evaluation
from mpidcl.views.summary import summarise


def test_states_follow_each_other(tmp_path: Path, synthetic: SimpleNamespace) -> None:
    folder = RunFolder(tmp_path / "runs" / "a")
    toml = synthetic.experiment_toml()
    assert open_folder(folder, toml, {}) is RunState.NEW
    assert open_folder(folder, toml, {}) is RunState.NEW  # nothing was learned in between
    folder.journal(0).append(Evaluation(0, 0, {"accuracy": (0.5,)}))
    assert open_folder(folder, toml, {}) is RunState.UNFINISHED
    folder.finish(synthetic.records(), synthetic.RING, summarise(synthetic.records()))
    assert open_folder(folder, toml, {}) is RunState.FINISHED


def test_another_experiment_is_refused_with_the_keys_that_differ(
    tmp_path: Path, synthetic: SimpleNamespace
) -> None:
    folder = RunFolder(tmp_path)
    open_folder(folder, synthetic.experiment_toml(), {})
    folder.journal(0).append(Evaluation(0, 0, {"accuracy": (0.5,)}))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    changed = synthetic.experiment_toml(seed=3, exchange=False).replace("0.001", "0.01")
    with pytest.raises(RunFolderError) as caught:
        open_folder(folder, changed, {})
    lines = [line.split() for line in str(caught.value).splitlines()]
    assert ["key", "there", "here"] in lines
    assert ["learning.lr", "0.001", "0.01"] in lines
    assert ["seed", "0", "3"] in lines
    assert ["exchange.0.kind", "parameters", "(absent)"] in lines
    assert not any(line[:1] == ["stream.tasks"] for line in lines)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_layout_of_the_text_is_no_difference(tmp_path: Path, synthetic: SimpleNamespace) -> None:
    toml = synthetic.experiment_toml()
    open_folder(RunFolder(tmp_path), toml, {})
    RunFolder(tmp_path).journal(0).append(Evaluation(0, 0, {"accuracy": (0.5,)}))
    again = open_folder(RunFolder(tmp_path), "# a comment\n" + toml.replace(" = ", "="), {})
    assert again is RunState.UNFINISHED


def test_before_anything_is_learned_the_experiment_may_still_be_mended(
    tmp_path: Path, synthetic: SimpleNamespace
) -> None:
    folder = RunFolder(tmp_path)
    open_folder(folder, synthetic.experiment_toml(), {})
    mended = synthetic.experiment_toml(seed=3)
    assert open_folder(folder, mended, {}) is RunState.NEW
    assert folder.experiment_file.read_text() == mended


def test_a_folder_with_other_files_is_refused_and_untouched(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(RunFolderError, match="--out"):
        open_folder(RunFolder(tmp_path), "seed = 0", {})
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def files(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("others", [(), ("own_term.py",), ("checkpoints/best.pt",), ("run.lock/x",)])
def test_a_users_own_experiment_file_is_never_replaced(tmp_path: Path, others: tuple[str, ...]) -> None:
    """`mpidcl run my/experiment.toml --out my`."""
    (tmp_path / "experiment.toml").write_text("# mine\nseed = 1\n")
    for name in others:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    before = files(tmp_path)
    with pytest.raises(RunFolderError, match="nothing that a run leaves there"):
        open_folder(RunFolder(tmp_path), "seed = 0", {})
    with pytest.raises(RunFolderError, match="stay untouched"), closing(Lock()) as lock:
        open_beside(RunFolder(tmp_path), "seed = 0", {}, lock)
    assert files(tmp_path) == before


def test_a_folder_of_a_start_that_was_killed_early_is_new(tmp_path: Path) -> None:
    (tmp_path / "run.lock").touch()
    (tmp_path / ".experiment.toml.4711.part").write_text("seed")
    assert open_folder(RunFolder(tmp_path), "seed = 0", {}) is RunState.NEW


def test_an_unfinished_run_of_an_older_version_is_not_gone_on_with(
    tmp_path: Path, synthetic: SimpleNamespace
) -> None:
    folder = RunFolder(synthetic.write_run(tmp_path / "old"))
    (folder.path / "run.lock").unlink()
    toml = folder.experiment_file.read_text()
    assert open_folder(folder, toml, {}) is RunState.FINISHED  # a finished one can still be looked at
    folder.summary_file.unlink()
    folder.checkpoints.mkdir(exist_ok=True)
    before = files(folder.path)
    with pytest.raises(RunFolderError, match="older version"):
        open_folder(folder, toml, {})
    assert files(folder.path) == before


def test_an_experiment_file_that_says_the_same_keeps_its_comments(tmp_path: Path) -> None:
    open_folder(RunFolder(tmp_path), "seed = 0", {})
    (tmp_path / "experiment.toml").write_text("# why\nseed = 0\n")
    assert open_folder(RunFolder(tmp_path), "seed = 0", {}) is RunState.NEW
    assert (tmp_path / "experiment.toml").read_text() == "# why\nseed = 0\n"


def test_a_name_too_long_for_the_disk_is_said(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="too long"):
        open_folder(RunFolder(tmp_path / ("x" * 300)), "seed = 0", {})


@pytest.mark.parametrize("finished", [False, True])
def test_a_run_is_what_it_was_begun_with(tmp_path: Path, synthetic: SimpleNamespace, finished: bool) -> None:
    folder, toml = RunFolder(tmp_path), synthetic.experiment_toml()
    method = {"mine": {"file": "/a/mine.py", "sha256": "ab"}}
    begun = Identity("e", {"0": "1 2", "1": "0"}, {"mnist": "f00"}, method)
    open_folder(folder, toml, {}, identity=begun)
    assert read_identity(tmp_path) == begun
    folder.journal(0).append(Evaluation(0, 0, {"accuracy": (0.5,)}))
    (folder.checkpoints / "001000").mkdir()
    (folder.checkpoints / "001000" / "manifest.json").touch()
    if finished:
        folder.finish(synthetic.records(), synthetic.RING, summarise(synthetic.records()))
    moved = {"mine": {"file": "/b/mine.py", "sha256": "ab"}}
    assert open_folder(folder, toml, {}, identity=replace(begun, methods=moved)) is not RunState.NEW
    for other, said in (
        (replace(begun, links={"0": "1", "2": "0"}), "link 0 -> 2: only there\n  link 1 -> 0: only there"),
        (replace(begun, links={**begun.links, "2": "0"}), "link 2 -> 0: only here"),
        (replace(begun, data={"mnist": "ba7"}), "the data set mnist: there f00, here ba7"),
        (replace(begun, methods={"mine": {"file": "/b/mine.py", "sha256": "cd"}}), "/b/mine.py was changed"),
        (replace(begun, methods={}), "/a/mine.py was used and is not any more"),
    ):
        with pytest.raises(RunFolderError) as caught:
            open_folder(folder, toml, {}, identity=other)
        assert said in str(caught.value)
        assert "--again" in str(caught.value)


def test_a_run_that_has_saved_nothing_starts_again_with_what_is_there_now(tmp_path: Path) -> None:
    """A fault of an own method shows in the first step, is mended, and the same command is called again."""
    begun = Identity("e", {}, {}, {"mine": {"file": "/a/mine.py", "sha256": "ab"}})
    mended = replace(begun, methods={"mine": {"file": "/a/mine.py", "sha256": "cd"}})
    folder = RunFolder(tmp_path)
    open_folder(folder, "seed = 0", {}, identity=begun)
    folder.journal(0).append(Evaluation(0, 0, {"accuracy": (0.5,)}))
    assert open_folder(folder, "seed = 0", {}, identity=mended) is RunState.UNFINISHED
    assert read_identity(tmp_path) == mended
    with pytest.raises(RunFolderError, match="other settings"):
        open_folder(folder, "seed = 1", {}, identity=replace(mended, experiment="f"))


def test_how_long_to_wait_for_neighbours_may_change(tmp_path: Path) -> None:
    """Who gave up too early goes on with more patience."""
    folder = RunFolder(tmp_path)
    open_folder(folder, "seed = 0", {})
    folder.journal(0).append(Evaluation(0, 0, {"accuracy": (0.5,)}))
    patient = "seed = 0\n[network]\ndeadline = 7200.0"
    assert open_folder(folder, patient, {}) is RunState.UNFINISHED


def test_a_damaged_identity_file_is_not_believed(tmp_path: Path) -> None:
    begun = Identity("e", {"0": "1"}, {"mnist": "f00"})
    open_folder(RunFolder(tmp_path), "seed = 0", {}, identity=begun)
    whole = (tmp_path / "identity.json").read_bytes()
    for place in range(len(whole)):
        for damaged in (whole[:place], whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]):
            (tmp_path / "identity.json").write_bytes(damaged)
            assert read_identity(tmp_path) in (None, begun)  # begun: a blank or the last line end


def test_before_anything_is_learned_other_links_and_data_are_welcome(tmp_path: Path) -> None:
    for identity in (Identity("e", {"0": "1"}), Identity("e", {"0": "2"})):
        assert open_folder(RunFolder(tmp_path), "seed = 0", {}, identity=identity) is RunState.NEW
        assert read_identity(tmp_path) == identity


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("x")
    with pytest.raises(RunFolderError, match="should be a folder"):
        RunFolder(tmp_path / "runs").state()


def test_a_damaged_experiment_file_is_named(tmp_path: Path) -> None:
    open_folder(RunFolder(tmp_path), "seed = 0", {})
    (tmp_path / "experiment.toml").write_text("seed = ")
    with pytest.raises(RunFolderError, match=r"experiment\.toml"):
        open_folder(RunFolder(tmp_path), "seed = 0", {})


def test_again_takes_the_next_free_name(tmp_path: Path) -> None:
    first = tmp_path / "digits"
    for expected in ("digits", "digits-2", "digits-3"):
        with closing(Lock()) as lock:
            assert open_beside(RunFolder(first), "seed = 0", {}, lock).path == tmp_path / expected
    with closing(Lock()) as lock:
        lock.take(tmp_path / "digits-2")
        assert open_folder(RunFolder(first), "seed = 0", {}) is RunState.NEW
    assert locate("digits", first).path == first
    assert locate("digits").path == Path("runs/digits")


def test_journal_round_trip_and_cut(tmp_path: Path) -> None:
    rows = [Evaluation(0, tick, {"accuracy": (0.1 * tick,)}, tick / 5, 7 * tick, tick) for tick in range(5)]
    folder = RunFolder(tmp_path)
    open_folder(folder, "seed = 0", {})
    journal = folder.journal(3)
    for row in rows[:3]:
        journal.append(row)
    before = journal.path.read_bytes()
    for row in rows[3:]:
        journal.append(row)
    assert journal.read() == rows
    assert journal.restore(rows[:3])
    assert journal.path.read_bytes() == before
    assert journal.read() == rows[:3]
    assert journal.path.name == "agent-0003.jsonl"


def test_an_unfinished_line_is_left_out(tmp_path: Path) -> None:
    journal = RunFolder(tmp_path).journal(0)
    journal.path.parent.mkdir()
    journal.append(Evaluation(0, 0, {"accuracy": (0.5,)}))
    with journal.path.open("a") as file:
        file.write('{"agent": 0, "task": 0, "ti')
    assert journal.read() == [Evaluation(0, 0, {"accuracy": (0.5,)})]


@pytest.mark.parametrize(
    "line",
    ["{", "{}", "3", '{"agent": 1, "task": 0, "tick": 0, "accuracy": [1]}', '{"agent": 0, "\udcff": 1}'],
)
def test_a_damaged_line_is_named(tmp_path: Path, line: str) -> None:
    journal = RunFolder(tmp_path).journal(0)
    journal.path.parent.mkdir()
    journal.append(Evaluation(0, 0, {"accuracy": (0.5,)}))
    with journal.path.open("a", errors="surrogateescape") as file:
        file.write(line + "\n")
    with pytest.raises(RunFolderError, match="Line 2 of"):
        journal.read()


def test_whatever_was_lost_or_changed_before_the_checkpoint_is_written_again(tmp_path: Path) -> None:
    rows = [
        Evaluation(task, 0, {"accuracy": (0.5, float("nan"))}, task / 3, 7 * task, task) for task in range(3)
    ]
    journal = RunFolder(tmp_path).journal(0)
    journal.path.parent.mkdir()
    for row in rows:
        journal.append(row)
    whole = journal.path.read_bytes()
    for place in range(len(whole)):
        for damaged in (whole[:place], whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]):
            journal.path.write_bytes(damaged)
            assert not journal.restore(rows)
            assert journal.path.read_bytes() == whole
    journal.path.unlink()
    assert not journal.restore(rows)
    assert journal.path.read_bytes() == whole
    assert journal.restore(rows[:1])
    assert journal.restore([])
    assert journal.path.read_bytes() == b""


def test_environment_lists_versions_and_their_changes() -> None:
    here = environment("Open MPI 5.0.11", ["node1", "node2"], threads=1)
    assert here["packages"]["numpy"]
    assert environment_changes(here, here) == []
    there = here | {"packages": here["packages"] | {"numpy": "1.0"}}
    assert environment_changes(there, here) == [f"numpy: was 1.0, now {here['packages']['numpy']}"]


def work_tree(folder: Path, *, packed: bool = False) -> Path:
    """The package inside a clone at `folder` whose branch is at the commit `def`."""
    git = folder / ".git"
    (git / "refs" / "heads").mkdir(parents=True)
    (git / "HEAD").write_text("ref: refs/heads/main\n")
    if packed:
        (git / "packed-refs").write_text("# pack-refs\nabc refs/heads/main-2\ndef refs/heads/main\n")
    else:
        (git / "refs" / "heads" / "main").write_text("def\n")
    (folder / "mpidcl").mkdir()
    return folder / "mpidcl"


@pytest.mark.parametrize("packed", [False, True])
def test_the_commit_is_that_of_the_work_tree_that_holds_the_package(tmp_path: Path, packed: bool) -> None:
    assert source_commit(work_tree(tmp_path, packed=packed)) == ("def", "")
    (tmp_path / ".git" / "HEAD").write_text("abcdef\n")
    assert source_commit(tmp_path / "mpidcl") == ("abcdef", "")


def test_an_added_work_tree_has_a_file_in_place_of_the_folder(tmp_path: Path) -> None:
    work_tree(tmp_path / "clone")
    added = tmp_path / "clone" / ".git" / "worktrees" / "added"
    added.mkdir(parents=True)
    (added / "HEAD").write_text("ref: refs/heads/main\n")
    (added / "commondir").write_text("../..\n")
    (tmp_path / "added" / "mpidcl").mkdir(parents=True)
    (tmp_path / "added" / ".git").write_text(f"gitdir: {added}\n")
    assert source_commit(tmp_path / "added" / "mpidcl") == ("def", "")


def test_the_current_folder_does_not_decide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inside = environment(None, [], threads=1)
    work_tree(tmp_path)
    monkeypatch.chdir(tmp_path)
    outside = environment(None, [], threads=1)
    assert inside == outside and outside["commit"] != "def"


def test_another_project_around_an_installed_package_is_not_its_work_tree(tmp_path: Path) -> None:
    work_tree(tmp_path)
    installed = tmp_path / ".venv" / "lib" / "site-packages" / "mpidcl"
    installed.mkdir(parents=True)
    commit, why = source_commit(installed)
    assert commit is None and "not from a git work tree" in why
    here = environment(None, [], 1, installed)
    assert (here["commit"], here["commit_unknown"]) == (None, why)


def test_an_installation_from_a_git_address_knows_its_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Installed:
        def locate_file(self, name: str) -> Path:
            return tmp_path / name

        def read_text(self, name: str) -> str:
            return '{"url": "https://example.org/mpidcl", "vcs_info": {"vcs": "git", "commit_id": "fed"}}'

    monkeypatch.setattr("mpidcl.record.environment.metadata.distribution", lambda name: Installed())
    assert source_commit(tmp_path / "mpidcl") == ("fed", "")
    assert source_commit(tmp_path / "other" / "mpidcl")[0] is None


@pytest.mark.parametrize("damage", ["ref: refs/heads/.invalid", b"\xff\xfe", None])
def test_a_commit_that_cannot_be_read_has_a_reason(tmp_path: Path, damage: str | bytes | None) -> None:
    package = work_tree(tmp_path)
    head = tmp_path / ".git" / "HEAD"
    if damage is None:
        head.unlink()
    else:
        head.write_bytes(damage if isinstance(damage, bytes) else damage.encode())
    commit, why = source_commit(package)
    assert commit is None and str(tmp_path / ".git") in why


def test_another_device_is_told_of(tmp_path: Path) -> None:
    """`device = "auto"`: begun with a GPU, gone on with on another machine."""
    there, here = environment(None, [], 1, device="cuda"), environment(None, [], 1)
    assert environment_changes(there, here) == ["device: was cuda, now cpu"]
    del there["device"]  # an older version has not noted it
    assert environment_changes(there, here) == []
