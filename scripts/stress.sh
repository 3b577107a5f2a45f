#!/usr/bin/env bash
# Random operations against a throw-away daemon while daemon, shims, runtimes and processes are killed and its disk is full,
# for MINUTES (1), chosen by SEED (the clock); afterwards a strict account. Arguments go to `gantry-testkit stress`, see its
# --help. It needs root and the binaries of scripts/build.sh.
set -euo pipefail
cd "$(dirname "$0")/.."

if [[ $(id -u) != 0 ]]; then
    echo "stress: it makes containers, which needs root: run it as root (sudo make stress)" >&2
    exit 1
fi

GANTRY_BIN_DIR=$(realpath "${GANTRY_BIN_DIR:-${CARGO_TARGET_DIR:-target}/gantry/bin}")
export GANTRY_BIN_DIR
args=(--minutes "${MINUTES:-1}")
[[ -z ${SEED:-} ]] || args+=(--seed "$SEED")
exec cargo run --locked --quiet -p gantry-testkit --bin gantry-testkit -- stress "${args[@]}" "$@"
