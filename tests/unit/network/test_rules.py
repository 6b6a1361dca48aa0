"""Nothing waits inside MPI once agents live; MPI is imported only where it is used; nothing is pickled."""

import ast
from functools import cache
from pathlib import Path

import mpidcl

ROOT = Path(mpidcl.__file__).parent
START_UP = {"network/mpi/collectives.py", "launch/rank.py"}
"""Where collective calls are allowed: nobody lives yet, or nobody lives any more."""
WITH_MPI = ("network/mpi/", "benchmarks/between_ranks", "benchmarks/replay/")
"""How the names of modules begin that are only imported when there is an MPI."""

BLOCKING = {
    "Send", "Ssend", "Rsend", "Bsend", "Recv", "Sendrecv", "Sendrecv_replace", "Probe", "Mprobe",
    "Wait", "Waitall", "Waitany", "Waitsome", "Barrier", "Bcast", "Gather", "Gatherv", "Scatter", "Scatterv",
    "Allgather", "Allgatherv", "Alltoall", "Alltoallv", "Alltoallw", "Reduce", "Allreduce", "Reduce_scatter",
    "Reduce_scatter_block", "Scan", "Exscan", "Neighbor_allgather", "Neighbor_alltoall", "Neighbor_alltoallv",
    "Fence", "Flush", "Flush_all", "Lock_all", "Unlock_all",
}  # fmt: skip
LOWER = {name.lower() for name in BLOCKING} | {"isend", "irecv"}
"""mpi4py's lower-case twins, which pickle besides."""


@cache
def sources():
    return {str(path.relative_to(ROOT)): ast.parse(path.read_text()) for path in sorted(ROOT.rglob("*.py"))}


HERE_ALREADY = {("network/mpi/wire.py", "Recv")}
"""Calls for what `Iprobe` has found: one word that has come."""


OTHERS = ("life.send", "self._begun.wait")
"""Calls that are none of MPI: of a generator, and of an event for a thread of ours."""


def called(tree):
    return {
        (node.func.attr, node.lineno)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        if ast.unparse(node.func) not in OTHERS
    }


def talks_mpi(tree):
    return any("mpi4py" in name for name, _ in imported(tree))


def imported(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield str(node.module), node


def test_no_blocking_call_outside_the_start_up():
    found = [
        f"{name}:{line}: {call}"
        for name, tree in sources().items()
        if name not in START_UP and not name.startswith("benchmarks/") and talks_mpi(tree)
        for call, line in called(tree)
        if call in BLOCKING | LOWER and (name, call) not in HERE_ALREADY
    ]
    assert found == []


def test_the_search_finds_what_it_should():
    tree = ast.parse("from mpi4py import MPI\nMPI.COMM_WORLD.Barrier()\nrequest.Wait()\ncomm.bcast(1)")
    assert talks_mpi(tree)
    assert {call for call, _ in called(tree)} == {"Barrier", "Wait", "bcast"}
    assert {"Barrier", "Wait", "bcast"} <= BLOCKING | LOWER
    assert {"network/mpi/driver.py", "network/mpi/control.py"} <= {
        n for n, t in sources().items() if talks_mpi(t)
    }


def test_mpi_is_imported_only_where_it_is_used():
    """At the top of a module, that is: `import mpidcl` and a run in process need no MPI."""
    found = {
        name
        for name, tree in sources().items()
        for node in tree.body
        if isinstance(node, ast.Import | ast.ImportFrom) and "mpi4py" in ast.unparse(node)
    }
    assert [name for name in sorted(found) if not name.startswith(WITH_MPI)] == []


def test_mpi_is_imported_by_few():
    found = {name for name, tree in sources().items() if talks_mpi(tree)}
    assert [name for name in sorted(found - {"launch/rank.py"}) if not name.startswith(WITH_MPI)] == []


def test_nothing_is_pickled_on_the_wire():
    names = ("pickle", "cloudpickle", "dill", "marshal", "shelve")
    found = [n for n, tree in sources().items() for name, _ in imported(tree) if name.split(".")[0] in names]
    assert found == []
