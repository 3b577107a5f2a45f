#!/usr/bin/env bash
# Looks for known vulnerabilities (https://rustsec.org) in what Cargo.lock and fuzz/Cargo.lock name, with cargo-audit or, where
# that is not installed, cargo-deny. docs/advisories.md says what was found when, and why what is left does not concern us.
#
#   scripts/advisories.sh
#
# The database is fetched from GitHub. Without a network, name a copy of https://github.com/rustsec/advisory-db in
# ADVISORY_DB; nothing is fetched then.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly database=${ADVISORY_DB:-}
if [[ -n $database && ! -d $database/crates ]]; then
    echo "advisories: $database is no copy of the advisory database: it has no folder crates" >&2
    exit 2
fi

# What deny.toml accepts, with the reasons that stand there.
accepted() { sed -nE 's/^ *\{ id = "(RUSTSEC-[0-9-]+)".*/\1/p' deny.toml; }

if cargo audit --version >/dev/null 2>&1; then
    options=(--deny warnings)
    for id in $(accepted); do
        options+=(--ignore "$id")
    done
    [[ -z $database ]] || options+=(--db "$database" --no-fetch --stale)
    status=0
    for lock in Cargo.lock fuzz/Cargo.lock; do
        cargo audit "${options[@]}" --file "$lock" || status=$?
    done
    if [[ $status != 0 ]]; then
        echo "advisories: cargo audit failed: see above for an advisory, or for a database that it could not get" >&2
        exit 1
    fi
elif cargo deny --version >/dev/null 2>&1; then
    if [[ -n $database ]]; then
        echo "advisories: a copy of the database needs cargo-audit (cargo install --locked cargo-audit)" >&2
        exit 1
    fi
    cargo deny check advisories
else
    {
        echo "advisories: not checked: neither cargo-audit nor cargo-deny is installed"
        echo "advisories: cargo install --locked cargo-audit"
    } >&2
    exit 1
fi
