#!/usr/bin/env bash
# Fuzzes what reads bytes from outside, one target after another, and prints what came of it.
#
#   scripts/fuzz.sh [SECONDS] [TARGET...]
#
# SECONDS is for each target (60 unless it is given); without TARGET, all of fuzz/fuzz_targets. Inputs begin with
# fuzz/corpus and fuzz/regressions; what is found on the way stays in <target>/fuzz/found, so that the next run goes on from
# there. What breaks something is put into <target>/fuzz/broken: `cargo fuzz tmin` makes it small, and then it belongs into
# fuzz/regressions/TARGET, where a plain test runs it (crates/gantry-fuzz).
#
# With a nightly compiler, or with RUSTC_BOOTSTRAP=1 (set here, for this build alone), the programs are built with
# AddressSanitizer; SANITIZER=none leaves it out, for a compiler that has none. GANTRY_FUZZ_TABLE names a file that gets
# the table too.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=60
if [[ ${1:-} =~ ^[0-9]+$ ]]; then
    seconds=$1
    shift
fi
targets=("$@")
if [[ ${#targets[@]} == 0 ]]; then
    for file in fuzz/fuzz_targets/*.rs; do
        targets+=("$(basename "$file" .rs)")
    done
fi
for target in "${targets[@]}"; do
    if [[ ! -e fuzz/fuzz_targets/$target.rs ]]; then
        echo "fuzz: there is no target \"$target\"; fuzz/fuzz_targets has them" >&2
        exit 2
    fi
done
if ! cargo fuzz --version >/dev/null 2>&1; then
    echo "fuzz: cargo-fuzz is not installed: cargo install --locked cargo-fuzz (and a C++ compiler, for libFuzzer)" >&2
    exit 1
fi

# Memory that one input may have taken, how long it may take, and how large it may become.
readonly memory_mb=1024 input_seconds=10 max_length=16384
sanitizer=${SANITIZER:-address}
work=$(realpath -m "${CARGO_TARGET_DIR:-target}")/fuzz
readonly sanitizer work
unset CARGO_TARGET_DIR
export RUSTC_BOOTSTRAP=1
export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=1:detect_odr_violation=0}

# Files that a target writes; on a tmpfs where there is one.
memory_folder=/tmp
[[ ! -w /dev/shm ]] || memory_folder=/dev/shm
TMPDIR=$(mktemp -d "$memory_folder/gantry-fuzz.XXXXXX")
export TMPDIR
trap 'rm -rf "$TMPDIR"' EXIT

columns='%-16s %7s %12s %8s %7s %9s %8s  %s\n'
row() {
    # shellcheck disable=SC2059
    printf "$columns" "$@"
    # shellcheck disable=SC2059
    [[ -z ${GANTRY_FUZZ_TABLE:-} ]] || printf "$columns" "$@" >>"$GANTRY_FUZZ_TABLE"
}

# What libFuzzer said at last of itself: `#N DONE cov: 1 ft: 2 corp: 3/4Kb ... exec/s: 5 rss: 6Mb`, and `stat::NAME: N`.
figure() { grep -E '^#[0-9]+' "$log" | tail -n 1 | sed -nE "s|.*$1: ([0-9]+).*|\1|p"; }
statistic() { sed -nE "s/^stat::$1: *([0-9]+)/\1/p" "$log" | tail -n 1; }

cargo fuzz build --sanitizer "$sanitizer" --target-dir "$work"
triple=$(rustc --print host-tuple)

row target seconds executions exec/s corpus coverage "rss MB" result
failed=0
for target in "${targets[@]}"; do
    found=$work/found/$target
    log=$work/$target.log
    mkdir -p "$found" "$work/broken"
    options=(
        "-max_total_time=$seconds" "-rss_limit_mb=$memory_mb" "-timeout=$input_seconds" "-max_len=$max_length"
        "-artifact_prefix=$work/broken/$target-" -print_final_stats=1
    )
    [[ ! -e fuzz/dictionaries/$target.dict ]] || options+=("-dict=fuzz/dictionaries/$target.dict")
    inputs=("$found" "fuzz/corpus/$target")
    [[ ! -d fuzz/regressions/$target ]] || inputs+=("fuzz/regressions/$target")
    began=$SECONDS result=ok
    if ! "$work/$triple/release/$target" "${options[@]}" "${inputs[@]}" >"$log" 2>&1; then
        result="BROKEN: $(sed -nE 's/.*Test unit written to (.*)/\1/p' "$log" | tail -n 1) ($log)"
        failed=1
    fi
    row "$target" $((SECONDS - began)) "$(statistic number_of_executed_units)" "$(statistic average_exec_per_sec)" \
        "$(figure corp)" "$(figure cov)" "$(statistic peak_rss_mb)" "$result"
done
exit "$failed"
