#!/usr/bin/env bash
# Makes or refreshes the virtual environment that the Makefile works with.
#
#   dev/setup.sh run    what `make demo` and `make up` need
#   dev/setup.sh dev    and the checks and tests
#   dev/setup.sh docs   and the documentation
#
# Versions are pinned by constraints-test.txt. Quiet: one progress line; everything else goes to .venv/setup-<what>.log,
# whose end is shown when a step fails. PYTHON chooses the interpreter (default python3, at least 3.11).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

what=${1:?usage: dev/setup.sh run|dev|docs}
python=${PYTHON:-python3}
venv=.venv

case $what in
    run) groups=(--group demo) ;;
    dev) groups=(--group dev) ;;
    docs) groups=(--group docs) ;;
    *) echo "dev/setup.sh: unknown environment '$what': choose run, dev or docs" >&2; exit 2 ;;
esac

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    echo "Python 3.11 or later is needed; '$python' is not that. Name another one: make PYTHON=/path/to/python3.12" >&2
    exit 1
fi

if [ ! -x $venv/bin/python ] || ! $venv/bin/python -c '' 2>/dev/null; then
    rm -rf $venv
    if ! "$python" -m venv $venv >/dev/null; then
        rm -rf $venv
        echo "'$python -m venv' failed: on Debian and Ubuntu install the package python3-venv" >&2
        exit 1
    fi
fi

compile=()
# Without bytecode each process takes seconds to import Airflow. Where Python may not write it later, it is made now.
[ -z "${PYTHONDONTWRITEBYTECODE:-}" ] || compile=(--compile-bytecode)

started=$SECONDS
log=$venv/setup-$what.log
printf 'Setting up %s (%s): a minute or two the first time ... ' "$venv" "$what"

install() {
    # uv resolves and installs many times faster than pip, but does not read pip's configuration: where only that
    # leads to a package index, pip does the work.
    local target=(--constraint constraints-test.txt --editable '.[delta,parquet,raster,redis,sandbox,vector]' "${groups[@]}")
    $venv/bin/python -m pip install --quiet --constraint constraints-test.txt uv || return
    VIRTUAL_ENV=$PWD/$venv $venv/bin/uv pip install "${compile[@]}" "${target[@]}" && return
    echo "uv failed; trying pip"
    # Dependency groups came with pip 25.1.
    $venv/bin/python -m pip install --quiet --upgrade 'pip>=25.1' && $venv/bin/python -m pip install "${target[@]}"
}

if install >"$log" 2>&1; then
    touch "$venv/.ready-$what"
    echo "done in $((SECONDS - started)) s"
else
    echo "failed"
    tail -n 30 "$log" >&2
    echo "The whole log: $log" >&2
    if ! $venv/bin/python -m pip index versions --quiet --retries 0 uv >/dev/null 2>&1; then
        echo "No package index can be reached: pip finds no version of uv. Check the network and the proxy (HTTPS_PROXY)," \
            "or name an index that this machine reaches: PIP_INDEX_URL, and UV_DEFAULT_INDEX for uv." >&2
    fi
    exit 1
fi
