#!/usr/bin/env bash
# Kills daemon, shim and runtime at each of their failpoints, makes them fail and wait there, and prints the table of what became
# of it with its totals (docs/failpoints.md). Needs root.
#
#   scripts/faults.sh [PART]
#
# PART is a part of a test's name, such as `shim_killed`. GANTRY_FAULTS_ONLY=NAME tries only points whose name has NAME in it.
# GANTRY_FAULTS_TABLE names a file that gets the table too.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/failpoints.sh
GANTRY_FAILPOINTS_BIN_DIR=$(realpath "${CARGO_TARGET_DIR:-target}/gantry/failpoints")
table=$(mktemp)
trap 'rm -f "$table"' EXIT
export GANTRY_FAILPOINTS_BIN_DIR

status=0
GANTRY_FAULTS_TABLE=$table cargo test --locked -p gantry-testkit --test integration -- \
    --test-threads=1 "failpoints::${1:-}" >&2 || status=$?

sort "$table" | tee ${GANTRY_FAULTS_TABLE:+"$GANTRY_FAULTS_TABLE"}
awk '
    { points[$1]; split($1, name, "::"); rows[name[1] " " $2]++; total++ }
    /FAILED/ { failed++ }
    END {
        for (row in rows) printf "%s: %d\n", row, rows[row] | "sort"
        close("sort")
        n = 0
        for (point in points) n++
        printf "%d points, %d rows, %d not as they should be\n", n, total, failed
    }
' "$table"
exit "$status"
