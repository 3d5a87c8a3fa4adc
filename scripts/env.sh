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

# install <Debian package> <what is missing>: installs the package when we may.
install() {
    if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
        say "installing $1, because $2 is missing"
        apt-get update -qq >&2
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$1" >&2
    else
        die "$2 is missing; install it (on Debian as root: apt-get install $1) and try again"
    fi
}

# need <program> <Debian package>
need() {
    command -v "$1" >/dev/null && return
    install "$2" "$1"
    command -v "$1" >/dev/null || die "$1 is still missing after installing $2"
}

# The programs of a PostgreSQL server, which private servers are started from, where tests/src/postgres.rs looks for them.
need_postgres() {
    has_postgres && return
    # Debian would make and start a server for everybody; nobody asked for one.
    local setting=/etc/postgresql-common/createcluster.d/campaign-no-server.conf
    if [ "$(id -u)" = 0 ]; then
        mkdir -p "${setting%/*}"
        echo "create_main_cluster = false" >"$setting"
    fi
    install postgresql PostgreSQL
    rm -f "$setting"
    has_postgres || die "PostgreSQL's programs are still missing after installing postgresql"
}
has_postgres() {
    command -v initdb >/dev/null || compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null ||
        compgen -G '/opt/homebrew/opt/postgresql*/bin/initdb' >/dev/null || compgen -G '/usr/local/opt/postgresql*/bin/initdb' >/dev/null
}

# The pooler that one of the tests goes through.
need_pooler() { [ -x /usr/sbin/pgbouncer ] || need pgbouncer pgbouncer; }

# Where Cargo puts what it builds.
target_directory() { cargo metadata --format-version 1 --no-deps | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p'; }

command -v cargo >/dev/null || die "cargo is missing; install a Rust toolchain from https://rustup.rs (the version is in Cargo.toml under rust-version) and try again"
# SQLite is compiled from C, and rustc links with cc.
need cc build-essential
