#!/usr/bin/env bash
# Builds a gantryd that kills itself at a named step, for the tests, and puts it into <target>/gantry/failpoints.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly target=${CARGO_TARGET_DIR:-target}
readonly folder=$target/gantry/failpoints
triple=$(rustc --print host-tuple)

# Unoptimised: it takes a fraction of the time and dies just as well.
cargo build --locked -p gantry-daemon --features failpoints
mkdir -p "$folder"
install -m 0755 "$target/$triple/debug/gantryd" "$folder/.new"
mv -f "$folder/.new" "$folder/gantryd"
