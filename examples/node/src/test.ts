import { Engine, SimulatedDialer, TwilioDialer } from 'campaign-node'
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { spawn } from 'node:child_process'
import { on, once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import { createInterface } from 'node:readline'
import { WebSocket } from 'ws'
import { app } from './app.js'
import { answers } from './answers.js'

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

test('the app whose campaigns people answer', async () => {
  const [ours, ana, program] = ['+12025550100', '+12025550140', process.env['CAMPAIGN_VENDORS']]
  assert.ok(program, 'CAMPAIGN_VENDORS must name the program `vendors` of the workspace; scripts/node.sh builds it')
  const vendors = spawn(program)
  const lines = createInterface(vendors.stdout)[Symbol.asyncIterator]()
  const line = async <T>(): Promise<T> => JSON.parse((await lines.next()).value as string) as T
  const tell = <T>(what: string, args: Record<string, unknown> = {}): Promise<T> => {
    vendors.stdin.write(`${JSON.stringify({ do: what, ...args })}\n`)
    return line<T>()
  }
  const { twilio } = await line<{ twilio: Record<'api_base' | 'account_sid' | 'auth_token', string> }>()
  // The address must be known before the dialer, and the dialer before the app.
  const port = await freePort()
  const publicBaseUrl = `http://127.0.0.1:${port}`
  const dialer = new TwilioDialer({
    accountSid: twilio.account_sid, authToken: twilio.auth_token, apiBase: twilio.api_base, fromNumber: ours, publicBaseUrl,
  })
  const assistant = { answer: () => ['Thank you. ', 'On Monday at nine.'] }
  const server = answers(await Engine.open('memory://', { dialer, assistant }), ours)
  await server.listen({ host: '127.0.0.1', port })
  const get = async <T>(path: string): Promise<T> => (await (await fetch(publicBaseUrl + path)).json()) as T
  try {
    await tell('misses', { to: ana })
    const body = JSON.stringify([{ phoneNumber: ana, name: 'Ana' }])
    const made = await fetch(`${publicBaseUrl}/campaigns`, { method: 'POST', body, headers: { 'content-type': 'application/json' } })
    const { id } = (await made.json()) as { id: number }
    assert.equal((await get<{ completedContacts: number }>(`/campaigns/${id}/result`)).completedContacts, 1)
    const [call] = await tell<{ sid: string; fields: { To: string } }[]>('calls')
    assert.equal(call?.fields.To, ana)

    // Twilio opens the assistant's socket; nobody else may.
    const address = publicBaseUrl.replace('http', 'ws') + '/twilio/relay'
    await assert.rejects(once(new WebSocket(address), 'open'))
    const socket = new WebSocket(address, { headers: await tell<Record<string, string>>('handshake', { url: address }) })
    await once(socket, 'open')
    socket.send(JSON.stringify({ type: 'setup', sessionId: 'VX1', callSid: call?.sid, from: ours, to: ana, direction: 'outbound-api' }))
    socket.send(JSON.stringify({ type: 'prompt', voicePrompt: 'When is it?', last: true }))
    let said = ''
    for await (const [frame] of on(socket, 'message') as AsyncIterable<[Buffer]>) {
      said += (JSON.parse(frame.toString()) as { token?: string }).token ?? ''
      if (said.endsWith('at nine.')) break
    }
    assert.equal(said, 'Thank you. On Monday at nine.')
    const closed = once(socket, 'close')
    socket.close()
    await closed

    const fields = { MessageSid: 'SM1', From: ana, To: ours, Body: 'STOP' }
    assert.equal((await tell<{ status: number }>('webhook', { url: `${publicBaseUrl}/twilio/sms`, fields })).status, 200)
    const kept = await get<{ channel: string; messages: { author: string }[] }[]>(`/conversations/${encodeURIComponent(ana)}`)
    const texts = kept.find(({ channel }) => channel === 'sms')
    assert.deepEqual(texts?.messages.map(({ author }) => author), ['campaign', 'person', 'engine'])
    assert.deepEqual(await tell('complaints'), [])
  } finally {
    await server.close()
    vendors.stdin.end()
    await once(vendors, 'exit')
  }
})

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}
