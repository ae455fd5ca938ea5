# shellcheck shell=bash
# Sourced by scripts/harness and scripts/test. `ensure_installed [EXTRA]` makes .venv and installs the package into it,
# editable, unless what is there already is what is asked for; finding that out takes some milliseconds.

root=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.." && pwd)
venv=$root/.venv

# What was installed, a line each: into which checkout, with which Python, the PYTHON asked for, a digest of the files
# that say what to install, the extras. While an installation runs it says "unfinished", and so it does after one that
# was interrupted. A .venv without this file was made by hand.
stamp=$venv/installed

fail() {
    echo "error: $*" >&2
    exit 1
}

ensure_installed() {
    local extras="${1:-}" with_cuda="${1:-} cuda"
    is_installed "$with_cuda" && return
    # Asked only now, because nvidia-smi takes up to some seconds where there is a GPU.
    if nvidia-smi -L >/dev/null 2>&1; then
        extras=$with_cuda
    fi
    is_installed "$extras" && return

    [ "$(uname -s)" = Linux ] || fail "harness runs on Linux; this is $(uname -s)"
    command -v flock >/dev/null || fail "the command flock is missing; on Debian and Ubuntu: apt install util-linux"
    [ -w "$root" ] || fail "$root is not writable, so .venv can't be made or renewed in it"
    # pip inherits the open file, and with it the lock: nobody starts over while a pip left alone still writes.
    exec 9>"$root/.venv.lock"
    flock --nonblock 9 || { echo "waiting for another installation into $venv" >&2 && flock 9; }
    is_installed "$extras" || install_now "$extras"
    exec 9>&-
}

is_installed() {
    local extra
    read_stamp && [ "$installed_digest" = "$(digest)" ] || return
    for extra in $1; do
        [[ " $installed_extras " == *" $extra "* ]] || return
    done
}

# Fails unless a finished installation is in a virtual environment that still works: one that was moved doesn't, nor
# one whose Python was upgraded.
read_stamp() {
    local where interpreter asked
    [ -x "$venv/bin/python" ] && [ -f "$stamp" ] || return
    {
        IFS= read -r where && IFS= read -r interpreter && IFS= read -r asked &&
            read -r installed_digest && read -r installed_extras
    } <"$stamp" || return
    [ "$where" = "$root" ] && [ "$interpreter" = "$(readlink -f "$venv/bin/python")" ] &&
        [ "$asked" = "${PYTHON:-$asked}" ]
}

digest() {
    cat "$root/pyproject.toml" "$root/constraints.txt" | sha256sum
}

install_now() {
    local extras=$1 list pip_options=()
    if read_stamp; then
        extras+=" $installed_extras" # what another script asked for stays
    elif [ -f "$stamp" ] || ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
        make_venv
    fi
    # shellcheck disable=SC2086  # split into one extra a line
    list=$(printf '%s\n' $extras | sort --unique | paste --serial --delimiters=,)
    [ -t 2 ] || pip_options=(--quiet)
    echo "installing harness${list:+ with $list} and what it needs into $venv; this takes minutes, once" >&2
    echo unfinished >"$stamp"
    "$venv/bin/python" -m pip install "${pip_options[@]}" --disable-pip-version-check \
        --constraint "$root/constraints.txt" --editable "$root${list:+[$list]}" >&2 ||
        fail "the installation failed, as said above; the next call tries again"
    printf '%s\n' "$root" "$(readlink -f "$venv/bin/python")" "${PYTHON:-}" "$(digest)" "${list//,/ }" >"$stamp"
}

make_venv() {
    local python
    python=$(find_python) || exit
    echo "making $venv with $("$python" --version)" >&2
    rm -rf "$venv"
    mkdir "$venv"
    echo unfinished >"$stamp"
    "$python" -m venv "$venv" >&2 || fail "$python could not make $venv, as said above; the next call tries again"
}

find_python() {
    local candidate candidates=(python3 python3.13 python3.12 python3.11)
    [ -z "${PYTHON:-}" ] || candidates=("$PYTHON")
    for candidate in "${candidates[@]}"; do
        # TensorFlow has no wheels for newer ones yet.
        "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null || continue
        "$candidate" -c 'import ensurepip, venv' 2>/dev/null ||
            fail "$candidate lacks the module venv; on Debian and Ubuntu: apt install" \
                "$("$candidate" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"
        echo "$candidate"
        return
    done
    fail "Python 3.11, 3.12 or 3.13 is needed, and none of these is one: ${candidates[*]};" \
        "install it, or name it with PYTHON=/path/to/python3"
}
