"""Runs over several nodes, by `mpidcl run -n`: the same bits, and however they end, no node keeps anything.

The launcher is a node with ranks (here), or a host without any (apart), as a login node is. The nodes are
emulated.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import emulated_nodes
import pytest
from emulated_nodes import Nodes
from run_bits import bits

pytest.importorskip("mpi4py")
pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]
LIMIT = 300
PLACES = {"here": [], "apart": ["head"]}
LONG = ("--set", "learning.epochs=5000", "--set", "checkpoint.every=20 epochs")
BROKEN = """
from mpidcl.learning.terms.replay import Replay
class Broken(Replay):
    def loss(self, *args, **kwargs):
        raise ValueError("a term that breaks")
"""


class Cluster:
    """Two emulated nodes, perhaps a host apart, and one run of 4 agents on them."""

    def __init__(self, nodes: Nodes, folder: Path, environment: dict[str, str]) -> None:
        self.nodes, self.folder, self.launcher = nodes, folder, nodes.names[0]
        self._environment, self._log = environment, folder / "log"

    def start(self, *words: str, ranks: int = 2, hosts: tuple[str, ...] = ("node1", "node2")) -> None:
        """Start `mpidcl run tiny.toml` with as many ranks, spread over the hosts."""
        command = [sys.executable, "-m", "mpidcl", "run", "tiny.toml", "-n", str(ranks), *words]
        environment = self._environment | self.nodes.settings(ranks // len(hosts), hosts)
        with self._log.open("wb") as log:  # a pipe would be held by what runs on a lost node
            streams = {"stdout": log.fileno(), "stderr": subprocess.STDOUT}
            self.job = self.nodes.start(self.launcher, command, str(self.folder), environment, **streams)

    def end(self) -> tuple[int, str]:
        """Exit status of the job and all that it has said."""
        self.job.wait(timeout=LIMIT)
        return self.job.returncode, self.said()

    def said(self) -> str:
        return self._log.read_text()

    def until_it_has_saved(self) -> None:
        deadline = time.monotonic() + LIMIT
        while not list(self.folder.glob("runs/*/checkpoints/*/manifest.json")):
            assert self.job.poll() is None and time.monotonic() < deadline, self.end()
            time.sleep(0.05)

    def ranks(self, node: str) -> list[int]:
        """Process numbers, there, of the ranks on a node."""
        found = self.nodes.processes(node).items()
        return [pid for pid, words in found if "-m mpidcl run" in words and " -n " not in words]

    def kill(self, signal: str, pid: int, node: str) -> None:
        self.nodes.run(node, ["kill", f"-{signal}", str(pid)])

    def stop(self, signal: str) -> None:
        """Send the launcher a signal."""
        found = self.nodes.processes(self.launcher).items()
        (pid,) = [pid for pid, words in found if " -n 2 " in words and words.startswith(sys.executable)]
        self.kill(signal, pid, self.launcher)

    def assert_nothing_left(self, *but: str) -> None:
        for name in set(self.nodes.names) - set(but):
            deadline = time.monotonic() + LIMIT
            while left := self.nodes.processes(name):
                assert time.monotonic() < deadline, (name, left)
                time.sleep(0.2)
            assert not [path for path in self.nodes.files(name) if "mpidcl-job" in path], name


@pytest.fixture(params=PLACES)
def cluster(
    request: pytest.FixtureRequest, tmp_path: Path, tiny: Path, job_free_environment: dict[str, str]
) -> Iterator[Cluster]:
    if (why := emulated_nodes.missing()) is not None:
        pytest.skip(why)
    (tmp_path / "broken.py").write_text(BROKEN)
    with Nodes(2, PLACES[request.param]) as nodes:
        yield Cluster(nodes, tmp_path, job_free_environment)


def test_the_bits_of_one_process(cluster: Cluster, mpidcl: Callable[..., object], tmp_path: Path) -> None:
    mpidcl("run", "tiny.toml", "--driver", "inprocess", "--out", "alone")
    cluster.start(ranks=4)
    status, said = cluster.end()
    assert status == 0, said
    assert "mpiexec gave status" not in said
    assert bits(tmp_path / "runs/tiny") == bits(tmp_path / "alone")
    cluster.assert_nothing_left()
    cluster.start(ranks=4)  # its table once more
    assert cluster.end()[0] == 0


def test_by_mail_the_bits_of_one_process(
    cluster: Cluster, mpidcl: Callable[..., object], tmp_path: Path
) -> None:
    mail = [
        *("--set", 'clock={kind="virtual", away=0.2}', "--set", "network.conditions.latency=400 ms"),
        *("--set", "network.conditions.loss=0.2", "--set", "network.conditions.jitter=3 s"),
        *("--set", "exchange.0.when=after", "--set", "exchange.0.every=2 epochs"),
    ]
    mpidcl("run", "tiny.toml", "--driver", "inprocess", "--out", "alone", *mail)
    cluster.start(*mail, ranks=4)
    status, said = cluster.end()
    assert status == 0, said
    assert bits(tmp_path / "runs/tiny") == bits(tmp_path / "alone")
    cluster.assert_nothing_left()


def test_an_ending_that_all_agreed_on(cluster: Cluster) -> None:
    cluster.start("--until", "1 tasks")
    status, said = cluster.end()
    assert status == 75, said
    assert "stopped at task 1 as asked" in said
    assert "a rank ended" not in said
    cluster.assert_nothing_left()


@pytest.mark.parametrize("agent", [0, 3])
def test_a_rank_that_raises_ends_all(cluster: Cluster, agent: int) -> None:
    cluster.start("--set", f'agent=[{{ids = [{agent}], learning = {{terms = ["broken:Broken"]}}}}]')
    status, said = cluster.end()
    assert status == 70, said
    assert said.count("ValueError: a term that breaks") == 1
    assert f"rank {agent // 2} of 2 on node{1 + agent // 2} failed" in said
    assert "a rank ended unexpectedly" not in said
    cluster.assert_nothing_left()


def test_wrong_input_is_said_once(cluster: Cluster) -> None:
    cluster.start("--set", "learning.epoch=3")
    status, said = cluster.end()
    assert status == 2, said
    assert said.count("Did you mean `epochs`?") == 1
    cluster.assert_nothing_left()


def test_a_killed_rank_ends_all(cluster: Cluster) -> None:
    cluster.start(*LONG)
    cluster.until_it_has_saved()
    cluster.kill("KILL", cluster.ranks("node2")[0], "node2")
    status, said = cluster.end()
    assert status == 70, said
    assert "a rank " in said and "can be resumed" in said
    cluster.assert_nothing_left()


@pytest.mark.parametrize("signal", ["TERM", "USR1", "INT"])
def test_a_stop_signal_reaches_ranks_on_other_nodes(cluster: Cluster, signal: str) -> None:
    cluster.start(*LONG)
    cluster.until_it_has_saved()
    time.sleep(10)  # a job is asked only when it is sure to run
    cluster.stop(signal)
    status, said = cluster.end()
    assert status == 75, said
    assert "saved at task" in said
    cluster.assert_nothing_left()


def test_a_second_signal_ends_at_once(cluster: Cluster) -> None:
    """Ranks that stand still cannot save."""
    cluster.start(*LONG)
    cluster.until_it_has_saved()
    time.sleep(10)
    for node in ("node1", "node2"):
        cluster.kill("STOP", cluster.ranks(node)[0], node)
    cluster.stop("TERM")
    time.sleep(3)
    cluster.stop("TERM")
    status, said = cluster.end()
    assert status == 75, said
    cluster.assert_nothing_left()


def test_a_lost_node(cluster: Cluster, tmp_path: Path) -> None:
    cluster.start(*LONG, "--set", "network.deadline=20 s")
    cluster.until_it_has_saved()
    cluster.nodes.lose("node2")
    status, said = cluster.end()
    assert status == 70, said
    assert "They wait for rank 1 on node2" in said
    cluster.assert_nothing_left("node2")
    # ... and on the node that is left, with more patience
    cluster.start(*LONG, "--until", "400 epochs", "--set", "network.deadline=10 min", hosts=("node1",))
    status, said = cluster.end()
    assert status == 75 and "goes on after" in said, said
