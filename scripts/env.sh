# Sourced by every script: goes to the root of the repository and makes sure that the tools are there.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
ROOT=$PWD
TOOLS="${XDG_CACHE_HOME:-$HOME/.cache}/campaign-engine/tools"
export PATH="$PATH:$HOME/.cargo/bin:$TOOLS/bin"

say() { printf '\n== %s\n' "$*" >&2; }
die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# need <program> <Debian package>: installs the package when the program is missing and we may.
need() {
    command -v "$1" >/dev/null && return
    if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
        say "installing $2, because $1 is missing"
        apt-get update -qq >&2
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$2" >&2
        command -v "$1" >/dev/null || die "$1 is still missing after installing $2"
    else
        die "$1 is missing; install it (on Debian as root: apt-get install $2) and try again"
    fi
}

command -v cargo >/dev/null || die "cargo is missing; install a Rust toolchain from https://rustup.rs (the version is in Cargo.toml under rust-version) and try again"
# SQLite is compiled from C, and rustc links with cc.
need cc build-essential
