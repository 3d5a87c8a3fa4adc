import { Engine, SimulatedDialer } from 'campaign-node'
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { app } from './app.js'

/** Runs an example in an empty folder. */
function output(name: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'campaign-'))
  try {
    return execFileSync(process.execPath, [join(import.meta.dirname, name)], { cwd: folder, encoding: 'utf8', timeout: 30_000 })
  } finally {
    rmSync(folder, { recursive: true })
  }
}

test('the quickstart reaches everyone', () => {
  const lines = output('quickstart.js')
  assert.match(lines, /^2 imported, 1 refused: /)
  assert.match(lines, /100 % reached\n$/)
})

test('the dialer of one’s own tells what became of each call', () => {
  const lines = output('own-dialer.js')
  for (const line of [/^told: .*dial.*because of: Error: no such number$/m, /^answered CA/m, /^no_answer CA/m, /^undeliverable null$/m]) assert.match(lines, line)
})

test('the app streams events to a page', async () => {
  const server = app(await Engine.open('memory://', { dialer: SimulatedDialer.instant() }))
  const base = await server.listen({ host: '127.0.0.1', port: 0 })
  const post = async (path: string, body: unknown = {}): Promise<{ status: number; body: Record<string, unknown> }> => {
    const answer = await fetch(base + path, { method: 'POST', body: JSON.stringify(body), headers: { 'content-type': 'application/json' } })
    return { status: answer.status, body: (await answer.json()) as Record<string, unknown> }
  }
  try {
    const created = await post('/campaigns', { name: 'Web', rateLimitPerMinute: 'unlimited' })
    assert.deepEqual([created.status, created.body['status']], [200, 'draft'])
    assert.equal((await post('/campaigns', { name: '' })).status, 422)
    assert.equal((await fetch(`${base}/campaigns/99`)).status, 404)
    await post('/campaigns/1/contacts', [{ phoneNumber: '+12125550123' }, { phoneNumber: '+12125550124' }])
    const events = await fetch(`${base}/campaigns/1/events`)
    assert.equal(events.headers.get('content-type'), 'text/event-stream')
    assert.equal((await post('/campaigns/1/start')).body['status'], 'running')
    // The stream of one campaign ends with the campaign.
    const text = await events.text()
    assert.equal(text.match(/"type":"contact_completed"/g)?.length, 2)
    assert.match(text, /"type":"campaign_completed"/)
    assert.match(await (await fetch(`${base}/campaigns/1/page`)).text(), /EventSource/)
    // A browser that goes away is forgotten.
    const gone = new AbortController()
    await fetch(`${base}/campaigns/1/events`, { signal: gone.signal }).then((answer) => answer.body?.getReader().read())
    gone.abort()
  } finally {
    await server.close()
  }
})
