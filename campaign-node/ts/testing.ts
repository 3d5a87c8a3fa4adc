/**
 * The conformance suites of the engine, for stores and dialers written in JavaScript.
 *
 * @packageDocumentation
 */
import { Bridge, requireMethods, type Target } from './bridge'
import { fromEngine } from './convert'
import { describeDialer, SimulatedDialer, type Awaitable, type Dialer, type DialRequest } from './dialer'
import { describeStore, type ContactStore } from './store'
import type { Data } from './types'

/** What a suite found. */
export interface Report {
  /** Names of the checks that passed. */
  passed: string[]
  /** Checks that could not be made, and why. */
  skipped: { check: string; problem: string }[]
  /** Checks that failed, and what was wrong. */
  failed: { check: string; problem: string }[]
}

/** What an attempt is meant to meet; only `usual` must be provoked by every fixture. */
export type Situation = 'usual' | 'busy' | 'throttled' | 'transient' | 'permanent' | 'suppressed' | 'lost_answer' | 'long'

/** What the suite needs to know about the dialer under test. */
export interface DialerFixture {
  /**
   * A dialer, with its provider set up for this situation; null when it cannot be provoked, and what depends on it is skipped. `options` are
   * put into the request, for a dialer that takes its cue from there.
   */
  provoke(situation: Situation, request: DialRequest): Awaitable<Dialer | SimulatedDialer | { dialer: Dialer; options: Data } | null>
  /** How often the provider got this key, when the fixture can see the provider's side. */
  handedOver?(key: string): Awaitable<number | null>
}

async function suite(method: string, target: (bridge: Bridge) => Target, args: (id: number) => Record<string, unknown>): Promise<Report> {
  const bridge = new Bridge()
  try {
    return (await bridge.call(method, args(bridge.add(target(bridge))))) as Report
  } finally {
    bridge.end()
  }
}

/** Runs every check of the contract on a store of its own, which `make` makes: fresh and empty. */
export function checkStore(make: () => Awaitable<ContactStore>): Promise<Report> {
  const target = (bridge: Bridge): Target => ({ ask: async () => describeStore(bridge, await make()) })
  return suite('conformance_store', target, (factory) => ({ factory }))
}

/**
 * Drives a dialer through everything its contract promises. Time is virtual: it stands still while your code works and goes on while it waits
 * with `context.sleep`, so that a call of ten minutes takes no time.
 */
export function checkDialer(fixture: DialerFixture): Promise<Report> {
  requireMethods('fixture', fixture, ['provoke'])
  const checked: DialerFixture = fixture
  const target = (bridge: Bridge): Target => ({
    async ask(method, args) {
      if (method === 'handed_over') return (await checked.handedOver?.(args as string)) ?? null
      const { situation, request } = args as { situation: Situation; request: unknown }
      const provoked = await checked.provoke(situation, fromEngine(request) as DialRequest)
      if (provoked === null) return null
      const [dialer, options] = 'options' in provoked && 'dialer' in provoked ? [provoked.dialer, provoked.options] : [provoked, undefined]
      return { dialer: await describeDialer(bridge, dialer), options }
    },
  })
  const start = new Date()
  return suite('conformance_dialer', target, (id) => ({ fixture: id, start, counts: fixture.handedOver !== undefined }))
}

/** Throws an error that lists every failed check. */
export function assertPassed(report: Report): void {
  if (report.failed.length === 0) return
  const lines = report.failed.map(({ check, problem }) => `  ${check}: ${problem}`)
  throw new Error(`${report.failed.length} checks failed\n${lines.join('\n')}`)
}
