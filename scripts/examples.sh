#!/usr/bin/env bash
# Runs every example in an empty folder of its own, without input. One that needs arguments names some, split at spaces, in a line
# `// args: ...`; one that needs PostgreSQL says so in a line `// needs: postgres` and finds the URL of a private one in DATABASE_URL.
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"

shopt -s nullglob
need_postgres
cargo build -q --locked --bins
cargo build -q --locked --bin with_postgres
for source in examples/src/bin/*.rs examples/src/bin/*/main.rs; do
    name=${source#examples/src/bin/}
    name=${name%/main.rs}
    name=${name%.rs}
    read -ra args <<<"$(sed -n 's|^// args: *||p' "$source" | head -n 1)"
    run=()
    if grep -q '^// needs: postgres' "$source"; then
        run=(cargo run -q --locked --manifest-path "$ROOT/Cargo.toml" --bin with_postgres --)
    fi
    folder=$(mktemp -d)
    printf 'example %s %s\n' "$name" "${args[*]:-}" >&2
    if ! (cd "$folder" && timeout 300 "${run[@]}" cargo run -q --locked --manifest-path "$ROOT/Cargo.toml" --bin "$name" -- "${args[@]}") \
        </dev/null >"$folder/output" 2>&1; then
        cat "$folder/output" >&2
        die "the example $name failed; its folder is $folder"
    fi
    rm -rf "$folder"
done
