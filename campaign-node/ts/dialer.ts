import { isThenable, requireMethods, type Bridge, type Target } from './bridge'
import { fromEngine, toEngine } from './convert'
import { DialError, nameOf, UserCodeError } from './errors'
import { described, RoutedDialer, type AnyDialer } from './providers'
import type { CarrierProfile, Channel, Data, Disposition } from './types'

/** A value, or a promise of it. */
export type Awaitable<T> = T | PromiseLike<T>

/** One attempt to be carried out. Everything a provider needs; nothing must be looked up. */
export interface DialRequest {
  /** The attempt. */
  attemptId: number
  /** The idempotency key: unique over all stores, the same when the same attempt is handed over again. */
  key: string
  /** The campaign. */
  campaignId: number
  /** Its name. */
  campaignName: string
  /** The contact. */
  contactId: number
  /** Which attempt at this contact it is, from 1. */
  attemptNumber: number
  /** The channel. */
  channel: Channel
  /** Whom to reach, in E.164. */
  to: string
  /** The caller id or sender reserved for it. */
  fromNumber: string | null
  /** Name, if known. */
  contactName: string | null
  /** Email address, if known. */
  email: string | null
  /** Company, if known. */
  company: string | null
  /** The rendered templates by name. */
  texts: Record<string, string>
  /** The text of a message. */
  message: string | null
  /** The contact's variables. */
  variables: Data
  /** The assistant that talks. */
  assistantId: number | null
  /** Detect answering machines. */
  enableVoicemailDetection: boolean
  /** Leave `voicemailMessage`. */
  leaveVoicemail: boolean
  /** The rendered message. */
  voicemailMessage: string | null
  /** How many seconds to let it ring. */
  ringTimeout: number
  /** How many seconds a call may last. */
  maxDuration: number
  /** The hand-off must not happen later than this. */
  notAfter: Date
  /** A message must not leave the provider later than this. */
  validUntil: Date | null
  /** The local hour at the contact, 0 to 23. */
  localHour: number
  /** For WhatsApp: when the person last wrote to us; free text is allowed for 24 hours from then. */
  lastInboundAt: Date | null
  /** Options of the campaign for this dialer. */
  options: Data
}

/** An attempt in doubt to be asked about. */
export interface FindRequest {
  /** The attempt. */
  attemptId: number
  /** Its idempotency key. */
  key: string
  /** Its channel. */
  channel: Channel
  /** Whom it went to. */
  to: string
  /** Where it came from. */
  fromNumber: string | null
  /** A hand-off cannot be older. */
  since: Date
  /** When the question is asked, by the engine's clock. */
  now: Date
  /** The provider's reference, when it is known. */
  providerRef: string | null
  /** References that belong to other attempts. */
  otherRefs: string[]
}

/** A message outside of attempts to be sent: a confirmation, an answer of the assistant, a message of the program. */
export interface OutboundMessage {
  /** Unique for this message; a dialer is never given the same twice. */
  key: string
  /** SMS or WhatsApp. */
  channel: Channel
  /** Our number or sender: the one that was written to. */
  fromNumber: string
  /** The person, in E.164. */
  to: string
  /** The text. */
  message: string
  /** It must not leave the provider later than this. */
  validUntil: Date | null
  /** Now, by the engine's clock. */
  now: Date
}

/** How an attempt ended. */
export interface Outcome {
  /** How. */
  disposition: Disposition
  /** Seconds talked. */
  durationSeconds?: number
  /** What it cost, when the provider says so. */
  cost?: number | null
  /** The provider's reference. */
  providerRef?: string | null
  /** One sentence for a person, without personal data. */
  detail?: string | null
  /** Anything else worth keeping. */
  data?: Data
}

/** What a provider knows about an attempt in doubt. */
export type Found =
  | 'never_happened'
  | 'unknown'
  | null
  | Outcome
  | { state: 'ended'; outcome: Outcome | Disposition }
  | { state: 'running'; providerRef: string }
  | { state: 'never_happened' }
  | { state: 'unknown' }

/** What a provider gives; the engine's recovery and pacing follow it. What is left out has the engine's default. */
export interface Capabilities {
  /** The channels it serves. Default: all. */
  channels?: readonly Channel[]
  /** What protects it from being asked twice. A dialer without `find` has `none` but for `native`. */
  idempotency?: 'native' | 'callback_ref' | 'lookup_only' | 'none'
  /** For `native`: seconds for which the provider remembers a key. */
  keyTtl?: number
  /** Seconds after a hand-off for which `find` may not see it. Default 0. */
  lookupLag?: number
  /** Seconds a request that hands over may take. Default 30. */
  maxRequestTime?: number
  /** The account its limits belong to. */
  account?: string
  /** Starts per second of that account. */
  callsPerSecond?: number
  /** Attempts at once of that account. */
  maxConcurrent?: number
  /** Whether a running call can be hung up. */
  cancel?: boolean
  /** Whether it detects answering machines. */
  machineDetection?: boolean
}

/** What the engine gives a dialer for one attempt. */
export interface DialContext {
  /** Aborts when the attempt is to be given up: hang up if you can, and return. */
  readonly signal: AbortSignal
  /** Now, by the engine's clock. */
  now(): Date
  /** Waits so many seconds by the engine's clock. */
  sleep(seconds: number): Promise<void>
  /** Makes the provider's reference durable. Call it as soon as the reference is known, before anything else can fail. */
  placed(providerRef: string): Promise<void>
  /** Tells watchers how far the call is, for example `ringing`. */
  progress(stage: string): void
}

/**
 * Places calls and sends messages. Any object with these methods is one; they may return promises or plain values.
 *
 * `dial` returns when the call or message has ended, not when it was accepted. It hands over at most once, not after `request.notAfter`, and
 * not when `context.signal` is aborted already. Whatever it throws besides a {@link DialError} leaves the attempt in doubt.
 */
export interface Dialer {
  /** Carries out one attempt, to its end. A bare disposition is an outcome. */
  dial(request: DialRequest, context: DialContext): Awaitable<Outcome | Disposition>
  /** Says what became of an attempt in doubt. Throwing means "ask again later". */
  find?(request: FindRequest): Awaitable<Found>
  /**
   * Sends a message outside of attempts, once, and returns the provider's reference. Without it confirmations, answers and
   * {@link Engine.sendMessage} have no way out. It throws as `dial` does.
   */
  send?(message: OutboundMessage): Awaitable<string>
  /** What the provider gives; asked once, when the engine is opened. */
  capabilities?: Capabilities | (() => Awaitable<Capabilities>)
}

/** How a simulated carrier behaves. */
export interface SimulatedDialerOptions {
  /** The carrier in numbers. */
  profile?: CarrierProfile
  /** The same seed gives the same log. */
  seed?: number
  /** Waits take this fraction of their time: 60 makes a minute a second. */
  speed?: number
  /** The account its limits belong to. */
  account?: string
  /** A file of hand-offs that outlives the process. */
  log?: string
  /** Remember no hand-off. */
  forgetful?: boolean
}

/** A seeded carrier that rings, answers, talks, fails and bills, and exists only in Rust. */
export class SimulatedDialer {
  /** What it was made with. */
  readonly options: Readonly<SimulatedDialerOptions>

  /** A carrier; without options an ordinary one. */
  constructor(options: SimulatedDialerOptions = {}) {
    this.options = { ...options }
  }

  /** A carrier where everything succeeds at once, for measuring everything but the carrier. */
  static instant(options: SimulatedDialerOptions = {}): SimulatedDialer {
    return new SimulatedDialer({ ...options, profile: 'instant' })
  }
}

class Context implements DialContext {
  readonly #bridge: Bridge
  readonly #id: number
  #controller: AbortController | undefined
  #aborted: boolean

  constructor(bridge: Bridge, id: number, aborted: boolean) {
    this.#bridge = bridge
    this.#id = id
    this.#aborted = aborted
  }

  // Most dials never look at it, and it costs more than all the rest.
  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController()
      if (this.#aborted) this.#controller.abort()
    }
    return this.#controller.signal
  }

  abort(): void {
    this.#aborted = true
    this.#controller?.abort()
  }

  now(): Date {
    return this.#bridge.now(this.#id) ?? new Date()
  }

  sleep(seconds: number): Promise<void> {
    return this.#ask('sleep', { seconds })
  }

  placed(providerRef: string): Promise<void> {
    return this.#ask('placed', { provider_ref: providerRef })
  }

  progress(stage: string): void {
    this.#bridge.stage(this.#id, String(stage))
  }

  #ask(method: string, args: Record<string, unknown>): Promise<void> {
    const answer = this.#bridge.call(method, { dial: this.#id, ...args }).then(() => undefined)
    // Whoever does not wait for it does not want the process to end when it fails.
    answer.catch(() => undefined)
    return answer
  }
}

/** A user's dialer as the bridge calls it. */
class DialerTarget implements Target {
  readonly #bridge: Bridge
  readonly #dialer: Dialer
  readonly #contexts = new Map<number, Context>()

  constructor(bridge: Bridge, dialer: Dialer) {
    this.#bridge = bridge
    this.#dialer = dialer
  }

  ask(method: string, args: unknown, id: number): unknown {
    if (method === 'find') return this.#find(args)
    if (method === 'send') return this.#dialer.send?.(fromEngine(args) as OutboundMessage)
    const { request: flat, cancelled } = args as { request: Record<string, unknown>; cancelled: boolean }
    const request = fromEngine(flat) as DialRequest
    const context = new Context(this.#bridge, id, cancelled)
    this.#contexts.set(id, context)
    const failed = (thrown: unknown): never => {
      this.#contexts.delete(id)
      this.#report(request, thrown)
      throw thrown
    }
    try {
      const outcome = this.#dialer.dial(request, context)
      if (!isThenable(outcome)) return this.#ended(id, outcome)
      return Promise.resolve(outcome).then((value) => this.#ended(id, value)).catch(failed)
    } catch (thrown) {
      return failed(thrown)
    }
  }

  abort(id: number): void {
    this.#contexts.get(id)?.abort()
  }

  #ended(id: number, outcome: unknown): unknown {
    this.#contexts.delete(id)
    return toEngine(outcome)
  }

  async #find(args: unknown): Promise<unknown> {
    return toEngine(await this.#dialer.find?.(fromEngine(args) as FindRequest))
  }

  // A refusal that a dialer names is nothing unusual; what caused it, or anything else, is worth hearing of.
  #report(request: DialRequest, thrown: unknown): void {
    const context = { campaign: String(request.campaignId), contact: String(request.contactId), attempt: String(request.attemptId) }
    let cause = thrown
    try {
      if (thrown instanceof DialError) {
        if (thrown.cause === undefined) return
        cause = thrown.cause
      }
    } catch {
      // Whatever it is, it is worth hearing of.
    }
    this.#bridge.complain?.(new UserCodeError(`the dialer's \`dial\` threw ${nameOf(thrown)}`, { context, cause }))
  }
}

/** What the native half needs to know of a dialer. */
export async function describeDialer(bridge: Bridge, given: AnyDialer): Promise<Record<string, unknown>> {
  if (given instanceof SimulatedDialer) return { simulated: toEngine(given.options) }
  if (given instanceof RoutedDialer) return given.describe((one) => describeDialer(bridge, one as AnyDialer))
  const configured = described(given)
  if (configured !== undefined) return configured
  const dialer = given as Dialer
  const more = (['find', 'send'] as const).filter((method) => (dialer as Dialer | null)?.[method] !== undefined)
  requireMethods('dialer', given, ['dial', ...more])
  const capabilities = typeof dialer.capabilities === 'function' ? await dialer.capabilities() : dialer.capabilities
  const object = bridge.add(new DialerTarget(bridge, dialer))
  const [can_find, can_send] = [dialer.find !== undefined, dialer.send !== undefined]
  return { object, can_find, can_send, capabilities: toEngine(capabilities ?? {}) }
}
