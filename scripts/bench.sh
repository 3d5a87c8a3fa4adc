#!/usr/bin/env bash
# The benches. `--quick` runs one small iteration of each in the development profile, so that they never rot.
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"

need_postgres
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
    cargo run -q --locked --profile "$profile" --bin "$name" -- "$@"
done

# The engine from Node.js; the quick run needs the package that `scripts/node.sh` built.
if [ "$profile" = bench ]; then
    scripts/node.sh --bench
else
    scripts/node.sh --bench --quick
fi

# Others on the same machine. Their dependencies are large, so the quick run leaves them out.
if [ "$profile" = bench ]; then
    cargo run -q --locked --bin with_postgres -- cargo run -q --locked --release --manifest-path benches/peers/Cargo.toml
fi

# From Python, and the queues of its ecosystem on a Redis of their own.
source scripts/python-env.sh
if [ "$profile" = bench ]; then
    build_python --release
    cargo build -q --locked --release --bin binding_floor
    BINDING_FLOOR=$(cargo metadata --format-version 1 --no-deps | python -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])')/release/binding_floor
    export BINDING_FLOOR
else
    build_python
fi
python benches/python/overhead.py
if [ "$profile" = bench ]; then
    need redis-server redis-server
    for environment in requirements arq; do
        python3 -m venv ".build/peers-$environment"
        ".build/peers-$environment/bin/pip" install --quiet --disable-pip-version-check -r "benches/python/$environment.txt"
    done
    PEERS_ARQ_PYTHON=.build/peers-arq/bin/python .build/peers-requirements/bin/python -W ignore benches/python/peers.py
fi
