// Code of the user's that misbehaves in every way we could think of. It is nobody's problem but its own.
import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import test from 'node:test'
import { inspect } from 'node:util'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import {
  CampaignError, ClosedError, ConflictError, copyStore, DialError, Engine, InvalidError, SimulatedDialer, StateError, UserCodeError,
  type Campaign, type CampaignEvent, type CampaignSpec, type ContactRow, type DialContext, type Dialer, type EngineOptions, type ImportSource,
} from 'campaign-node'
import { MemoryStore } from './memory-store.js'

const quick: Dialer = { dial: () => 'answered' }
const spec = (more: Partial<CampaignSpec> = {}): CampaignSpec => ({
  name: 'Test', concurrentLimit: 'unlimited', rateLimitPerMinute: 'unlimited', maxAttempts: 1, ...more,
})
const people = (count: number): ContactRow[] => Array.from({ length: count }, (_, index) => ({ phoneNumber: `+1212555${String(1000 + index)}` }))
const NUMBER = /5551\d\d\d|2125550123/

async function run(
  dialer: Dialer, count: number, options: Partial<EngineOptions> = {}, more: Partial<CampaignSpec> = {}, store: string | MemoryStore = 'memory://',
): Promise<{ engine: Engine; id: number; told: UserCodeError[] }> {
  const told: UserCodeError[] = []
  const engine = await Engine.open(store, { dialer, onError: (error) => told.push(error), ...options })
  const { id } = await engine.createCampaign(spec(more))
  await engine.addContacts(id, people(count))
  await engine.start(id)
  return { engine, id, told }
}

/** What a promise is rejected with. What throws instead of rejecting fails the test. */
async function rejection(work: () => Promise<unknown>): Promise<unknown> {
  const promise = work()
  return promise.then((value) => assert.fail(`it resolved with ${inspect(value)}`), (error: unknown) => error)
}

test('whatever a dialer throws ends its own attempt, and is told object for object', async () => {
  const evil = (fields: PropertyDescriptorMap): Error => Object.defineProperties(new Error('x'), fields)
  const changed = new DialError('transient')
  Object.assign(changed, { kind: 'permament', message: { a: 1 }, retryAfterMs: 'soon' })
  const thrown: unknown[] = [
    undefined, null, 0, '+12125550123', Symbol('s'), 1n, () => 1, Object.create(null), Object.freeze({}), [],
    evil({ name: { get: () => { throw new Error('name') } } }), evil({ name: { value: 1n } }), evil({ name: { value: 'call +12125550123' } }),
    evil({ message: { get: () => { throw new Error('message') } } }), evil({ stack: { get: () => { throw new Error('stack') } } }),
    new Proxy({}, { getPrototypeOf: () => { throw new Error('proxy') }, get: () => { throw new Error('proxy') } }),
    new Proxy(new Error('x'), { get: () => { throw new Error('proxy') } }),
    changed, Object.defineProperty(new DialError('transient'), 'cause', { get: () => { throw new Error('cause') } }),
    Object.defineProperty(new DialError('transient'), 'retryAfterMs', { get: () => { throw new Error('retry') } }),
    Object.defineProperty(new ConflictError('x'), 'kind', { get: () => { throw new Error('kind') } }),
  ]
  const heard = (left: unknown[], wait: boolean): Dialer => ({
    dial() {
      if (left.length === 0) return 'answered'
      const next = left.pop()
      if (wait) return Promise.reject(next as Error)
      throw next
    },
  })
  for (const wait of [false, true]) {
    const { engine, id, told } = await run(heard([...thrown], wait), thrown.length + 5)
    const progress = await engine.wait(id)
    assert.deepEqual([progress.completedContacts, progress.failedContacts, progress.totalContacts], [5, thrown.length, thrown.length + 5])
    for (const one of thrown) {
      // Two of them are refusals, which are nothing unusual.
      const refusal = one === changed || (thrown.indexOf(one) === 19)
      assert.equal(told.some(({ cause }) => Object.is(cause, one)), !refusal, `${thrown.indexOf(one)}`)
    }
    for (const error of told) assert.doesNotMatch(error.message, NUMBER)
    const { items } = await engine.executions({ campaignId: id, limit: 100 })
    assert.doesNotMatch(inspect(items), NUMBER)
    await engine.close()
  }
})

test('a dialer that answers nonsense is told, and what it answered beside it counts', async () => {
  let deep: Record<string, unknown> = {}
  for (let level = 0; level < 500; level++) deep = { deep }
  const self: Record<string, unknown> = { disposition: 'answered' }
  self['data'] = self
  const bad: unknown[] = [
    42, {}, [], true, 'nonsense', () => 'answered', { disposition: 'answered', durationSeconds: NaN }, { disposition: 'answered', durationSeconds: Infinity },
    { disposition: 'answered', durationSeconds: -1 }, { disposition: 'answered', durationSeconds: 1e300 }, { disposition: 'answered', cost: NaN },
    { disposition: 'answered', providerRef: 7 }, { disposition: 'answered', detail: {} }, self,
    { disposition: 'answered', data: deep }, { get disposition() { throw new Error('getter') } },
    { disposition: 'answered', data: { toJSON() { throw new Error('toJSON') } } }, new Proxy({}, { ownKeys: () => { throw new Error('proxy') } }),
    // A thenable that breaks its promises.
    { get then() { throw new Error('then') } }, { then() { throw new Error('then') } },
    { then: (resolve: (value: unknown) => void, reject: (error: unknown) => void) => { reject(new Error('first')); resolve('answered') } },
  ]
  const good: unknown[] = [
    { disposition: 'answered', detail: 'cut in half: \ud83d', data: { '\udc00': ['\ud800'] } }, { disposition: 'answered', data: { x: NaN, y: undefined, when: new Date(NaN) } },
    { then: (resolve: (value: unknown) => void) => { resolve('answered'); resolve('busy'); throw new Error('late') } },
    { then(resolve: (value: unknown) => void) { resolve({ disposition: 'answered' }) } }, { disposition: 'answered', durationSeconds: 4.9, data: { ['__proto__']: 1 } },
  ]
  for (const wait of [false, true]) {
    const left = [...bad, ...good]
    const dialer = { dial: () => (wait ? new Promise((resolve) => resolve(left.pop())) : left.pop()) } as unknown as Dialer
    const { engine, id, told } = await run(dialer, left.length)
    const progress = await engine.wait(id)
    assert.deepEqual([progress.completedContacts, progress.failedContacts], [good.length, bad.length])
    assert.equal(told.length, bad.length, inspect(told.map(({ message }) => message)))
    // Three of them cannot be written as JSON, which shows only when several answers go together.
    assert.equal(told.filter(({ context }) => context['contact'] !== undefined && context['campaign'] === String(id)).length, bad.length - 3)
    const { items } = await engine.executions({ campaignId: id, disposition: 'answered' })
    assert.ok(items.some(({ errorDetails }) => errorDetails === 'cut in half: \ufffd'))
    await engine.close()
  }
  assert.equal(({} as Record<string, unknown>)['x'], undefined)
})

test('a promise that never settles does not keep an engine from closing', async () => {
  const never = new Promise<never>(() => undefined)
  let started: () => void = () => undefined
  const first = new Promise<void>((resolve) => { started = resolve })
  const hang = (): Promise<never> => {
    started()
    return never
  }
  const { engine, id } = await run({ dial: hang }, 3)
  await first
  const waiting = rejection(() => engine.wait(id))
  await engine.close()
  assert.ok((await waiting) instanceof CampaignError)
  await assert.rejects(engine.progress(id), ClosedError)
})

test('a policy that does not answer any more costs nobody an attempt', async (context) => {
  const folder = await mkdtemp(join(tmpdir(), 'campaign-'))
  context.after(() => rm(folder, { recursive: true }))
  const url = `sqlite://${join(folder, 'own.db')}`
  let asked: () => void = () => undefined
  const first = new Promise<void>((resolve) => { asked = resolve })
  const stuck: Campaign = {
    next: () => {
      asked()
      return new Promise<never>(() => undefined)
    },
  }
  const { engine, id } = await run(quick, 3, { campaigns: { own: stuck } }, { campaignType: 'own' }, url)
  await first
  engine.abort()
  engine.abort()
  await assert.rejects(engine.progress(id), ClosedError)
  const willing: Campaign = {
    next: ({ history }) =>
      history.length === 0 ? { next: 'reach', step: 0, channel: 'call' } : { next: 'finish', status: 'completed', reason: 'done', text: 'Done.' },
  }
  const again = await Engine.open(url, { dialer: quick, lease: 0.2, longestPause: 0, campaigns: { own: willing } })
  assert.equal((await again.wait(id)).completedContacts, 3)
  await again.close()
})

test('a policy that throws or talks nonsense ends its contacts with a reason, and is told', async () => {
  const original = new RangeError('no idea')
  const nonsense = [{ next: 'reach' }, { next: 'wait', until: new Date(NaN), step: 0, channel: 'call', reason: 'r', text: 't' }, 42, null]
  const cases: [Campaign, number, boolean][] = [
    [{ next: () => { throw original } }, 2, true],
    [{ next: () => Promise.reject(original) }, 2, true],
    [{ next: () => (nonsense.length > 0 ? nonsense.pop() : null) } as unknown as Campaign, 4, false],
    [{ next: () => ({ next: 'reach', step: 0, channel: 'sms' }), messageTemplate: () => { throw original } }, 1, true],
    [{ next: () => ({ next: 'reach', step: 0, channel: 'sms' }), messageTemplate: () => 7 } as unknown as Campaign, 1, false],
    [{ next: () => ({ next: 'reach', step: 0, channel: 'sms' }), messageTemplate: () => 'own', templates: { own: { variables: [], render: () => { throw original } } } }, 1, true],
    [{ next: () => ({ next: 'reach', step: 0, channel: 'sms' }), messageTemplate: () => 'own', templates: { own: { variables: [], render: () => 7 } } } as unknown as Campaign, 1, false],
  ]
  for (const [index, [campaign, count, thrown]] of cases.entries()) {
    const { engine, id, told } = await run(quick, count, { campaigns: { own: campaign } }, { campaignType: 'own' })
    const progress = await engine.wait(id)
    assert.equal(progress.failedContacts + progress.skippedContacts, count, `${index}`)
    assert.ok(told.length >= count, `${index}: ${told.length}`)
    assert.ok(told.every((error) => error instanceof UserCodeError))
    if (thrown) assert.ok(told.every(({ cause }) => cause === original), `${index}: ${inspect(told)}`)
    for (const contact of (await engine.listContacts(id)).items) assert.ok(contact.reason !== null && contact.reasonText !== null, `${index}`)
    await engine.close()
  }
  // A kind that cannot make a campaign says so to whoever creates one.
  const engine = await Engine.open('memory://', { dialer: quick, campaigns: { own: () => { throw original }, half: () => ({}) as Campaign } })
  assert.equal(((await rejection(() => engine.createCampaign(spec({ campaignType: 'own' })))) as Error).cause, original)
  assert.match(String(await rejection(() => engine.createCampaign(spec({ campaignType: 'half' })))), /`next`/)
  await engine.close()
})

test('a `find` that throws is told, and asked again', async () => {
  const original = new Error('the provider is down')
  let asked = 0
  const dialer: Dialer = {
    capabilities: { idempotency: 'callback_ref', maxRequestTime: 0 },
    dial: () => { throw new DialError('in_doubt') },
    find() {
      if (++asked === 1) throw original
      if (asked === 2) return 'nonsense' as 'unknown'
      return { disposition: 'answered' }
    },
  }
  const { engine, id, told } = await run(dialer, 1)
  assert.equal((await engine.wait(id)).completedContacts, 1)
  assert.equal(asked, 3)
  assert.equal(told[0]?.cause, original)
  assert.match(told[1]?.message ?? '', /not understood/)
  await engine.close()
})

test('listeners that throw or reject are nobody’s problem', async () => {
  const thrown = new Error('listener')
  for (const listener of [() => { throw thrown }, async () => { throw thrown }]) {
    const { engine, id } = await run({ dial: () => { throw new Error('x') } }, 3, { onError: listener })
    assert.equal((await engine.wait(id)).failedContacts, 3)
    await engine.close()
    const told: unknown[] = []
    const other = await Engine.open('memory://', { dialer: quick, onError: ({ cause }) => told.push(cause) })
    const { id: campaign } = await other.createCampaign(spec())
    await other.importContacts(campaign, Buffer.from('phone\n+12125551000\n'), { onProgress: listener })
    await other.close()
    assert.ok(told.length > 0 && told.every((cause) => cause === thrown))
  }
  await assert.rejects(Engine.open('memory://', { dialer: quick, onError: 3 } as unknown as EngineOptions), /onError/)
  const engine = await Engine.open('memory://', { dialer: quick })
  const { id } = await engine.createCampaign(spec())
  await assert.rejects(engine.importContacts(id, [], { onProgress: 3 as unknown as () => void }), /onProgress/)
  await engine.close()
})

test('numbers and moments that are none are named, never taken for “not given”', async () => {
  const engine = await Engine.open('memory://', { dialer: quick })
  const { id } = await engine.createCampaign(spec())
  await engine.addContacts(id, people(1))
  const never = new Date(NaN)
  const cycle: Record<string, unknown> = { name: 'x' }
  cycle['retry'] = cycle
  const calls: (() => Promise<unknown>)[] = [
    () => engine.events(NaN).next(), () => engine.executions(NaN), () => engine.getCampaign(Infinity), () => engine.getCampaign(2 ** 60), () => engine.getCampaign(1.5),
    () => engine.createCampaign(spec({ maxAttempts: NaN })), () => engine.createCampaign(spec({ deadline: never })),
    () => engine.createCampaign(cycle as unknown as CampaignSpec), () => engine.createCampaign(spec({ metadata: cycle as { name: string } })),
    () => engine.updateCampaign(id, { deadline: never }), () => engine.updateCampaign(id, { budget: -Infinity }),
    () => engine.suppress({ phoneNumber: '+12125550123', expiresAt: never }), () => engine.suppress({ phoneNumber: '+12125550123', campaignId: NaN }),
    () => engine.importSuppressions([{ phone: '+12125550123' }], { campaignId: NaN }), () => engine.listContacts(id, { after: NaN }),
    () => engine.timeline(id, { bucketSeconds: Infinity }), () => engine.timeline(id, { bucketSeconds: 60, from: never }),
    () => engine.amend(1, { disposition: 'answered', cost: NaN }), () => engine.simulate(id, { start: never }), () => engine.simulate(id, { seed: NaN }),
    () => engine.stop({ patience: NaN }), () => engine.stop({ patience: -1 }), () => engine.stop({ patience: 'x' as unknown as number }),
    () => engine.close({ patience: NaN }), () => engine.close({ patience: -1 }), () => engine.importContacts(id, never as unknown as ImportSource),
    () => engine.importContacts(id, [], { consentMoment: never }), () => engine.schedule(id, { scheduleType: 'once', scheduledAt: never }),
    () => engine.addContacts(id, 'no rows' as unknown as ContactRow[]).then(() => engine.addContacts(id, [null] as unknown as ContactRow[])),
  ]
  for (const call of calls) {
    const error = await rejection(call)
    assert.ok(error instanceof CampaignError, `${String(call)}: ${inspect(error)}`)
    assert.ok(['invalid', 'not_found'].includes(error.kind), `${String(call)}: ${inspect(error)}`)
    assert.doesNotMatch(inspect(error, { depth: 9 }), NUMBER, String(call))
  }
  const original = new Error('getter')
  assert.equal(await rejection(() => engine.createCampaign({ get name(): string { throw original } })), original)
  // Times beyond every calendar are the end of time, not a crash.
  const far = await Engine.open('memory://', { dialer: quick, lookAhead: 3, doubtPatience: 1e15, alone: true })
  await far.stop({ patience: 1e18 })
  await far.close({ patience: Number.MAX_SAFE_INTEGER })
  for (const options of [{ lease: NaN }, { lease: 1e300 }, { batch: -1 }, { batch: 2 ** 40 }, { seed: 0.5 }, { eventBuffer: NaN }]) {
    await assert.rejects(Engine.open('memory://', { dialer: quick, ...options }), InvalidError, inspect(options))
  }
  for (const capabilities of [{ callsPerSecond: NaN }, { lookupLag: -1 }, { keyTtl: Infinity }, { channels: ['fax'] }]) {
    await assert.rejects(Engine.open('memory://', { dialer: { ...quick, capabilities } as Dialer }), InvalidError, inspect(capabilities))
  }
  // It was refused, so it is still open.
  assert.equal((await engine.getCampaign(id)).totalContacts, 1)
  await engine.close()
})

test('no error repeats a phone number', async () => {
  const engine = await Engine.open('memory://', { dialer: quick })
  const { id } = await engine.createCampaign(spec())
  const number = '+12125550123'
  const odd = number as unknown
  const calls: (() => Promise<unknown>)[] = [
    () => engine.getCampaign(odd as number), () => engine.getContact(odd as number), () => engine.removeContacts(id, [odd as number]),
    () => engine.suppress('2125550123x99999999999'), () => engine.isSuppressed('call 212555012399999999999'), () => engine.createList(''),
    () => engine.listContacts(id, { status: odd as 'pending' }), () => engine.listContacts(id, { [number]: 1 } as object), () => engine.listContacts({ listId: odd as number }),
    () => engine.createCampaign(spec({ [number]: 1 } as object)), () => engine.createCampaign(spec({ callerIds: [{ number: '2125550123 !' }, { number: '2125550123 !' }] })),
    () => engine.updateCampaign(id, { concurrentLimit: odd as number }), () => engine.executions({ providerRef: 7 as unknown as string, contactId: odd as number }),
    () => engine.recordReply(odd as number), () => engine.reExecute(id, [odd as number]), () => engine.importContacts(id, number), () => engine.importContacts(id, [], { format: odd as 'csv' }),
    () => engine.previewTemplate('{{ x }', { x: number }), () => engine.amend(1, { disposition: odd as 'answered' }), () => engine.start(odd as number),
    () => Engine.open(`postgres://me:${number}@127.0.0.1:1/x`, { dialer: quick }), () => Engine.open(`redis://me:${number}@h`, { dialer: quick }),
  ]
  for (const call of calls) {
    const error = await rejection(call)
    assert.ok(error instanceof CampaignError && error.kind !== 'internal', `${String(call)}: ${inspect(error)}`)
    // A path is what it is: there the number is a name that the caller gave to a file.
    if (!String(call).includes('importContacts(id, number)')) assert.doesNotMatch(inspect(error, { depth: 9 }), NUMBER, String(call))
  }
  assert.doesNotMatch(inspect([engine, engine.events(id), new SimulatedDialer()], { depth: 9 }), NUMBER)
  const report = await engine.addContacts(id, [{ phoneNumber: '2125550123x99999999999' }, { phoneNumber: number, name: 'x' }, { phoneNumber: number }])
  assert.deepEqual([report.invalid, report.duplicates], [1, 1])
  assert.doesNotMatch(inspect(report, { depth: 9 }), NUMBER)
  await engine.close()
})

test('a source that breaks in the middle is the cause, and one that is not needed any more is let go of', async () => {
  const engine = await Engine.open('memory://', { dialer: quick })
  const { id } = await engine.createCampaign(spec())
  const original = new TypeError('the upload broke')
  const lines = (count: number): string => people(count).map((row) => `${String(row['phoneNumber'])}\n`).join('')
  const sources: (() => ImportSource)[] = [
    () => Readable.from((async function* () { yield `phone\n${lines(5)}`; throw original })()),
    () => (async function* () { yield 'phone\n'; yield Buffer.from(lines(5)); throw original })(),
    () => new ReadableStream<Uint8Array>({ start: (controller) => controller.enqueue(Buffer.from('phone\n')), pull: (controller) => controller.error(original) }),
    () => ({ [Symbol.asyncIterator]: () => ({ next: () => { throw original } }) }),
    () => ({ [Symbol.asyncIterator]: () => { throw original } }),
    () => { const stream = new Readable({ read() { this.destroy(original) } }); return stream },
  ]
  for (const source of sources) {
    const error = await rejection(() => engine.importContacts(id, source()))
    assert.ok(error === original || (error instanceof CampaignError && error.cause === original), inspect(error))
  }
  for (const piece of [7, {}, new ArrayBuffer(3), ['x']]) {
    const source = Readable.from((async function* () { yield 'phone\n'; yield piece })()) as ImportSource
    assert.match(inspect(await rejection(() => engine.importContacts(id, source)), { depth: 9 }), /bytes/)
  }
  assert.ok((await rejection(() => engine.importContacts(id, { [Symbol.asyncIterator]: () => ({ next: () => 7 }) } as unknown as ImportSource))) instanceof CampaignError)
  // Good rows went in, whatever came after them.
  assert.ok((await engine.listContacts(id)).total <= 5)
  const bytes = Buffer.from(`junkphone\n+12125559999\n`).subarray(4)
  assert.equal((await engine.importContacts(id, new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength))).imported, 1)
  const gone = new Uint8Array(new ArrayBuffer(8))
  structuredClone(gone, { transfer: [gone.buffer] })
  await rejection(() => engine.importContacts(id, gone))
  // An import that fails, or whose engine closes, ends the source as a loop would.
  let let_go: () => void = () => undefined
  for (const end of [() => undefined, () => engine.close()]) {
    const over = new Promise<void>((resolve) => { let_go = resolve })
    let reading: () => void = () => undefined
    const read = new Promise<void>((resolve) => { reading = resolve })
    const options = end.toString().includes('close') ? {} : { encoding: 'klingon' }
    const source: AsyncIterable<string> = {
      [Symbol.asyncIterator]: () => ({
        next: () => {
          reading()
          return options.encoding === undefined ? new Promise<never>(() => undefined) : Promise.resolve({ done: false, value: 'phone\n' })
        },
        return: () => {
          let_go()
          return Promise.resolve({ done: true, value: undefined })
        },
      }),
    }
    const error = rejection(() => engine.importContacts(id, source, options))
    if (options.encoding === undefined) await read
    await end()
    assert.ok((await error) instanceof CampaignError)
    await over
  }
})

test('names such as `__proto__` are data like any other', async () => {
  const seen: Record<string, unknown>[] = []
  const engine = await Engine.open('memory://', { dialer: { dial: ({ variables }) => { seen.push(variables); return 'answered' } } })
  const { id } = await engine.createCampaign(spec())
  const row = JSON.parse('{"phoneNumber":"+12125550123","__proto__":"p","constructor":"c","toString":"t","hasOwnProperty":"h","prototype":"x"}') as ContactRow
  assert.equal((await engine.addContacts(id, [row])).imported, 1)
  assert.equal((await engine.importContacts(id, Buffer.from('phone,__proto__,constructor\n+12125550124,a,b\n'))).imported, 1)
  const hidden = JSON.parse('{"name":"y","__proto__":{"maxAttempts":9},"metadata":{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}}}}') as CampaignSpec
  assert.match(String(await rejection(() => engine.createCampaign(hidden))), /__proto__/)
  Reflect.deleteProperty(hidden, '__proto__')
  const { metadata } = await engine.createCampaign(hidden)
  assert.deepEqual(Object.keys(metadata).sort(), ['__proto__', 'constructor'])
  await engine.start(id)
  await engine.wait(id)
  assert.equal(seen.length, 2)
  for (const contact of (await engine.listContacts(id)).items) assert.ok(Object.hasOwn(contact.variables, 'constructor'), inspect(contact.variables))
  assert.equal(await engine.previewTemplate('{{ constructor }}', JSON.parse('{"constructor":"c","__proto__":"p"}')), 'c')
  for (const name of ['polluted', 'maxAttempts', 'p']) assert.equal(({} as Record<string, unknown>)[name], undefined)
  await engine.close()
})

/** A store that misbehaves as it is told. */
class Moody extends MemoryStore {
  mood: (method: string) => void = () => undefined
  override claim(...args: Parameters<MemoryStore['claim']>): ReturnType<MemoryStore['claim']> {
    this.mood('claim')
    return super.claim(...args)
  }
  override settle(...args: Parameters<MemoryStore['settle']>): ReturnType<MemoryStore['settle']> {
    this.mood('settle')
    return super.settle(...args)
  }
  override contacts(...args: Parameters<MemoryStore['contacts']>): ReturnType<MemoryStore['contacts']> {
    this.mood('contacts')
    return super.contacts(...args)
  }
}

test('a store that throws what it likes is told, tried again, and keeps every promise', async () => {
  const store = new Moody()
  const thrown: unknown[] = ['a text', undefined, null, 7, Symbol('s'), Object.create(null), new Proxy({}, { get: () => { throw new Error('proxy') } }), new Error('an error')]
  const left = { claim: [...thrown].slice(0, 4), settle: [...thrown].slice(4) } as Record<string, unknown[]>
  store.mood = (method) => {
    const list = left[method] ?? []
    if (list.length > 0) throw list.pop()
  }
  let dialled = 0
  const { engine, id, told } = await run({ dial: () => { dialled++; return 'answered' } }, 3, {}, {}, store)
  assert.equal((await engine.wait(id)).completedContacts, 3)
  assert.equal(dialled, 3)
  for (const one of thrown) assert.ok(told.some(({ cause }) => Object.is(cause, one)), String(thrown.indexOf(one)))
  // Whoever asked gets it from the call, and the package's own errors as they are.
  const conflict = new ConflictError('changed in between')
  for (const one of [...thrown, conflict]) {
    store.mood = (method) => { if (method === 'contacts') throw one }
    const error = await rejection(() => engine.listContacts(id))
    assert.ok(error === conflict || (error instanceof UserCodeError && Object.is(error.cause, one)), inspect(error))
  }
  store.mood = () => undefined
  store.contacts = () => ({ items: 'none' }) as unknown as ReturnType<MemoryStore['contacts']>
  assert.match(String(await rejection(() => engine.listContacts(id))), /`contacts`/)
  store.contacts = () => ({ items: [], total: NaN })
  assert.match(String(await rejection(() => engine.listContacts(id))), /total/)
  await engine.close()
})

test('a stream of events that nobody reads costs little, and says what it missed', async () => {
  const engine = await Engine.open('memory://', { dialer: { dial: () => { throw new Error('x') } } })
  const { id } = await engine.createCampaign(spec())
  await engine.addContacts(id, people(3000))
  const abandoned = engine.events(id)
  const all = engine.events()
  await engine.start(id)
  await engine.wait(id)
  const events: CampaignEvent[] = []
  for await (const event of abandoned) events.push(event)
  const errors = events.filter(({ type }) => type === 'error').length
  const missed = events.reduce((sum, event) => sum + (event.type === 'missed' ? event.count : 0), 0)
  assert.ok(errors >= 1000 && errors < 3000 && errors + missed >= 3000, `${errors} errors, ${missed} missed`)
  await all.return()
  await engine.close()
})

test('nothing that was thrown is kept for ever', async () => {
  setFlagsFromString('--expose-gc')
  const gc = runInNewContext('gc') as () => void
  const refs: WeakRef<Error>[] = []
  const dial = (): never => {
    const error = new Error('x')
    refs.push(new WeakRef(error))
    throw error
  }
  const { engine, id } = await run({ dial }, 500, { onError: () => undefined })
  await engine.wait(id)
  // Messages that say "forget it" are on their way until something else is asked.
  await engine.progress(id)
  await new Promise((resolve) => setImmediate(resolve))
  gc()
  assert.ok(refs.length === 500 && refs.filter((ref) => ref.deref() !== undefined).length < 50)
  await engine.close()
})

test('a context can be used carelessly', async () => {
  const contexts: DialContext[] = []
  const dialer: Dialer = {
    async dial(_request, context): Promise<'answered'> {
      // Nobody waits for these, and they fail.
      void context.placed(7 as unknown as string)
      void context.sleep(NaN)
      void context.sleep(-1)
      context.progress(42 as unknown as string)
      assert.ok(context.now() instanceof Date)
      contexts.push(context)
      return 'answered'
    },
  }
  const { engine, id } = await run(dialer, 2)
  assert.equal((await engine.wait(id)).completedContacts, 2)
  // After the dial has ended a context can do nothing any more, and says so.
  for (const late of contexts) assert.ok((await rejection(() => late.placed('CA1'))) instanceof StateError)
  await engine.close()
})

test('a DialError is checked where it is made', () => {
  assert.throws(() => new DialError('permament' as 'permanent'), InvalidError)
  for (const retryAfterMs of [NaN, -1, Infinity, undefined]) assert.equal(new DialError('throttled', 'wait', { retryAfterMs }).retryAfterMs, undefined)
  assert.equal(new DialError('throttled', 'wait', { retryAfterMs: 0 }).retryAfterMs, 0)
})

test('a store is copied into another, whatever they are made of', async (context) => {
  const folder = await mkdtemp(join(tmpdir(), 'campaign-'))
  context.after(() => rm(folder, { recursive: true }))
  const [url, own] = [`sqlite://${join(folder, 'a.db')}`, new MemoryStore()]
  const { engine, id } = await run(quick, 7, {}, {}, url)
  await engine.wait(id)
  await engine.suppress('+12125550123')
  await engine.close()
  const copied = { campaigns: 1, contacts: 7, attempts: 7, suppressions: 1, documents: 0 }
  assert.deepEqual(await copyStore(url, own), copied)
  const back = `sqlite://${join(folder, 'b.db')}`
  assert.deepEqual(await copyStore(own, back), copied)
  const again = await Engine.open(back, { dialer: quick })
  assert.equal((await again.progress(id)).completedContacts, 7)
  await again.close()
  await assert.rejects(copyStore(url, {} as MemoryStore), /lacks the methods/)
  await assert.rejects(copyStore('nonsense', own), CampaignError)
})

test('rejected rows go to a file, and contacts are walked through page by page', async (context) => {
  const folder = await mkdtemp(join(tmpdir(), 'campaign-'))
  context.after(() => rm(folder, { recursive: true }))
  const engine = await Engine.open('memory://', { dialer: quick })
  const { id } = await engine.createCampaign(spec())
  const rejects = join(folder, 'rejects.csv')
  const report = await engine.importContacts(id, Buffer.from('phone,name\n+12125550123,Ada\nnone,Bob\n'), { rejects })
  assert.deepEqual([report.imported, report.invalid], [1, 1])
  assert.match(await readFile(rejects, 'utf8'), /none,Bob/)
  await assert.rejects(engine.importContacts(id, [], { rejects: join(folder, 'no', 'such') }), InvalidError)
  await engine.addContacts(id, people(25))
  const ids: number[] = []
  for await (const contact of engine.iterContacts(id, { limit: 10 })) ids.push(contact.id)
  assert.deepEqual([ids.length, ids], [26, [...ids].sort((a, b) => a - b)])
  for await (const contact of engine.iterContacts(id, { limit: 1, after: ids[3] ?? 0 })) {
    assert.equal(contact.id, ids[4])
    break
  }
  await engine.close()
})
