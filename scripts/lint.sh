#!/usr/bin/env bash
# Format and lints; a warning is an error. The flags go to the workspace's own crates only, so dependencies are not built again.
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"
say "format"
cargo fmt --all --check
say "clippy"
cargo clippy -q --locked --workspace --all-targets --all-features -- -D warnings
say "clippy without default features"
cargo clippy -q --locked -p campaign-core --no-default-features -- -D warnings
