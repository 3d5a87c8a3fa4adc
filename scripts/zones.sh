#!/usr/bin/env bash
# Regenerates the table from phone numbers to time zones. Its generator names the packages it reads, with their versions.
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"
need python3 python3
generator=campaign-core/data/phone_zones.py
table=campaign-core/data/phone_zones.csv
[ -f "$generator" ] || die "$generator is missing"
read -ra packages <<<"$(sed -n 's/.*pip install //p' "$generator" | head -n 1)"
[ ${#packages[@]} -gt 0 ] || die "$generator does not say which packages it needs"

venv=.build/zones
python3 -m venv "$venv" || die "python3 cannot make a virtual environment; on Debian: apt-get install python3-venv"
"$venv/bin/pip" install --quiet --disable-pip-version-check "${packages[@]}"
# Written beside the table first, so that a failure leaves the old one.
"$venv/bin/python" "$generator" >.build/phone_zones.csv
mv .build/phone_zones.csv "$table"
git --no-pager diff --stat -- "$table" || true
