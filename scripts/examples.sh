#!/usr/bin/env bash
# Runs every example in an empty folder of its own, without input. One that needs arguments names some, split at spaces, in a line `// args: ...`.
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"

shopt -s nullglob
cargo build -q --locked -p campaign-examples --bins
for source in examples/src/bin/*.rs examples/src/bin/*/main.rs; do
    name=${source#examples/src/bin/}
    name=${name%/main.rs}
    name=${name%.rs}
    read -ra args <<<"$(sed -n 's|^// args: *||p' "$source" | head -n 1)"
    folder=$(mktemp -d)
    printf 'example %s %s\n' "$name" "${args[*]:-}" >&2
    if ! (cd "$folder" && timeout 300 cargo run -q --locked --manifest-path "$ROOT/Cargo.toml" -p campaign-examples --bin "$name" -- "${args[@]}") \
        </dev/null >"$folder/output" 2>&1; then
        cat "$folder/output" >&2
        die "the example $name failed; its folder is $folder"
    fi
    rm -rf "$folder"
done
