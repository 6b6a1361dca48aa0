"""A run is what it was begun with: links, data, own code and checkpoints are compared before it goes on."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import pytest
from run_bits import bits

import mpidcl
from mpidcl.errors import EXIT_DONE, EXIT_RESUMABLE, DataError, ExperimentError, RunFolderError
from mpidcl.experiment.file import Experiment
from mpidcl.experiment.own_files import follow, own_methods
from mpidcl.experiment.reading import from_toml
from mpidcl.experiment.units import Cadence
from mpidcl.network.schedule.graphs import build_topology
from mpidcl.record.checkpoint import file_sha256
from mpidcl.record.sealed import read_sealed, write_sealed
from mpidcl.report.loaded import load_run
from mpidcl.run import simulation
from mpidcl.run.inputs import check_here, fingerprints, identity_of
from mpidcl.run.processes import Processes

EXPERIMENT = """
name = "begun"
agents = 3
[network]
topology = "file"
file = "EDGES"
[stream]
dataset = "own_data:Drawn"
tasks = 2
train_per_class = 6
[learning]
epochs = 2
terms = ["replay", "own_terms:Quiet"]
[[exchange]]
kind = "parameters"
when = "before"
every = "1 epochs"
from_task = 0
"""
DATA = """
import hashlib
from pathlib import Path
from mpidcl.errors import DataError
from mpidcl.stream.datasets.digits import Digits

FILE = Path(__file__).with_name("images.bin")

class Drawn(Digits):
    def fingerprint(self):
        if not FILE.is_file():
            raise DataError("images.bin is missing")
        return hashlib.sha256(FILE.read_bytes()).hexdigest()
"""
TERMS = """
from own_helper import SHARE
from mpidcl.learning.terms.replay import Replay

class Quiet(Replay):
    def loss(self, *arguments, **keys):
        found = super().loss(*arguments, **keys)
        return None if found is None else SHARE * found
"""
Go = Callable[..., int]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with an edge list, a data set and a term of the user's own."""
    (tmp_path / "edges.txt").write_text("0 - 1\n1 - 2\n")
    (tmp_path / "own_data.py").write_text(DATA)
    (tmp_path / "images.bin").write_bytes(b"pixels")
    (tmp_path / "own_terms.py").write_text(TERMS)
    (tmp_path / "own_helper.py").write_text("SHARE = 0.5\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in ("own_data", "own_terms", "own_helper"):
        sys.modules.pop(name, None)


def experiment(place: Path, *sets: str) -> Experiment:
    return from_toml(EXPERIMENT.replace("EDGES", str(place / "edges.txt")), sets)


def go(place: Path, out: str, until: str | None = None, again: bool = False) -> int:
    stop = None if until is None else Cadence.parse(until)
    return simulation.run(experiment(place), place / out, "inprocess", stop, again, quiet=True)


def change_links(place: Path) -> None:
    (place / "edges.txt").write_text("# the same in another order, and one link less\n2 1\n1 - 0\n")


def change_images(place: Path) -> None:
    (place / "images.bin").write_bytes(b"others")


def change_helper(place: Path) -> None:
    (place / "own_helper.py").write_text("SHARE = 0.25\n")


def test_settings_that_decide_nothing_may_change(place: Path) -> None:
    """Also when the whole run is called again, and when it is shown."""
    waits = ("network.deadline=20 s", 'checkpoint.every="1 h"', "checkpoint.keep=3")
    out, stop = place / "changing", Cadence.parse("1 task")
    assert simulation.run(experiment(place, *waits), out, "inprocess", stop, quiet=True) == EXIT_RESUMABLE
    assert load_run(out).settings["network.deadline"] == "20 s"
    assert go(place, "changing") == EXIT_DONE
    assert simulation.run(experiment(place, *waits), out, "inprocess", quiet=True, table=True) == EXIT_DONE
    assert go(place, "straight") == EXIT_DONE
    assert bits(out) == bits(place / "straight")


def test_a_run_beside_another_says_how_it_goes_on(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert go(place, "out") == EXIT_DONE
    assert go(place, "out", until="1 task", again=True) == EXIT_RESUMABLE
    assert (
        f"without --until with `--out {place / 'out-2'}` in place of --again goes on"
        in capsys.readouterr().err
    )


CHANGES = [
    (change_links, "link 1 -> 2: only there"),
    (change_images, "the data set digits: there 6ec9"),
    (change_helper, "own_helper.py was changed"),
]


def test_what_lies_outside_of_the_file_is_compared(place: Path) -> None:
    assert go(place, "stopped", "1 task") == EXIT_RESUMABLE
    assert go(place, "finished") == EXIT_DONE
    kept = {name: (place / name).read_bytes() for name in ("edges.txt", "images.bin", "own_helper.py")}
    for change, said in CHANGES:
        change(place)
        for run in ("stopped", "finished"):
            with pytest.raises(RunFolderError) as caught:
                go(place, run)
            assert said in str(caught.value)
            assert len([line for line in str(caught.value).splitlines() if line.startswith("  ")]) == 1
        for name, content in kept.items():
            (place / name).write_bytes(content)
    change_images(place)
    assert go(place, "finished", again=True) == EXIT_DONE
    assert bits(place / "finished-2") == bits(place / "finished")  # the images are not really read
    (place / "images.bin").write_bytes(kept["images.bin"])
    (place / "edges.txt").write_text("1 - 2  # says the same\n0 - 1\n")
    assert go(place, "stopped") == EXIT_DONE
    assert bits(place / "stopped") == bits(place / "finished")


def test_files_about_links_are_compared_to_the_byte(place: Path) -> None:
    """Also where they have the same links."""
    links = place / "links.csv"
    links.write_text("source,target,from,until\n0,1,,3 s\n1,0,,\n1,2,,\n2,1,,\n")
    sets = [
        "clock=virtual",
        f"network.changes={links}",
        'exchange=[{kind="parameters", when="after", share=0.5}]',
    ]

    speeds = place / "speeds.csv"
    speeds.write_text("source,target,latency\n0,1,20 ms\n")
    sets.append(f"network.conditions.file={speeds}")

    def go_on(out: str, until: str | None = None) -> int:
        whole = EXPERIMENT.replace('file = "EDGES"\n', "")
        stop = None if until is None else Cadence.parse(until)
        return simulation.run(from_toml(whole, sets), place / out, "inprocess", stop, quiet=True)

    assert go_on("stopped", "2 s") == EXIT_RESUMABLE
    kept = links.read_text()
    links.write_text(kept.replace("3 s", "4 s"))
    with pytest.raises(
        RunFolderError, match="the file of network.changes: there [0-9a-f]{12}, here [0-9a-f]{12}"
    ):
        go_on("stopped")
    links.write_text(kept)
    speeds.write_text("source,target,latency\n0,1,0.02\n")
    with pytest.raises(RunFolderError, match="the file of network.conditions.file: there "):
        go_on("stopped")
    speeds.write_text("source,target,latency\n0,1,20 ms\n")
    assert go_on("stopped") == EXIT_DONE and go_on("straight") == EXIT_DONE
    assert bits(place / "stopped") == bits(place / "straight")


def test_a_finished_run_is_shown_where_its_data_are_not(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert go(place, "run") == EXIT_DONE
    (place / "images.bin").unlink()
    assert go(place, "run") == EXIT_DONE
    assert "were not compared: images.bin is missing" in capsys.readouterr().err
    with pytest.raises(DataError):
        go(place, "other")
    assert not (place / "other").exists()


def flip_time(run: Path) -> None:
    file = run / "checkpoints" / "000002" / "manifest.json"
    file.write_text(file.read_text().replace("3,\n", "1,\n"))  # 3/2 -> 1/2


def swap_agents(run: Path) -> None:
    """Two agents' states, with a manifest that fits."""
    folder = run / "checkpoints" / "000002"
    path, manifest = folder / "rank-0000.h5", read_sealed(folder / "manifest.json")
    with h5py.File(path, "r+") as file:
        file.move("agent-0000", "aside")
        file.move("agent-0001", "agent-0000")
        file.move("aside", "agent-0001")
    manifest["files"][path.name] = {"size": path.stat().st_size, "sha256": file_sha256(path)}
    write_sealed(folder / "manifest.json", manifest)


def another_digit(run: Path) -> None:
    journal = run / "metrics" / "agent-0002.jsonl"
    journal.write_text(journal.read_text().replace('"accuracy": [0.', '"accuracy": [1.', 1))


def another_seed(run: Path) -> None:
    file = run / "experiment.toml"
    file.write_text(file.read_text().replace("seed = 0", "seed = 1"))


def no_toml(run: Path) -> None:
    (run / "experiment.toml").write_bytes(b"\xff")


def no_identity(run: Path) -> None:
    (run / "identity.json").write_text("{")


def test_a_damaged_stopped_run_goes_on_to_the_same_bits(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    go(place, "whole")
    go(place, "stopped", "3 epochs")
    for damage, said in (
        (flip_time, "000002 is damaged"),
        (swap_agents, "whose agent is 1, not 0"),
        (another_digit, "agent-0002.jsonl was damaged"),
        (no_identity, ""),
        (another_seed, "experiment.toml was damaged"),
        (no_toml, "experiment.toml was damaged"),
    ):
        shutil.rmtree(place / "copy", ignore_errors=True)
        shutil.copytree(place / "stopped", place / "copy")
        damage(place / "copy")
        assert go(place, "copy") == EXIT_DONE
        assert said in capsys.readouterr().err
        assert bits(place / "copy") == bits(place / "whole"), damage.__name__
        for name in ("identity.json", "experiment.toml"):
            assert (place / "copy" / name).read_bytes() == (place / "whole" / name).read_bytes()
    another_seed(place / "copy")
    with pytest.raises(RunFolderError, match=r"experiment\.toml` should be what the run was begun with"):
        load_run(place / "copy")


def test_without_its_note_a_run_is_still_not_gone_on_with_by_mistake(place: Path) -> None:
    go(place, "stopped", "3 epochs")
    (place / "stopped" / "identity.json").unlink()
    change_images(place)
    with pytest.raises(Exception, match="No undamaged checkpoint of this run"):
        go(place, "stopped")


def cut_results(run: Path) -> None:
    file = run / "results.h5"
    file.write_bytes(file.read_bytes()[:2000])


def flip_results(run: Path) -> None:
    file = run / "results.h5"
    data = bytearray(file.read_bytes())
    data[-100] ^= 4
    file.write_bytes(data)


def no_results(run: Path) -> None:
    (run / "results.h5").unlink()


def other_summary(run: Path) -> None:
    file = run / "summary.json"
    file.write_text(file.read_text().replace('"digest": "', '"digest": "0', 1))


def test_damaged_results_are_made_again_from_the_checkpoint(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    go(place, "run")
    shutil.copytree(place / "run", place / "whole")
    for damage in (cut_results, flip_results, no_results, other_summary, another_digit):
        damage(place / "run")
        assert go(place, "run") == EXIT_DONE
        assert "again from" in capsys.readouterr().err
        assert bits(place / "run") == bits(place / "whole"), damage.__name__
        assert go(place, "run") == EXIT_DONE
        assert capsys.readouterr().err == ""
    cut_results(place / "run")
    shutil.rmtree(place / "run" / "checkpoints")
    for _ in range(2):
        with pytest.raises(RunFolderError, match=r"results\.h5.*\n.*no checkpoint.*--again"):
            go(place, "run")


def test_a_summary_of_version_1_that_lacks_a_metric_is_made_again(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    go(place, "run")
    file = place / "run" / "summary.json"
    summary = read_sealed(file)
    whole = summary["metrics"].pop("forgetting")
    del summary["format"]
    file.write_text(json.dumps(summary))  # without a checksum, as it was written then
    assert go(place, "run") == EXIT_DONE
    assert "`metrics.forgetting` is missing" in capsys.readouterr().err
    assert read_sealed(file)["metrics"]["forgetting"] == whole


def test_a_lost_experiment_file_is_written_again(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    go(place, "run")
    file = place / "run" / "experiment.toml"
    whole = file.read_text()
    file.unlink()
    assert go(place, "run") == EXIT_DONE
    assert file.read_text() == whole and "written again" in capsys.readouterr().err
    file.unlink()
    (place / "run" / "identity.json").write_text("{}")
    with pytest.raises(RunFolderError, match="no experiment.toml"):
        go(place, "run")


def test_settings_that_were_changed_in_the_run_folder_are_named_as_that(place: Path) -> None:
    go(place, "run", until="1 task")
    file = place / "run" / "experiment.toml"
    file.write_text(file.read_text().replace("lr = 0.001", "lr = 0.002"))
    changed = from_toml(file.read_text(), ())
    with pytest.raises(RunFolderError, match=r"experiment.toml` should be what the run was begun with"):
        simulation.run(changed, place / "run", "inprocess", quiet=True)
    assert go(place, "run") == EXIT_DONE  # the experiment that it was begun with puts it back


def test_an_own_method_in_a_clone_of_ours_is_that_method_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mpidcl").symlink_to(Path(mpidcl.__file__).parent)
    (tmp_path / "clone_terms.py").write_text("import mpidcl.learning.terms.base\nimport clone_helper\n")
    (tmp_path / "clone_helper.py").write_text("")
    found: dict[str, Path] = {}
    follow("clone_terms", tmp_path / "clone_terms.py", found)
    assert sorted(found) == ["clone_helper", "clone_terms"]


# --- what belongs to the identity -----------------------------------------------------------------


def test_every_data_set_that_an_agent_reads_belongs_to_the_run() -> None:
    text = 'name = "x"\nagents = 3\n[[agent]]\nids = [1]\nstream = { dataset = "kmnist" }\n'
    found = fingerprints(from_toml(text), [0, 2])
    assert list(found) == ["digits"]
    with pytest.raises(DataError, match="kmnist"):
        fingerprints(from_toml(text), range(3))


@pytest.mark.parametrize("kind", ["serial", "parallel"])
def test_combined_data_sets_count_one_by_one(kind: str) -> None:
    learner = 'kind = "parallel"' if kind == "parallel" else ""
    text = f"""name = "x"
agents = 2
[stream]
kind = "{kind}"
{'spread = "none"' if learner else ""}
dataset = "combined"
[stream.data]
of = ["digits", "kmnist"]
[memory]
policy = "{"class-quota" if learner else "reservoir"}"
[learning]
{learner}
"""
    assert list(fingerprints(from_toml(text), [0])) == ["digits"]


def test_own_modules_are_followed_to_what_they_take_from_others(place: Path) -> None:
    found = own_methods(experiment(place).to_tables())
    assert list(found) == ["own_data", "own_helper", "own_terms"]
    assert found["own_helper"]["file"] == str(place / "own_helper.py")
    assert own_methods(from_toml('name = "x"\nagents = 2').to_tables()) == {}
    assert own_methods({"a": "mpidcl.learning.terms.replay:Replay", "b": "no.such:thing"}) == {}


def test_a_package_counts_with_all_that_it_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for root in ("site-packages", "mine"):
        package = tmp_path / root / f"own_{root[:4]}"
        package.mkdir(parents=True)
        (package / "__init__.py").write_text("")
        (package / "deep.py").write_text("def f(): ...\n")
        (package / "top.py").write_text("import json, beside_it\nfrom .deep import f\nclass Top: ...\n")
    for root in ("site-packages", "mine"):
        (tmp_path / root / "beside_it.py").write_text("")
        monkeypatch.syspath_prepend(str(tmp_path / root))
    for name in ("own_site", "own_mine"):
        __import__(f"{name}.top")
    package = ["own_site", "own_site.deep", "own_site.top"]
    assert list(own_methods({"x": "own_site.top:Top"})) == package  # installed: not its neighbours
    mine = ["own_mine", "own_mine.deep", "own_mine.top"]
    assert list(own_methods({"x": ["own_mine.top:Top"]})) == ["beside_it", *mine]
    for name in (*package, *mine, "beside_it"):
        sys.modules.pop(name)


def test_the_machines_of_a_job_compare_their_files(place: Path) -> None:
    begun = experiment(place)
    topology = build_topology(begun.network, begun.agents, begun.seed)
    told = identity_of(begun, topology)
    where = ["one", "two", "two"], [0, 1, 1]
    for rank in range(3):
        check_here(begun, topology, Processes(rank, 3, None, *where), told)
    change_images(place)
    for rank in (0, 2):  # rank 0 has told, and rank 1 compares for its machine
        check_here(begun, topology, Processes(rank, 3, None, *where), told)
    with pytest.raises(ExperimentError, match=r"On two \(here\) .* one \(there\)(.|\n)*the data set digits"):
        check_here(begun, topology, Processes(1, 3, None, *where), told)
    change_links(place)
    other = build_topology(begun.network, begun.agents, begun.seed)
    with pytest.raises(ExperimentError, match="link 1 -> 2: only there"):
        check_here(begun, other, Processes(2, 3, None, *where), told)
