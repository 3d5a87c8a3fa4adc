#!/usr/bin/env bash
# The demo. The development profile is optimised enough for it and shares its build with the tests.
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"
exec cargo run -q --locked --bin demo -- "$@"
