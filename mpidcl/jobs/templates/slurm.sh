# --- Slurm: where the job is, when it was submitted and ends, how it goes on

batch=Slurm submit=sbatch cancel=scancel turn='turn of this job, in about two minutes' write='mpidcl slurm'
job=${SLURM_JOB_ID:-} folder=${SLURM_SUBMIT_DIR:-} seed=${SEED:-${SLURM_ARRAY_TASK_ID:-}}
more=$((RESUBMIT - ${SLURM_RESTART_COUNT:-0}))

count_slots() { # nodes and slots
    nodes=${SLURM_JOB_NUM_NODES:-1}
    slots=${SLURM_NTASKS:-$nodes}
    [ -z "$RANKS_PER_NODE" ] || slots=$((nodes * RANKS_PER_NODE))
}

ask_times() { # submitted and ends, in seconds since 1970; as they were where Slurm does not tell
    local told
    told=$(squeue -h -j "$job" -o '%V %e' 2>/dev/null) || return 0
    submitted=$(seconds_of "${told% *}" "$submitted")
    ends=$(seconds_of "${told#* }" "${SLURM_JOB_END_TIME:-}")
}

submit_again() { # the same job once more, under the same number
    scontrol requeue "$job"
}
