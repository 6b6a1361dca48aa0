"""Emulated clusters: launchers over nodes that are namespaces of this machine. See tests/helpers.

Raises SystemExit where there can be none.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from under_launchers.jobs import Batch
from under_launchers.place import Launcher

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "helpers"))

import emulated_nodes
import emulated_slurm
from emulated_nodes import Nodes
from emulated_slurm import Slurm

NODES = ("node1", "node2")
SURE_S = 14.0
"""A launcher that is apart passes signals on from its eleventh second."""


def two_nodes(folder: Path, ranks: int) -> AbstractContextManager[list[Launcher]]:
    """`mpidcl run -n` over two nodes, from the first of them."""
    return _nodes(folder, ranks, ())


def apart(folder: Path, ranks: int) -> AbstractContextManager[list[Launcher]]:
    """The same from a third host, as a login node is."""
    return _nodes(folder, ranks, ("head",))


@contextmanager
def _nodes(folder: Path, ranks: int, more: tuple[str, ...]) -> Iterator[list[Launcher]]:
    if (why := emulated_nodes.missing()) is not None:
        raise SystemExit(why)
    with Nodes(len(NODES), more) as nodes:
        name = f"`mpidcl run -n`, two nodes{', from a third' * bool(more)}"
        words = tuple(nodes.words(nodes.names[0], str(folder)))
        after = ("-n", str(ranks))

        def lose() -> Launcher:
            nodes.lose(NODES[1])
            return Launcher(name, words, after, nodes.settings(ranks, NODES[:1]))

        yield [Launcher(name, words, after, nodes.settings((ranks + 1) // 2, NODES), lose, SURE_S)]


@contextmanager
def slurm(folder: Path, ranks: int) -> Iterator[list[Launcher]]:
    """`srun`, `mpidcl run -n` in an allocation, and job scripts, under a real Slurm of two nodes."""
    if (why := emulated_slurm.missing()) is not None:
        raise SystemExit(why)
    with Slurm(2, cpus=4) as cluster:
        words = tuple(cluster.nodes.words("head", str(folder)))
        task = ["-N2", f"-n{ranks}"]
        environment = {"TMPDIR": emulated_slurm.LOCAL}

        yield [
            Launcher("`srun --mpi=pmix`", (*words, "srun", "--mpi=pmix", *task), (), environment),
            Launcher(
                "`mpidcl run -n` in `salloc`",
                (*words, "salloc", "-Q", *task),
                ("-n", str(ranks)),
                environment,
                sure_s=SURE_S,
            ),
            Batch("`sbatch`", words, (), {"MPI": "pmix"}, batch="slurm", options=("--nodes", "2")),
        ]
