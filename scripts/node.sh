#!/usr/bin/env bash
# The Node package: built from source, type-checked, tested, its examples run, packed and installed in an empty folder.
# `--bench` measures instead; with `--bench --quick` one small round of the engine alone, so that the bench never rots.
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"
need node nodejs
need npm npm
need_postgres
[ "$(node -p 'process.versions.node.split(".")[0]')" -ge 20 ] || die "Node.js 20 or newer is needed; this is $(node --version)"

# packages <folder>: what its lock file names, in its own node_modules; again only when the lock file has changed.
packages() {
    local stamp=$1/node_modules/.campaign-stamp
    cmp -s "$1/package-lock.json" "$stamp" && return
    say "npm packages of $1"
    (cd "$1" && npm ci --no-fund --no-audit --loglevel=error)
    cp "$1/package-lock.json" "$stamp"
}

packages campaign-node
if [ "${1:-}" = --bench ]; then
    shift
    if [ "${1:-}" = --quick ]; then
        [ -e campaign-node/dist/index.mjs ] || (cd campaign-node && node scripts/build.mjs --debug)
    else
        packages benches/node
        need redis-server redis-server
        need initdb postgresql
        (cd campaign-node && node scripts/build.mjs)
        cargo build -q --locked --release --bin binding_floor
        BINDING_FLOOR=$(cargo metadata --format-version 1 --no-deps | node -p 'JSON.parse(fs.readFileSync(0)).target_directory')/release/binding_floor
        export BINDING_FLOOR
    fi
    exec node benches/node/bench.mjs "$@"
fi

say "building the Node package"
(cd campaign-node && node scripts/build.mjs --debug)
cargo build -q --locked --bin vendors
CAMPAIGN_VENDORS=$(target_directory)/debug/vendors
export CAMPAIGN_VENDORS
say "testing the Node package"
(cd campaign-node && node scripts/test.mjs)
say "running the Node examples"
packages examples/node
(cd examples/node && npm test --silent)

say "installing the Node package from its tarballs"
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
node campaign-node/scripts/pack.mjs "$folder/npm"
mkdir "$folder/app"
cd "$folder/app"
printf '{ "name": "app", "private": true, "type": "module" }\n' >package.json
npm install --offline --no-fund --no-audit --loglevel=error "$folder"/npm/*.tgz
cp "$ROOT/examples/node/build/quickstart.js" .
node quickstart.js | tee output >&2
grep -q '^100 % reached$' output || die "the quickstart did not reach everyone"
# The same classes, whichever way they are imported.
cat >both.cjs <<'SCRIPT'
const { Engine, CampaignError } = require('campaign-node')
const { checkStore } = require('campaign-node/testing')
import('campaign-node').then((module) => {
    if (module.Engine !== Engine || module.CampaignError !== CampaignError || typeof checkStore !== 'function') process.exit(1)
})
SCRIPT
node both.cjs || die "require and import do not give the same classes"
# What is installed has types that a strict program of either kind compiles with, down to the declarations themselves.
cat >types.mts <<'SCRIPT'
import { Engine, SimulatedDialer, type CampaignEvent, type ContactStore, type Dialer } from 'campaign-node'
import { checkDialer, type Report } from 'campaign-node/testing'
const dialer: Dialer = { dial: ({ to }) => (to === '' ? 'busy' : { disposition: 'answered' }) }
const seen: CampaignEvent[] = []
export const store: ContactStore | null = null
export const report: Promise<Report> = checkDialer({ provoke: () => new SimulatedDialer() })
const engine: Engine = await Engine.open('memory://', { dialer })
for await (const event of engine.events(1)) seen.push(event)
// @ts-expect-error the name of a field is checked
await engine.createCampaign({ nmae: 'x' })
SCRIPT
cat >types.cts <<'SCRIPT'
import node = require('campaign-node')
export const engine: Promise<node.Engine> = node.Engine.open('memory://', { dialer: new node.SimulatedDialer() })
SCRIPT
ln -s "$ROOT/campaign-node/node_modules/@types" node_modules/@types
ln -s "$ROOT/campaign-node/node_modules/undici-types" node_modules/undici-types
node "$ROOT/campaign-node/node_modules/typescript/lib/tsc.js" --noEmit --strict --exactOptionalPropertyTypes --skipLibCheck false \
    --target es2022 --lib es2023 --module nodenext --types node types.mts types.cts || die "the installed declarations do not compile"
if grep -nE '"resolved": "https?://' "$ROOT"/{campaign-node,examples/node,benches/node}/package-lock.json; then
    die "a lock file names the host of a registry; .npmrc asks npm to leave it out"
fi
