#!/usr/bin/env bash
# Writes man pages, completions and the default configuration from the programs' own definitions of their command lines.
#
#   scripts/docs.sh FOLDER
set -euo pipefail
cd "$(dirname "$0")/.."

folder=${1:?usage: scripts/docs.sh FOLDER}
mkdir -p "$folder"
folder=$(realpath "$folder")

# In a build of its own, so that none of it gets into a release.
programs=(gantry-daemon:gantryd gantry-cli:gantry gantry-runtime:gantry-runtime)
for program in "${programs[@]}"; do
    GANTRY_DOCS=$folder cargo run --quiet --locked -p "${program%:*}" --bin "${program#*:}" --features docs
done
# Executed by name alone, so that the defaults name programs and not where they were built.
cargo run --quiet --locked -p gantry-daemon --bin gantryd --features docs -- config default >"$folder/gantryd.toml"
echo "docs: $(find "$folder" -type f | wc -l) files in $folder"
