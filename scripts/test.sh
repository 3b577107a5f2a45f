#!/usr/bin/env bash
# Unit and integration tests, then a look for anything that they left behind. Arguments go to the test runner.
#
# The integration tests (crates/gantry-testkit/tests) drive the binaries of scripts/build.sh and need root. Without arguments
# there is a minute of random operations and faults (scripts/stress.sh), and some tests run once more in a guest with cgroup
# version 2 alone (scripts/guest.sh).
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/parent-cgroups.sh
. scripts/parent-cgroups.sh

if [[ $(id -u) != 0 ]]; then
    echo "test: the tests make containers, which needs root: run them as root (sudo make test)" >&2
    exit 1
fi

GANTRY_BIN_DIR=$(realpath "${CARGO_TARGET_DIR:-target}/gantry/bin")
export GANTRY_BIN_DIR
# And programs that die at named points.
scripts/failpoints.sh
GANTRY_FAILPOINTS_BIN_DIR=$(realpath "${CARGO_TARGET_DIR:-target}/gantry/failpoints")
export GANTRY_FAILPOINTS_BIN_DIR

before=$(scripts/leftovers.sh)
cgroups_before=$(gantry_cgroups)
status=0
if cargo nextest --version >/dev/null 2>&1; then
    cargo nextest run --locked --workspace --config-file scripts/nextest.toml --no-fail-fast "$@" || status=$?
else
    cargo test --locked --workspace --no-fail-fast "$@" || status=$?
fi
if [[ $status == 0 && $# == 0 ]]; then
    # A minute of what nobody has thought of; it prints its seed, and SEED repeats it.
    MINUTES=1 scripts/stress.sh || status=$?
    if [[ ${GANTRY_GUEST:-yes} == yes && $(uname -m) == x86_64 ]]; then
        scripts/guest.sh || status=$?
    else
        echo "test: the guest is left out, and with it cgroup version 2 alone (GANTRY_GUEST=no, or no x86-64 machine)"
    fi
fi
remove_gantry_cgroups_except "$cgroups_before"
after=$(scripts/leftovers.sh)

left=$(comm -13 <(sort <<<"$before") <(sort <<<"$after"))
if [[ -n $left ]]; then
    echo "test: the tests left behind:" >&2
    echo "$left" >&2
    exit 1
fi
echo "test: no process, mount, cgroup or temporary file left behind"
exit "$status"
