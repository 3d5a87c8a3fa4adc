#!/usr/bin/env bash
# Installs cargo-deny where every clone of this user finds it; about two minutes on two cores, once.
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"
if ! command -v cargo-deny >/dev/null; then
    say "installing cargo-deny into $TOOLS"
    env -u CARGO_TARGET_DIR cargo install --locked --quiet --root "$TOOLS" cargo-deny
fi
