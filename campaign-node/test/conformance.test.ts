import assert from 'node:assert/strict'
import test from 'node:test'
import { DialError, type Dialer, type DialRequest, type DialContext, type Found, type Outcome } from 'campaign-node'
import { assertPassed, checkDialer, checkStore, type Situation } from 'campaign-node/testing'
import { MemoryStore } from './memory-store.js'

test('a store written in TypeScript keeps the contract', async () => {
  const report = await checkStore(() => new MemoryStore())
  assertPassed(report)
  assert.ok(report.passed.length >= 45, `${report.passed.length} checks passed`)
})

test('a store that forgets is found out', async () => {
  class Forgetful extends MemoryStore {
    override placed(): void {}
  }
  const report = await checkStore(() => new Forgetful())
  assert.deepEqual(report.failed.map(({ check }) => check).includes('a_placed_attempt_keeps_its_reference'), true)
})

/** A provider that exists only here, with a dialer in front of it. */
class Carrier implements Dialer {
  readonly capabilities = { idempotency: 'native', keyTtl: 3600, lookupLag: 1, maxRequestTime: 5, cancel: true } as const
  readonly #situation: Situation
  readonly #calls: Map<string, { ref: string; until: number; outcome: Outcome }>

  constructor(situation: Situation, calls: Map<string, { ref: string; until: number; outcome: Outcome }>) {
    this.#situation = situation
    this.#calls = calls
  }

  async dial(request: DialRequest, context: DialContext): Promise<Outcome> {
    if (context.signal.aborted) return { disposition: 'cancelled' }
    if (context.now() > request.notAfter) throw new DialError('throttled', 'too late', { retryAfterMs: 0 })
    if (this.#situation === 'throttled') throw new DialError('throttled', 'slow down', { retryAfterMs: 2000 })
    if (this.#situation === 'transient') throw new DialError('transient', 'no line free')
    if (this.#situation === 'permanent') throw new DialError('permanent', 'no such number')
    if (this.#situation === 'suppressed') throw new DialError('suppressed')
    const known = this.#calls.get(request.key)
    if (known !== undefined) return known.outcome
    const ref = `CA${request.attemptId}`
    const seconds = this.#situation === 'long' ? 60 : 3
    const disposition = this.#situation === 'busy' ? 'busy' : request.channel === 'call' ? 'answered' : 'delivered'
    const call = { ref, until: context.now().getTime() + seconds * 1000, outcome: { disposition, providerRef: ref } as Outcome }
    this.#calls.set(request.key, call)
    if (this.#situation === 'lost_answer') throw new DialError('in_doubt', 'the answer was lost')
    await context.placed(ref)
    context.progress('ringing')
    const hungUp = new Promise<boolean>((resolve) => context.signal.addEventListener('abort', () => resolve(true), { once: true }))
    if (await Promise.race([hungUp, context.sleep(seconds).then(() => false)])) {
      call.outcome = { disposition: 'cancelled', providerRef: ref }
      call.until = 0
    }
    return call.outcome
  }

  find({ key, now }: { key: string; now: Date }): Found {
    const call = this.#calls.get(key)
    if (call === undefined) return 'never_happened'
    return call.until > now.getTime() ? { state: 'running', providerRef: call.ref } : { state: 'ended', outcome: call.outcome }
  }
}

test('a dialer written in TypeScript keeps the contract', async () => {
  const calls = new Map<string, { ref: string; until: number; outcome: Outcome }>()
  const report = await checkDialer({
    provoke: (situation) => new Carrier(situation, calls),
    handedOver: (key) => (calls.has(key) ? 1 : 0),
  })
  assertPassed(report)
  assert.deepEqual(report.skipped, [])
})

test('a dialer that calls too late is found out', async () => {
  const report = await checkDialer({
    provoke: (situation) => (situation === 'usual' ? { dial: () => ({ disposition: 'answered' as const }) } : null),
  })
  assert.ok(report.failed.some(({ check }) => check === 'nothing is handed over after not_after'), JSON.stringify(report))
})
