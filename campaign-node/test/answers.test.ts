// People who answer back: real providers by configuration, callbacks, conversations, assistants, and the telephone's relay.
import {
  ConflictError, DialError, ElevenLabsDialer, Engine, InvalidError, NotFoundError, OpenAiAssistant, ProviderError, RoutedDialer, ScriptedAssistant,
  SimulatedDialer, StateError, TwilioDialer, UserCodeError, WebhookDialer, type Assistant, type CampaignEvent, type CampaignSpec, type Dialer,
  type Dialogue, type OutboundMessage, type RelaySession,
} from 'campaign-node'
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import test from 'node:test'
import { inspect } from 'node:util'
import { OURS, Porch, Vendors, type Placed } from './vendors.js'

const SID = `AC${'0'.repeat(32)}`
const root = join(__dirname, '..', '..', '..')
const ADA = '+12125550123'
const [ANA, BEN, EVE] = ['+12025550140', '+12025550141', '+12025550142'] as const
const FAST = { concurrentLimit: 100, rateLimitPerMinute: 'unlimited', maxAttempts: 1 } as const

/** A dialer of one's own that sends messages in conversations, too. */
class Carrier implements Dialer {
  readonly sent: OutboundMessage[] = []
  readonly #waiting: [number, () => void][] = []

  dial({ channel, attemptId }: { channel: string; attemptId: number }): { disposition: 'answered' | 'delivered'; providerRef: string } {
    return { disposition: channel === 'call' ? 'answered' : 'delivered', providerRef: `ref-${attemptId}` }
  }

  async send(message: OutboundMessage): Promise<string> {
    this.sent.push(message)
    for (const [count, wake] of this.#waiting) if (this.sent.length >= count) wake()
    return `out-${this.sent.length}`
  }

  async sends(count: number): Promise<void> {
    if (this.sent.length < count) await new Promise<void>((resolve) => this.#waiting.push([count, resolve]))
  }
}

async function running(engine: Engine, spec: Partial<CampaignSpec> = {}): Promise<number> {
  const { id } = await engine.createCampaign({ name: 'Test', ...FAST, ...spec })
  await engine.addContacts(id, [{ phoneNumber: ADA, name: 'Ada' }])
  await engine.start(id)
  return id
}

const TEXTS: Partial<CampaignSpec> = { campaignType: 'sms', smsMessageTemplate: 'Hi {{ name }}', callerIds: [{ number: OURS }], replies: { assistant: true } }
const wrote = (id: string, text: string) => ({ id, channel: 'sms', phoneNumber: ADA, ourNumber: OURS, text }) as const

// --- providers by configuration --------------------------------------------------------------------------------------------

test('what is wrong is named when it is made', () => {
  const wrong: [() => unknown, string][] = [
    [() => new TwilioDialer({ accountSid: 'AC-hush', authToken: 't' }), 'account_sid'],
    [() => new TwilioDialer({ accountSid: SID }), 'auth_token'],
    // @ts-expect-error the kind of a value is checked
    [() => new TwilioDialer({ accountSid: SID, authToken: 't', callsPerSecond: 'hush' }), 'calls_per_second'],
    // @ts-expect-error the name of a setting is checked
    [() => new TwilioDialer({ accountSid: SID, authTokn: 'hush' }), 'auth_tokn'],
    // @ts-expect-error what is no settings is none
    [() => new TwilioDialer('hush'), 'settings'],
    [() => new ElevenLabsDialer({ apiKey: 'a hush' }), 'api_key'],
    [() => new WebhookDialer({ url: 'https://a.example', secret: 'hush' }), 'secret'],
    [() => new OpenAiAssistant({ model: '' }), 'model'],
    [() => new OpenAiAssistant({ model: 'm', apiKey: 'hush', timeout: -1 }), 'timeout'],
    // @ts-expect-error the name of a part is checked
    [() => new ScriptedAssistant({ answer: 'hush' }), 'assistant'],
    [() => new RoutedDialer({}), 'routes'],
    [() => new RoutedDialer({ a: { channels: 'call', dialer: new Carrier() }, b: { channels: 'call', dialer: new Carrier() } }), 'channels'],
    [() => new RoutedDialer({ a: { channels: 'call', dialer: { dial: () => 'busy', capabilities: { channels: ['sms'] } } } }), 'channels'],
  ]
  for (const [make, field] of wrong) {
    assert.throws(make, (error) => {
      assert.ok(error instanceof InvalidError, String(error))
      assert.equal(error.context['field'], field)
      assert.doesNotMatch(error.message, /hush/)
      return true
    })
  }
})

test('secrets are nowhere to be seen', () => {
  const twilio = new TwilioDialer({ accountSid: SID, authToken: 'hush', webhookKeys: { k: 'hush' } })
  const webhook = new WebhookDialer({ url: 'https://a.example', secret: 'cafe'.repeat(16), headers: { authorization: 'hush' } })
  for (const made of [
    twilio, webhook, new ElevenLabsDialer({ apiKey: 'hush', webhookSecrets: ['hush'] }), new OpenAiAssistant({ model: 'm', apiKey: 'hush' }),
    new ScriptedAssistant({ otherwise: 'hush' }), new RoutedDialer({ a: { channels: 'call', dialer: twilio }, b: { channels: 'sms', dialer: webhook } }),
  ]) {
    const seen = [inspect(made, { depth: 9, showHidden: true }), JSON.stringify(made), Object.getOwnPropertyNames(made).join(' ')]
    assert.doesNotMatch(seen.join('\n'), /hush|cafe/)
  }
})

test('every setting of the engine is here', () => {
  const types = readFileSync(join(root, 'campaign-node', 'dist', 'providers.d.ts'), 'utf8')
  for (const [file, struct, name] of [
    ['dialer/twilio/config.rs', 'TwilioConfig', 'TwilioSettings'], ['dialer/elevenlabs/config.rs', 'ElevenLabsConfig', 'ElevenLabsSettings'],
    ['dialer/webhook/config.rs', 'WebhookConfig', 'WebhookSettings'], ['assistant/openai.rs', 'OpenAiOptions', 'OpenAiSettings'],
  ] as const) {
    const source = readFileSync(join(root, 'campaign-core', 'src', ...file.split('/')), 'utf8')
    const body = source.split(`pub struct ${struct} {\n`)[1]?.split(/^\}/m)[0] ?? assert.fail(struct)
    const there = [...body.matchAll(/^ {4}pub (\w+):/gm)].map(([, field = '']) => field.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase()))
    const here = [...(types.split(`export interface ${name} {\n`)[1]?.split(/^\}/m)[0] ?? '').matchAll(/^ {4}(\w+)\??:/gm)].map(([, field]) => field)
    assert.deepEqual(here.sort(), there.sort(), name)
  }
})

test('routes lead to their dialers', async () => {
  const own = new Carrier()
  const engine = await Engine.open('memory://', {
    dialer: new RoutedDialer({
      voice: { channels: 'call', dialer: SimulatedDialer.instant() },
      text: { channels: ['sms'], dialer: new RoutedDialer({ own: { channels: 'sms', dialer: own } }) },
    }),
  })
  const [calls, texts] = [await running(engine), await running(engine, { campaignType: 'sms', smsMessageTemplate: 'Hi' })]
  for (const id of [calls, texts]) assert.equal((await engine.wait(id)).completedContacts, 1)
  assert.equal((await engine.executions(texts)).items[0]?.data['dialer'], 'text')
  await engine.sendMessage({ channel: 'sms', ourNumber: OURS, phoneNumber: ADA }, 'Hello')
  assert.deepEqual(own.sent.map(({ message }) => message), ['Hello'])
  await engine.close()
})

// --- conversations ---------------------------------------------------------------------------------------------------------

test('people write and are answered', async () => {
  const own = new Carrier()
  const assistant = new ScriptedAssistant({
    rules: [{ contains: 'WHEN', says: ['At nine. ', { tool: 'book', arguments: { some_thing: 'a table' } }] }], otherwise: 'Hello!',
  })
  const engine = await Engine.open('memory://', { dialer: own, assistant })
  const events = engine.events()
  const id = await running(engine, TEXTS)
  await engine.wait(id)
  assert.deepEqual((await engine.getCampaign(id)).replies, {
    assistant: true, optOutScope: 'everything', optOutConfirmation: null, helpMessage: null, returnedCalls: 'decline',
  })
  const told = await engine.receiveMessage(wrote('in-1', 'When do you open?'))
  assert.deepEqual([told.author, told.keyword, told.campaignId], ['person', null, id])
  await own.sends(1)
  const [answer] = own.sent
  assert.ok(answer !== undefined && answer.validUntil !== null && answer.validUntil > answer.now)
  assert.deepEqual([answer.message, answer.fromNumber, answer.to], ['At nine.', OURS, ADA])

  const seen: Partial<Record<CampaignEvent['type'], CampaignEvent>> = {}
  for await (const event of events) {
    seen[event.type] = event
    if (event.type === 'message_sent') break
  }
  const { message_received: received, message_sent: sent, tool_used: used } = seen
  assert.ok(received?.type === 'message_received' && sent?.type === 'message_sent' && used?.type === 'tool_used')
  assert.deepEqual([received.messageId, sent.messageId, used.tool, used.channel], ['in-1', 'out-1', 'book', 'sms'])

  // The same message again is the same; a word that asks to be left alone is obeyed, and confirmed once.
  for (const message of [wrote('in-2', 'STOP'), wrote('in-2', 'STOP')]) await engine.receiveMessage(message)
  assert.equal(own.sent.length, 2)
  assert.ok(await engine.isSuppressed(ADA))
  const [conversation] = await engine.conversations({ channel: 'sms', campaignId: id })
  assert.ok(conversation?.optedOutAt instanceof Date)
  await assert.rejects(engine.sendMessage(conversation, 'Wait!'), StateError)
  assert.deepEqual(await engine.conversations({ after: conversation }), [])
  const other = { channel: 'sms', ourNumber: OURS, phoneNumber: ANA } as const
  const hello = await engine.sendMessage(other, 'Hello', { key: 'k', validFor: 60 })
  assert.deepEqual([hello.author, hello.state], ['program', 'done'])
  await assert.rejects(engine.sendMessage(other, 'Hello', { key: 'k' }), ConflictError)
  const { items, total } = await engine.messages(conversation)
  assert.deepEqual(items.map(({ author }) => author), ['campaign', 'person', 'assistant', 'assistant', 'person', 'engine'])
  assert.deepEqual(items.find(({ tool }) => tool)?.tool, { name: 'book', arguments: { some_thing: 'a table' } })
  assert.equal((await engine.messages(conversation, { limit: 2 })).items.length, 2)
  assert.equal(total, 6)
  await engine.close()
})

test('what `send` throws says what became of the message', async () => {
  const problems: unknown[] = [new DialError('permanent', 'no such number'), new Error('who knows')]
  const told: UserCodeError[] = []
  const dialer: Dialer = { dial: () => 'answered', send: () => { throw problems.shift() } }
  const where = { channel: 'sms', ourNumber: OURS, phoneNumber: ADA } as const
  const engine = await Engine.open('memory://', { dialer, onError: (error) => told.push(error) })
  for (const state of ['failed', 'in_doubt']) {
    await assert.rejects(engine.sendMessage(where, 'Hi'), ProviderError)
    assert.equal((await engine.messages(where)).items.at(-1)?.state, state)
  }
  assert.equal((told[0]?.cause as Error).message, 'who knows')
  await engine.close()
  const silent = await Engine.open('memory://', { dialer: { dial: () => 'answered' } })
  await assert.rejects(silent.sendMessage(where, 'Hi'), StateError)
  await silent.close()
})

// --- assistants of one's own -----------------------------------------------------------------------------------------------

const said = ({ turns }: Dialogue): string => {
  const turn = turns.at(-1)
  return turn?.role === 'person' ? turn.text : ''
}

test('assistants come in many shapes', async () => {
  const shapes: Record<string, Assistant> = {
    streams: { async *answer(dialogue) { yield* ['You ', 'said: ', said(dialogue)] } },
    yields: { *answer(dialogue) { yield* ['You said: ', said(dialogue)] } },
    resolves: { answer: async (dialogue) => `You said: ${said(dialogue)}` },
    returns: { answer: (dialogue) => ['You said: ', said(dialogue)] },
    later: { answer: async (dialogue) => shapes['streams']?.answer(dialogue, { signal: new AbortController().signal }) ?? '' },
  }
  for (const [name, assistant] of Object.entries(shapes)) {
    const own = new Carrier()
    const engine = await Engine.open('memory://', { dialer: own, assistant })
    await engine.wait(await running(engine, TEXTS))
    await engine.receiveMessage(wrote('in-1', 'Hello'))
    await own.sends(1)
    assert.equal(own.sent[0]?.message, 'You said: Hello', name)
    await engine.close()
  }
  // @ts-expect-error it must have a method
  await assert.rejects(Engine.open('memory://', { dialer: new Carrier(), assistant: {} }), /assistant lacks the method `answer`/)
})

test('what an assistant throws is told, and nothing of half an answer is sent', async () => {
  const told: UserCodeError[] = []
  const own = new Carrier()
  // The engine waits before it asks again, and that alone keeps no process open.
  const awake = setInterval(() => undefined, 1000)
  const assistant: Assistant = {
    async *answer() {
      yield 'Half an ans'
      throw new Error(`my number is ${ADA}`)
    },
  }
  const engine = await Engine.open('memory://', { dialer: own, assistant, onError: (error) => told.push(error) })
  await engine.wait(await running(engine, TEXTS))
  const events = engine.events()
  await engine.receiveMessage(wrote('in-1', 'Hello'))
  for await (const event of events) {
    if (event.type !== 'error') continue
    assert.equal(event.code, 'assistant')
    assert.doesNotMatch(event.message, /2125550123/)
    break
  }
  assert.equal(told.length, 3)
  assert.match((told[0]?.cause as Error).message, /my number/)
  assert.deepEqual(own.sent, [])
  clearInterval(awake)
  await engine.close()
})

test('a model behind chat completions answers', async () => {
  const asked: [string | undefined, { model: string; temperature: number; messages: unknown[] }][] = []
  const service = createServer((request, response) => {
    void buffer(request).then((body) => {
      asked.push([request.headers.authorization, JSON.parse(body.toString()) as (typeof asked)[0][1]])
      response.setHeader('content-type', 'text/event-stream')
      for (const content of ['At ', 'nine.']) response.write(`data: ${JSON.stringify({ choices: [{ delta: { content } }] })}\n\n`)
      response.end('data: [DONE]\n\n')
    })
  }).listen(0, '127.0.0.1')
  await once(service, 'listening')
  const baseUrl = `http://127.0.0.1:${(service.address() as AddressInfo).port}/v1`
  const own = new Carrier()
  const assistant = new OpenAiAssistant({ model: 'small', apiKey: 'the-key', baseUrl, extra: { temperature: 0.2 }, timeout: 10 })
  const engine = await Engine.open('memory://', { dialer: own, assistant })
  await engine.wait(await running(engine, TEXTS))
  await engine.receiveMessage(wrote('in-1', 'When do you open?'))
  await own.sends(1)
  assert.equal(own.sent[0]?.message, 'At nine.')
  const [[authorization, request] = []] = asked
  assert.deepEqual([authorization, request?.model, request?.temperature], ['Bearer the-key', 'small', 0.2])
  assert.deepEqual(request?.messages.at(-1), { role: 'user', content: 'When do you open?' })
  await engine.close()
  service.closeAllConnections()
  service.close()
})

// --- the telephone ---------------------------------------------------------------------------------------------------------

/** A WebSocket as libraries have it, with somebody at the other end. */
class Socket {
  readonly sent: Record<string, unknown>[] = []
  readonly #listeners: Record<string, ((event: { data: unknown }) => void)[]> = {}
  closed = false
  #news = (): void => undefined

  send(frame: string): void {
    this.sent.push(JSON.parse(frame) as Record<string, unknown>)
    this.#news()
  }

  close(): void {
    this.closed = true
  }

  addEventListener(type: string, listener: (event: { data: unknown }) => void): void {
    this.#listeners[type] = [...(this.#listeners[type] ?? []), listener]
  }

  tell(frame: Record<string, unknown>): void {
    for (const listener of this.#listeners['message'] ?? []) listener({ data: JSON.stringify(frame) })
  }

  prompt(text: string): void {
    this.tell({ type: 'prompt', voicePrompt: text, lang: 'en-US', last: true })
  }

  hangUp(): void {
    for (const listener of this.#listeners['close'] ?? []) listener({ data: undefined })
  }

  /** Waits until this was said. */
  async hears(text: string): Promise<void> {
    while (!this.sent.map(({ token }) => token ?? '').join('').includes(text)) await new Promise<void>((resolve) => (this.#news = resolve))
  }
}

/** A call that goes on until its test has ended. */
async function calling(assistant: Assistant | ScriptedAssistant): Promise<{ engine: Engine; id: number; setup: Record<string, unknown>; hangUp: () => void }> {
  let hangUp = (): void => undefined
  let begun = (): void => undefined
  const [over, rings] = [new Promise<void>((resolve) => (hangUp = resolve)), new Promise<void>((resolve) => (begun = resolve))]
  const dialer: Dialer = {
    async dial(_request, context) {
      await context.placed('CA1')
      begun()
      await over
      return { disposition: 'answered', durationSeconds: 7 }
    },
  }
  const engine = await Engine.open('memory://', { dialer, assistant })
  const id = await running(engine, { welcomeMessageTemplate: 'Hi {{ name }}', replies: { assistant: true } })
  await rings
  return { engine, id, hangUp, setup: { type: 'setup', sessionId: 'VX1', callSid: 'CA1', from: OURS, to: ADA, direction: 'outbound-api' } }
}

test('a call is a conversation, and who interrupts is listened to', async () => {
  let gaveUp = (): void => undefined
  const givenUp = new Promise<void>((resolve) => (gaveUp = resolve))
  const { engine, id, setup, hangUp } = await calling({
    async *answer(dialogue, { signal }) {
      if (said(dialogue) === 'Tell me everything') {
        try {
          yield 'Well, '
          await once(signal, 'abort')
        } finally {
          // Whoever is given up before the next piece was asked for is returned, and never sees the abort.
          gaveUp()
        }
      } else if (said(dialogue) === 'Bye') {
        yield 'Goodbye!'
        yield { tool: 'end_call', arguments: { reason: 'goodbye' } }
      } else {
        yield `You said ${said(dialogue)}.`
      }
    },
  })
  const socket = new Socket()
  let session: RelaySession | undefined
  const carried = engine.relay(socket, { begun: (begun) => (session = begun) })
  socket.tell(setup)
  socket.prompt('Tell me everything')
  await socket.hears('Well, ')
  socket.tell({ type: 'interrupt', utteranceUntilInterrupt: 'Well,', durationUntilInterruptMs: '460' })
  socket.prompt('Stop it')
  await socket.hears('You said Stop it.')
  await givenUp
  session?.say('By the way, ')
  session?.play('https://a.example/x.mp3')
  session?.sendDigits('1w2')
  session?.language({ spoken: 'es-ES' })
  await socket.hears('By the way, ')
  socket.prompt('Bye')
  const spoken = await carried
  const kinds = socket.sent.map(({ type }) => type)
  for (const kind of ['text', 'play', 'sendDigits', 'language']) assert.ok(kinds.includes(kind), kind)
  assert.equal(kinds.at(-1), 'end')
  assert.equal((JSON.parse(String(socket.sent.at(-1)?.['handoffData'])) as { reason: string }).reason, 'end_call')
  assert.deepEqual(spoken.filter(({ text }) => text).slice(0, 4).map(({ author, text }) => [author, text]), [
    ['assistant', 'Hi Ada'], ['person', 'Tell me everything'], ['assistant', 'Well,'], ['person', 'Stop it'],
  ])
  assert.deepEqual(spoken.at(-1)?.tool, { name: 'end_call', arguments: { reason: 'goodbye' } })
  assert.ok(socket.closed)
  session?.say('Nobody hears this')
  hangUp()
  await engine.wait(id)
  assert.equal((await engine.messages({ channel: 'call', ourNumber: OURS, phoneNumber: ADA })).total, spoken.length)
  await engine.close()
})

test('a socket that closes loses nothing, and what is wrong is said', async () => {
  const { engine, setup, hangUp } = await calling(new ScriptedAssistant({ otherwise: 'Yes.' }))
  const socket = new Socket()
  const carried = engine.relay(socket)
  socket.tell(setup)
  socket.prompt('Hello?')
  await socket.hears('Yes.')
  socket.hangUp()
  assert.deepEqual((await carried).map(({ author }) => author), ['assistant', 'person', 'assistant'])
  // The two ends by themselves, as other libraries have them.
  const frames = async function* (...given: unknown[]): AsyncGenerator<string | Uint8Array> {
    for (const frame of given) yield Buffer.from(JSON.stringify(frame))
  }
  const send = (): void => undefined
  assert.deepEqual((await engine.relay({ frames: frames({ ...setup, sessionId: 'VX2' }), send })).map(({ author }) => author), ['assistant'])
  assert.deepEqual(await engine.relay({ frames: frames(), send }), [])
  await assert.rejects(engine.relay({ frames: frames({ type: 'prompt' }), send }), InvalidError)
  await assert.rejects(engine.relay({ frames: frames({ ...setup, callSid: 'CA9' }), send }), NotFoundError)
  // @ts-expect-error it is no socket
  await assert.rejects(engine.relay({ send }), /socket lacks the methods/)
  const broken = new Socket()
  broken.send = () => { throw new Error('the line is dead') }
  const failed = engine.relay(broken, { begun: (session) => session.say('Hi') })
  broken.tell(setup)
  await assert.rejects(failed, /the line is dead/)
  hangUp()
  await engine.close()
})

// --- callbacks, and everything together ------------------------------------------------------------------------------------

test('requests are taken as frameworks have them', async () => {
  const engine = await Engine.open('memory://', { dialer: new TwilioDialer({ accountSid: SID, authToken: 't', publicBaseUrl: 'https://a.example' }) })
  for (const headers of [{ host: 'a', 'x-many': ['b', 'c'], none: undefined }, new Headers({ host: 'a' }), [['Host', 'a']] as [string, string][]]) {
    for (const body of [Buffer.from('Body=x'), new Uint8Array([66]), 'Body=x', null, undefined, {}]) {
      assert.equal((await engine.callback({ method: 'POST', url: 'https://a.example/twilio/sms', headers, body })).status, 403)
    }
    assert.equal(await engine.isSigned({ method: 'GET', url: '/twilio/relay', headers }), false)
  }
  assert.equal((await engine.callback({ method: 'POST', url: '/elsewhere', headers: {} })).status, 404)
  await assert.rejects(engine.callback({ method: 'POST', url: '/twilio/sms', headers: {}, body: { Body: 'x' } }), /as they came in/)
  await engine.close()
})

test('a mixed campaign whose people answer', async () => {
  const [vendors, porch] = [await Vendors.start(), await Porch.open()]
  const asked: Dialogue[] = []
  const assistant: Assistant = {
    async *answer(dialogue) {
      asked.push(dialogue)
      yield* ['On Monday ', 'at nine.']
    },
  }
  const dialer = new RoutedDialer({ voice: { channels: 'call', dialer: vendors.elevenLabs() }, text: { channels: 'sms', dialer: vendors.twilio(porch.url) } })
  const engine = await Engine.open('memory://', { dialer, assistant })
  porch.engine = engine
  await vendors.do('tell', { url: `${porch.url}/elevenlabs` })
  for (const to of [ANA, BEN]) await vendors.do('misses', { to })
  const { id } = await engine.createCampaign({
    name: 'Reminders', campaignType: 'mixed', steps: [{ channel: 'call' }, { channel: 'sms', when: { previous: ['no_answer'] } }],
    welcomeMessageTemplate: 'Hi {{ name }}', smsMessageTemplate: 'Hi {{ name }}, see you on Monday.', agendaTemplate: 'The appointment is on Monday at nine.',
    callerIds: [{ number: OURS }], replies: { assistant: true }, ringTimeoutSeconds: 5, ...FAST,
  })
  const people = [[ANA, 'Ana'], [BEN, 'Ben'], [EVE, 'Eve']].map(([phoneNumber, name]) => ({ phoneNumber, name }))
  assert.equal((await engine.addContacts(id, people)).imported, 3)
  const later = await engine.createCampaign({ name: 'Later', ...FAST })
  await engine.addContacts(later.id, people.slice(0, 2))
  await engine.start(id)
  assert.equal((await engine.wait(id)).completedContacts, 3)
  const ended = (await engine.executions(id)).items.map(({ channel, disposition }) => `${channel} ${disposition}`)
  assert.deepEqual([...new Set(ended)].sort(), ['call answered', 'call no_answer', 'sms delivered'])
  const texts = await vendors.do<Placed[]>('messages')
  assert.deepEqual(texts.map(({ fields }) => fields['Body']).sort(), ['Ana', 'Ben'].map((name) => `Hi ${name}, see you on Monday.`))

  const events = engine.events()
  const url = `${porch.url}/twilio/sms`
  const stop = { MessageSid: 'SM1', From: ANA, To: OURS, Body: 'STOP' }
  assert.equal((await vendors.do<{ status: number }>('webhook', { url, fields: stop, forged: true })).status, 403)
  assert.equal(await engine.isSuppressed(ANA), false)
  for (const fields of [stop, stop]) {
    const answer = await vendors.do<{ status: number; body: string }>('webhook', { url, fields })
    assert.deepEqual([answer.status, answer.body.includes('<Response')], [200, true])
  }
  const question = { MessageSid: 'SM2', From: BEN, To: OURS, Body: 'When is it?' }
  assert.equal((await vendors.do<{ status: number }>('webhook', { url, fields: question })).status, 200)
  let sent = 0
  for await (const { type } of events) {
    if (type === 'message_sent') sent++
    if (sent === 2) break
  }
  assert.deepEqual([await engine.isSuppressed(ANA), await engine.isSuppressed(BEN)], [true, false])
  const waiting = (await engine.listContacts(later.id)).items
  assert.deepEqual(waiting.map(({ status, reason }) => [status, reason]), [['skipped', 'opted_out'], ['pending', null]])
  const said = (await vendors.do<Placed[]>('messages')).slice(2).map(({ fields }) => fields)
  assert.deepEqual(said.map(({ To, From }) => [To, From]).sort(), [[ANA, OURS], [BEN, OURS]])
  assert.match(said.find(({ To }) => To === ANA)?.['Body'] ?? '', /START/)
  assert.equal(said.find(({ To }) => To === BEN)?.['Body'], 'On Monday at nine.')
  assert.deepEqual(asked.map(({ contactName }) => contactName), ['Ben'])
  assert.match(asked[0]?.instructions ?? '', /Monday at nine/)
  const talked = await engine.messages({ channel: 'sms', ourNumber: OURS, phoneNumber: BEN })
  assert.deepEqual(talked.items.map(({ author }) => author), ['campaign', 'person', 'assistant'])
  assert.deepEqual(await vendors.do('complaints'), [])
  await engine.close()
  porch.close()
  await vendors.close()
})

test('a call through Twilio, and the handshake of its assistant', async () => {
  const [vendors, porch] = [await Vendors.start(), await Porch.open()]
  const engine = (porch.engine = await Engine.open('memory://', { dialer: vendors.twilio(porch.url) }))
  const id = await running(engine, { welcomeMessageTemplate: 'Hi {{ name }}' })
  assert.equal((await engine.wait(id)).completedContacts, 1)
  assert.equal((await engine.executions(id)).items[0]?.cost, 0.013)
  const url = porch.url.replace('http', 'ws') + '/twilio/relay'
  const headers = { ...(await vendors.do<Record<string, string>>('handshake', { url })), upgrade: 'websocket' }
  assert.equal(await engine.isSigned({ method: 'GET', url, headers }), true)
  assert.equal(await engine.isSigned({ method: 'GET', url: `${url}?more`, headers }), false)
  assert.deepEqual(await vendors.do('complaints'), [])
  await engine.close()
  porch.close()
  await vendors.close()
})
