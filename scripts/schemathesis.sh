#!/usr/bin/env bash
# Asks a real server on SQLite what its OpenAPI document allows, and what it does not: nothing fails inside of it, every status is documented,
# and every body is as its schema says. The same questions each time. `--examples N` asks more of them (default 12 for each operation).
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"

examples=12
if [ "${1:-}" = --examples ]; then
    examples=$2
    shift 2
fi
more=("$@")

need python3 python3
venv=$ROOT/.build/schemathesis
if [ ! -e "$venv/ready" ] || ! cmp -s scripts/schemathesis.txt "$venv/ready"; then
    say "schemathesis, into .build/schemathesis"
    rm -rf "$venv"
    python3 -m venv "$venv" || die "python3 cannot make a virtual environment; on Debian: apt-get install python3-venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check -r scripts/schemathesis.txt
    cp scripts/schemathesis.txt "$venv/ready"
fi

cargo build -q --locked -p campaign-server --bin campaign
campaign=$(target_directory)/debug/campaign
folder=$(mktemp -d)
server=
finish() {
    [ -z "$server" ] || kill "$server" 2>/dev/null || true
    wait 2>/dev/null || true
    rm -rf "$folder"
}
trap finish EXIT

export CAMPAIGN_STORE=sqlite://$folder/campaigns.db
RUST_LOG=error,campaign::serve=info "$campaign" serve --listen 127.0.0.1:0 --simulated '{"profile": "instant"}' 2>"$folder/log" &
server=$!
for _ in $(seq 200); do
    address=$(sed -n 's/.*listening address=//p' "$folder/log" | sed 's/\x1b\[[0-9;]*m//g' | head -1)
    [ -z "$address" ] || break
    kill -0 "$server" 2>/dev/null || die "the server ended: $(cat "$folder/log")"
    sleep 0.1
done
[ -n "$address" ] || die "the server does not listen: $(cat "$folder/log")"

# ask <what> <options>: with a key of its own, because some APIs count the requests of a key. No randomness: what is found once is found
# again. WebSockets are no requests; tests/sockets.rs is about them.
status=0
ask() {
    say "schemathesis: $1"
    shift
    local key
    key=$("$campaign" keys create --name schemathesis --scope admin --organization 1)
    "$venv/bin/schemathesis" run "http://$address/openapi.json" --header "Authorization: Bearer $key" --exclude-path-regex '^/ws/' \
        --max-examples "$examples" --generation-deterministic --continue-on-failure --warnings off --request-timeout 60 \
        --checks not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,response_schema_conformance \
        "$@" || status=$?
}
counted=("voice campaigns" "voice leads")
ask "everything that is not counted" --phases examples,coverage,fuzzing --exclude-tag "${counted[0]}" --exclude-tag "${counted[1]}" "${more[@]}"
for tag in "${counted[@]}"; do
    for phases in examples,fuzzing coverage; do
        ask "$tag, $phases" --phases "$phases" --include-tag "$tag" "${more[@]}"
    done
done
# What failed inside is in the log of the server.
grep -i error "$folder/log" >&2 || true
exit "$status"
