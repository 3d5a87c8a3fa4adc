#!/usr/bin/env bash
# The benches. `--quick` runs one small iteration of each in the development profile, so that they never rot.
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"

profile=bench
if [ "${1:-}" = --quick ]; then
    shift
    profile=dev
    export CAMPAIGN_BENCH_QUICK=1
fi
shopt -s nullglob
for source in benches/benches/*.rs; do
    name=$(basename "$source" .rs)
    cargo bench -q --locked -p campaign-benches --profile "$profile" --bench "$name" -- "$@"
done
for source in benches/src/bin/*.rs benches/src/bin/*/main.rs; do
    name=${source#benches/src/bin/}
    name=${name%/main.rs}
    name=${name%.rs}
    cargo run -q --locked -p campaign-benches --profile "$profile" --bin "$name" -- "$@"
done

# Others on the same machine. Their dependencies are large, so the quick run leaves them out.
if [ "$profile" = bench ]; then
    cargo run -q --locked --release --manifest-path benches/peers/Cargo.toml
fi
