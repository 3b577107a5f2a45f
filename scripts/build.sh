#!/usr/bin/env bash
# Builds the release binaries and gathers them in <target>/gantry/bin.
#
# The shim has a profile of its own (Cargo.toml). The built-in runtime gets seccomp when a static libseccomp is
# there (Debian: libseccomp-dev); without it, it refuses a bundle that asks for seccomp.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly target=${CARGO_TARGET_DIR:-target}
readonly bin=$target/gantry/bin
triple=$(rustc --print host-tuple)
readonly triple

# The system's package that a feature needs decides whether it is built in.
features=()
seccomp=$(gcc -print-file-name=libseccomp.a)
if [[ $seccomp == /* ]]; then
    features=(--features gantry-runtime/seccomp)
    export LIBSECCOMP_LINK_TYPE=static LIBSECCOMP_LIB_PATH
    LIBSECCOMP_LIB_PATH=$(dirname "$(realpath "$seccomp")")
else
    echo "build: no static libseccomp: gantry-runtime is built without seccomp" >&2
fi

cargo build --locked --release -p gantry-daemon -p gantry-cli -p gantry-runtime "${features[@]}"
cargo build --locked --profile shim -p gantry-shim

mkdir -p "$bin"
for binary in release/gantryd release/gantry release/gantry-runtime release/gantry-demo shim/gantry-shim; do
    [[ -e $target/$triple/$binary ]] || continue
    # A rename, so that a daemon that runs from here keeps its old file.
    install -m 0755 "$target/$triple/$binary" "$bin/.new"
    mv -f "$bin/.new" "$bin/$(basename "$binary")"
done
echo "build: $(cd "$bin" && echo *) in $bin"
