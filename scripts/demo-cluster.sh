#!/usr/bin/env bash
# The demo of a cluster. It starts a private PostgreSQL, which ends with it.
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"
need_postgres
exec cargo run -q --locked --bin demo_cluster -- "$@"
