#!/usr/bin/env bash
# The API documentation; a warning is an error.
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"
say "documentation"
RUSTDOCFLAGS="${RUSTDOCFLAGS:-} -D warnings" cargo doc -q --locked --workspace --no-deps --all-features
