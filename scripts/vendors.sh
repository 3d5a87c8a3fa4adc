#!/usr/bin/env bash
# The vendors' own clients, which judge our simulators and signatures, into .build/vendors; again only when their lists have changed.
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"
need python3 python3
need node nodejs
need npm npm

folder=.build/vendors
mkdir -p "$folder"
if ! cmp -s tests/vendors/requirements.txt "$folder/py/ready"; then
    say "the vendors' Python clients, into $folder/py"
    rm -rf "$folder/py"
    python3 -m venv "$folder/py" || die "python3 cannot make a virtual environment; on Debian: apt-get install python3-venv"
    "$folder/py/bin/pip" install --quiet --disable-pip-version-check -r tests/vendors/requirements.txt
    cp tests/vendors/requirements.txt "$folder/py/ready"
fi
if ! cmp -s tests/vendors/package-lock.json "$folder/node/ready"; then
    say "the vendors' Node.js clients, into $folder/node"
    rm -rf "$folder/node"
    mkdir -p "$folder/node"
    cp tests/vendors/{package.json,package-lock.json,.npmrc} "$folder/node/"
    (cd "$folder/node" && npm ci --no-fund --no-audit --loglevel=error)
    cp tests/vendors/package-lock.json "$folder/node/ready"
fi
