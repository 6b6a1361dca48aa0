"""What every job script does: input, where ranks start, signals, STOP, going on. Nothing real is started."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from batch import SAVE, STOP_IN_ORDER, Batch, pbs, slurm, tell, wait_for

from mpidcl.record.sealed import write_sealed

ROOT = Path(__file__).parents[3]
SCRIPTS = sorted(path.relative_to(ROOT) for path in ROOT.glob("pbs/*.pbs"))
BOTH = ("pbs/generic.pbs", "slurm/generic.sbatch")
AGAIN = {"pbs": "qsub", "slurm": "scontrol"}
LAUNCHER = {"pbs": "mpiexec", "slurm": "srun"}


@pytest.fixture(params=BOTH)
def job(request: pytest.FixtureRequest, tmp_path: Path) -> Batch:
    """A job of PBS and one of Slurm whose ranks stop in order, and which may go on three times."""
    made = (pbs if request.param.startswith("pbs") else slurm)(tmp_path / "work folder", ROOT / request.param)
    made.ranks = STOP_IN_ORDER
    made.variables["RESUBMIT"] = "3"
    return made


def again(job: Batch) -> list[str] | None:
    return job.words(AGAIN[job.script.parent.name])


def started(job: Batch) -> list[str] | None:
    return job.words(LAUNCHER[job.script.parent.name])


# --- where ranks start


def launch(script: str, tmp_path: Path, nodes: str, **variables: str) -> tuple[list[str], str]:
    job = pbs(tmp_path / "work", ROOT / script, nodes)
    status, out = job.run(**variables)
    assert status == 0, out
    words = job.words("mpiexec")
    assert words is not None
    return words, out


def test_generic_starts_one_rank_per_line_of_the_node_file(tmp_path: Path) -> None:
    words, out = launch("pbs/generic.pbs", tmp_path, "n1\nn1\nn2\nn2\n")
    assert words[:4] == ["-n", "4", "--hostfile", str(tmp_path / "nodes")]
    assert "tiny.toml on 4 ranks, 2 nodes, until" in out
    assert words[-3:] == ["mpidcl", "run", "tiny.toml"]


def test_ranks_per_node_counts_where_the_node_file_has_one_line_per_node(tmp_path: Path) -> None:
    words, _ = launch("pbs/generic.pbs", tmp_path, "n1\nn2\n", RANKS_PER_NODE="2")
    assert words[:3] == ["-n", "4", "--hostfile"]
    assert not Path(words[3]).exists()  # the host file of its own is gone with the job


@pytest.mark.parametrize("site", ["polaris", "aurora"])
def test_sites_with_pals_place_and_bind_ranks(site: str, tmp_path: Path) -> None:
    words, _ = launch(f"pbs/{site}.pbs", tmp_path, "n1\nn2\n", RANKS_PER_NODE="2", THREADS="3")
    assert words[:8] == ["-n", "4", "--ppn", "2", "--depth", "3", "--cpu-bind", "depth"]
    assert "OMP_NUM_THREADS=3" in words


def test_derecho_says_ranks_per_node(tmp_path: Path) -> None:
    words, _ = launch("pbs/derecho.pbs", tmp_path, "n1\nn1\nn2\nn2\n")
    assert words[:4] == ["-n", "4", "-ppn", "2"]


def test_never_more_ranks_than_agents(tmp_path: Path) -> None:
    words, out = launch("pbs/polaris.pbs", tmp_path, "n1\nn2\n")
    assert words[:2] == ["-n", "4"]
    assert "4 agents, so 4 ranks of 8" in out


def test_variables_reach_ranks_on_other_nodes(tmp_path: Path) -> None:
    words, _ = launch("pbs/generic.pbs", tmp_path, "n1\nn1\n", MPIDCL_DATA="/big data")
    assert "MPIDCL_DATA=/big data" in words


def test_each_rank_sees_one_gpu(tmp_path: Path) -> None:
    job = pbs(tmp_path / "work", ROOT / "pbs/polaris.pbs", "n1\n")
    job.ranks = 'shift 8; PMI_LOCAL_RANK=1 "${@:1:4}" bash -c \'echo "sees $CUDA_VISIBLE_DEVICES"\''
    assert "sees 2" in job.run()[1]


def test_slurm_starts_its_tasks(tmp_path: Path) -> None:
    job = slurm(tmp_path / "work", ROOT / "slurm/generic.sbatch")
    assert job.run(MPI="pmix")[0] == 0
    assert (job.words("srun") or [])[:3] == ["--ntasks=4", "--cpus-per-task=1", "--mpi=pmix"]


@pytest.mark.parametrize("script", SCRIPTS, ids=str)
def test_every_pbs_script_runs_to_its_end(script: Path, tmp_path: Path) -> None:
    status, out = pbs(tmp_path / "work", ROOT / script).run(PBS_ARRAY_INDEX="1")
    assert status == 0 and "ended with status 0" in out, out
    assert "command not found" not in out


# --- wrong input


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"EXPERIMENT": "none.toml"}, "EXPERIMENT should be an experiment file. Found none at 'none.toml'"),
        ({"VENV": "none"}, "VENV should be an environment with mpidcl. Found no bin/python3 in 'none'"),
        ({"VENV": "bare"}, "VENV should be an environment with the mpidcl that has written this script"),
        ({"RESUBMIT": "often"}, "RESUBMIT should be how often"),
        ({"RANKS": "0"}, "RANKS should be a number from 1 on. Found: '0'"),
        ({"RANKS": "5"}, "RANKS should be at most 4, on 2 nodes with 2 each. Found: 5"),
        ({"PBS_JOBID": "", "SLURM_JOB_ID": ""}, "This is a job script for"),
    ],
)
def test_wrong_input_is_one_message_before_ranks(job: Batch, variables: dict[str, str], message: str) -> None:
    (job.folder / "bare/bin").mkdir(parents=True)
    (job.folder / "bare/bin/python3").write_text("#!/bin/sh\nexit 1\n")
    (job.folder / "bare/bin/python3").chmod(0o755)
    status, out = job.run(**variables)
    assert (status, len(out.splitlines())) == (2, 1), out
    assert out.startswith(message)
    assert started(job) is None and again(job) is None


def test_node_file_that_cannot_be_read(tmp_path: Path) -> None:
    status, out = pbs(tmp_path / "work", ROOT / "pbs/generic.pbs").run(PBS_NODEFILE="/nowhere")
    assert status == 2 and "PBS_NODEFILE should be the file" in out


def test_blanks_in_paths_stay_one_word(job: Batch) -> None:
    job.ranks = "exit 0"
    (job.folder / "my exp.toml").write_text("")
    assert job.run(EXPERIMENT="my exp.toml", OPTIONS="--set seed=1")[0] == 0
    assert (started(job) or [])[-4:] == ["run", "my exp.toml", "--set", "seed=1"]


# --- ends


@pytest.mark.parametrize("status", [0, 2, 70])
def test_what_is_no_stop_is_never_repeated(job: Batch, status: int) -> None:
    job.ranks = f"{SAVE}; exit {status}"
    assert job.run()[0] == status
    assert again(job) is None


def test_unfinished_run_goes_on_in_another_job(job: Batch) -> None:
    job.ranks = f"{SAVE}; exit 75"
    status, out = job.run()
    assert status == 75 and "at most 2 more after that" in out
    assert again(job) is not None


def test_without_resubmit_it_says_what_to_do(job: Batch) -> None:
    job.ranks = f"{SAVE}; exit 75"
    assert "Submit the same script again" in job.run(RESUBMIT="0")[1]
    assert again(job) is None


def test_no_progress_ends_the_chain(job: Batch) -> None:
    job.ranks = "exit 75"
    status, out = job.run()
    assert status == 75 and "nothing new was saved" in out
    assert again(job) is None


def test_last_of_slurms_jobs(tmp_path: Path) -> None:
    job = slurm(tmp_path / "work", ROOT / "slurm/generic.sbatch")
    job.ranks = f"{SAVE}; exit 75"
    assert "Submit the same script again" in job.run(RESUBMIT="2", SLURM_RESTART_COUNT="2")[1]


def test_next_job_of_pbs_gets_the_same_script_and_what_was_given(tmp_path: Path) -> None:
    job = pbs(tmp_path / "work", ROOT / "pbs/generic.pbs")
    job.ranks = f'{SAVE}; rm "$NOTES/1234.SC"; exit 75'  # PBS removes it when it ends the job
    job.run(RESUBMIT="3", OPTIONS="--set a=[1,2]", MPIDCL_DATA="/data")
    assert (job.notes / "qsub.stdin").read_text() == job.script.read_text()
    given = dict(line.partition("=")[::2] for line in (job.notes / "qsub.env").read_text().splitlines())
    names = (job.words("qsub") or [])[1].split(",")
    assert set(names) == {"SEED", "RESUBMIT", "EXPERIMENT", "VENV", "OPTIONS", "MPIDCL_DATA"}
    assert (given["RESUBMIT"], given["OPTIONS"]) == ("2", "--set a=[1,2]")


def test_member_of_an_array_goes_on_alone(tmp_path: Path) -> None:
    job = pbs(tmp_path / "work", ROOT / "pbs/sweep_array.pbs")
    job.ranks = f"{SAVE.replace('tiny', 'tiny-seed-3')}; exit 75"
    _, out = job.run(RESUBMIT="1", PBS_ARRAY_INDEX="3")
    assert (job.words("mpiexec") or [])[-4:] == ["--set", "seed=3", "--out", "runs/tiny-seed-3"]
    assert "\n#PBS -J" in job.script.read_text()
    assert "\n#PBS -J" not in (job.notes / "qsub.stdin").read_text()
    assert "SEED=3\n" in (job.notes / "qsub.env").read_text(), out


def test_array_of_slurm_has_a_run_for_each_seed(tmp_path: Path) -> None:
    job = slurm(tmp_path / "work", ROOT / "slurm/sweep_array.sbatch")
    job.run(SLURM_ARRAY_TASK_ID="4")
    assert (job.words("srun") or [])[-4:] == ["--set", "seed=4", "--out", "runs/tiny-seed-4"]


# --- signals


def test_the_log_says_up_to_where_the_run_is_saved(job: Batch) -> None:
    write_sealed(job.folder / "manifest.json", {"agents": ["rank-0000.h5"], "cut": 17, "time": [473, 200]})
    job.ranks = f"{SAVE.replace('touch', 'cp manifest.json')}; exit 75"
    assert "; saved until task 2.365\n" in job.run()[1]


def test_warning_saves_and_goes_on(job: Batch) -> None:
    status, out = job.stop(signal.SIGUSR1)
    assert status == 75, out
    assert out.index("ranks saved") < out.index("ended with status 75")
    assert again(job) is not None


def test_the_end_long_before_the_walltime_is_somebodys_wish(job: Batch) -> None:
    status, out = job.stop(signal.SIGTERM)
    assert status == 75 and "ranks saved" in out
    assert "long before its end" in out and "no other job goes on" in out
    assert again(job) is None


def test_the_end_at_the_walltime_goes_on(job: Batch) -> None:
    tell(job, 0)
    status, out = job.stop(signal.SIGTERM)
    assert status == 75 and again(job) is not None, out


def test_a_slow_prologue_counts_as_time_of_the_job(tmp_path: Path) -> None:
    job = pbs(tmp_path / "work", ROOT / "pbs/generic.pbs")
    job.ranks = STOP_IN_ORDER
    tell(job, 3600, began_s=-3600)
    status, out = job.stop(signal.SIGTERM, RESUBMIT="3")
    assert status == 75 and again(job) is not None, out


def test_a_cut_that_is_not_complete_is_no_progress(job: Batch) -> None:
    job.ranks = "mkdir -p runs/tiny/checkpoints/000500; exit 75"
    status, out = job.run()
    assert status == 75 and "nothing new was saved" in out
    assert again(job) is None


def test_the_end_of_a_job_without_a_known_walltime_goes_on_nowhere(job: Batch) -> None:
    for program in ("qstat", "squeue"):
        (job.notes / f"{program}.says").write_text("Unknown Job Id\n")
    status, out = job.stop(signal.SIGTERM)
    assert status == 75 and again(job) is None, out


@pytest.mark.parametrize("end", ["exit 0", "exit 143", "exit 1"])
def test_a_launchers_own_status_after_a_signal_is_a_stop(job: Batch, end: str) -> None:
    job.ranks = STOP_IN_ORDER.replace("exit 75", end)
    assert job.stop(signal.SIGUSR1)[0] == 75


@pytest.mark.parametrize("end", ["exit 14", "exit 137"])
def test_a_launchers_own_status_is_a_failure(job: Batch, end: str) -> None:
    job.ranks = f"{SAVE}; {end}"
    status, out = job.run(RESUBMIT="3")
    assert status == 70 and f"the launcher ended with status {end[5:]}" in out
    assert again(job) is None


def test_a_run_that_finished_meanwhile_is_done(job: Batch) -> None:
    job.ranks = STOP_IN_ORDER.replace("exit 75", "touch runs/tiny/summary.json; exit 0")
    assert job.stop(signal.SIGUSR1)[0] == 0


def test_two_signals_do_not_end_the_wait(job: Batch) -> None:
    job.ranks = f"trap 'sleep 0.6; {SAVE}; exit 75' USR1; touch running; while :; do sleep 0.05; done"
    process = job.start()
    wait_for(job.folder / "running", process)
    for _ in range(2):
        process.send_signal(signal.SIGUSR1)
        time.sleep(0.2)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 75 and "ranks saved" in out


# --- STOP


def stop_file(job: Batch, age_s: float) -> Path:
    file = job.folder / "runs/tiny.STOP"
    file.parent.mkdir(exist_ok=True)
    file.touch()
    os.utime(file, (time.time() - age_s,) * 2)
    return file


def test_stop_file_ends_the_chain(job: Batch) -> None:
    job.ranks = f"{SAVE}; touch runs/tiny.STOP; exit 75"
    status, out = job.run()
    assert status == 75 and "runs/tiny.STOP is there: no other job goes on" in out
    assert again(job) is None


def test_stop_file_made_while_the_job_waited_keeps_it_from_beginning(job: Batch) -> None:
    stop_file(job, 30)
    status, out = job.run()
    assert status == 75 and "not begun: runs/tiny.STOP" in out
    assert started(job) is None and again(job) is None


def test_stop_file_from_before_is_said_and_stops_nothing(job: Batch) -> None:
    file = stop_file(job, 3600)
    job.ranks = f"{SAVE}; exit 75"
    status, out = job.run()
    assert status == 75 and "before this job was submitted" in out and "touch it" in out
    assert again(job) is not None and file.exists()
