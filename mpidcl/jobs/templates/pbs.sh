# --- PBS: where the job is, when it was submitted and ends, how it goes on

batch=PBS submit=qsub cancel=qdel turn=job write='mpidcl pbs'
job=${PBS_JOBID:-} folder=${PBS_O_WORKDIR:-} seed=${SEED:-${PBS_ARRAY_INDEX:-}} more=$RESUBMIT
script=$(<"$0") # PBS removes its copy when it ends the job

count_slots() { # nodes and slots, and a host file with one line per slot
    [ -r "${PBS_NODEFILE:-}" ] || wrong "PBS_NODEFILE should be the file that names the job's nodes. Found: '${PBS_NODEFILE:-}'"
    hosts=$PBS_NODEFILE
    nodes=$(sort -u "$hosts" | grep -c .)
    slots=$(grep -c . "$hosts")
    [ -n "$RANKS_PER_NODE" ] && [ "$slots" -ne $((nodes * RANKS_PER_NODE)) ] || return 0
    slots=$((nodes * RANKS_PER_NODE)) hosts=$(mktemp) # most likely one line per node
    awk -v times="$RANKS_PER_NODE" 'NF && !seen[$1]++ { for (i = 0; i < times; i++) print $1 }' "$PBS_NODEFILE" >"$hosts"
    trap 'rm -f "$hosts"' EXIT
}

ask_times() { # submitted and ends, in seconds since 1970; as they were where PBS does not tell
    local told walltime
    told=$(qstat -f "$job" 2>/dev/null) || return 0
    submitted=$(seconds_of "$(sed -n 's/^ *qtime = //p' <<<"$told")" "$submitted")
    walltime=$(sed -n 's/^ *Resource_List.walltime = //p' <<<"$told")
    [[ $walltime =~ ^([0-9]+):([0-9]+):([0-9]+)$ ]] || return 0
    ends=$(($(seconds_of "$(sed -n 's/^ *stime = //p' <<<"$told")" "$began") + 10#${BASH_REMATCH[1]} * 3600 + 10#${BASH_REMATCH[2]} * 60 + 10#${BASH_REMATCH[3]}))
}

submit_again() { # this script, with what was given to this job; one member of an array goes on alone
    local name names=SEED,RESUBMIT
    for name in EXPERIMENT VENV OPTIONS RANKS RANKS_PER_NODE THREADS GPUS "${!MPIDCL_@}"; do
        [[ ${!name@a} != *x* ]] || names+=,$name
    done
    export SEED=$seed RESUBMIT=$((more - 1))
    sed '/^#PBS -J/d' <<<"$script" | qsub -v "$names"
}
