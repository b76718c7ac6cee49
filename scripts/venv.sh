# Sourced by the other scripts and .ci/run. Makes .venv hold what they need,
# or finds at once that it already does. Keeps to what bash 3.2 and both Linux and macOS have.
# shellcheck shell=bash

root=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
venv=$root/.venv
python=$venv/bin/python
stamp=$venv/trueshot-stamp # what .venv was installed from and for; "unfinished" while that goes on
lock=$venv/installing      # a link to the number of the process that installs: made in one step

say() { printf 'trueshot: %s\n' "$*" >&2; }
fail() {
    say "$*"
    exit 1
}

# Changes when .venv has to: made from the requirements and from where the tree lies.
fingerprint() {
    { cat "$root/pyproject.toml" "$root/constraints.txt" && printf '%s' "$root"; } | cksum
}

# A version manager may put a python3.13 on the PATH that only says that there is none; and some
# systems sell venv apart from Python. So each candidate is asked, not looked at.
usable() {
    "$1" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

find_python() {
    local candidate
    if [ -n "${PYTHON:-}" ]; then
        usable "$PYTHON" || fail "PYTHON=$PYTHON is not a Python 3.11 or newer that can make" \
            "environments (with its venv and ensurepip modules)"
        printf '%s\n' "$PYTHON"
        return
    fi
    for candidate in python3.13 python3.12 python3.11 python3 python; do
        if usable "$candidate"; then
            printf '%s\n' "$candidate"
            return
        fi
    done
    fail "no Python 3.11 or newer with the venv and ensurepip modules is on the PATH." \
        "Install one, or name it: PYTHON=/path/to/python3 $0"
}

# Is .venv as asked? What was installed for tests and checks serves the demo too.
installed() {
    local have
    { [ -x "$python" ] && [ -f "$stamp" ]; } || return 1
    have=$(cat "$stamp")
    [ "$have" = "$(fingerprint) $1" ] || [ "$have" = "$(fingerprint) [test,check]" ]
}

# One installation at a time: wait for one that is going on, take over from one that was killed.
take_lock() {
    local holder waiting=
    mkdir -p "$venv"
    until ln -s "$$" "$lock" 2>/dev/null; do
        holder=$(readlink "$lock" || true)
        if [ -z "$holder" ]; then
            [ -w "$venv" ] || fail "cannot write to $venv"
        elif [ "$holder" = "$$" ] || ! kill -0 "$holder" 2>/dev/null; then
            rm -f "$lock" # left by one that was killed (in a container numbers soon come again)
            continue
        elif [ -z "$waiting" ]; then
            waiting=yes
            say "process $holder is installing into .venv; waiting for it" \
                "(if that is no longer so, delete $lock)"
        fi
        sleep 1
    done
}

# Empty .venv, but for the lock.
clear_venv() {
    find "$venv/" -mindepth 1 -maxdepth 1 ! -name "${lock##*/}" -exec rm -rf {} +
}

make_venv() {
    local base
    # A half-made environment cannot be told from a sound one by looking, so it is made anew.
    # pip still has the downloads.
    if [ "$(cat "$stamp" 2>/dev/null || true)" = unfinished ]; then
        say "the last installation was interrupted; starting it again"
        clear_venv
    fi
    if ! "$python" -c '' 2>/dev/null; then
        base=$(find_python)
        clear_venv
        printf 'unfinished\n' >"$stamp"
        "$base" -m venv "$venv"
    fi
    printf 'unfinished\n' >"$stamp"
    "$python" -c 'import pip' 2>/dev/null || "$python" -m ensurepip >/dev/null
}

# Make .venv hold the project with its extras: ensure_venv '' or ensure_venv '[test,check]'.
ensure_venv() {
    local extras=$1
    if installed "$extras"; then return; fi
    take_lock
    trap 'rm -f "$lock"' EXIT
    trap 'exit 130' HUP INT TERM # once pip has ended, so that two never write at a time
    if ! installed "$extras"; then
        case "$(cat "$stamp" 2>/dev/null || true)" in *'[test,check]') extras='[test,check]' ;; esac
        make_venv
        say "installing the project$extras into .venv (minutes the first time, then not again)"
        if ! (cd "$root" && "$python" -m pip install -qq --no-compile --disable-pip-version-check \
            -c constraints.txt -e ".$extras"); then
            rm -f "$stamp" # pip ended in good order: what is there may stay
            fail "pip could not install the project; what it says is above"
        fi
        printf '%s %s\n' "$(fingerprint)" "$extras" >"$stamp"
    fi
    rm -f "$lock"
    trap - EXIT HUP INT TERM
}
