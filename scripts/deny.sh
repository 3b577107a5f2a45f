#!/usr/bin/env bash
# Licences, bans and sources of all dependencies (deny.toml), where cargo-deny is installed. These three checks need
# no network; advisories do, so they are not part of this.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! cargo deny --version >/dev/null 2>&1; then
    echo "deny: skipped: cargo-deny is not installed (cargo install --locked cargo-deny)"
    exit 0
fi
cargo deny --offline check licenses bans sources
