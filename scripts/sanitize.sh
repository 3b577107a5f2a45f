#!/usr/bin/env bash
# Unit tests of the crates with unsafe code under AddressSanitizer with its leak check, or another of the compiler's sanitizers.
#
#   scripts/sanitize.sh [address|leak] [PACKAGE...]
#
# RUSTC_BOOTSTRAP lets the pinned compiler take -Z flags, in this build alone; the programs are linked dynamically here, for
# the sanitizers' libraries have to come first. The integration tests are left out: they drive static programs, and a shim
# under its filter of system calls, or a process between clone and execve, has no place for a sanitizer's runtime.
# ThreadSanitizer would need a standard library that is built with it, and Miri knows none of the system calls that these crates
# are about.
set -euo pipefail
cd "$(dirname "$0")/.."

sanitizer=address
if [[ ${1:-} == address || ${1:-} == leak ]]; then
    sanitizer=$1
    shift
fi
packages=("$@")
[[ ${#packages[@]} != 0 ]] || packages=(gantry-record gantry-shim gantry-container gantry-runtime gantry-daemon)

export RUSTC_BOOTSTRAP=1
export RUSTFLAGS="-Zsanitizer=$sanitizer -Ctarget-feature=-crt-static"
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target}/sanitize
# Frames that are looked for after they have ended would be kept in other memory than the stack, whose end the shim trims.
export ASAN_OPTIONS=detect_stack_use_after_return=0:detect_leaks=1
export LSAN_OPTIONS=${LSAN_OPTIONS:-}

cargo test --locked "${packages[@]/#/-p}" --lib --no-fail-fast
echo "sanitize: ${packages[*]}: nothing found by the $sanitizer sanitizer"
