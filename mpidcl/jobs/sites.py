"""What sites ask of a job script, as their public documentation said in 2026. Everything else is common.

Texts may hold {nodes}, {per_node} (ranks of a node), {threads} (of a rank) and {cpus} (of a node's ranks).
"""

from __future__ import annotations

from dataclasses import dataclass

EDIT = "EDIT"
"""Stands wherever only the user can know."""


@dataclass(frozen=True)
class Site:
    """One machine, or the common case: its directives after name and walltime, and how ranks start there.

    `account`, `queue`: None where a site may have none. `cores`: of a node, for ranks; None: not known.
    `told`: whether the batch system knows how many ranks a node gets; else its node file has a line per node.
    `gpus`: their numbers, in the order of a node's ranks.
    """

    batch: str
    title: str
    resources: tuple[str, ...]
    launch: str
    account: str | None = None
    queue: str | None = None
    notes: tuple[str, ...] = ()
    setup: tuple[str, ...] = ()
    cores: int | None = None
    told: bool = True
    gpus: str = ""


PALS = 'mpiexec -n "$ranks" --ppn "$per_node" --depth "$THREADS" --cpu-bind depth'
DIRECT = ("-j oe", "-k doe")
"""One file of output, written where it belongs while the job runs."""

SITES = {
    "generic": Site(
        batch="pbs",
        title="any cluster with PBS Pro or OpenPBS and an MPI",
        resources=("-l select={nodes}:ncpus={cpus}:mpiprocs={per_node}", "-l place=scatter", *DIRECT),
        launch='mpiexec -n "$ranks" --hostfile "$hosts"',
        notes=(
            "select: nodes, cores of each, ranks of each. Memory and GPUs where the site counts them:",
            "    :mem=16gb:ngpus=4.  Add what your site asks for:",
            "    one per line: -A project, -q queue, -l filesystems=home.",
        ),
        setup=("# module load openmpi        # the MPI that mpi4py was built against",),
    ),
    "polaris": Site(
        batch="pbs",
        title="ALCF Polaris: 32 cores and 4 GPUs (A100) a node, one line per node in the node file",
        account=EDIT,
        queue=EDIT,
        resources=(
            "-l select={nodes}:system=polaris",
            "-l place=scatter",
            "-l filesystems=home:eagle",
            *DIRECT,
        ),
        launch=PALS,
        notes=(
            "-A, walltime and filesystems are required. Queues (-q): debug, 1 or 2 nodes and up to 1 h;",
            "    debug-scaling, up to 10 nodes and 1 h; prod, 10 nodes or more; capacity, up to 4 nodes and",
            "    168 h; preemptable, up to 10 nodes and 72 h (killed without warning; -r y begins it again).",
        ),
        setup=(
            "module use /soft/modulefiles",
            "module load conda          # VENV: a venv with --system-site-packages, made after this",
            'export MPIDCL_CACHE="/local/scratch/mpidcl-$USER" # decoded data, on the disk of each node',
            'export NUMBA_CACHE_DIR="$HOME/.cache/mpidcl/kernels" # compiled once, for all jobs',
        ),
        cores=32,
        told=False,
        gpus="3 2 1 0",  # the site's order: the nearest to the cores of each local rank
    ),
    "aurora": Site(
        batch="pbs",
        title="ALCF Aurora: 102 cores for jobs a node, one line per node in the node file",
        account=EDIT,
        queue=EDIT,
        resources=("-l select={nodes}", "-l place=scatter", "-l filesystems=home:flare", *DIRECT),
        launch=PALS,
        notes=(
            "-A, walltime and filesystems are required; submit from the project's folder on flare.",
            "    Queues (-q): debug, 1 or 2 nodes and up to 1 h; debug-scaling, 2 to 256 nodes and 1 h;",
            "    prod, 256 nodes or more; capacity, up to 16 nodes and 168 h. GPUs (Intel) are not used.",
        ),
        setup=(
            "module load frameworks     # VENV: a venv with --system-site-packages, made after this",
            "export MPIR_CVAR_ENABLE_GPU=0 # messages are in the memory of the host",
            'export MPIDCL_CACHE="/tmp/mpidcl-$USER" # decoded data, in the memory of each node',
            'export NUMBA_CACHE_DIR="$HOME/.cache/mpidcl/kernels" # compiled once, for all jobs',
        ),
        cores=102,
        told=False,
    ),
    "derecho": Site(
        batch="pbs",
        title="NCAR Derecho: 128 cores a node, or 64 and 4 GPUs (A100)",
        account=EDIT,
        queue="main",
        resources=(
            "-l select={nodes}:ncpus=128:mpiprocs={per_node}:ompthreads={threads}",
            "-l job_priority=regular",
            *DIRECT,
        ),
        launch='mpiexec -n "$ranks" -ppn "$per_node"',
        notes=(
            "-A is required. Queues: main, whole nodes and up to 12 h; develop, shared nodes and up to 6 h;",
            "    preempt. GPU nodes: select=1:ncpus=64:mpiprocs=4:ngpus=4, and GPUS below.",
        ),
        setup=("module purge", "module load ncarenv gcc cray-mpich conda"),
        cores=128,
    ),
    "slurm": Site(
        batch="slurm",
        title="any cluster with Slurm",
        resources=(
            "--nodes={nodes}",
            "--ntasks-per-node={per_node}",
            "--cpus-per-task={threads}",
            "--output=%x-%j.out",
            "--open-mode=append",
            "--requeue",
        ),
        launch='srun --ntasks="$ranks" --cpus-per-task="$THREADS" ${MPI:+--mpi="$MPI"}',
        notes=(
            "Add what your site asks for, one per line: --account=project, --partition=name,",
            "    --gpus-per-node=4.",
        ),
        setup=(
            "# module load openmpi        # the MPI that mpi4py was built against",
            "MPI=${MPI:-} # how its ranks find each other: pmix or pmi2; `srun --mpi=list` shows them",
        ),
    ),
}
