# Shared by the scripts beside it; sourced, never run.
# shellcheck shell=bash

# Where npm packages of the checks live, outside the checkout.
export NODE_HOME="${SSE_CI_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/sse-state-ci}/node"

# Prints a step's name, runs it, prints its seconds. The first failure ends the caller.
step() { # step NAME COMMAND...
    local name=$1 start=$SECONDS
    shift
    printf '\n==> %s: %s\n' "$name" "$*"
    if ! "$@" </dev/null; then
        printf '<== %s: FAILED after %s s\n' "$name" "$((SECONDS - start))" >&2
        exit 1
    fi
    printf '<== %s: %s s\n' "$name" "$((SECONDS - start))"
}

# Runs every line "NAME: COMMAND" of the array that is named. Commands run by bash, so env settings in front work.
steps() { # steps ARRAY
    local -n lines=$1
    local line
    for line in "${lines[@]}"; do
        step "${line%%: *}" bash -euo pipefail -c "${line#*: }"
    done
}
