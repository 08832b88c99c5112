# Shared by the scripts beside it; sourced, never run.
# shellcheck shell=bash

# Where npm and Python packages of the checks live, outside the checkout.
export NODE_HOME="${SSE_CI_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/sse-state-ci}/node"
export PYTHON_HOME="${SSE_CI_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/sse-state-ci}/python"

# Runs each line "NAME: COMMAND" of the array that is named, with its name and its seconds. The first failure ends the caller.
# With a file, what has passed is written there, and left out if it stands there already.
steps() { # steps ARRAY [FILE]
    local -n lines=$1
    local line name start passed=${2:-/dev/null}
    for line in "${lines[@]}"; do
        name=${line%%: *} start=$SECONDS
        if grep -qxF "$name" "$passed"; then
            printf '\n==> %s: has passed on this commit\n' "$name"
            continue
        fi
        printf '\n==> %s\n' "$line"
        if ! bash -euo pipefail -c "${line#*: }" </dev/null; then
            printf '<== %s: FAILED after %d s\n' "$name" "$((SECONDS - start))"
            exit 1
        fi
        printf '<== %s: %d s\n' "$name" "$((SECONDS - start))"
        echo "$name" >>"$passed"
    done
}
