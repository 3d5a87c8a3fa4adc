#!/usr/bin/env bash
# Runs a command with the tools in place.
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"
exec "$@"
