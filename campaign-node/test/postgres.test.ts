// The store that several processes share, from Node.js: on a private server, on a free port of the loopback interface.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { chmodSync, chownSync, existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import test from 'node:test'
import { Engine, UnavailableError } from 'campaign-node'

/** Where the programs of a server are. */
function programs(): string {
  const versions = (folder: string): string[] => (existsSync(folder) ? readdirSync(folder).map((version) => join(folder, version, 'bin')) : [])
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), ...versions('/usr/lib/postgresql'), '/opt/homebrew/opt/postgresql/bin', '/usr/local/opt/postgresql/bin']
  return folders.find((folder) => existsSync(join(folder, 'initdb'))) ?? assert.fail('PostgreSQL is missing: initdb was not found')
}

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}

test('two engines share a campaign on PostgreSQL', async (context) => {
  const folder = mkdtempSync(join(tmpdir(), 'campaign-'))
  const bin = programs()
  // A server does not run as root.
  const uid = process.getuid?.() === 0 ? Number(execFileSync('id', ['-u', 'postgres'], { encoding: 'utf8' })) : undefined
  if (uid !== undefined) chownSync(folder, uid, uid)
  chmodSync(folder, 0o700)
  const as = (program: string, ...args: string[]): unknown => execFileSync(join(bin, program), args, { stdio: 'ignore', cwd: folder, ...(uid === undefined ? {} : { uid }) })
  const port = await freePort()
  as('initdb', '-D', join(folder, 'data'), '-A', 'trust', '-U', 'postgres')
  as('pg_ctl', '-D', join(folder, 'data'), '-w', '-l', join(folder, 'log'), '-o', `-p ${port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off`, 'start')
  context.after(() => {
    as('pg_ctl', '-D', join(folder, 'data'), '-m', 'immediate', 'stop')
    rmSync(folder, { recursive: true })
  })
  const url = `postgres://postgres@127.0.0.1:${port}/postgres`
  const dialled: number[] = []
  const dialer = { dial: async ({ contactId }: { contactId: number }) => { dialled.push(contactId); return 'answered' as const } }
  const [one, two] = [await Engine.open(url, { dialer, nodeName: 'one' }), await Engine.open(url, { dialer, nodeName: 'two' })]
  assert.deepEqual((await one.nodes()).map(({ name }) => name).sort(), ['one', 'two'])
  const { id } = await one.createCampaign({ name: 'Shared', concurrentLimit: 20, rateLimitPerMinute: 'unlimited' })
  await one.addContacts(id, Array.from({ length: 300 }, (_, index) => ({ phoneNumber: `+1212555${String(1000 + index)}` })))
  await two.start(id)
  assert.equal((await one.wait(id)).completedContacts, 300)
  assert.equal(new Set(dialled).size, dialled.length)
  assert.equal(dialled.length, 300)
  await Promise.all([one.close(), two.close()])
})

test('a server that is not there is an error that says so, without the password', async () => {
  const port = await freePort()
  await assert.rejects(Engine.open(`postgres://me:hunter2@127.0.0.1:${port}/x?connect_timeout=1`, { dialer: { dial: () => 'answered' } }), (error: Error) => {
    assert.ok(error instanceof UnavailableError, String(error))
    return !JSON.stringify([error.message, String(error.cause)]).includes('hunter2')
  })
})
