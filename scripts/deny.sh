#!/usr/bin/env bash
# Licences, sources and bans; by hand also advisories, whose database changes from day to day and must not fail a build that passed.
# With `--ci` a cargo-deny that cannot be installed is no failure: tests/tests/invariants.rs checks licences and sources as well.
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"

ci=
[ "${1:-}" = --ci ] && ci=yes
if ! scripts/tools.sh; then
    [ -n "$ci" ] || die "cargo-deny cannot be installed"
    say "cargo-deny cannot be installed; licences and sources are left to the invariant tests"
    exit 0
fi
say "licences, sources, bans"
cargo deny --locked --log-level error check --show-stats bans licenses sources
if [ -z "$ci" ]; then
    say "advisories"
    cargo deny --locked --log-level error check advisories
fi
