import assert from 'node:assert/strict'
import { execFile, execFileSync } from 'node:child_process'
import { join } from 'node:path'
import test from 'node:test'

const worker = join(__dirname, 'exit-worker.js')
// `EXITS=1000 npm test` for a longer run.
const EXITS = Number(process.env['EXITS'] ?? 200)

test(`${EXITS} processes that end at awkward moments have status 0`, async () => {
  const moments = JSON.parse(execFileSync(process.execPath, [worker, 'list'], { encoding: 'utf8' })) as string[]
  const left = Array.from({ length: EXITS }, (_, index) => moments[index % moments.length] ?? '')
  const failures: string[] = []
  const one = (moment: string): Promise<void> =>
    new Promise((resolve) => {
      execFile(process.execPath, [worker, moment], { timeout: 30_000 }, (error, _out, stderr) => {
        if (error !== null) failures.push(`${moment}: ${error.signal ?? error.code ?? ''} ${stderr.slice(0, 500)}`)
        resolve()
      })
    })
  const work = async (): Promise<void> => {
    for (let moment = left.pop(); moment !== undefined; moment = left.pop()) await one(moment)
  }
  await Promise.all([work(), work()])
  assert.deepEqual(failures, [])
})

test('an idle engine lets the process end, a running campaign keeps it', async () => {
  const run = (script: string): Promise<string> =>
    new Promise((resolve, reject) => {
      execFile(process.execPath, ['-e', script], { timeout: 20_000, cwd: __dirname }, (error, out) => (error ? reject(error) : resolve(out)))
    })
  const open = (dial: string): string => `
    const { Engine } = require('campaign-node')
    Engine.open('memory://', { dialer: { dial: ${dial} } }).then(async (engine) => {
      const { id } = await engine.createCampaign({ name: 'x', maxAttempts: 1 })
      await engine.addContacts(id, [{ phone_number: '+12125551000' }])`
  // Nothing holds this process but the campaign: the dialer's own timer is not counted.
  const dial = `() => new Promise((resolve) => setTimeout(() => { console.log('dialled'); resolve('answered') }, 1500).unref())`
  assert.equal(await run(`${open(dial)}; await engine.start(id) })`), 'dialled\n')
  assert.equal(await run(`${open(dial)}; console.log('idle') })`), 'idle\n')
  assert.equal(await run(`${open(dial)}; await engine.start(id); await engine.pause(id); console.log('paused') })`).then((out) => out.includes('paused')), true)
})
