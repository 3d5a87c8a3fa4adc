#!/usr/bin/env bash
# Every test. Goes on after a failure, so that one run shows everything; the runners' own summaries come last.
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"

need_postgres
need_pooler

failed=()
# step <what> <command>: no step may hang; the longest takes a quarter of an hour on two cores when everything has to be built.
step() {
    say "$1"
    shift
    timeout --kill-after=30 40m "$@" || failed+=("$*")
}

core=(cargo check -q --locked -p campaign-core --no-default-features)

step "campaign-core without features" "${core[@]}"
for feature in $(sed -n '/^\[features\]/,/^\[/s/^\([a-z][a-z0-9_-]*\) *=.*/\1/p' campaign-core/Cargo.toml); do
    step "campaign-core with $feature alone" "${core[@]}" --features "$feature"
done
step "examples" scripts/examples.sh
step "benches, one iteration" scripts/bench.sh --quick
step "the Node package" scripts/node.sh
step "the vendors' own clients" scripts/vendors.sh
step "the server's OpenAPI document, asked" scripts/schemathesis.sh
step "tools for Python, for the documentation's client" scripts/python.sh tools
step "documentation tests" cargo test -q --locked --workspace --doc --no-fail-fast
if cargo nextest --version >/dev/null 2>&1; then
    step "tests" cargo nextest run --locked --workspace --no-fail-fast
else
    step "tests" cargo test --locked --workspace --lib --bins --tests --no-fail-fast
fi
step "Python package" scripts/python.sh test

if [ ${#failed[@]} -gt 0 ]; then
    printf 'failed: %s\n' "${failed[@]}" >&2
    exit 1
fi
