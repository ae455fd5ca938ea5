# shellcheck shell=bash
# Sourced by scripts/harness and scripts/test. `install [EXTRA]` makes .venv and installs the package into it, once for
# each state of the files that say what to install.

root=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.." && pwd)
venv=$root/.venv
stamp=$venv/installed # two lines, written last: a digest of what was asked for, and the extras that came with it

fail() {
    echo "error: $*" >&2
    exit 1
}

install() {
    local extras=" $* "
    if nvidia-smi -L >/dev/null 2>&1; then
        extras+="cuda "
    fi
    is_installed "$extras" && return

    [ "$(uname -s)" = Linux ] || fail "harness runs on Linux, and this is $(uname -s)"
    command -v flock >/dev/null || fail "flock is needed and was not found; on Debian and Ubuntu: apt install util-linux"
    exec 9>"$root/.venv.lock"
    flock -n 9 || { echo "waiting for another installation into $venv" >&2 && flock 9; }
    is_installed "$extras" || install_now "$extras"
    exec 9>&-
}

is_installed() {
    local extra have_digest have_extras
    { read -r have_digest && IFS= read -r have_extras; } 2>/dev/null <"$stamp" || return 1
    [ "$have_digest" = "$(digest)" ] || return 1
    for extra in $1; do
        [[ $have_extras == *" $extra "* ]] || return 1
    done
    [ -x "$venv/bin/python" ]
}

digest() {
    { cat "$root/pyproject.toml" "$root/constraints.txt" && echo "$root ${PYTHON:-}"; } | sha256sum | cut -d' ' -f1
}

install_now() {
    local extras=$1 python list pip_output=()
    python=$(find_python) || fail "Python 3.11 or newer is needed; install it, or name one with PYTHON=/path/to/python3"
    if [ -f "$stamp" ] && [ "$("$venv/bin/python" -V 2>&1)" = "$("$python" -V 2>&1)" ]; then
        extras+=$(sed -n 2p "$stamp") # what another script asked for stays
    else
        # No stamp: there is nothing, or an installation that was interrupted, of which no part can be trusted.
        echo "making $venv with $("$python" -V)" >&2
        rm -rf "$venv"
        "$python" -m venv "$venv" >&2 ||
            { rm -rf "$venv" && fail "$python can't make it; on Debian and Ubuntu: apt install python3-venv"; }
    fi
    rm -f "$stamp"
    # shellcheck disable=SC2086  # one line an extra
    list=$(printf '%s\n' $extras | sort -u | paste -sd,)
    [ -t 2 ] || pip_output=(--quiet)
    echo "installing harness${list:+ with $list} and what it needs into $venv: some minutes, once" >&2
    "$venv/bin/python" -m pip install "${pip_output[@]}" --disable-pip-version-check --constraint "$root/constraints.txt" \
        --editable "$root${list:+[$list]}" >&2 || fail "the installation failed (see above); the next call tries again"
    printf '%s\n %s \n' "$(digest)" "${list//,/ }" >"$stamp"
    echo "installed" >&2
}

find_python() {
    local candidate
    for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11}; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    return 1
}
