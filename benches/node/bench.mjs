// Settled contacts per second from Node.js, and two job queues of the ecosystem doing the same durable no-op work on the same machine.
// `--quick` runs one small round of the engine alone. `CONTACTS` and `ROUNDS` change the size.
import { spawn, execFileSync } from 'node:child_process'
import { chmodSync, chownSync, mkdtempSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const require = createRequire(import.meta.url)
const { Engine, SimulatedDialer } = require('../../campaign-node')
const quick = process.argv.includes('--quick')
const contacts = Number(process.env.CONTACTS ?? (quick ? 500 : 20_000))
const rounds = Number(process.env.ROUNDS ?? (quick ? 1 : 3))
const root = new URL('../..', import.meta.url).pathname

const median = (values) => values.sort((a, b) => a - b)[Math.floor(values.length / 2)]
const folder = () => mkdtempSync(join(tmpdir(), 'campaign-bench-'))
const row = (name, values, note = '') => console.log(`| ${name} | ${Math.round(median(values))} | ${note} |`)

/** Names, variables and templates as in the Rust bench, so that both do the same work. */
function people() {
  const zones = ['America/New_York', 'America/Chicago', undefined]
  return Array.from({ length: contacts }, (_, number) => ({
    phone_number: `+1${2_123_000_000 + number}`, name: `john smith ${number}`, company: 'Acme', time_zone: zones[number % 3],
    appointment_date: 'February 15th', customer_id: number, plan: 'gold',
  }))
}

async function engine(dialer) {
  const where = folder()
  const engine = await Engine.open(`sqlite://${join(where, 'bench.db')}`, { dialer })
  const { id } = await engine.createCampaign({
    name: 'round', concurrentLimit: 4000, rateLimitPerMinute: 'unlimited',
    welcomeMessageTemplate: 'Hi {{name|title_case}}, this is {{assistant_name}} from {{company}}.',
  })
  const { imported } = await engine.addContacts(id, people())
  const begin = performance.now()
  await engine.start(id)
  const progress = await engine.wait(id)
  const seconds = (performance.now() - begin) / 1000
  if (progress.completedContacts !== imported || imported === 0) throw new Error(`${progress.completedContacts} of ${imported} completed`)
  await engine.close()
  rmSync(where, { recursive: true })
  return imported / seconds
}

async function freePort() {
  const server = createServer()
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address()
  await new Promise((resolve) => server.close(resolve))
  return port
}

async function bullmq(concurrency) {
  const { Queue, Worker } = await import('bullmq')
  const where = folder()
  const port = await freePort()
  const server = spawn('redis-server', ['--port', port, '--bind', '127.0.0.1', '--dir', where, '--appendonly', 'yes', '--appendfsync', 'always', '--save', ''], { stdio: 'ignore' })
  process.once('exit', () => server.kill())
  const connection = { host: '127.0.0.1', port, maxRetriesPerRequest: null }
  const queue = new Queue('bench', { connection })
  await queue.waitUntilReady()
  // Connections complain when their server goes at the end.
  queue.on('error', () => undefined)
  const jobs = people()
  for (let at = 0; at < jobs.length; at += 1000) {
    await queue.addBulk(jobs.slice(at, at + 1000).map((data) => ({ name: 'dial', data, opts: { removeOnComplete: false } })))
  }
  let done = 0
  const begin = performance.now()
  const worker = new Worker('bench', async () => ({ disposition: 'answered' }), { connection, concurrency })
  worker.on('error', () => undefined)
  await new Promise((resolve) => worker.on('completed', () => { if (++done === jobs.length) resolve() }))
  const seconds = (performance.now() - begin) / 1000
  await worker.close()
  await queue.close()
  server.kill()
  await new Promise((resolve) => server.once('exit', resolve))
  rmSync(where, { recursive: true })
  return jobs.length / seconds
}

/** PostgreSQL does not run as root. */
function postgres() {
  const where = folder()
  const root = process.getuid() === 0
  const uid = root ? Number(execFileSync('id', ['-u', 'postgres'], { encoding: 'utf8' })) : undefined
  if (root) chownSync(where, uid, uid)
  chmodSync(where, 0o700)
  const as = (command, args) => execFileSync(command, args, { stdio: 'ignore', ...(root ? { uid, cwd: where } : {}) })
  as('initdb', ['-D', join(where, 'data'), '-A', 'trust', '-U', 'postgres'])
  const start = (port) => as('pg_ctl', ['-D', join(where, 'data'), '-w', '-l', join(where, 'log'), '-o', `-p ${port} -c listen_addresses=127.0.0.1 -c unix_socket_directories=''`, 'start'])
  const stop = () => {
    as('pg_ctl', ['-D', join(where, 'data'), '-m', 'fast', 'stop'])
    rmSync(where, { recursive: true })
  }
  return { start, stop }
}

async function graphile(concurrency, localQueue) {
  const { run, runMigrations, makeWorkerUtils } = await import('graphile-worker')
  const database = postgres()
  const port = await freePort()
  database.start(port)
  const connectionString = `postgres://postgres@127.0.0.1:${port}/postgres`
  const logger = new (await import('graphile-worker')).Logger(() => () => undefined)
  await runMigrations({ connectionString, logger })
  const utils = await makeWorkerUtils({ connectionString, logger })
  const jobs = people()
  for (let at = 0; at < jobs.length; at += 1000) await utils.addJobs(jobs.slice(at, at + 1000).map((payload) => ({ identifier: 'dial', payload })))
  await utils.release()
  let done = 0
  let finish
  const finished = new Promise((resolve) => { finish = resolve })
  const begin = performance.now()
  const runner = await run({
    connectionString, logger, noHandleSignals: true, maxPoolSize: 10,
    taskList: { dial: async () => { if (++done === jobs.length) finish() } },
    preset: { worker: { concurrentJobs: concurrency, ...(localQueue ? { localQueue: { size: 500 }, completeJobBatchDelay: 0, failJobBatchDelay: 0 } : {}) } },
  })
  await finished
  const seconds = (performance.now() - begin) / 1000
  await runner.stop()
  database.stop()
  return jobs.length / seconds
}

console.log(`| ${contacts} contacts, median of ${rounds} | per second | |`)
console.log('|---|---|---|')
const floor = process.env.BINDING_FLOOR ?? join(root, 'target', 'release', 'binding_floor')
const figures = { rust: [], simulated: [], dial: [], bullmq: [], graphile: [], local: [] }
for (let round = 0; round < rounds; round++) {
  if (!quick) {
    figures.rust.push(Number(execFileSync(floor, [String(contacts), '1'], { encoding: 'utf8' }).trim()))
  }
  figures.simulated.push(await engine(SimulatedDialer.instant({ forgetful: true })))
  figures.dial.push(await engine({ dial: async () => ({ disposition: 'answered' }) }))
  if (quick) continue
  figures.bullmq.push(await bullmq(200))
  figures.graphile.push(await graphile(24, false))
  figures.local.push(await graphile(24, true))
}
if (!quick) row('Rust, simulated dialer', figures.rust, '100 %')
const share = quick ? '' : `${((median(figures.simulated) / median(figures.rust)) * 100).toFixed(1)} %`
row('Node, simulated dialer in Rust', figures.simulated, share)
row('Node, `async dial` in JavaScript', figures.dial)
if (!quick) {
  row('BullMQ, Redis with `appendfsync always`', figures.bullmq, 'concurrency 200')
  row('graphile-worker, PostgreSQL 15', figures.graphile, 'concurrency 24')
  row('graphile-worker with its local queue', figures.local, 'concurrency 24, batched completion')
}
