# --- the same in every job script of mpidcl

say() { echo "job $job: $*"; }
wrong() { echo "$*" >&2; exit 2; }
seconds_of() { [ -n "$1" ] && date -d "$1" +%s 2>/dev/null || echo "$2"; }
clock() { date -d "@$1" '+%F %T'; }
is_count() { [[ $1 =~ ^[1-9][0-9]{0,6}$ ]]; }

# Wrong input is said once, before any rank starts.
[ -n "$job" ] && [ -n "$folder" ] || wrong "This is a job script for $batch. Submit it: $submit $0"
cd "$folder" || exit 2
began=$(date +%s) submitted=$began ends=
[[ $RESUBMIT =~ ^(0|[1-9][0-9]{0,5})$ ]] || wrong "RESUBMIT should be how often the job may go on in another one. Found: '$RESUBMIT'"
for name in RANKS RANKS_PER_NODE THREADS; do
    [ -z "${!name}" ] || is_count "${!name}" || wrong "$name should be a number from 1 on. Found: '${!name}'"
done
[ -f "$EXPERIMENT" ] || wrong "EXPERIMENT should be an experiment file. Found none at '$EXPERIMENT', from $PWD"
python=$VENV/bin/python3
[ -x "$python" ] || wrong "VENV should be an environment with mpidcl. Found no bin/python3 in '$VENV', from $PWD"
PATH=$(cd "$VENV/bin" && pwd):$PATH # an mpiexec in there belongs to the MPI that mpi4py loads
export PATH
"$python" -c 'import mpidcl.commands.before' 2>/dev/null ||
    wrong "VENV should be an environment with the mpidcl that has written this script. Found none with $python: write the script anew ($write)"
count_slots
ranks=${RANKS:-$slots}
[ "$ranks" -le "$slots" ] ||
    wrong "RANKS should be at most $slots, on $nodes nodes with $((slots / nodes)) each. Found: $ranks. Ask for more, or lower RANKS"
# shellcheck disable=SC2034  # for `launch`
per_node=$((slots / nodes))
read -r -a words <<<"$OPTIONS"
options+=("${words[@]}")
[ -z "$seed" ] || options+=(--set "seed=$seed")
told=$("$python" -m mpidcl.commands.before "$EXPERIMENT" "${options[@]}") || exit
{ read -r agents && IFS= read -r run; } <<<"$told"
[ "$ranks" -le "$agents" ] || { say "$agents agents, so $agents ranks of $ranks"; ranks=$agents; }
[ -z "$seed" ] || { run=$run-seed-$seed && options+=(--out "$run"); }

# A STOP file ends the chain of jobs, when somebody has made it since this job was submitted.
ask_times
stop=$run.STOP
stop_asked() { [ -e "$stop" ] && [ "$(stat -c %Y "$stop")" -ge "$submitted" ]; }
if stop_asked; then
    say "not begun: $stop is there. Remove it, and submit the job again to go on"
    exit 75
elif [ -e "$stop" ]; then
    say "$stop is of $(clock "$(stat -c %Y "$stop")"), before this job was submitted ($(clock "$submitted")). It stops nothing; touch it to end after this job, or remove it"
fi

task_of() { awk '/"time"/ { getline a; getline b; printf "%g", a / b }' "$1"; } # a manifest has "time": [a, b]
saved() { ls "$run"/checkpoints/*/manifest.json 2>/dev/null; }
before=$(saved)
# shellcheck disable=SC2329  # for a trap
near_end() { [ -n "$ends" ] && [ "$(date +%s)" -ge $((ends - ((ends - began) / 10 < 60 ? (ends - began) / 10 : 60))) ]; }

# Ranks on other nodes may not inherit variables, so they are given as words.
variables=(TTY_COMPATIBLE=0 "OMP_NUM_THREADS=$THREADS")
for name in "${!MPIDCL_@}" "${!NUMBA_@}"; do variables+=("$name=${!name}"); done
ranks_run=(env "${variables[@]}" "$python" -m mpidcl run "$EXPERIMENT" "${options[@]}")
if [ -n "$GPUS" ]; then # each rank sees its own one only
    # shellcheck disable=SC2016  # expanded by the ranks
    ranks_run=(bash -c 'gpus=($0); at=${PALS_LOCAL_RANKID:-${PMI_LOCAL_RANK:-${OMPI_COMM_WORLD_LOCAL_RANK:-${SLURM_LOCALID:-${MPI_LOCALRANKID:-0}}}}}
        CUDA_VISIBLE_DEVICES=${gpus[at % ${#gpus[@]}]} exec "$@"' "$GPUS" "${ranks_run[@]}")
fi
say "$EXPERIMENT${seed:+, seed $seed} on $ranks ranks, $nodes nodes${ends:+, until $(clock "$ends")}: $run"

# USR1 warns of the end: the ranks save, and another job goes on. TERM is the end: the walltime, or somebody's wish.
signals=0 cancelled=no ranks_job=
trap 'signals=$((signals + 1)); [ -z "$ranks_job" ] || kill -USR1 "$ranks_job"' USR1
trap 'signals=$((signals + 1)); near_end || cancelled=yes; [ -z "$ranks_job" ] || kill -USR1 "$ranks_job"' TERM
launch "${ranks_run[@]}" </dev/null &
ranks_job=$!
[ "$signals" -eq 0 ] || kill -USR1 "$ranks_job"
while :; do # a signal ends `wait`, not the ranks
    heard=$signals
    wait "$ranks_job"
    status=$?
    [ "$signals" -eq "$heard" ] && break
done
trap '' TERM USR1
if [ "$signals" -gt 0 ]; then # launchers have statuses of their own for ranks that a signal has ended, 0 among them
    case $status in 0) [ -e "$run/summary.json" ] || status=75 ;; 2 | 70) ;; *) status=75 ;; esac
fi
case $status in
    0 | 2 | 70 | 75) ;;
    *) say "the launcher ended with status $status: it could not start ranks (its own lines are above), or one of them was killed (often: out of memory)" && status=70 ;;
esac

last=$(saved | tail -n 1)
say "ended with status $status, $(date '+%F %T')${last:+; saved until task $(task_of "$last")}"
if [ "$status" -ne 75 ]; then
    exit "$status"
elif [ $cancelled = yes ]; then
    say "stopped by TERM long before its end${ends:+ ($(clock "$ends"))}, as by $cancel: no other job goes on"
elif stop_asked; then
    say "$stop is there: no other job goes on. Submit the same script again to go on"
elif [ "$more" -le 0 ]; then
    say "unfinished. Submit the same script again and it goes on from the last checkpoint"
elif [ "$(saved)" = "$before" ]; then
    say "nothing new was saved: another job would not get further. Give more walltime, or save more often ([checkpoint] every)"
elif submit_again; then
    say "goes on in another $turn; at most $((more - 1)) more after that"
else
    say "no job can be submitted from here. Submit the script again by hand, or a chain beforehand (README.md)"
fi
exit 75
