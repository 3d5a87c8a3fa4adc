import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { Readable } from 'node:stream'
import test from 'node:test'
import { Worker } from 'node:worker_threads'
import {
  CampaignError, ClosedError, ConflictError, DialError, Engine, InvalidError, NotFoundError, SimulatedDialer, StateError, TemplateError,
  UserCodeError, type CampaignEvent, type CampaignSpec, type Dialer, type DialRequest,
} from 'campaign-node'
import { MemoryStore } from './memory-store.js'

const quick: Dialer = { dial: () => 'answered' }
const spec = (more: Partial<CampaignSpec> = {}): CampaignSpec => ({
  name: 'Test', concurrentLimit: 'unlimited', rateLimitPerMinute: 'unlimited', maxAttempts: 1, ...more,
})
const people = (count: number): { phoneNumber: string; name: string }[] =>
  Array.from({ length: count }, (_, index) => ({ phoneNumber: `+1212555${String(1000 + index)}`, name: `person ${index}` }))

async function run(dialer: Dialer | SimulatedDialer, count = 1, more: Partial<CampaignSpec> = {}): Promise<{ engine: Engine; id: number }> {
  const engine = await Engine.open('memory://', { dialer })
  const { id } = await engine.createCampaign(spec(more))
  await engine.addContacts(id, people(count))
  await engine.start(id)
  return { engine, id }
}

test('a campaign runs from creation to its last event', async () => {
  const requests: DialRequest[] = []
  const dialer: Dialer = {
    async dial(request, context) {
      requests.push(request)
      await context.placed('CA1')
      context.progress('ringing')
      return { disposition: 'answered', durationSeconds: 42.9, cost: 0.02, data: { sip_code: 200 } }
    },
  }
  const engine = await Engine.open('memory://', { dialer })
  const campaign = await engine.createCampaign(
    spec({
      welcomeMessageTemplate: 'Hi {{ name|title_case }}, {{ snake_case_name }}', fallbackValues: { snake_case_name: 'kept' },
      metadata: { some_key: { other_key: 1 }, camelKey: 2 }, deadline: new Date('2999-01-01T00:00:00Z'),
    }),
  )
  assert.deepEqual(campaign.metadata, { some_key: { other_key: 1 }, camelKey: 2 })
  assert.equal(campaign.deadline?.toISOString(), '2999-01-01T00:00:00.000Z')
  assert.ok(campaign.createdAt instanceof Date)
  await engine.addContacts(campaign.id, [{ ...people(1)[0], 'Appointment Date': 'monday' }])
  const events: CampaignEvent[] = []
  const stream = engine.events(campaign.id)
  await engine.start(campaign.id)
  for await (const event of stream) events.push(event)
  const types = new Set(events.map((event) => event.type))
  for (const type of ['progress', 'contact_started', 'contact_progress', 'contact_completed', 'campaign_completed'] as const) {
    assert.ok(types.has(type), `${type} among ${[...types].join()}`)
  }
  assert.ok(events.every((event) => event.at instanceof Date || event.type === 'progress'))
  const request = requests[0]
  assert.equal(request?.texts['welcome_message'], 'Hi Person 0, kept')
  assert.deepEqual(request?.variables, { appointment_date: 'monday' })
  assert.ok(request?.notAfter instanceof Date)
  const { items } = await engine.executions(campaign.id)
  assert.equal(items[0]?.durationSeconds, 42)
  assert.equal(items[0]?.callId, 'CA1')
  assert.deepEqual(items[0]?.data, { sip_code: 200 })
  assert.equal((await engine.progress(campaign.id)).totalCost, 0.02)
  await engine.close()
  await engine.close()
  await assert.rejects(engine.getCampaign(campaign.id), CampaignError)
})

test('contacts come from a path, bytes, streams and objects', async (context) => {
  const folder = await mkdtemp(join(tmpdir(), 'campaign-'))
  context.after(() => rm(folder, { recursive: true }))
  const csv = (from: number): string => `phone,name\n${people(from + 10).slice(from).map((one) => `${one.phoneNumber},${one.name}`).join('\n')}\n`
  const path = join(folder, 'contacts.csv')
  await writeFile(path, csv(0))
  const engine = await Engine.open('memory://', { dialer: quick })
  const { id } = await engine.createCampaign(spec())
  const seen: number[] = []
  const report = await engine.importContacts(id, path, { defaultRegion: 'US', onProgress: ({ rows }) => seen.push(rows) })
  assert.deepEqual([report.imported, report.fileName, report.format], [10, 'contacts.csv', 'csv'])
  assert.ok(seen.includes(10))
  assert.equal((await engine.importContacts(id, Buffer.from(csv(10)))).imported, 10)
  // Cut at odd places, as a network does.
  const pieces = csv(20).match(/.{1,7}/gs) ?? []
  assert.equal((await engine.importContacts(id, Readable.from(pieces))).imported, 10)
  const web = new Blob([csv(30)]).stream() as ReadableStream<Uint8Array>
  assert.equal((await engine.importContacts(id, web)).imported, 10)
  assert.equal((await engine.addContacts(id, people(41).slice(40))).imported, 1)
  const broken = Readable.from((async function* () {
    yield 'phone\n'
    throw new TypeError('the upload broke')
  })())
  await assert.rejects(engine.importContacts(id, broken), (error: CampaignError) => error instanceof CampaignError)
  await assert.rejects(engine.importContacts(id, join(folder, 'nothing.csv')), NotFoundError)
  assert.equal((await engine.listContacts(id, { limit: 1 })).total, 41)
  await engine.close()
})

test('errors have a class, a code, a kind and a context', async () => {
  const engine = await Engine.open('memory://', { dialer: quick })
  const rejected = async (work: Promise<unknown>): Promise<CampaignError> => {
    const error: unknown = await work.then(() => undefined, (thrown: unknown) => thrown)
    assert.ok(error instanceof CampaignError && error instanceof Error, String(error))
    return error
  }
  const invalid = await rejected(engine.createCampaign({ name: 'x', maxAttempts: 99 }))
  assert.ok(invalid instanceof InvalidError)
  assert.deepEqual([invalid.code, invalid.kind, invalid.context['field'], invalid.name], ['ERR_CAMPAIGN_INVALID', 'invalid', 'max_attempts', 'InvalidError'])
  const unknown = await rejected(engine.createCampaign({ name: 'x', nmae: 1 } as unknown as CampaignSpec))
  assert.match(unknown.message, /nmae/)
  assert.ok((await rejected(engine.getCampaign(99))) instanceof NotFoundError)
  const { id } = await engine.createCampaign(spec())
  assert.ok((await rejected(engine.pause(id))) instanceof StateError)
  const template = await rejected(engine.createCampaign(spec({ welcomeMessageTemplate: '{{ name' })))
  assert.ok(template instanceof TemplateError && template.context['line'] === '1')
  const self: Record<string, unknown> = {}
  self['self'] = self
  await rejected(engine.addContacts(id, [self]))
  await engine.close()
})

test('every kind of the engine has a class of its own', async () => {
  const shell: Record<string, unknown> = await import('campaign-node')
  const { native } = require(join(dirname(require.resolve('campaign-node')), 'native.js')) as { native: { kinds(): string } }
  const made: Record<string, string> = {}
  for (const Class of Object.values(shell)) {
    if (typeof Class !== 'function' || !(Class.prototype instanceof CampaignError)) continue
    const error = new (Class as new (message: string) => CampaignError)('m')
    made[error.kind] = error.code
  }
  assert.deepEqual(made, JSON.parse(native.kinds()))
})

test('bad shapes are named when the engine is opened', async () => {
  const open = (dialer: unknown, more = {}): Promise<Engine> => Engine.open('memory://', { dialer: dialer as Dialer, ...more })
  await assert.rejects(open({ call: () => 1 }), /dialer lacks the method `dial`/)
  await assert.rejects(open({ dial: quick.dial, find: 3 }), /`find`/)
  await assert.rejects(open(undefined), InvalidError)
  await assert.rejects(open({ dial: quick.dial, capabilities: { chanels: [] } }), /chanels/)
  await assert.rejects(open(quick, { campaigns: { vip: {} } }), /campaigns.vip lacks the method `next`/)
  await assert.rejects(open(quick, { lease: 'long' }), InvalidError)
  await assert.rejects(open(quick, { leese: 1 }), /leese/)
  await assert.rejects(Engine.open({ claim() {} } as unknown as MemoryStore, { dialer: quick }), /store lacks the methods `createCampaign`/)
  await assert.rejects(Engine.open('redis://user:secret@host', { dialer: quick }), (error: Error) => !error.message.includes('secret'))
})

test('what a dialer throws ends that attempt and is the cause, object for object', async () => {
  const original = new RangeError('out of lines')
  const told: UserCodeError[] = []
  for (const dial of [() => { throw original }, () => Promise.reject(original)]) {
    const engine = await Engine.open('memory://', { dialer: { dial }, onError: (error) => told.push(error) })
    const { id } = await engine.createCampaign(spec())
    await engine.addContacts(id, people(1))
    const stream = engine.events(id)
    await engine.start(id)
    const errors: CampaignEvent[] = []
    for await (const event of stream) if (event.type === 'error') errors.push(event)
    assert.equal((await engine.progress(id)).failedContacts, 1)
    assert.equal((await engine.executions(id)).items[0]?.disposition, 'in_doubt')
    const event = errors[0]
    assert.ok(event?.type === 'error' && event.error instanceof UserCodeError && event.error.cause === original && event.contactId === 1)
    await engine.close()
  }
  assert.deepEqual(told.map(({ cause }) => cause === original), [true, true])
})

test('a dialer names why nothing was placed', async () => {
  let calls = 0
  const dialer: Dialer = {
    dial() {
      calls++
      if (calls === 1) throw new DialError('throttled', 'slow down', { retryAfterMs: 1 })
      throw new DialError('permanent', 'no such number')
    },
  }
  const { engine, id } = await run(dialer)
  const progress = await engine.wait(id)
  assert.deepEqual([calls, progress.failedContacts], [2, 1])
  const { items } = await engine.executions(id)
  assert.deepEqual(items.map(({ disposition, errorDetails }) => [disposition, errorDetails]), [['undeliverable', 'no such number'], [null, null]])
  await engine.close()
})

test('nonsense from a dialer is nobody else’s problem', async () => {
  const answers: unknown[] = ['asnwered', undefined, { disposition: 'busy', duration: 3 }, 1n, { disposition: 'answered', data: { x: 1n } }, Symbol('x')]
  const dialer = { dial: () => (answers.length > 0 ? answers.pop() : 'answered') } as unknown as Dialer
  const { engine, id } = await run(dialer, 10)
  const progress = await engine.wait(id)
  assert.deepEqual([progress.completedContacts, progress.failedContacts], [4, 6])
  await engine.close()
})

test('methods keep their `this`, and `find` is asked in doubt', async () => {
  class Provider implements Dialer {
    readonly #refs = new Map<string, string>()
    asked = 0
    dial(request: DialRequest): never {
      this.#refs.set(request.key, 'CA7')
      throw new DialError('in_doubt')
    }
    find({ key }: { key: string }) {
      this.asked++
      return { state: 'ended' as const, outcome: { disposition: 'answered' as const, providerRef: this.#refs.get(key) ?? null } }
    }
  }
  const provider = new Provider()
  const { engine, id } = await run(provider)
  assert.equal((await engine.wait(id)).completedContacts, 1)
  assert.equal(provider.asked, 1)
  assert.equal((await engine.executions(id)).items[0]?.callId, 'CA7')
  await engine.close()
})

test('close aborts the signal of running dials', async () => {
  const aborted: boolean[] = []
  let dialling: () => void = () => undefined
  const first = new Promise<void>((resolve) => { dialling = resolve })
  const dialer: Dialer = {
    dial: (_request, { signal }) =>
      new Promise((resolve) => {
        dialling()
        signal.addEventListener('abort', () => {
          aborted.push(signal.aborted)
          resolve('cancelled')
        })
      }),
  }
  const { engine } = await run(dialer, 3)
  await first
  await engine.close()
  assert.deepEqual(aborted, aborted.map(() => true))
  assert.ok(aborted.length >= 1)
})

test('a loop over events can be left, and a web stream cancelled', async () => {
  const engine = await Engine.open('memory://', { dialer: new SimulatedDialer({ profile: 'instant' }) })
  const { id } = await engine.createCampaign(spec())
  await engine.addContacts(id, people(50))
  const all = engine.events()
  await engine.start(id)
  for await (const event of all) {
    assert.ok(event.campaignId === id)
    break
  }
  const stream = engine.events(id)
  assert.deepEqual(await stream.return(), { done: true, value: undefined })
  assert.deepEqual(await stream.next(), { done: true, value: undefined })
  const reader = engine.events(id).toReadableStream().getReader()
  assert.equal((await reader.read()).done, false)
  await reader.cancel()
  await engine.wait(id)
  const waiting = engine.events().next()
  await engine.close()
  assert.deepEqual(await waiting, { done: true, value: undefined })
})

test('a campaign of one’s own kind decides', async () => {
  const seen: string[] = []
  const said: (string | null)[] = []
  const engine = await Engine.open('memory://', {
    dialer: {
      dial(request) {
        said.push(request.message)
        return 'sent'
      },
    },
    campaigns: {
      once: (given) => ({
        async next(view, now) {
          assert.ok(now instanceof Date && view.contact.createdAt instanceof Date)
          seen.push(`${given.name} ${view.history.length}`)
          if (view.history.length === 0) return { next: 'reach', step: 0, channel: 'sms' }
          return { next: 'finish', status: 'completed', reason: 'done', text: 'Told once.' }
        },
        messageTemplate: () => 'short',
        templates: { short: { variables: ['name', 'town'], render: async ({ name, town }) => `Hi ${name} of ${town}` } },
      }),
    },
  })
  const { id } = await engine.createCampaign(spec({ campaignType: 'once', fallbackValues: { town: 'nowhere' } }))
  await engine.addContacts(id, people(2))
  await engine.start(id)
  assert.equal((await engine.wait(id)).completedContacts, 2)
  assert.ok(seen.includes('Test 0') && seen.includes('Test 1'))
  assert.equal((await engine.listContacts(id)).items[0]?.reasonText, 'Told once.')
  assert.deepEqual(said.sort(), ['Hi person 0 of nowhere', 'Hi person 1 of nowhere'])
  await engine.close()
})

test('a store of one’s own carries a whole campaign, and its errors come back as they are', async () => {
  const engine = await Engine.open(new MemoryStore(), { dialer: quick })
  const { id } = await engine.createCampaign(spec({ metadata: { a_b: 1 } }))
  await engine.addContacts(id, people(5))
  await engine.start(id)
  assert.equal((await engine.wait(id)).completedContacts, 5)
  assert.deepEqual((await engine.getCampaign(id)).metadata, { a_b: 1 })
  await engine.close()

  const own = new ConflictError('mine')
  const foreign = new TypeError('theirs')
  class Failing extends MemoryStore {
    override createCampaign(): never { throw own }
    override campaign(): never { throw foreign }
  }
  const failing = await Engine.open(new Failing(), { dialer: quick })
  assert.equal(await failing.createCampaign(spec()).catch((error: unknown) => error), own)
  const error: unknown = await failing.getCampaign(1).catch((error: unknown) => error)
  assert.ok(error instanceof UserCodeError && error.cause === foreign)
  await failing.close()
})

test('lists, suppressions, explanations, previews and simulations', async () => {
  const engine = await Engine.open('memory://', { dialer: quick })
  const list = await engine.createList('VIPs', 'good customers')
  await engine.addContacts({ listId: list.id }, people(3))
  assert.equal((await engine.lists()).length, 1)
  assert.equal((await engine.getList(list.id)).name, 'VIPs')
  const renamed = await engine.updateList(list.id, { name: 'Regulars' })
  assert.deepEqual([renamed.name, renamed.description], ['Regulars', 'good customers'])
  assert.equal((await engine.updateList(list.id, { description: 'of old' })).name, 'Regulars')
  await assert.rejects(engine.updateList(list.id, { name: ' ' }), InvalidError)
  await assert.rejects(engine.updateList(list.id + 1, { name: 'x' }), NotFoundError)
  const { id } = await engine.createCampaign(spec({ smsMessageTemplate: 'Hi {{ nmae }}', campaignType: 'sms', timeZone: 'America/New_York' }))
  await engine.suppress(['+12125551000', { phoneNumber: '(212) 555-1001', defaultRegion: 'US', reason: 'asked', expiresAt: new Date('2999-01-01') }])
  assert.equal(await engine.isSuppressed('+1 212 555 1000'), true)
  assert.deepEqual((await engine.suppressions()).items.map(({ reason }) => reason), ['suppressed', 'asked'])
  assert.match(await engine.exportSuppressions(), /\+12125551001,everything,asked/)
  assert.equal(await engine.unsuppress('+12125551001'), 1)
  assert.equal((await engine.importSuppressions(Buffer.from('phone\n+12125551009\n'), { reason: 'list' })).imported, 1)
  const report = await engine.attachList(list.id, id)
  assert.deepEqual([report.imported, report.suppressed], [2, 1])
  const why = await engine.explainCampaign(id)
  assert.equal(why.reasons.reduce((sum, { contacts }) => sum + contacts, 0), 3)
  const contact = (await engine.listContacts(id, { status: 'pending' })).items[0]
  assert.ok(contact !== undefined)
  assert.equal((await engine.explain(contact.id)).blockedBy, 'campaign_state')
  assert.equal(await engine.previewTemplate('Hi {{ first_name }}', { first_name: 'Ada' }), 'Hi Ada')
  assert.equal((await engine.previewContact(id, contact.id))['sms_message'], 'Hi ')
  const lint = await engine.lintTemplate(id)
  assert.ok(lint.findings.some(({ code }) => code === 'unknown_variable'))
  const simulation = await engine.simulate(id, { profile: 'instant', seed: 3 })
  assert.equal(simulation.progress.completedContacts, 2)
  assert.ok(simulation.startedAt instanceof Date && Object.keys(simulation.attemptsPerHour)[0]?.includes('T'))
  assert.equal((await engine.updateCampaign(id, { maxAttempts: 4, fallbackValues: { nmae: 'you' } })).maxAttempts, 4)
  assert.equal((await engine.updateCampaign(id, { maxAttempts: null })).maxAttempts, 3)
  assert.equal((await engine.schedule(id, { scheduleType: 'once', scheduledAt: new Date('2999-01-01T00:00:00Z') })).status, 'scheduled')
  assert.equal((await engine.unschedule(id)).status, 'draft')
  assert.equal((await engine.schedule(id, { scheduleType: 'immediate' })).status, 'draft')
  await engine.start(id)
  await engine.wait(id)
  assert.equal((await engine.timeline(id, { bucketSeconds: 86_400 }))[0]?.dispositions['answered'], 2)
  assert.equal((await engine.recordReply(contact.id)).repliedAt instanceof Date, true)
  assert.equal(await engine.reExecute(id, 'all'), 3)
  assert.equal(await engine.removeContacts(id, [contact.id]), 1)
  assert.equal((await engine.nodes()).length, 1)
  assert.ok((await engine.now()) instanceof Date)
  assert.equal((await engine.listCampaigns({ search: 'test' })).total, 1)
  await engine.cancel(id).catch(() => undefined)
  await engine.deleteCampaign(id)
  await engine.deleteList(list.id)
  await engine.close()
})

test('it works in worker threads, also when they are ended in the middle', async () => {
  const source = `
    const { Engine } = require('campaign-node')
    const { parentPort, workerData } = require('node:worker_threads')
    Engine.open('memory://', { dialer: { dial: () => workerData ? new Promise(() => {}) : 'answered' } }).then(async (engine) => {
      const { id } = await engine.createCampaign({ name: 'x', concurrentLimit: 'unlimited', rateLimitPerMinute: 'unlimited' })
      await engine.addContacts(id, [{ phone_number: '+12125551000' }])
      await engine.start(id)
      if (workerData) return parentPort.postMessage('started')
      parentPort.postMessage((await engine.wait(id)).completedContacts)
      await engine.close()
    })`
  const start = (endless: boolean): Worker => new Worker(source, { eval: true, workerData: endless })
  const message = (worker: Worker): Promise<unknown> => new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject))
  const whole = start(false)
  const exited = new Promise((resolve) => whole.once('exit', resolve))
  assert.equal(await message(whole), 1)
  assert.equal(await exited, 0)
  const endless = [start(true), start(true)]
  assert.deepEqual(await Promise.all(endless.map(message)), ['started', 'started'])
  await Promise.all(endless.map((worker) => worker.terminate()))
})

test('two engines in one process do not know of each other', async () => {
  const [a, b] = await Promise.all([run(quick, 3), run(quick, 5)])
  const done = await Promise.all([a.engine.wait(a.id), b.engine.wait(b.id)])
  assert.deepEqual(done.map(({ completedContacts }) => completedContacts), [3, 5])
  await Promise.all([a.engine.close(), b.engine.close()])
  await assert.rejects(a.engine.wait(a.id), ClosedError)
})
