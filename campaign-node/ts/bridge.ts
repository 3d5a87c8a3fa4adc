// One engine's connection to its native half: calls out, questions in, both in batches; and what keeps the process open.

import { finite, fromEngine } from './convert'
import { ClosedError, InternalError, InvalidError, Originals, type CampaignError, type NativeError } from './errors'
import { native, type Native } from './native'

/** An object of the user's, wrapped: it may throw and may answer later. */
export interface Target {
  /** Carries out a question. `id` is the number it goes by. */
  ask(method: string, args: unknown, id: number): unknown
  /** The question is to be given up. */
  abort?(id: number): void
  /** Something to hear that needs no answer. */
  tell?(value: unknown): void
  /** It is not needed any more. */
  drop?(): void
}

interface Pending {
  resolve(value: unknown): void
  reject(error: unknown): void
}

type Message =
  | ['reply', number, unknown] | ['fail', number, NativeError] | ['ask', number, number, string, unknown] | ['abort', number]
  | ['forget', number] | ['drop', number] | ['tell', number, unknown] | ['complain', NativeError]

// While there is work the engine is looked at so often; it takes two looks without any to call it idle.
const LOOK_MS = 250
const IDLE_LOOK_MS = 1000

export class Bridge {
  readonly originals = new Originals()
  /** Hears of errors of user code that nobody waits for. */
  complain: ((error: CampaignError) => void) | undefined
  readonly #native: Native
  readonly #calls = new Map<number, Pending>()
  readonly #objects = new Map<number, Target>()
  readonly #asked = new Map<number, Target>()
  readonly #opening = new Set<Promise<unknown>>()
  #answers: [number, unknown, unknown][] = []
  #last = 0
  #waiting = 0
  #idle = 0
  #timer: NodeJS.Timeout | undefined
  #ended = false

  constructor() {
    this.#native = new native.Native(() => this.#take())
  }

  /** Calls the native half. While a call that `waits` is under way the process stays open. */
  call(method: string, args: Record<string, unknown>, bytes?: Uint8Array, waits = true): Promise<unknown> {
    if (this.#ended) return Promise.reject(new ClosedError('the engine is closed'))
    // Calls run side by side, but whoever listens and then starts a campaign must hear its first event.
    if (this.#opening.size > 0 && method !== 'events') {
      return Promise.allSettled(this.#opening).then(() => this.call(method, args, bytes, waits))
    }
    return new Promise((resolve, reject) => {
      const id = ++this.#last
      for (const [field, value] of Object.entries(args)) if (typeof value === 'number') finite(value, field)
      // Whatever can throw comes before the call is counted.
      this.#native.call(id, method, written('the arguments', args), bytes)
      const done = <T>(then: (value: T) => void) => (value: T) => {
        if (waits) this.#waiting--
        then(value)
      }
      // Answers are taken in a later turn of the event loop.
      this.#calls.set(id, { resolve: done(resolve), reject: done(reject) })
      if (waits) {
        this.#waiting++
        this.#stay()
      }
    })
  }

  /** Calls the native half before anything that is called later. */
  first(method: string, args: Record<string, unknown>): Promise<unknown> {
    const opening = this.call(method, args)
    this.#opening.add(opening)
    const done = (): void => void this.#opening.delete(opening)
    opening.then(done, done)
    return opening
  }

  /** As {@link call}, with the answer in JavaScript's names. */
  async get<T>(method: string, args: Record<string, unknown>, bytes?: Uint8Array, waits = true): Promise<T> {
    return fromEngine(await this.call(method, args, bytes, waits)) as T
  }

  /** Gives an object a number that the native half can call it by. */
  add(target: Target): number {
    const id = ++this.#last
    this.#objects.set(id, target)
    return id
  }

  /** Forgets an object. */
  remove(id: number): void {
    const target = this.#objects.get(id)
    this.#objects.delete(id)
    target?.drop?.()
  }

  now(id: number): Date | undefined {
    const now = this.#native.now(id)
    return now === null ? undefined : new Date(now)
  }

  stage(id: number, stage: string): void {
    this.#native.stage(id, stage)
  }

  /** Tells a relay what is to happen; nothing ends it. */
  command(relay: number, command?: Record<string, unknown>): void {
    if (this.#ended) return
    const { error } = JSON.parse(this.#native.command(relay, command === undefined ? null : written('the command', command))) as { error?: NativeError }
    if (error !== undefined) throw this.originals.revive(error)
  }

  piece(id: number, bytes: Uint8Array | null): void {
    this.#native.piece(id, bytes)
  }

  /** Looks from now on whether there is work, and lets the process end when there is none. */
  watch(): void {
    this.#stay()
  }

  /** Ends the connection; calls that are under way fail. */
  end(): void {
    this.#ended = true
    clearTimeout(this.#timer)
    this.#native.abort()
    for (const [id, target] of this.#asked) target.abort?.(id)
    const error = new ClosedError('the engine was closed before the call ended')
    for (const [id, call] of this.#calls) {
      this.#calls.delete(id)
      call.reject(error)
    }
    for (const id of [...this.#objects.keys()]) this.remove(id)
    this.#asked.clear()
  }

  // --- keeping the process open ------------------------------------------------------------------------------------------

  #stay(): void {
    this.#idle = 0
    if (this.#ended) return
    if (this.#timer?.hasRef()) return
    this.#look(LOOK_MS)
  }

  #look(after: number): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => void this.#decide(), after)
    if (this.#idle >= 2) this.#timer.unref()
  }

  async #decide(): Promise<void> {
    if (this.#ended) return
    let working = this.#waiting > 0 || this.#asked.size > 0
    // The timer has fired; until the answer is there another one must hold the process, or let it go.
    this.#look(60_000)
    if (!working) {
      const query = { status: ['running', 'scheduled'], limit: 1 }
      const page = await this.call('list_campaigns', { query }, undefined, false).catch(() => undefined)
      working = this.#waiting > 0 || (page as { total: number } | undefined)?.total !== 0
    }
    if (this.#ended) return
    this.#idle = working ? 0 : this.#idle + 1
    this.#look(this.#idle < 2 ? LOOK_MS : IDLE_LOOK_MS)
  }

  // --- messages ----------------------------------------------------------------------------------------------------------

  #take(): void {
    const messages = JSON.parse(this.#native.take()) as Message[]
    for (const message of messages) {
      switch (message[0]) {
        case 'ask':
          this.#ask(message[1], message[2], message[3], message[4])
          break
        case 'reply':
          this.#settle(message[1])?.resolve(message[2])
          break
        case 'fail':
          this.#settle(message[1])?.reject(this.originals.revive(message[2]))
          break
        case 'abort':
          this.#asked.get(message[1])?.abort?.(message[1])
          break
        case 'forget':
          this.originals.forget(message[1])
          break
        case 'drop':
          this.remove(message[1])
          break
        case 'tell':
          this.#objects.get(message[1])?.tell?.(message[2])
          break
        case 'complain':
          this.complain?.(this.originals.revive(message[1]))
          break
      }
    }
  }

  #settle(id: number): Pending | undefined {
    const call = this.#calls.get(id)
    this.#calls.delete(id)
    return call
  }

  #ask(id: number, object: number, method: string, args: unknown): void {
    const target = this.#objects.get(object)
    if (target === undefined) {
      this.#refuse(id, new InternalError('an object was asked that is not there'))
      return
    }
    this.#asked.set(id, target)
    try {
      const answer = target.ask(method, args, id)
      if (isThenable(answer)) {
        answer.then(
          (value) => this.#answer(id, value),
          (thrown: unknown) => this.#refuse(id, thrown),
        )
      } else {
        this.#answer(id, answer)
      }
    } catch (thrown) {
      this.#refuse(id, thrown)
    }
  }

  #answer(id: number, value: unknown): void {
    this.#asked.delete(id)
    if (value !== PIECE) this.#queue([id, value ?? null, null])
  }

  #refuse(id: number, thrown: unknown): void {
    this.#asked.delete(id)
    this.#queue([id, null, this.originals.describe(thrown)])
  }

  #queue(answer: [number, unknown, unknown]): void {
    this.#answers.push(answer)
    // Everything that is answered in this turn of the event loop goes together.
    if (this.#answers.length === 1) setImmediate(() => this.#flush())
  }

  #flush(): void {
    const answers = this.#answers
    this.#answers = []
    if (this.#ended) return
    try {
      if (this.#native.answer(written('the answers', answers))) return
    } catch {
      // They go one by one.
    }
    // One of them cannot be written or read; the others must not suffer.
    for (const answer of answers) {
      try {
        if (this.#native.answer(written('the answer', [answer]))) continue
        throw new InvalidError('the answer is nested too deeply')
      } catch (problem) {
        if (problem instanceof InvalidError) this.complain?.(problem)
        this.#native.answer(JSON.stringify([[answer[0], null, this.originals.describe(problem)]]))
      }
    }
  }
}

function written(what: string, value: unknown): string {
  try {
    const text = JSON.stringify(value)
    // Half of a character outside of the basic plane, as `slice` leaves it behind, is no text for anybody else.
    return text.includes('\\ud') ? JSON.stringify(JSON.parse(text), wellFormed) : text
  } catch (cause) {
    throw new InvalidError(`${what} cannot be written as JSON`, { cause })
  }
}

function wellFormed(_key: string, value: unknown): unknown {
  if (typeof value === 'string') return value.replace(/\p{Surrogate}/gu, '\ufffd')
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name.replace(/\p{Surrogate}/gu, '\ufffd'), item as unknown]))
}

/** What a target returns when it has answered with bytes itself. */
export const PIECE = Symbol('piece')

export function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function'
}

/** Complains about an object that lacks methods, naming those that are missing. */
export function requireMethods(what: string, object: unknown, methods: readonly string[]): asserts object is Record<string, unknown> {
  if ((typeof object !== 'object' && typeof object !== 'function') || object === null) {
    throw new InvalidError(`${what} must be an object with ${list(methods)}`, { context: { field: what } })
  }
  const has = object as Record<string, unknown>
  const missing = methods.filter((method) => typeof has[method] !== 'function')
  if (missing.length > 0) {
    const one = missing.length === 1
    throw new InvalidError(`${what} lacks the method${one ? '' : 's'} ${list(missing)}`, { context: { field: what } })
  }
}

function list(names: readonly string[]): string {
  return names.map((name) => `\`${name}\``).join(', ')
}
