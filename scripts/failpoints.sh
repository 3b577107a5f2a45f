#!/usr/bin/env bash
# Builds gantryd, gantry-shim and gantry-runtime with failpoints (docs/failpoints.md) into <target>/gantry/failpoints.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly target=${CARGO_TARGET_DIR:-target}
readonly folder=$target/gantry/failpoints
triple=$(rustc --print host-tuple)

# Unoptimised: it takes a fraction of the time and dies just as well.
cargo build --locked -p gantry-daemon -p gantry-shim -p gantry-runtime \
    --features gantry-daemon/failpoints,gantry-shim/failpoints,gantry-runtime/failpoints
mkdir -p "$folder"
for binary in gantryd gantry-shim gantry-runtime; do
    install -m 0755 "$target/$triple/debug/$binary" "$folder/.new"
    mv -f "$folder/.new" "$folder/$binary"
done
